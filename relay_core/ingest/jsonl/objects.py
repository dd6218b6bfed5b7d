"""One line to one JSON object, strictly, with numbers as they are written.

What is no JSON by the letter is refused here, whatever Python's own reader would make of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relay_core.domain.limits import Limits

MOST_LEVELS = 100
"""So many objects and lists may stand in one another, the line's own object among them."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Number(str):
    """A number, as its source text."""

    __slots__ = ()


class LargeNestedError(ValueError):
    """A list or an object of a line has more bytes than a cell may have; ``column`` is which."""

    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__(f"value {column} of the line")


class ManyKeysError(ValueError):
    """A line has more keys than a feed may have columns."""


def read_object(line: str) -> Mapping[str, Any] | None:
    """Return the object that a line is, its numbers as `Number`; None where it is none."""
    if line.count("[") + line.count("{") > MOST_LEVELS and _levels(line) > MOST_LEVELS:
        return None
    try:
        value = _DECODER.decode(line)
        if _MAYBE_SURROGATE.search(line):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError:  # UnicodeEncodeError, of half a pair, is one
        return None
    return value if isinstance(value, dict) else None


def read_long_object(line: str, limits: Limits) -> Mapping[str, Any] | None:
    """Do as `read_object`, of a line of any length: its lists and objects are not all held at once.

    Raises:
        LargeNestedError, ManyKeysError: it can be no record of a feed.
    """
    if not line.lstrip(" \t").startswith("{"):
        return None
    spans, commas = _nested(line)
    if commas >= limits.columns:
        raise ManyKeysError
    outer, last = [], 0
    for start, end, column in spans:
        inner = line[start:end]
        if len(inner) > limits.cell_bytes or len(inner.encode()) > limits.cell_bytes:
            raise LargeNestedError(column)
        if read_object(f'{{"":{inner}}}') is None:
            return None
        outer += [line[last:start], "[]"]
        last = end
    return read_object("".join([*outer, line[last:]]))


def is_nested(value: Any) -> bool:
    """Tell whether a value is a list or an object."""
    return isinstance(value, list | dict)


def texts_of(objects: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    """Return the cells of a column; a list, an object, null and what is not there are empty."""
    return [_text(each.get(key)) for each in objects]


def numbers_of(objects: Sequence[Mapping[str, Any]], key: str) -> list[bool]:
    """Return which cells of a column are numbers."""
    return [isinstance(each.get(key), Number) for each in objects]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ("true" if value else "false") if isinstance(value, bool) else ""


def _levels(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _nested(line: str) -> tuple[list[tuple[int, int, int]], int]:
    """Return where the lists and objects within a line's object are, and how many commas part it.

    Of each: where it starts and ends, and which value of the line's object it is, from 1.
    """
    data = np.frombuffer(line.encode("utf-32-le"), np.uint32)
    marks = np.flatnonzero((data == ord('"')) | (data == ord("\\")))
    quotes = _unescaped(data, marks)
    inside = np.zeros(len(data) + 1, np.int8)
    inside[quotes] = 1
    free = (np.cumsum(inside[:-1], dtype=np.int64) & 1) == 0
    opens = free & ((data == ord("[")) | (data == ord("{")))
    closes = free & ((data == ord("]")) | (data == ord("}")))
    depth = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int64)
    starts, ends = np.flatnonzero(opens & (depth == 2)), np.flatnonzero(closes & (depth == 1))
    commas = np.flatnonzero(free & (data == ord(",")) & (depth == 1))
    columns = np.searchsorted(commas, starts) + 1
    pairs = zip(starts.tolist(), (ends + 1).tolist(), columns.tolist(), strict=False)
    return list(pairs), len(commas)


def _unescaped(data: np.ndarray[Any, Any], marks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which quotes no backslash takes its meaning from."""
    quotes, escaped = [], -1
    for place in marks.tolist():
        if place == escaped:
            continue
        if data[place] == ord("\\"):
            escaped = place + 1
        else:
            quotes.append(place)
    return np.array(quotes, np.int64)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=Number, parse_int=Number, parse_constant=_no_constant
)
