"""A JSON text to plain values, without any loss: a number keeps its source text.

The text is measured before anything is built from it, so that large texts cost little.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Any

import relay_core.config.refusals as refusals
from relay_core.config.reading.scalars import NumberText, read_number
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    ConfigTooLargeError,
)
from relay_core.domain.limits import Limits

_WHITE_SPACE = " \t\r\n"
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_EMPTY_COLLECTION = re.compile(
    rf"\[[{_WHITE_SPACE}]*\]|\{{[{_WHITE_SPACE}]*\}}",
)
_BRACKET = re.compile(r"[][{}]")


class _RepeatingObject(dict[str, Any]):
    """A JSON object that repeats a key."""

    repeated_keys: tuple[str, ...] = ()


def read_json(text: str, limits: Limits) -> Any:
    """Return the value in a JSON text.

    Raises:
        ConfigTooLargeError: The text has too many bytes.
        ConfigError: The text is no JSON, repeats a key, or holds too much.
    """
    _measure(text, limits)
    repeating_objects: list[_RepeatingObject] = []
    try:
        document = json.loads(
            text,
            parse_int=read_number,
            parse_float=NumberText,
            parse_constant=_refuse_constant,
            object_pairs_hook=partial(_object_of, repeating_objects),
        )
    except json.JSONDecodeError as error:
        raise refusals.whole_fault(
            f"line {error.lineno}, column {error.colno}: "
            f"the config is not valid JSON: {error.msg}",
        ) from error
    if repeating_objects:
        raise ConfigError(_repeated_keys(document, ()))
    return document


def _measure(text: str, limits: Limits) -> None:
    """Refuse a text that has too many bytes, values or levels."""
    # Outside strings, brackets and commas tell the number of values and levels.
    bare = _STRING.sub('""', text)
    white_space = sum(bare.count(character) for character in _WHITE_SPACE)
    size = len(text.encode("utf-8", "surrogatepass")) - white_space
    if size > limits.config_bytes:
        raise ConfigTooLargeError(size, limits.config_bytes)
    collections = bare.count("[") + bare.count("{")
    empty_collections = sum(1 for _ in _EMPTY_COLLECTION.finditer(bare))
    # Each comma begins another value; each collection that is not empty, its first one.
    value_count = 1 + bare.count(",") + collections - empty_collections
    if value_count > limits.config_values:
        raise refusals.whole_fault(refusals.too_many_values(limits))
    steps = (1 if match[0] in "[{" else -1 for match in _BRACKET.finditer(bare))
    for level in accumulate(steps):
        if level > limits.config_levels:
            raise refusals.whole_fault(refusals.too_deep(limits))


def _object_of(
    repeating_objects: list[_RepeatingObject],
    pairs: list[tuple[str, Any]],
) -> dict[str, Any]:
    """Return an object's members; note an object that repeats a key."""
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    counts = Counter(key for key, _ in pairs)
    repeating = _RepeatingObject(members)
    repeating.repeated_keys = tuple(
        key for key, count in counts.items() if count > 1
    )
    repeating_objects.append(repeating)
    return repeating


def _refuse_constant(name: str) -> Any:
    raise refusals.whole_fault(
        f"the config is not valid JSON: {name} is not a JSON number; use a decimal number",
    )


def _repeated_keys(
    value: Any,
    path: tuple[object, ...],
) -> Iterator[ConfigFault]:
    """Yield a fault for each repeated key in a value, with the path of its object."""
    items: Iterator[tuple[object, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = enumerate(value)
    if isinstance(value, _RepeatingObject):
        for repeated_key in value.repeated_keys:
            message = refusals.repeated_key(repeated_key)
            yield ConfigFault(refusals.join_path(path), message)
    for key, item in items:
        yield from _repeated_keys(item, (*path, key))
