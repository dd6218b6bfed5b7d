"""Text of a config, JSON or YAML, to plain mappings, lists and scalars without any loss.

A number keeps its source text and is never a float; a date of YAML stays text. A text that repeats
a key is refused. Python objects of other programs become as plain. The rules of a config are in
other modules.
"""

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import accumulate
from typing import Any, Literal

from relay_core.config.scalars import (
    MAX_CHARACTERS,
    BareWord,
    NumberText,
    join_path,
    number,
    repeated_key,
    too_deep,
    too_many_values,
    type_name,
    whole_fault,
)
from relay_core.config.yaml_reader import parse_yaml
from relay_core.domain.errors import ConfigError, ConfigFault, ConfigTooLargeError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits

_MAX_BITS = 8_192
_WHITE_SPACE = " \t\r\n"
_JSON_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_EMPTY = re.compile(rf"\[[{_WHITE_SPACE}]*\]|\{{[{_WHITE_SPACE}]*\}}")
_OF_GUARDS: tuple[tuple[object, ...], ...] = (("guards",), ("guards", "quarantine"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r"[][{}]")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def parse_document(
    text: str | bytes, *, format: Literal["json", "yaml"], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return the mapping that a JSON or YAML text holds, every number as it was written.

    Numbers are ``int`` where their text is an integer's plain form, else `NumberText`.

    Raises:
        ConfigTooLargeError: it has too many bytes.
        ConfigError: the text is malformed, repeats a key, holds no mapping, or more than it may;
            with line and column where the parser knows them.
    """
    if len(text) > 4 * MAX_CHARACTERS:  # of bytes, which are no fewer than characters
        raise _too_long()
    decoded = _decode(text)
    if len(decoded) > MAX_CHARACTERS:
        raise _too_long()
    if format == "json":
        _measure_json(decoded, limits)
        document = _parse_json(decoded)
    else:
        document = parse_yaml(decoded, limits)
        _measure(document, limits)
    if isinstance(document, dict):
        return document
    kind = "nothing at all" if document is None else type_name(document)
    raise whole_fault(f"the config must be a mapping of keys to values, not {kind}")


def _too_long() -> ConfigError:
    return whole_fault(f"the config is longer than {MAX_CHARACTERS:,} characters")


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if text.startswith(mark)), "utf-8")
    try:
        return text.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"the config is not {encoding.upper()} at byte {error.start}; save it as UTF-8"
        raise whole_fault(message) from error


# --- JSON ---------------------------------------------------------------------------------------


def _measure_json(text: str, limits: Limits) -> None:
    """Refuse a text that is too large, before anything is built of it."""
    bare = _JSON_TEXT.sub('""', text)
    size = len(text.encode("utf-8", "surrogatepass")) - sum(map(bare.count, _WHITE_SPACE))
    if size > limits.config_bytes:
        raise ConfigTooLargeError(size, limits.config_bytes)
    opened = bare.count("[") + bare.count("{")
    filled = opened - sum(1 for _ in _EMPTY.finditer(bare))
    if 1 + bare.count(",") + filled > limits.config_values:
        raise whole_fault(too_many_values(limits))
    brackets = (1 if found[0] in "[{" else -1 for found in _BRACKET.finditer(bare))
    if any(level > limits.config_levels for level in accumulate(brackets)):
        raise whole_fault(too_deep(limits))


class _RepeatingObject(dict[str, Any]):
    """A JSON object in which a key stood twice."""

    repeated: tuple[str, ...] = ()


def _parse_json(text: str) -> Any:
    repeating: list[_RepeatingObject] = []

    def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        repeating.append(_RepeatingObject(plain))
        counts = Counter(key for key, _ in pairs)
        repeating[-1].repeated = tuple(key for key, count in counts.items() if count > 1)
        return repeating[-1]

    try:
        document = json.loads(
            text,
            parse_int=number,
            parse_float=NumberText,
            parse_constant=_refuse_constant,
            object_pairs_hook=json_object,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise whole_fault(f"{place}: the config is not valid JSON: {error.msg}") from error
    if repeating:
        faults = _repeated_keys(document)
        raise ConfigError(ConfigFault(join_path(path), repeated_key(key)) for path, key in faults)
    return document


def _refuse_constant(name: str) -> Any:
    raise whole_fault(f"the config is not valid JSON: it holds {name}, which is no number")


def _repeated_keys(document: Any) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield each repeated key and the path of its object."""
    waiting: list[tuple[tuple[object, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _RepeatingObject):
            yield from ((path, key) for key in value.repeated)
        items: Iterable[tuple[object, Any]] = ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list):
            items = enumerate(value)
        inner = [((*path, key), item) for key, item in items if isinstance(item, dict | list)]
        waiting.extend(reversed(inner))


# --- Python objects -----------------------------------------------------------------------------


def plain_document(
    document: Mapping[Any, Any], limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Return a document of plain values without its nulls, and the faults of what it left out.

    The document comes from `parse_document` or from another program; it may hold ``Decimal``,
    ``float`` (read as its shortest text) and ``tuple``.

    Raises:
        ConfigError: it is nested too deeply, as one that holds itself is, or holds too much.
    """
    cleaner = _Cleaner(limits)
    plain: dict[str, Any] = cleaner.clean(document, ())
    return plain, cleaner.faults


def _measure(document: Any, limits: Limits) -> None:
    """Refuse a document that is too long as JSON without white space."""
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    parts = (len(part.encode("utf-8", "surrogatepass")) for part in encoder.iterencode(document))
    size = 0
    for part in parts:
        size += part
        if size > limits.config_bytes:
            raise ConfigTooLargeError(size, limits.config_bytes)


class _Cleaner:
    def __init__(self, limits: Limits) -> None:
        self.faults: list[ConfigFault] = []
        self._limits = limits
        self._items = 0

    def clean(self, value: Any, path: tuple[object, ...]) -> Any:
        """Return the plain value; None where there is none or where it had to be left out."""
        self._items += 1
        if self._items > self._limits.config_values:
            raise whole_fault(too_many_values(self._limits))
        if not isinstance(value, Mapping | list | tuple):
            return self._scalar(value, path)
        if len(path) >= self._limits.config_levels:
            raise whole_fault(too_deep(self._limits))
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        items = []
        for index, item in enumerate(value):
            plain = self.clean(item, (*path, index))
            if item is None:  # which has no meaning in a list
                message = "is null; take it out of the list, or put it in quotes"
                self._refuse((*path, index), message)
            items.append("" if plain is None else plain)
        return items

    def _mapping(self, mapping: Mapping[Any, Any], path: tuple[object, ...]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for original, item in mapping.items():
            key = self._scalar(original, path)
            if original is None or isinstance(original, bool):
                key = BareWord("null" if original is None else str(original).lower())
            key = str(key) if isinstance(key, int) else key
            value = None if key is None else self.clean(item, (*path, key))
            # A null is as if absent, but for the guards: there it switches one off.
            if key is None or (value is None and (item is not None or path not in _OF_GUARDS)):
                continue
            if key in plain:
                self._refuse(path, repeated_key(key))
            plain[key] = value
        return plain

    def _scalar(self, value: Any, path: tuple[object, ...]) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if _SURROGATE.search(value):
                return self._refuse(path, "holds half of a surrogate pair, which is no character")
            return value
        if isinstance(value, int) and value.bit_length() < _MAX_BITS:
            return number(str(int(value)))
        if isinstance(value, float | Decimal) and math.isfinite(value):
            return number(repr(float(value)) if isinstance(value, float) else str(value))
        kind = "this number" if isinstance(value, int | float | Decimal) else type(value).__name__
        return self._refuse(path, f"{kind} cannot stand in a config")

    def _refuse(self, path: tuple[object, ...], message: str) -> None:
        self.faults.append(ConfigFault(join_path(path), message))
