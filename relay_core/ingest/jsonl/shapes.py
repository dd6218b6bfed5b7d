"""Lines that are written alike, read by columns: the same keys, spaced the same way, flat values.

A program that writes a feed writes most lines in a few shapes. Of such lines everything but the
values is the same bytes, so that each value is where the one before it says. A line with a value
that is nothing flat, or with a control character, is not read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import (
    WORD,
    Bools,
    Ints,
    Rows,
    change_rows,
    empty_texts,
    flags_of,
    texts_between,
)
from relay_core.ingest.jsonl.lines import Lines
from relay_core.ingest.jsonl.objects import TEXT, read_object

_QUOTE, _BACKSLASH, _SPACE = ord('"'), ord("\\"), ord(" ")
_SCALAR = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
_IS_SCALAR = f"^{_SCALAR}$"
_VALUE = f"(?:{TEXT.pattern}|{_SCALAR})"
_KEY = rf"({TEXT.pattern})[ \t]*:[ \t]*"
_MEMBER = re.compile(f"[ \\t]*{_KEY}({_VALUE})[ \\t]*")
_MEMBERS = re.compile(rf"[ \t]*\{{{_MEMBER.pattern}(?:,{_MEMBER.pattern})*+\}}[ \t]*")
_BETWEEN = '","'
_IS_NUMBER = np.zeros(256, np.bool_)
_IS_NUMBER[[ord(char) for char in "-0123456789"]] = True


@dataclass(frozen=True, slots=True)
class Marks:
    """What a block of lines is searched for once.

    Attributes:
        quotes: where the quotes are, but for those that a backslash stands before.
        first: which of them is each line's first.
        plain: which lines hold no control character.
        words: eight bytes from each place on.
    """

    quotes: Ints
    first: Ints
    plain: Bools
    words: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, lines: Lines) -> Marks:
        """Search a block."""
        data = lines.data[:-WORD]
        quotes = np.flatnonzero(data == _QUOTE)
        if len(lines.slashes):
            quotes = _unescaped(data, quotes, lines.slashes)
        plain = np.ones(len(lines), np.bool_)
        if np.count_nonzero(data < _SPACE) > lines.breaks:
            odd = np.flatnonzero(data < _SPACE)
            plain = np.searchsorted(odd, lines.starts) == np.searchsorted(odd, lines.ends)
        quotes = np.append(quotes, [len(data)] * 2)  # as many as a line may want too much
        words = np.lib.stride_tricks.as_strided(
            lines.data[:WORD].view(np.uint64), shape=(len(data) + 1,), strides=(1,)
        )
        return cls(quotes, np.searchsorted(quotes, lines.starts), plain, words)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of some lines of one shape.

    Attributes:
        rows: which lines.
        keys: of each column.
        starts: where each value begins, its quote left out; by column.
        ends: where each ends.
    """

    rows: Rows
    keys: Sequence[str]
    starts: Sequence[npt.NDArray[np.integer]]
    ends: Sequence[npt.NDArray[np.integer]]

    def compact(self) -> Values:
        """Return the same in half the memory; of no more bytes than short offsets reach."""
        starts, ends = ([p.astype(np.int32) for p in each] for each in (self.starts, self.ends))
        return Values(self.rows, self.keys, starts, ends)

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(each.nbytes for each in (self.rows, *self.starts, *self.ends))


@dataclass(frozen=True, slots=True)
class Records:
    """Some lines that are objects, by column; a column that none of them has is left out.

    Attributes:
        rows: which lines.
        columns: by key, the cells; null is an empty one.
        numbers: by key, which cells are numbers.
    """

    rows: Rows
    columns: Mapping[str, pa.StringArray]
    numbers: Mapping[str, Bools]

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self.rows)

    def between(self, start: int, stop: int) -> Records:
        """Return those of some lines."""
        first, last = np.searchsorted(self.rows, (start, stop)).tolist()
        if last - first == len(self.rows):
            return self
        return Records(
            self.rows[first:last],
            {key: cells.slice(first, last - first) for key, cells in self.columns.items()},
            {key: flags[first:last] for key, flags in self.numbers.items()},
        )

    def cells(self, key: str) -> pa.StringArray:
        """Return a column's cells."""
        found = self.columns.get(key)
        return empty_texts(len(self.rows)) if found is None else found

    def flags(self, key: str) -> Bools:
        """Return which of a column's cells are numbers."""
        found = self.numbers.get(key)
        return np.zeros(len(self.rows), np.bool_) if found is None else found


