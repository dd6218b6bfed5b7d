"""One line to one JSON object, strictly, with numbers as they are written.

What is no JSON by the letter is refused here, whatever Python's own reader would make of it.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, without_nulls
from relay_core.domain.limits import Limits

MOST_LEVELS = 100
"""So many objects and lists may stand in one another, the line's own object among them."""
_NESTED = frozenset((list, dict))
_AS_THEY_ARE = frozenset((str, bytes, type(None)))
TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_WHITE_SPACE = " \t\r\n"
_KEY = re.compile(rf"({TEXT.pattern})[ \t]*:")
_OTHER = re.compile(r'[^"\[{,]*')
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]], _STEPS[[ord("]"), ord("}")]] = 1, -1
_HALF_PAIR = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F])|\\."
)
"""A surrogate as an escape that another does not make a pair of; pairs and all else are passed."""
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class LargeNestedError(ValueError):
    """A list or an object of a line has more bytes than a cell may have; ``column`` is which."""

    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__(f"value {column} of the line")


class ManyKeysError(ValueError):
    """A line has more keys than a feed may have columns."""


@contextmanager
def many_objects() -> Iterator[None]:
    """Make many objects inside without the collector, which looks at all of them again and again.

    What JSON is made of holds nothing that holds it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_object(line: str) -> Mapping[str, Any] | None:
    """Return the object that a line is, its numbers as bytes; None where it is none."""
    if line.count("[") + line.count("{") > MOST_LEVELS and _depths(line).max() > MOST_LEVELS:
        return None
    if _MAYBE_SURROGATE.search(line) and any(_HALF_PAIR.findall(line)):
        return None
    try:
        value, end = _SCAN(line, len(line) - len(line.lstrip(_WHITE_SPACE)))
    except (StopIteration, ValueError):
        return None
    is_all = end == len(line) or not line[end:].strip(_WHITE_SPACE)
    return value if is_all and isinstance(value, dict) else None


def read_long_object(line: str, limits: Limits) -> Mapping[str, Any] | None:
    """Do as `read_object`, of a line of any length: its lists and objects are not all held at once.

    Raises:
        LargeNestedError, ManyKeysError: it can be no record of a feed.
    """
    outer, position, values = [], line.find("{") + 1, 1
    if line[: max(0, position - 1)].strip(" \t") or not position:
        return None
    start = 0
    while position < len(line):
        if line[position] in "[{":
            end = _end_of_nested(line, position, values, limits)
            if end is None or read_object(f'{{"":{line[position:end]}}}') is None:
                return None
            outer += [line[start:position], "[]"]
            position = start = end
        elif line[position] == '"':
            text = TEXT.match(line, position)
            if text is None:
                return None
            position = text.end()
        else:
            values += line[position] == ","
            if values > limits.columns:
                raise ManyKeysError
            position = _OTHER.match(line, position + 1).end()  # type: ignore[union-attr]
    return read_object("".join([*outer, line[start:]]))


def _end_of_nested(line: str, position: int, column: int, limits: Limits) -> int | None:
    """Return where a list or an object ends; None where the line ends before."""
    part = line[position : position + limits.cell_bytes + 1]
    ends = np.flatnonzero(_depths(part) == 0)
    if not len(ends) and position + len(part) == len(line):
        return None
    size = int(ends[0]) + 1 if len(ends) else len(part)
    if size > limits.cell_bytes or len(part[:size].encode()) > limits.cell_bytes:
        raise LargeNestedError(column)
    return position + size


def key_texts(line: str) -> set[str]:
    """Return what is written as a key anywhere in a line, if it is JSON."""
    return set(_KEY.findall(line))


def has_nested(values: Iterable[Any]) -> bool:
    """Tell whether any value is a list or an object."""
    return not _NESTED.isdisjoint(map(type, values))


def cells_of(values: Sequence[Any]) -> tuple[pa.StringArray, Bools]:
    """Return values as cells, and which are numbers; a list, an object and null are empty ones."""
    kinds = set(map(type, values))
    numbers = np.zeros(len(values), np.bool_)
    if bytes in kinds:
        numbers[:] = [each.__class__ is bytes for each in values]
    if not kinds <= _AS_THEY_ARE:
        values = [each if each.__class__ in _AS_THEY_ARE else _word(each) for each in values]
    return without_nulls(pa.array(values, pa.string())), numbers


def _word(value: Any) -> str | None:
    return ("true" if value else "false") if isinstance(value, bool) else None


def _depths(text: str) -> Ints:
    """Return how many lists and objects are open behind each character of a JSON text."""
    if "\\" in text:  # it may stand before a quote
        text = TEXT.sub(lambda found: " " * len(found[0]), text)
    data = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    steps = _STEPS[data]
    steps[np.cumsum(data == ord('"'), dtype=np.int64) & 1 == 1] = 0
    return np.cumsum(steps, dtype=np.int64)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# A number is bytes because nothing else is, and no type is made faster of a text.
_SCAN = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_float=str.encode,
    parse_int=str.encode,
    parse_constant=_no_constant,
).scan_once  # type: ignore[attr-defined]
