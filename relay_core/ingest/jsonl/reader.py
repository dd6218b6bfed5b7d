"""JSON Lines to text columns with record numbers.

A feed is gone through twice: once for its keys, any of which may stand in the last line alone, and
once for its cells.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.csv_text import quoted
from relay_core.columnar.text import MOST_SHORT, without_nulls
from relay_core.columnar.threads import ordered_map
from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.cell_sizes import (
    large_cell,
    refuse_large_cells,
    refuse_large_header,
    refuse_too_many_columns,
)
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.decoding import Buffer, decode_feed
from relay_core.ingest.feed import Misfits, ParsedFeed, TextBatch
from relay_core.ingest.jsonl.lines import Lines, lines_of
from relay_core.ingest.jsonl.objects import (
    LargeNestedError,
    ManyKeysError,
    cells_of,
    has_nested,
    key_texts,
    many_objects,
    read_long_object,
    read_object,
)
from relay_core.ingest.jsonl.shapes import Marks, Records, Shape, Values, records_of

_MOST_SHAPES = 16
_TRIES = 8
_HELD = 64 << 20
_MOST_CELLS = 4 << 20
"""No batch has more: few of the keys of many may stand in each line."""
_LEAST_SHARE = 0.01
"""A shape that no more of a block's lines have is not worth looking for."""


def read_json_lines(
    data: Buffer, parser: ParserConfig, limits: Limits, held: int = _HELD
) -> ParsedFeed:
    """Split a feed into its keys and batches of text columns; the first line is record 1.

    Args:
        data: the feed.
        parser: how it is written.
        limits: of feeds.
        held: so many bytes may what was seen at the first look take until the second.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: the bytes are not in ``parser.encoding``;
            ``invalid_input``, here or from ``batches``: lines and no object among them, too many
            keys, too large a cell.
    """
    feed = _Feed(decode_feed(data, parser.encoding), parser, limits, held)
    headers = feed.headers()
    if headers is None:
        return ParsedFeed(None)
    return ParsedFeed(headers, feed.batches(headers))


@dataclass(slots=True)
class _Objects:
    """Lines that were read one by one."""

    rows: list[int] = field(default_factory=list)
    objects: list[Mapping[str, Any]] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)

    def records(self, start: int, stop: int) -> Records:
        """Return the objects of some lines by column; what it takes follows what they hold."""
        first, last = bisect_left(self.rows, start), bisect_left(self.rows, stop)
        rows = np.array(self.rows[first:last], np.int64)
        columns, numbers = {}, {}
        for key, (places, values) in _by_key(self.objects[first:last]).items():
            texts, flags = cells_of(values)
            columns[key] = _spread(texts, places, len(rows))
            if flags.any():
                numbers[key] = np.zeros(len(rows), np.bool_)
                numbers[key][places] = flags
        return Records(rows, columns, numbers)


