"""One line to one JSON object, strictly by the letter, with numbers as they are written."""

import gc
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np

MAX_LEVELS = 100
"""So many objects and lists may stand in one another, the line's own object among them."""
NESTED = frozenset((list, dict))
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_WHITE_SPACE = " \t\r\n"
_SPACED_COLON = re.compile(r'"[ \t]+:')
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]], _STEPS[[ord("]"), ord("}")]] = 1, -1
_HALF_PAIR = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F])|\\."
)
"""A surrogate as an escape that another does not make a pair of; pairs and all else are passed."""
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextmanager
def without_collector() -> Iterator[None]:
    """Switch the garbage collector off inside: JSON's values are many and never form a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_objects(lines: Sequence[str]) -> list[Mapping[str, Any] | None] | None:
    """Return the objects that all lines are; None where a line has to be read by itself.

    They are read as one list, with a mark between them that no line can know. Where there are as
    many quotes before a colon as keys, no key stands twice and none of them is in a nested object.
    """
    mark = uuid4().hex
    text = f',"{mark}",'.join(lines)
    if _is_deep(text, len(lines)) or _MAYBE_SURROGATE.search(text):
        return None
    try:
        values = _PLAIN.decode(f"[{text}]")
    except (ValueError, RecursionError):
        return None
    objects: list[Mapping[str, Any] | None] = values[::2]
    is_parted = len(values) == 2 * len(lines) - 1 and values[1::2] == [mark] * (len(lines) - 1)
    if not is_parted or set(map(type, objects)) != {dict}:
        return None
    keys = text.count('":') + len(_SPACED_COLON.findall(text))
    return objects if keys == sum(map(len, values[::2])) else None


def read_object(line: str) -> Mapping[str, Any] | None:
    """Return the object that a line is, its numbers as bytes; None where it is none."""
    if _is_deep(line, 1):
        return None
    if _MAYBE_SURROGATE.search(line) and any(_HALF_PAIR.findall(line)):
        return None
    try:
        value, end = _SCAN(line, len(line) - len(line.lstrip(_WHITE_SPACE)))
    except (StopIteration, ValueError):
        return None
    is_all = end == len(line) or not line[end:].strip(_WHITE_SPACE)
    return value if is_all and isinstance(value, dict) else None


def count_values(line: str) -> int:
    """Return about how many values a line holds, whatever is nested in what."""
    return _TEXT.sub("", line).count(",") + 1


def nested_size(value: Any) -> int:
    """Return how many bytes a value has as JSON without white space."""
    if isinstance(value, dict):
        return sum(nested_size(key) + nested_size(part) + 2 for key, part in value.items()) + 1
    if isinstance(value, list):
        return sum(nested_size(part) + 1 for part in value) + 1
    if isinstance(value, str):
        return len(value.encode()) + 2
    return len(value) if isinstance(value, bytes) else 4


def _is_deep(text: str, objects: int) -> bool:
    """Return whether a JSON text of some objects has more than `MAX_LEVELS` in one another."""
    if text.count("[") + text.count("{") - objects < MAX_LEVELS:
        return False
    if "\\" in text:  # it may stand before a quote
        text = _TEXT.sub(lambda found: " " * len(found[0]), text)
    data = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    steps = _STEPS[data]
    steps[np.cumsum(data == ord('"'), dtype=np.int64) & 1 == 1] = 0
    return bool(np.cumsum(steps, dtype=np.int64).max() > MAX_LEVELS)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# A number is bytes because nothing else is, and no type is made faster of a text.
_AS_WRITTEN: dict[str, Any] = {
    "parse_float": str.encode,
    "parse_int": str.encode,
    "parse_constant": _no_constant,
}
_SCAN = json.JSONDecoder(object_pairs_hook=_pairs, **_AS_WRITTEN).scan_once  # type: ignore[attr-defined]
_PLAIN = json.JSONDecoder(**_AS_WRITTEN)
