"""Text of a config, JSON or YAML, to plain mappings, lists and scalars without any loss.

A number keeps its source text and is never a float; a date of YAML stays text. A text that repeats
a key is refused. Python objects of other programs become as plain. The rules of a config are in
other modules.

PyYAML composes the nodes, and is stopped while it does where the text holds too much. Its own
constructors are not used: they turn ``007``, ``1_000`` and ``2020-01-01`` into other things.
Aliases and merge keys work.
"""

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import Any, Literal

import yaml

import relay_core.config.values as values
from relay_core.domain.errors import ConfigError, ConfigFault, ConfigTooLargeError
from relay_core.domain.limits import DEFAULT_LIMITS, MAX_QUOTED, Limits

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
_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_SCALARS: dict[str, Callable[[str], Any]] = {
    "int": values.number,
    "float": values.NumberText,
    "null": lambda _: None,
    "bool": lambda text: text.lower() in ("yes", "true", "on"),
}
"""The values of YAML 1.1's scalars; their texts stay. All other scalars are text."""


def parse_document(
    text: str | bytes,
    *,
    format: Literal["json", "yaml"],
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, Any]:
    """Return the mapping that a JSON or YAML text holds, every number as it was written.

    Numbers are ``int`` where their text is an integer's plain form, else `NumberText`.

    `ConfigTooLargeError`: it has too many bytes. `ConfigError`: the text is malformed, repeats a
    key, holds no mapping, or more than it may; with line and column where the parser knows them.
    """
    if (
        len(text) > 4 * values.MAX_CHARACTERS
    ):  # of bytes, which are no fewer than characters
        raise _too_long()
    decoded = _decode(text)
    if len(decoded) > values.MAX_CHARACTERS:
        raise _too_long()
    if format == "json":
        _measure_json(decoded, limits)
        document = _parse_json(decoded)
    else:
        document = _parse_yaml(decoded, limits)
        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
        size = 0
        for part in encoder.iterencode(document):
            size += len(part.encode("utf-8", "surrogatepass"))
            if size > limits.config_bytes:
                raise ConfigTooLargeError(size, limits.config_bytes)
    if isinstance(document, dict):
        return document
    kind = "nothing at all" if document is None else values.type_name(document)
    raise values.whole_fault(
        f"the config must be a mapping of keys to values, not {kind}"
    )


def _too_long() -> ConfigError:
    return values.whole_fault(
        f"the config is longer than {values.MAX_CHARACTERS:,} characters"
    )


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    encoding = next(
        (name for mark, name in _BYTE_ORDER_MARKS if text.startswith(mark)), "utf-8"
    )
    try:
        return text.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"the config is not {encoding.upper()} at byte {error.start}; save it as UTF-8"
        raise values.whole_fault(message) from error


# --- JSON ---------------------------------------------------------------------------------------


