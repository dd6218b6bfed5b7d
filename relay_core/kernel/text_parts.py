"""A text in parts: where each part starts, and its records, read on two threads."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from relay_core.columnar.arrays import Bytes, RecordNumbers, WholeNumbers
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.columnar.threads import ordered_map

if TYPE_CHECKING:  # the kernel may be missing
    from relay_core.kernel.scan import Scanner

PART_BYTES = 4 << 20
_FIRST_BYTES = 1 << 14
"""The size of the parts before those that are read on two threads."""
_LEAST_ROOM = 1 << 16
_LIMITS = np.iinfo(np.int64)
_EXTREMES = 7  # the number of numbers whose extremes are known


class UnreadableTextError(Exception):
    """The kernel cannot tell where a record ends, or a cell is too large."""


class TextPart(NamedTuple):
    """The records of a part of a text."""

    start: int  # where the part starts
    end: int  # where the next part starts
    records: int  # the number of records
    lines: int  # the number of line ends
    rows: Bytes  # the packed rows
    offsets: WholeNumbers  # the offset of each row
    numbers: RecordNumbers  # the number of each row's record, from 1
    # The start, the end, the number, and the line ends before each doubtful record
    doubts: WholeNumbers
    ragged_bytes: int  # the bytes of records of another width
    # The number of plain records from here on that are doubtful nonetheless
    doubtful_left: int
    extremes: WholeNumbers  # the least and the greatest of each number


def text_parts(
    scanner: "Scanner",
    starts: Sequence[int],
    size: int,
    doubtful_first: int,
) -> Iterator[TextPart]:
    """Yield the parts of a text, in order.

    Args:
        scanner: Reads the records.
        starts: Where parts may start. If one of them is inside of a record, the parts
            from there on are read in turn.
        size: The size of the text.
        doubtful_first: The number of plain records, the first ones, that are doubtful
            nonetheless.

    Raises:
        UnreadableTextError: Another reader must read the text.
    """
    position = 0
    while doubtful_first and position < size:
        limit = min(position + _FIRST_BYTES, size)
        for part in read_part(scanner, position, limit, doubtful_first):
            yield part
            position = part.end
            doubtful_first = part.doubtful_left

    def read(bounds: tuple[int, int]) -> list[TextPart]:
        return list(read_part(scanner, *bounds))

    later_starts = [start for start in starts if start > position]
    bounds = list(pairwise([position, *later_starts, size]))
    for parts in ordered_map(read, bounds if position < size else []):
        if parts[0].start != position:
            break
        yield from parts
        position = parts[-1].end
    while position < size:
        for part in read((position, min(position + PART_BYTES, size))):
            yield part
            position = part.end


def read_part(
    scanner: "Scanner",
    start: int,
    limit: int,
    doubtful_first: int = 0,
) -> Iterator[TextPart]:
    """Read the records that start in a part of a text; yield at least one part.

    Raises:
        UnreadableTextError: Another reader must read the text.
    """
    position = start
    room = 2 * (limit - start) + _LEAST_ROOM
    is_finished = False
    while not is_finished:
        part = _scanned(scanner, position, limit, room, doubtful_first)
        yield part
        is_finished = part.end >= limit
        if part.end == position:
            room *= 4  # one row needs more
        position = part.end
        doubtful_first = part.doubtful_left


def _scanned(
    scanner: "Scanner",
    start: int,
    limit: int,
    room: int,
    doubtful_first: int,
) -> TextPart:
    """Return a part of a text, as far as there is room for its rows."""
    size = limit - start
    # Pages of their own: the heap would keep those of rows that are released.
    rows = GrowingArray(np.uint8, room)
    offsets = np.empty(size // 16 + 64, np.int64)
    numbers = np.empty(len(offsets), np.int64)
    doubts = np.empty((size // 64 + 64, 4), np.int64)
    extremes = np.tile([[_LIMITS.max, _LIMITS.min]], (_EXTREMES, 1))
    scanned = scanner.scan(
        start,
        limit,
        rows.array(),
        offsets,
        numbers,
        doubts,
        extremes,
        doubtful_first,
    )
    is_readable, end, records, row_count, used, doubt_count, *counts = scanned
    if not is_readable:
        raise UnreadableTextError
    line_count, ragged_bytes, doubtful_left = counts
    rows.cut(used)
    return TextPart(
        start,
        end,
        records,
        line_count,
        rows.array(),
        offsets[:row_count].copy(),
        numbers[:row_count].copy(),
        doubts[:doubt_count].copy(),
        ragged_bytes,
        doubtful_left,
        extremes,
    )
