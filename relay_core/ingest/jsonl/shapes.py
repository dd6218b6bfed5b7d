"""Lines that are written alike, read by columns: the same keys, spaced the same way, flat values.

A program that writes a feed writes most lines in a few shapes. Of such lines everything but the
values is the same bytes, so that each value is where the one before it says. A line with a
backslash, or a value that is nothing flat, is not read here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import WORD, Bools, Ints, Rows, flags_of, texts_between
from relay_core.ingest.jsonl.lines import Lines

_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_SCALAR = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
_IS_SCALAR = f"^{_SCALAR}$"
_VALUE = f'(?:"[^"]*"|{_SCALAR})'
_KEY = r'"([^"]*)"[ \t]*:[ \t]*'
_MEMBER = re.compile(f"[ \\t]*{_KEY}({_VALUE})[ \\t]*")
_MEMBERS = re.compile(rf"[ \t]*\{{{_MEMBER.pattern}(?:,{_MEMBER.pattern})*\}}[ \t]*")
_IS_NUMBER = np.zeros(256, np.bool_)
_IS_NUMBER[[ord(char) for char in "-0123456789"]] = True


@dataclass(frozen=True, slots=True)
class Marks:
    """What a block of lines is searched for once.

    Attributes:
        quotes: where the quotes are.
        first: which of them is each line's first.
        plain: which lines hold neither a backslash nor a control character.
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
        odd = np.flatnonzero((data < ord(" ")) | (data == _BACKSLASH))
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
    starts: Sequence[Ints]
    ends: Sequence[Ints]

    def texts(self, lines: Lines, column: int) -> pa.StringArray:
        """Return a column's cells; null is an empty one."""
        return texts_between(lines.data, self.starts[column], self.ends[column])

    def numbers(self, lines: Lines, column: int) -> Bools:
        """Return which of a column's cells are numbers."""
        starts = self.starts[column]
        is_text = lines.data[np.maximum(starts, 1) - 1] == _QUOTE
        found = _IS_NUMBER[lines.data[starts]] & ~is_text & (self.ends[column] > starts)
        return np.asarray(found)


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
        """Return the shape of a line without a backslash; None where it has no flat values."""
        if not _MEMBERS.fullmatch(line):
            return None
        found = list(_MEMBER.finditer(line, line.index("{") + 1))
        keys = tuple(each[1] for each in found)
        if len(set(keys)) < len(keys):
            return None
        starts = [0, *(each.end(2) for each in found)]
        ends = [*(each.start(2) for each in found), len(line)]
        pieces = (line[start:end].encode() for start, end in zip(starts, ends, strict=True))
        return cls(keys, tuple(pieces))

    def match(self, lines: Lines, marks: Marks, rows: Rows) -> tuple[Values, Rows]:
        """Return the values of those of some plain lines that are of this shape, and the others.

        A value without quotes is anything between two pieces; see `with_scalars`.
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


def with_scalars(lines: Lines, values: Values) -> Values:
    """Return the lines of which each value without quotes is a number, true, false or null."""
    fits, ends = np.ones(len(values.rows), np.bool_), []
    for start, end in zip(values.starts, values.ends, strict=True):
        bare = np.flatnonzero(lines.data[np.maximum(start, 1) - 1] != _QUOTE)
        if len(bare):
            texts = texts_between(lines.data, start[bare], end[bare])
            fits[bare] &= flags_of(pc.match_substring_regex(texts, _IS_SCALAR))
            null = bare[lines.data[start[bare]] == ord("n")]
            end = end.copy()
            end[null] = start[null]
        ends.append(end)
    return _of_rows(Values(values.rows, values.keys, values.starts, ends), fits)


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