@dataclass(frozen=True, slots=True)
class Shape:
    """How some lines are written.

    Attributes:
        keys: in their order.
        pieces: what stands before each value, and behind the last.
    """

    keys: tuple[str, ...]
    pieces: tuple[bytes, ...]

    @classmethod
    def of(cls, line: str) -> Shape | None:
        """Return the shape of a line; None where it is no object of flat values."""
        read = read_object(line) if _MEMBERS.fullmatch(line) else None
        if read is None:
            return None
        keys = tuple(read)
        found = list(_MEMBER.finditer(line, line.index("{") + 1))
        starts = [0, *(each.end(2) for each in found)]
        ends = [*(each.start(2) for each in found), len(line)]
        pieces = (line[start:end].encode() for start, end in zip(starts, ends, strict=True))
        return cls(keys, tuple(pieces))

    def match(self, lines: Lines, marks: Marks, rows: Rows) -> tuple[Values, Rows]:
        """Return the values of those of some plain lines that are of this shape, and the others.

        A value without quotes is anything between two pieces; see `records_of`.
        """
        starts, ends = [], []
        at, quote, fits = lines.starts[rows], marks.first[rows], np.ones(len(rows), np.bool_)
        line_ends = lines.ends[rows]
        for piece, following in zip(self.pieces, self.pieces[1:], strict=False):
            fits &= _holds(marks, at, piece, line_ends)
            at = np.minimum(at + len(piece), line_ends)
            quote = np.minimum(quote + piece.count(b'"'), len(marks.quotes) - 2)
            is_text = lines.data[at] == _QUOTE
            start = at + is_text
            closing = marks.quotes[quote + 1]
            offset = following.find(b'"')
            ahead = line_ends - len(following) if offset < 0 else marks.quotes[quote] - offset
            end = np.where(is_text, closing, ahead)
            fits &= (end >= start) & (end <= line_ends)
            end = np.clip(end, start, np.maximum(line_ends, start))
            quote += 2 * is_text
            at = np.minimum(end + is_text, line_ends)
            starts.append(start)
            ends.append(end)
        fits &= _holds(marks, at, self.pieces[-1], line_ends)
        fits &= at + len(self.pieces[-1]) == line_ends
        return _of_rows(Values(rows, self.keys, starts, ends), fits), rows[~fits]

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self.keys)


def records_of(lines: Lines, values: Values) -> Records:
    """Return the lines that are objects: values without quotes are JSON, and so are the texts."""
    fits, columns, numbers = np.ones(len(values.rows), np.bool_), {}, {}
    escaped = lines.with_escapes(values.rows)
    for key, start, end in zip(values.keys, values.starts, values.ends, strict=True):
        is_text = lines.data[np.maximum(start, 1) - 1] == _QUOTE
        bare = np.flatnonzero(~is_text)
        if len(bare):
            texts = texts_between(lines.data, start[bare], end[bare])
            fits[bare] &= flags_of(pc.match_substring_regex(texts, _IS_SCALAR))
            null = bare[lines.data[start[bare]] == ord("n")]
            end = end.copy()
            end[null] = start[null]
        texts = texts_between(lines.data, start, end)
        columns[key] = _unescaped_texts(texts, escaped[is_text[escaped]], fits)
        numbers[key] = _IS_NUMBER[lines.data[start]] & ~is_text & (end > start)
    if fits.all():
        return Records(values.rows, columns, numbers)
    keep = pa.array(fits)
    return Records(
        values.rows[fits],
        {key: column.filter(keep) for key, column in columns.items()},
        {key: flags[fits] for key, flags in numbers.items()},
    )


def _unescaped_texts(cells: pa.StringArray, rows: Rows, fits: Bools) -> pa.StringArray:
    """Return cells with the characters that the backslashes of quoted ones stand for.

    A row of which one stands for none fits no longer.

    Args:
        cells: a column.
        rows: those whose cell is quoted and may hold a backslash.
        fits: is changed.
    """
    if len(rows):
        rows = rows[flags_of(pc.match_substring(cells.take(pa.array(rows)), "\\"))]
    if not len(rows):
        return cells
    written = cells.take(pa.array(rows)).to_pylist()
    try:
        read = pa.array(json.loads(_list_of(written)), pa.string())
    except ValueError:
        parts = [_unescaped_text(each) for each in written]
        fits[rows[[part is None for part in parts]]] = False
        read = pa.array([part or "" for part in parts], pa.string())
    return change_rows(cells, rows, lambda _: read)


def _list_of(texts: Sequence[str]) -> str:
    return f'["{_BETWEEN.join(texts)}"]'


def _unescaped_text(text: str) -> str | None:
    found = read_object(f'{{"":"{text}"}}')
    return None if found is None else str(found[""])


def _unescaped(data: npt.NDArray[np.uint8], quotes: Ints, slashes: Ints) -> Ints:
    """Return the quotes that no backslash stands before, or two, or four."""
    after = np.flatnonzero(data[np.maximum(quotes, 1) - 1] == _BACKSLASH)
    is_first = np.diff(slashes, prepend=-2) > 1
    firsts = slashes[is_first][np.cumsum(is_first) - 1]  # of the run that each is of
    run = firsts[np.searchsorted(slashes, quotes[after] - 1)]
    return np.delete(quotes, after[(quotes[after] - run) % 2 == 1])


def _of_rows(values: Values, keep: Bools) -> Values:
    if keep.all():
        return values
    starts, ends = ([part[keep] for part in of] for of in (values.starts, values.ends))
    return Values(values.rows[keep], values.keys, starts, ends)


def _holds(marks: Marks, at: Ints, piece: bytes, line_ends: Ints) -> Bools:
    """Return at which of the places a piece stands."""
    found = at + len(piece) <= line_ends
    last = len(marks.words) - 1
    for offset in range(0, len(piece), WORD):
        part = piece[offset : offset + WORD]
        wanted = np.frombuffer(part.ljust(WORD, b"\0"), np.uint64)[0]
        words = marks.words[np.minimum(at + offset, last)]
        if len(part) < WORD:
            words = words & np.uint64((1 << 8 * len(part)) - 1)
        found &= words == wanted
    return np.asarray(found)
