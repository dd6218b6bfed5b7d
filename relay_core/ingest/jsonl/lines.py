"""The lines of a text, many at a time: where each is, and which are blank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from relay_core.columnar.text import WORD, Ints, Rows

BLOCK = 4 << 20
_TAIL = 1 << 16
"""Most blocks have a line end in so many last bytes."""
_LF, _CR, _BACKSLASH = ord("\n"), ord("\r"), ord("\\")
_BEYOND_ASCII = 0x80
_IS_SPACE = np.array([byte < _BEYOND_ASCII and chr(byte).isspace() for byte in range(256)])


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of a text that hold more than white space.

    Attributes:
        data: the bytes that they lie in, and eight that are nobody's behind them.
        starts: where each begins.
        ends: where each ends, its line end left out.
        first: the first one's number.
        begin: where the bytes begin in the whole text.
        breaks: how many bytes of line ends there are.
        slashes: where the backslashes are.
    """

    data: npt.NDArray[np.uint8]
    starts: Ints
    ends: Ints
    first: int
    begin: int
    breaks: int
    slashes: Ints

    @property
    def size(self) -> int:
        """How many bytes they lie in, line ends included."""
        return len(self.data) - WORD

    def without(self, places: Ints) -> Lines:
        """Return the other lines."""
        starts, ends = (np.delete(each, places) for each in (self.starts, self.ends))
        return replace(self, starts=starts, ends=ends)

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self.starts)

    def with_escapes(self, rows: Rows) -> Rows:
        """Return which of some lines hold a backslash, as places in ``rows``."""
        holds = np.zeros(len(self), np.bool_)
        holds[np.searchsorted(self.starts, self.slashes, side="right") - 1] = len(self) > 0
        return np.flatnonzero(holds[rows])

    def text(self, place: int) -> str:
        """Return one of the lines."""
        return self.data[self.starts[place] : self.ends[place]].tobytes().decode("utf-8")

    def let_go(self) -> Lines:
        """Return the lines without the bytes that they lie in."""
        return replace(self, data=self.data[:0].copy())

    def taken_up(self, text: memoryview) -> Lines:
        """Return lines that were let go of, again with the bytes that they lie in."""
        size = int(self.ends[-1]) if len(self) else 0
        return replace(self, data=_padded(text[self.begin : self.begin + size]))


def lines_of(text: memoryview, position: int = 0, number: int = 1) -> Iterator[Lines]:
    """Yield the lines of a UTF-8 text from a place on, in blocks of some MB.

    Args:
        text: the whole of it.
        position: where a line begins.
        number: that line's number.
    """
    whole = np.frombuffer(text, np.uint8)
    while position < len(whole):
        end = _block_end(whole, position, BLOCK)
        lines = _filled(_padded(text[position:end]), position, number)
        yield lines
        number += len(lines)
        position = end


def _padded(text: memoryview) -> npt.NDArray[np.uint8]:
    return np.concatenate([np.frombuffer(text, np.uint8), np.zeros(WORD, np.uint8)])


def _block_end(whole: npt.NDArray[np.uint8], position: int, size: int) -> int:
    """Return where a block ends that begins there: behind a line end."""
    while True:
        end = position + size
        if end >= len(whole):
            return len(whole)
        for start in (max(position, end - _TAIL), position):
            ends = np.flatnonzero(_is_line_end(whole[start:end]))
            if len(ends):
                return start + int(ends[-1]) + 1
        size *= 4


def _is_line_end(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    found = data == _LF
    return np.asarray(found | (data == _CR) if (data == _CR).any() else found)


def _filled(data: npt.NDArray[np.uint8], begin: int, number: int) -> Lines:
    size = len(data) - WORD
    breaks = np.flatnonzero(_is_line_end(data[:size]))
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [size]])
    keep = ends > starts
    slashes = np.flatnonzero(data == _BACKSLASH)
    lines = Lines(data, starts[keep], ends[keep], number, begin, len(breaks), slashes)
    # An object begins with its brace; what begins with something else may be nothing at all.
    doubtful = np.flatnonzero(data[lines.starts] != ord("{"))
    if not len(doubtful):
        return lines
    marks = np.append(np.flatnonzero(~_IS_SPACE[data[:size]]), size)
    first = marks[np.searchsorted(marks, lines.starts[doubtful])]
    is_blank = first >= lines.ends[doubtful]
    # White space of other scripts is found one by one.
    for place in np.flatnonzero(~is_blank & (data[first] >= _BEYOND_ASCII)).tolist():
        is_blank[place] = not lines.text(int(doubtful[place])).strip()
    blank = doubtful[is_blank]
    return lines.without(blank)