def _by_key(
    objects: Sequence[Mapping[str, Any]],
) -> Mapping[str, tuple[Sequence[int], Sequence[Any]]]:
    """Return the values of each key, and which of the objects they are of."""
    if len(set(map(tuple, objects))) == 1:
        columns = zip(*(one.values() for one in objects), strict=True)
        everywhere = range(len(objects))
        return {key: (everywhere, values) for key, values in zip(objects[0], columns, strict=True)}
    found: defaultdict[str, tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
    for place, one in enumerate(objects):
        for key, value in one.items():
            places, values = found[key]
            places.append(place)
            values.append(value)
    return found


def _spread(texts: pa.StringArray, places: Sequence[int], size: int) -> pa.StringArray:
    """Return so many cells, of which only those at some places have a text."""
    if len(places) == size:
        return texts
    cells = np.full(size, -1)
    cells[places] = np.arange(len(places))
    return without_nulls(texts.take(pa.array(cells, mask=cells < 0)))


@dataclass(slots=True)
class _Keys:
    """The keys of objects.

    Attributes:
        names: in order of appearance.
        written: as they stand in lines, as far as they stand at no other place there.
        any: whether there is any object.
    """

    names: dict[str, None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    any: bool = False

    def add(self, names: Sequence[str]) -> None:
        """Take the keys of an object."""
        self.names.update(dict.fromkeys(names))
        self.any = True


@dataclass(frozen=True, slots=True)
class _Block:
    """Some lines, the values of those of known shapes, and which keys appear first in which."""

    lines: Lines
    shaped: Sequence[Values]
    keys: Sequence[tuple[int, Sequence[str]]]


class _Feed:
    """The lines of one decoded text."""

    def __init__(self, text: memoryview, parser: ParserConfig, limits: Limits, held: int) -> None:
        self._text, self._parser, self._limits = text, parser, limits
        self._shapes: list[Shape] = []
        self._blocks: deque[_Block] = deque()  # the first ones, as far as they were held
        self._room = held
        self._next = (0, 1)  # where the block behind them begins, and its first line's number

    def headers(self) -> tuple[str, ...] | None:
        """Return the keys of all objects, in order of appearance; None where no line is filled."""
        any_line, keys = False, _Keys()
        for block in ordered_map(partial(self._block, keys), lines_of(self._text)):
            any_line |= len(block.lines) > 0
            self._hold(block)
            for _, names in sorted(block.keys, key=itemgetter(0)):
                keys.add(names)
            refuse_too_many_columns(tuple(keys.names), self._limits)
        if not any_line:
            return None
        if not keys.any:
            raise FeedUnreadableError(
                FailureCode.INVALID_INPUT,
                "no line is a JSON object; write one object a line, and no list around them",
            )
        headers = tuple(keys.names)
        refuse_large_header(headers, self._limits)
        return headers

    def _block(self, keys: _Keys, lines: Lines) -> _Block:
        """Return what a block's lines are, as far as it is seen at a first look."""
        found: list[tuple[int, Sequence[str]]] = []
        left = np.ones(len(lines), np.bool_)
        shaped = list(self._by_shape(lines))
        for values in shaped:
            is_new = not keys.names.keys() >= set(values.keys)
            rows = records_of(lines, values).rows if is_new else values.rows
            left[rows] = False
            if len(rows):
                found.append((int(rows[0]), values.keys))
        with many_objects():
            for row in np.flatnonzero(left).tolist():
                written = key_texts(lines.text(row))
                if keys.any and keys.written >= written:
                    continue  # whatever the line is, it has no other keys
                one = self._object(lines, row)
                if one is not None:
                    found.append((row, tuple(one)))
                    if len(written) == len(one):
                        keys.written |= written
        return _Block(lines, shaped, found)

    def _hold(self, block: _Block) -> None:
        """Keep where a block's values are, while there is room for it."""
        if self._room > 0 and block.lines.size < MOST_SHORT:
            held = [values.compact() for values in block.shaped]
            lines = block.lines.let_go()
            self._blocks.append(_Block(lines, held, ()))
            self._room -= sum(values.nbytes for values in held)
            self._next = (lines.begin + block.lines.size, lines.first + len(lines))
        else:
            self._room = 0

    def _all_blocks(self) -> Iterator[_Block]:
        while self._blocks:
            block = self._blocks.popleft()
            yield replace(block, lines=block.lines.taken_up(self._text))
        for lines in lines_of(self._text, *self._next):
            yield _Block(lines, list(self._by_shape(lines)), ())

    def batches(self, headers: tuple[str, ...]) -> Iterator[TextBatch | Misfits]:
        """Yield all records."""
        read = [headers[at] for at in plan_columns(headers, self._parser).positions.values()]
        most = _MOST_CELLS // max(1, len(headers))
        for block in self._all_blocks():
            lines, left = block.lines, np.ones(len(block.lines), np.bool_)
            shaped = [records_of(lines, found) for found in block.shaped]
            for records in shaped:
                left[records.rows] = False
            others = self._others(lines, np.flatnonzero(left).tolist(), read)
            for start in range(0, len(lines), most):
                stop = start + most
                parts = [*(each.between(start, stop) for each in shaped)]
                parts = [*filter(len, [*parts, others.records(start, stop)])]
                if parts:
                    yield self._batch(lines, parts, headers)
            if others.broken:
                yield self._broken(lines, others.broken)

    def _others(self, lines: Lines, rows: Iterable[int], read: Sequence[str]) -> _Objects:
        """Read lines one by one; from the keys of ``read`` columns are read."""
        others = _Objects()
        with many_objects():
            for row in rows:
                one = self._object(lines, row)
                if one is None or has_nested(map(one.get, read)):
                    others.broken.append(row)
                else:
                    others.rows.append(row)
                    others.objects.append(one)
        return others

    def _by_shape(self, lines: Lines) -> Iterator[Values]:
        """Yield the plain lines of each shape that is known, or that many of them have."""
        marks = Marks.of(lines)
        rest, least = np.flatnonzero(marks.plain), _LEAST_SHARE * len(lines)
        for shape in tuple(self._shapes):
            values, rest = shape.match(lines, marks, rest)
            yield values
        for place in range(1, 2 * _TRIES, 2):
            if len(rest) <= least or len(self._shapes) == _MOST_SHAPES:
                return
            line = lines.text(int(rest[len(rest) * place // (2 * _TRIES)]))
            new = Shape.of(line) if len(line) <= self._limits.cell_bytes else None
            if new is not None and len(new) <= self._limits.columns:
                values, rest = new.match(lines, marks, rest)
                if len(values.rows) > least:
                    self._shapes.append(new)
                yield values

    def _object(self, lines: Lines, row: int) -> Mapping[str, Any] | None:
        line = lines.text(row)
        most, number = self._limits.cell_bytes, lines.first + row
        if len(line) <= most:
            return read_object(line)
        try:
            found = read_long_object(line, self._limits)
        except LargeNestedError as error:
            raise large_cell(number, error.column, (), self._limits) from error
        except ManyKeysError as error:
            raise FeedUnreadableError(
                FailureCode.INVALID_INPUT,
                f"line {number} has more than {self._limits.columns:,} keys, which are the most; "
                "leave some of them out",
            ) from error
        if found is None:  # it is one cell of a report
            raise large_cell(number, 1, (), self._limits)
        return found

    def _batch(self, lines: Lines, parts: Sequence[Records], headers: tuple[str, ...]) -> TextBatch:
        rows = np.concatenate([part.rows for part in parts])
        columns = [pa.concat_arrays([part.cells(key) for part in parts]) for key in headers]
        numbers = {
            place: np.concatenate([part.flags(key) for part in parts])
            for place, key in enumerate(headers)
            if any(key in part.numbers for part in parts)
        }
        if len(parts) > 1:
            order = np.argsort(rows, kind="stable")
            taken = pa.array(order)
            rows, columns = rows[order], [column.take(taken) for column in columns]
            numbers = {place: flags[order] for place, flags in numbers.items()}
        row_numbers = rows + lines.first
        refuse_large_cells(columns, row_numbers, headers, self._limits)
        return TextBatch(columns, row_numbers, numbers)

    def _broken(self, lines: Lines, rows: Sequence[int]) -> Misfits:
        texts = pa.array([lines.text(row) for row in rows], pa.string())
        numbers: npt.NDArray[np.int64] = np.array(rows, np.int64) + lines.first
        return Misfits(None, numbers, quoted(texts), [texts])
