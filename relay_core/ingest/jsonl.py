"""JSON Lines to text columns with record numbers; a line is an object, strictly by the letter.

Any key may stand in the last line alone, so that all lines are read before the first batch; until
then cells are held as columns. Numbers stay as they are written.
"""

import gc
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from relay_core.columnar.csv_text import quoted
from relay_core.columnar.text import Bools, Ints, empty_texts, without_nulls
from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import feed as parsed_feed
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.csv_records import window_end
from relay_core.ingest.feed import Buffer, decode_feed

_BLOCK = 4 << 20
_MAX_CELLS = (
    4 << 20
)  # the most cells of a batch: few of the keys of many may stand in each line
_MAX_VALUES = 2 << 20  # the most values of a line that is longer than a cell may be
_LINE = re.compile(r"[^\r\n]+")
_AS_THEY_ARE = frozenset((str, bytes, type(None)))
_WORDS = {"True": "true", "False": "false"}
_MAX_LEVELS = (
    100  # so many objects and lists may stand in one another, the line's own among them
)
_NESTED = frozenset((list, dict))
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


def read_json_lines(
    data: Buffer, parser: ParserConfig, limits: Limits
) -> parsed_feed.ParsedFeed:
    """Split a feed into its keys and batches of text columns; the first line is record 1.

    `FeedUnreadableError`: ``DECODE_ERROR``: the bytes are not in ``parser.encoding``;
    ``invalid_input``, here or from ``batches``: lines and no object among them, too many keys, too
    large a cell.
    """
    feed = _Feed(decode_feed(data, parser.encoding), limits)
    headers = feed.headers()
    if headers is None:
        return parsed_feed.ParsedFeed(None)
    used = [headers[place] for place in plan_columns(headers, parser).used]
    return parsed_feed.ParsedFeed(headers, feed.batches(headers, used))


@dataclass(frozen=True, slots=True)
class _Column:
    """The cells of some lines under one key."""

    places: Ints  # of the lines that have the key
    cells: pa.StringArray  # their texts; a list, an object and null are empty
    numbers: Bools  # whether each is a number
    nested: Ints  # the places whose value is a list or an object

    @classmethod
    def of(cls, places: Sequence[int], values: Sequence[object]) -> "_Column":
        kinds, at = set(map(type, values)), np.asarray(places, np.int64)
        numbers = np.zeros(len(values), np.bool_)
        if bytes in kinds:
            numbers[:] = [type(value) is bytes for value in values]
        nested = at[:0]
        if not kinds.isdisjoint(_NESTED):
            nested = at[[type(value) in _NESTED for value in values]]
        if not kinds <= _AS_THEY_ARE:
            values = [
                value if type(value) in _AS_THEY_ARE else _WORDS.get(str(value))
                for value in values
            ]
        return cls(at, without_nulls(pa.array(values, pa.string())), numbers, nested)

    def at(self, places: Ints) -> tuple[pa.StringArray, Bools]:
        """Return the cells at some places, empty where a line has no such key."""
        start, stop = np.searchsorted(self.places, (places[0], places[-1] + 1)).tolist()
        cells, numbers = self.cells.slice(start, stop - start), self.numbers[start:stop]
        if np.array_equal(self.places[start:stop], places):
            return cells, numbers
        found = np.searchsorted(self.places, places)
        is_there = self.places[np.minimum(found, len(self.places) - 1)] == places
        taken = self.cells.take(pa.array(found, mask=~is_there))
        flags = np.zeros(len(places), np.bool_)
        flags[is_there] = self.numbers[found[is_there]]
        return without_nulls(taken), flags


@dataclass(frozen=True, slots=True)
class _Block:
    """Some lines that were read."""

    start: int  # where they begin in the text
    end: int  # where they end
    first: int  # the first line's number
    columns: Mapping[str, _Column]  # by key
    is_object: Bools  # which lines are objects


