"""What every reader of feeds gives: headers, text columns with record numbers, malformed records.

A reader takes a feed's bytes and its parser's options. It trims no cell, and judges nothing but
how large cells and how many columns are.
"""

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.growing_columns import GrowingArray
from relay_core.columnar.text import Bools, Ints, offsets_and_bytes
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.charset import likely_encodings

Buffer = bytes | bytearray | memoryview

_BOM = "\ufeff".encode()
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some records that fit the header."""

    columns: Sequence[pa.StringArray]  # a text column each header
    row_numbers: npt.NDArray[np.int64]  # each record's number
    # By column, which cells the file holds as numbers, written with a point; no text is one,
    # whatever it looks like. A column without any may be left out
    number_cells: Mapping[int, Bools] = field(default_factory=dict)

    def where(self, keep: Bools) -> "TextBatch":
        """Return the records that are kept."""
        mask = pa.array(keep)
        numbers = {place: cells[keep] for place, cells in self.number_cells.items()}
        columns = [column.filter(mask) for column in self.columns]
        return TextBatch(columns, self.row_numbers[keep], numbers)


@dataclass(frozen=True, slots=True)
class MalformedRecords:
    """Some records that are not of the header's width; none of them is blank."""

    widths: (
        Ints | None
    )  # how many cells each has; None where all are no records, a cell each
    row_numbers: npt.NDArray[np.int64]  # each record's number
    raw: pa.StringArray  # each record as CSV with the vendor's delimiter
    cells: Sequence[
        pa.StringArray
    ]  # the first columns, as a report shows; null for no such cell

    def where(self, keep: Bools) -> "MalformedRecords":
        """Return the records that are kept."""
        mask = pa.array(keep)
        cells = [column.filter(mask) for column in self.cells]
        widths = None if self.widths is None else self.widths[keep]
        return MalformedRecords(
            widths, self.row_numbers[keep], self.raw.filter(mask), cells
        )


@dataclass(frozen=True, slots=True)
class RecordPlaces:
    """Where records stand in a file that people open."""

    name: Literal["line", "sheet_row"]  # what is counted
    # Returns the place of each of some records, by their numbers, which are in order
    find: Callable[[Sequence[int]], Sequence[int]]


def sheet_rows(before: int, numbers: Sequence[int]) -> Sequence[int]:
    """Return the row of a sheet in which each record stands; so many are before the first."""
    return [number + before for number in numbers]


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's headers, as they stand in the file, and its records."""

    headers: tuple[str, ...] | None  # None where the file has no record at all
    # Walked once. The records that fit come in their order, and so do those of any other width
    batches: Iterator[TextBatch | MalformedRecords] = field(
        default_factory=lambda: iter(())
    )
    size: int = 0  # the bytes of its text once it is unpacked; 0 where its cells alone have texts
    places: RecordPlaces | None = (
        None  # of records in the file; None where people open none
    )


def refuse_large_cells(
    columns: Sequence[pa.StringArray],
    numbers: Ints,
    headers: Sequence[str],
    limits: Limits,
) -> None:
    """Refuse columns with too large a cell: ``invalid_input``, of the first record with one."""
    found: list[tuple[int, int]] = []
    for place, column in enumerate(columns):
        bounds, _ = offsets_and_bytes(column)
        if (
            bounds[-1] - bounds[0] > limits.cell_bytes
        ):  # else none of its cells can be larger
            large = np.flatnonzero(np.diff(bounds) > limits.cell_bytes)
            found.extend((int(numbers[row]), place + 1) for row in large[:1])
    if found:
        record, column = min(found)
        raise large_cell(record, column, headers, limits)


def moderate_runs(sizes: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Yield where runs of rows start and end that come to at most so many bytes, or are one row."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield start, stop
        start = stop


def refuse_large_header(headers: Sequence[str], limits: Limits) -> None:
    """Refuse a header, record 1, of too many columns or with too large a cell: ``invalid_input``.

    Nameless columns at its end do not count.
    """
    width = max(
        (place for place, name in enumerate(headers, 1) if name.strip()), default=0
    )
    if width > limits.columns:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the header has {width:,} columns, and {limits.columns:,} are the most; see that "
            "parser.delimiter and parser.skip_lines fit the file, or leave columns out of it",
        )
    for column, cell in enumerate(headers, 1):
        if 4 * len(cell) > limits.cell_bytes < len(cell.encode()):
            raise large_cell(1, column, headers, limits)


def large_cell(
    record: int, column: int, headers: Sequence[str], limits: Limits, why: str = ""
) -> FeedUnreadableError:
    """Return what is wrong with a feed of which a cell, both counted from 1, is too large."""
    name = headers[column - 1].strip() if column <= len(headers) else ""
    shown = f" ({shorten(name)})" if name else ""
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"record {record}, column {column}{shown}: the cell has more than {limits.cell_bytes} "
        f"bytes, which are the most; {why or 'shorten it, or leave the column out of the file'}",
    )


# --- bytes to text -------------------------------------------------------------------------------


def decode_feed(data: Buffer, encoding: str) -> memoryview:
    """Return the feed's text as UTF-8 without a leading U+FEFF.

    A feed that is UTF-8 already is checked and not copied; any other is held twice at the most.

    `FeedUnreadableError`: ``DECODE_ERROR`` with the byte offset and the likeliest encodings.
    """
    try:
        text = _as_utf8(data, encoding)
    except UnicodeError as error:
        where = (
            f" at byte offset {error.start}"
            if isinstance(error, UnicodeDecodeError)
            else ""
        )
        why = getattr(error, "reason", None) or str(error)
        others = (name for name in likely_encodings(data) if name != encoding)
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the bytes are not {encoding}{where} ({why}); likeliest encodings: "
            f"{', '.join(others) or 'none found'}; set parser.encoding to the file's encoding, or "
            "save the file again in that one",
        ) from error
    return text[len(_BOM) :] if bytes(text[: len(_BOM)]) == _BOM else text


def _as_utf8(data: Buffer, encoding: str) -> memoryview:
    if codecs.lookup(encoding).name == "utf-8":
        view = memoryview(data)
        if len(view):
            offsets = pa.array([0, len(view)], pa.int64()).buffers()[1]
            whole = pa.Array.from_buffers(
                pa.large_binary(), 1, [None, offsets, pa.py_buffer(view)]
            )
            try:
                whole.cast(pa.large_string())
            except pa.ArrowInvalid:
                str(view, "utf-8")
                raise
        return view
    view, decoder = memoryview(data), codecs.getincrementaldecoder(encoding)()
    text = GrowingArray(np.uint8)
    for start in range(0, max(1, len(view)), _PIECE):
        left = decoder.getstate()[0]
        end = start + _PIECE
        try:
            piece = decoder.decode(view[start:end], final=end >= len(view)).encode(
                "utf-8"
            )
        except UnicodeDecodeError as error:
            # The decoder counts from what it had left of the pieces before.
            error.start += start - len(left)
            raise
        text.append(np.frombuffer(piece, np.uint8))
    return memoryview(text.array().data)