def _measure_json(text: str, limits: Limits) -> None:
    """Refuse a text that is too large, before anything is built of it."""
    bare = _JSON_TEXT.sub('""', text)
    size = len(text.encode("utf-8", "surrogatepass")) - sum(
        map(bare.count, _WHITE_SPACE)
    )
    if size > limits.config_bytes:
        raise ConfigTooLargeError(size, limits.config_bytes)
    opened = bare.count("[") + bare.count("{")
    filled = opened - sum(1 for _ in _EMPTY.finditer(bare))
    if 1 + bare.count(",") + filled > limits.config_values:
        raise values.whole_fault(values.too_many_values(limits))
    brackets = (1 if found[0] in "[{" else -1 for found in _BRACKET.finditer(bare))
    if any(level > limits.config_levels for level in accumulate(brackets)):
        raise values.whole_fault(values.too_deep(limits))


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
        repeating[-1].repeated = tuple(
            key for key, count in counts.items() if count > 1
        )
        return repeating[-1]

    try:
        document = json.loads(
            text,
            parse_int=values.number,
            parse_float=values.NumberText,
            parse_constant=_refuse_constant,
            object_pairs_hook=json_object,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise values.whole_fault(
            f"{place}: the config is not valid JSON: {error.msg}"
        ) from error
    if repeating:
        faults = _repeated_keys(document)
        raise ConfigError(
            ConfigFault(values.join_path(path), values.repeated_key(key))
            for path, key in faults
        )
    return document


def _refuse_constant(name: str) -> Any:
    raise values.whole_fault(
        f"the config is not valid JSON: it holds {name}, which is no number"
    )


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
        inner = [
            ((*path, key), item) for key, item in items if isinstance(item, dict | list)
        ]
        waiting.extend(reversed(inner))


# --- YAML ---------------------------------------------------------------------------------------


def _parse_yaml(text: str, limits: Limits) -> Any:
    """Return the value of a YAML text; None where it is empty."""
    try:
        loader = _Loader(text, limits)
        loader.get_event()  # type: ignore[no-untyped-call]
        if loader.check_event(yaml.StreamEndEvent):
            return None
        node: Any = loader.compose_document()
        if not loader.check_event(yaml.StreamEndEvent):
            another = loader.peek_event()  # type: ignore[no-untyped-call]
            raise _refusal(another, "the text holds more than one config; keep one")
    except yaml.MarkedYAMLError as error:
        problem = (error.problem or error.context or "")[:MAX_QUOTED]
        place = _place(error.problem_mark or error.context_mark)
        raise values.whole_fault(
            f"{place}the config is not valid YAML: {problem}"
        ) from error
    except yaml.reader.ReaderError as error:
        before, character = text[: error.position], ord(text[error.position])
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problem = f"the character U+{character:04X} is not allowed in YAML"
        raise values.whole_fault(f"line {line}, column {column}: {problem}") from error
    builder = _Builder()
    document = builder.value(node, ())
    if builder.faults:
        raise ConfigError(builder.faults)
    return document


class _Loader(yaml.SafeLoader):
    """Composes nodes, and counts them: an alias counts like the node that it names."""

    def __init__(self, text: str, limits: Limits) -> None:
        super().__init__(text)
        self._limits = limits
        self._levels = 0
        self._values = 0
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node, or refuse it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_key = index is None and isinstance(parent, yaml.MappingNode)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, is_key=is_key)
        is_collection = isinstance(event, yaml.CollectionStartEvent)
        own_tag = "str"
        if is_collection:
            own_tag = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        if event.tag not in (None, "!", _PREFIX + own_tag):
            tag = str(event.tag)[:MAX_QUOTED]
            raise _refusal(event, f"the tag {tag} is not supported; leave it out")
        if is_key and is_collection:
            raise _refusal(event, "a key must be text, not a mapping or a list")
        before, level = self._values, self._levels
        self._count(event, 0 if is_key else 1, int(is_collection))
        self._levels += is_collection
        # YAML lets a later anchor take an earlier one's name.
        self.anchors.pop(event.anchor, None)
        node: Any = super().compose_node(parent, index)
        self._levels = level
        if event.tag == "!" and not is_collection:
            node.tag = f"{_PREFIX}str"
        if event.anchor is not None:
            self._sizes[node] = (self._values - before, self._levels_of(node))
        return node

    def _levels_of(self, node: Any) -> int:
        """Return how deeply a node is nested; of aliased nodes it is known already."""
        if node in self._sizes or isinstance(node, yaml.ScalarNode):
            return self._sizes.get(node, (0, 0))[1]
        is_mapping = isinstance(node, yaml.MappingNode)
        inner = (value for _, value in node.value) if is_mapping else iter(node.value)
        return 1 + max(map(self._levels_of, inner), default=0)

    def _alias(self, event: yaml.AliasEvent, *, is_key: bool) -> yaml.Node:
        target: yaml.Node | None = self.anchors.get(event.anchor)
        alias = f"the alias *{(event.anchor or '')[:MAX_QUOTED]}"
        if target is None:
            raise _refusal(event, f"{alias} has no anchor before it")
        if target not in self._sizes:
            raise _refusal(event, f"{alias} stands inside what it names")
        if is_key and not isinstance(target, yaml.ScalarNode):
            raise _refusal(event, "a key must be text, not a mapping or a list")
        size, levels = self._sizes[target]
        self._count(event, 0 if is_key else max(size, 1), levels)
        self.get_event()  # type: ignore[no-untyped-call]
        return target

    def _count(self, event: yaml.Event, size: int, levels: int) -> None:
        self._values += size
        if self._levels + levels > self._limits.config_levels:
            raise _refusal(event, values.too_deep(self._limits))
        if self._values > self._limits.config_values:
            raise _refusal(event, values.too_many_values(self._limits))