class _Feed:
    """The lines of one decoded text."""

    def __init__(self, text: memoryview, limits: Limits) -> None:
        self._text, self._limits = text, limits
        self._blocks: deque[_Block] = deque()

    def headers(self) -> tuple[str, ...] | None:
        """Read all lines; return the keys in order of appearance, None where no line is filled."""
        names: dict[str, None] = {}
        start, number = 0, 1
        while start < len(self._text):
            end = window_end(self._text, start, _BLOCK)
            lines = self._lines(start, end)
            collects = gc.isenabled()
            gc.disable()  # JSON's values are many, and never form a cycle
            try:
                is_short = max(map(len, lines), default=0) <= self._limits.cell_bytes
                objects = _objects_at_once(lines) if is_short else None
                if objects is None:
                    objects = [*map(self._object_of, lines, count(number))]
                found = _by_key(objects)
            finally:
                if collects:
                    gc.enable()
            columns = {key: _Column.of(*cells) for key, cells in found.items()}
            is_object = np.array([one is not None for one in objects], np.bool_)
            self._blocks.append(_Block(start, end, number, columns, is_object))
            names.update(dict.fromkeys(found))
            parsed_feed.refuse_large_header(tuple(names), self._limits)
            start, number = end, number + len(lines)
        any_object = any(block.is_object.any() for block in self._blocks)
        if number > 1 and not any_object:
            raise FeedUnreadableError(
                FailureCode.INVALID_INPUT,
                "no line is a JSON object; write one object a line, and no list around them",
            )
        return tuple(names) if any_object else None

    def batches(
        self, headers: tuple[str, ...], used: Sequence[str]
    ) -> Iterator[parsed_feed.TextBatch | parsed_feed.MalformedRecords]:
        """Yield all records and let go of them; columns are read from the ``used`` keys."""
        size = max(1, _MAX_CELLS // max(1, len(headers)))
        while self._blocks:
            block = self._blocks.popleft()
            keep = block.is_object.copy()
            for key in block.columns.keys() & used:
                keep[block.columns[key].nested] = False
            kept = np.flatnonzero(keep)
            for start in range(0, len(kept), size):
                places, columns, numbers = kept[start : start + size], [], {}
                for place, key in enumerate(headers):
                    if key not in block.columns:
                        columns.append(empty_texts(len(places)))
                        continue
                    cells, flags = block.columns[key].at(places)
                    columns.append(cells)
                    if flags.any():
                        numbers[place] = flags
                records = places + block.first
                parsed_feed.refuse_large_cells(columns, records, headers, self._limits)
                yield parsed_feed.TextBatch(columns, records, numbers)
            if not keep.all():
                lines = self._lines(block.start, block.end)
                places = np.flatnonzero(~keep)
                texts, records = (
                    pa.array([lines[at] for at in places]),
                    places + block.first,
                )
                yield parsed_feed.MalformedRecords(
                    None, records, quoted(texts), [texts]
                )

    def _lines(self, start: int, end: int) -> list[str]:
        """Return the lines between two places that hold more than white space."""
        lines = _LINE.findall(str(self._text[start:end], "utf-8"))
        return [line for line in lines if not line.isspace()]

    def _object_of(self, line: str, number: int) -> Mapping[str, object] | None:
        """Return the object that `read_object` finds in a line, no cell of which is too large."""
        if len(line) <= self._limits.cell_bytes:
            return read_object(line)
        # About how many values it holds, whatever is nested in what.
        if _TEXT.sub("", line).count(",") >= _MAX_VALUES:
            raise FeedUnreadableError(
                FailureCode.INVALID_INPUT,
                f"line {number} has more than {_MAX_VALUES:,} values, which are the most; leave "
                "some of them out",
            )
        found = read_object(line)
        if found is None:  # it is one cell of a report
            raise parsed_feed.large_cell(number, 1, (), self._limits)
        for column, value in enumerate(found.values(), 1):
            if type(value) in _NESTED and _nested_size(value) > self._limits.cell_bytes:
                raise parsed_feed.large_cell(number, column, (), self._limits)
        return found


def _by_key(
    objects: Sequence[Mapping[str, object] | None],
) -> Mapping[str, tuple[Sequence[int], Sequence[object]]]:
    """Return the values of each key, and the objects' places; it costs what the objects hold."""
    all_keys = {None if one is None else tuple(one) for one in objects}
    if len(all_keys) == 1 and (keys := all_keys.pop()) is not None:
        columns = zip(
            *(one.values() for one in objects if one is not None), strict=True
        )
        everywhere = range(len(objects))
        return {
            key: (everywhere, values) for key, values in zip(keys, columns, strict=True)
        }
    found: dict[str, tuple[list[int], list[object]]] = {}
    for place, one in enumerate(objects):
        for key, value in (one or {}).items():
            places, values = found.setdefault(key, ([], []))
            places.append(place)
            values.append(value)
    return found


def _objects_at_once(lines: Sequence[str]) -> list[Mapping[str, Any] | None] | None:
    """Return the objects that all lines are, the fast way; None where `read_object` has to decide.

    They are read as one list, with a mark between them that no line can know. Where there are as
    many quotes before a colon as keys, no key stands twice and none of them is in a nested object.
    """
    mark = uuid4().hex
    text = f',"{mark}",'.join(lines)
    if _is_deep(text, len(lines)) or _MAYBE_SURROGATE.search(text):
        return None
    try:
        values = _LAST_OF_KEYS.decode(f"[{text}]")
    except (ValueError, RecursionError):
        return None
    objects: list[Mapping[str, Any] | None] = values[::2]
    is_parted = len(values) == 2 * len(lines) - 1 and values[1::2] == [mark] * (
        len(lines) - 1
    )
    if not is_parted or set(map(type, objects)) != {dict}:
        return None
    keys = text.count('":') + len(_SPACED_COLON.findall(text))
    return objects if keys == sum(map(len, values[::2])) else None


def read_object(line: str) -> Mapping[str, Any] | None:
    """Return the object that one line is, its numbers as bytes; None where it is none.

    An object with a key twice is none, at any level, nor is a line with half a surrogate pair.
    """
    if _is_deep(line, 1):
        return None
    if _MAYBE_SURROGATE.search(line) and any(_HALF_PAIR.findall(line)):
        return None
    try:
        value, end = _SCAN_UNIQUE_KEYS(line, len(line) - len(line.lstrip(_WHITE_SPACE)))
    except (StopIteration, ValueError):
        return None
    is_all = end == len(line) or not line[end:].strip(_WHITE_SPACE)
    return value if is_all and isinstance(value, dict) else None


def _nested_size(value: Any) -> int:
    """Return how many bytes a value has as JSON without white space."""
    if isinstance(value, dict):
        return (
            sum(
                _nested_size(key) + _nested_size(part) + 2
                for key, part in value.items()
            )
            + 1
        )
    if isinstance(value, list):
        return sum(_nested_size(part) + 1 for part in value) + 1
    if isinstance(value, str):
        return len(value.encode()) + 2
    return len(value) if isinstance(value, bytes) else 4


def _is_deep(text: str, objects: int) -> bool:
    """Return whether a JSON text of some objects has more than `_MAX_LEVELS` in one another."""
    if text.count("[") + text.count("{") - objects < _MAX_LEVELS:
        return False
    if "\\" in text:  # it may stand before a quote
        text = _TEXT.sub(lambda found: " " * len(found[0]), text)
    data = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    steps = _STEPS[data]
    steps[np.cumsum(data == ord('"'), dtype=np.int64) & 1 == 1] = 0
    return bool(np.cumsum(steps, dtype=np.int64).max() > _MAX_LEVELS)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


# A number is bytes because nothing else is, and no type is made faster of a text.
_AS_WRITTEN: dict[str, Any] = {
    "parse_float": str.encode,
    "parse_int": str.encode,
    "parse_constant": int,  # raises: NaN and the infinities are no JSON
}
_SCAN_UNIQUE_KEYS = json.JSONDecoder(object_pairs_hook=_pairs, **_AS_WRITTEN).scan_once  # type: ignore[attr-defined]
_LAST_OF_KEYS = json.JSONDecoder(
    **_AS_WRITTEN
)  # of a key that stands twice, its last value