@dataclass(slots=True)
class _Builder:
    """Makes values of nodes; a node that aliases repeat is one value."""

    faults: list[ConfigFault] = field(default_factory=list)
    _made: dict[yaml.Node, Any] = field(default_factory=dict)

    def value(self, node: yaml.Node, path: tuple[object, ...]) -> Any:
        """Return the value of a node."""
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node in self._made:
            return self._made[node]
        if isinstance(node, yaml.MappingNode):
            self._made[node] = self._mapping(node, path)
        else:
            items = enumerate(node.value)
            self._made[node] = [
                self.value(each, (*path, place)) for place, each in items
            ]
        return self._made[node]

    def _mapping(self, node: yaml.Node, path: tuple[object, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        own: set[str] = set()
        for key_node, item in node.value:
            if key_node.tag == _MERGE:
                for each in (
                    item.value if isinstance(item, yaml.SequenceNode) else [item]
                ):
                    if not isinstance(each, yaml.MappingNode):
                        raise _refusal(
                            each, "<< takes a mapping, or a list of mappings"
                        )
                    for key, value in self.value(each, path).items():
                        made.setdefault(key, value)
                continue
            key = _scalar(key_node)
            if key is None or isinstance(key, bool):
                key = values.BareWord(key_node.value or values.type_name(key))
            key = str(key) if isinstance(key, int) else key
            value = self.value(item, (*path, key))
            if key in own:
                place = _place(key_node.start_mark)
                self.faults.append(
                    ConfigFault(
                        values.join_path(path), place + values.repeated_key(key)
                    )
                )
            else:
                own.add(key)
                made[key] = value
        return made


def _scalar(node: yaml.ScalarNode) -> Any:
    return _SCALARS.get(node.tag.removeprefix(_PREFIX), str)(node.value)


def _place(mark: Any) -> str:
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _refusal(where: yaml.Event | yaml.Node, message: str) -> ConfigError:
    return values.whole_fault(_place(where.start_mark) + message)


# --- Python objects -----------------------------------------------------------------------------


def plain_document(
    document: Mapping[Any, Any], limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Return a document of plain values without its nulls, and the faults of what it left out.

    The document comes from `parse_document` or from another program; it may hold ``Decimal``,
    ``float`` (read as its shortest text) and ``tuple``.

    `ConfigError`: it is nested too deeply, as one that holds itself is, or holds too much.
    """
    cleaner = _Cleaner(limits)
    plain: dict[str, Any] = cleaner.clean(document, ())
    return plain, cleaner.faults


@dataclass(slots=True)
class _Cleaner:
    limits: Limits
    faults: list[ConfigFault] = field(default_factory=list)
    items: int = 0

    def clean(self, value: Any, path: tuple[object, ...]) -> Any:
        """Return the plain value; None where there is none or where it had to be left out."""
        self.items += 1
        if self.items > self.limits.config_values:
            raise values.whole_fault(values.too_many_values(self.limits))
        if not isinstance(value, Mapping | list | tuple):
            return self._scalar(value, path)
        if len(path) >= self.limits.config_levels:
            raise values.whole_fault(values.too_deep(self.limits))
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

    def _mapping(
        self, mapping: Mapping[Any, Any], path: tuple[object, ...]
    ) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for original, item in mapping.items():
            key = self._scalar(original, path)
            if original is None or isinstance(original, bool):
                key = values.BareWord(
                    "null" if original is None else str(original).lower()
                )
            key = str(key) if isinstance(key, int) else key
            value = None if key is None else self.clean(item, (*path, key))
            # A null is as if absent, but for the guards: there it switches one off.
            if key is None or (
                value is None and (item is not None or path not in _OF_GUARDS)
            ):
                continue
            if key in plain:
                self._refuse(path, values.repeated_key(key))
            plain[key] = value
        return plain

    def _scalar(self, value: Any, path: tuple[object, ...]) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if _SURROGATE.search(value):
                return self._refuse(
                    path, "holds half of a surrogate pair, which is no character"
                )
            return value
        if isinstance(value, int) and value.bit_length() < _MAX_BITS:
            return values.number(str(int(value)))
        if isinstance(value, float | Decimal) and math.isfinite(value):
            return values.number(
                repr(float(value)) if isinstance(value, float) else str(value)
            )
        kind = (
            "this number"
            if isinstance(value, int | float | Decimal)
            else type(value).__name__
        )
        return self._refuse(path, f"{kind} cannot stand in a config")

    def _refuse(self, path: tuple[object, ...], message: str) -> None:
        self.faults.append(ConfigFault(values.join_path(path), message))
