"""The result of every reader of feeds: headers, text columns and malformed records.

A reader gets the bytes of a feed and the options of its parser. It trims no cell. It
only checks the size of cells and the number of columns.
"""

import codecs
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RecordNumbers, RowMask, WholeNumbers
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.columnar.text import offsets_and_bytes
from relay_core.columnar.threads import ordered_map
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.charset import likely_encodings

Buffer = bytes | bytearray | memoryview

_BOM = "\ufeff".encode()
_CHECKED_BYTES = 4 << 20
"""The approximate size of the pieces of a text that threads check."""
_PIECE_BYTES = 1 << 16
"""The size of the pieces that are decoded: larger ones are in fresh pages each time."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Records that fit the header."""

    columns: Sequence[pa.StringArray]
    """A text column for each header."""
    row_numbers: RecordNumbers
    """The number of each record in the file."""
    number_cells: Mapping[int, RowMask] = field(default_factory=dict)
    """By column, the cells that are numbers with a point in the file.

    A text cell is never a number, even if it looks like one. A column without numbers may be left
    out.
    """

    def where(self, mask: RowMask) -> "TextBatch":
        """Return the records of the mask."""
        arrow_mask = pa.array(mask)
        return TextBatch(
            [column.filter(arrow_mask) for column in self.columns],
            self.row_numbers[mask],
            {index: cells[mask] for index, cells in self.number_cells.items()},
        )


@dataclass(frozen=True, slots=True)
class MalformedRecords:
    """Records that do not have the width of the header; none of them is blank."""

    widths: WholeNumbers | None
    """The number of cells of each; None if they are lines that are no records."""
    row_numbers: RecordNumbers
    """The number of each record in the file."""
    raw: pa.StringArray
    """Each record as CSV, with the vendor's delimiter."""
    cells: Sequence[pa.StringArray]
    """The first columns, as far as reports need them; null for a missing cell."""

    def where(self, mask: RowMask) -> "MalformedRecords":
        """Return the records of the mask."""
        arrow_mask = pa.array(mask)
        return MalformedRecords(
            None if self.widths is None else self.widths[mask],
            self.row_numbers[mask],
            self.raw.filter(arrow_mask),
            [column.filter(arrow_mask) for column in self.cells],
        )


class RecordLocator(NamedTuple):
    """Maps record numbers to the line or sheet row that a person sees in the file."""

    unit: Literal["line", "sheet_row"]
    """What the positions count."""
    find: Callable[[Sequence[int]], Sequence[int]]
    """Returns the position of each of the given records, whose numbers are in order."""


def sheet_rows(
    rows_before: int,
    record_numbers: Sequence[int],
) -> Sequence[int]:
    """Return the sheet row of each record; ``rows_before`` are before record 1."""
    return [number + rows_before for number in record_numbers]


Batches: TypeAlias = "Iterator[TextBatch | MalformedRecords]"


class CsvText(NamedTuple):
    """The records of a CSV feed as text, for a reader that splits them itself.

    It reads no ``ParsedFeed.batches``.
    """

    body: memoryview
    """The text as UTF-8, from the first data record, or an empty line before it, on."""
    delimiter: bytes
    """The delimiter: one byte."""
    header_records: int
    """The number of records before the text: 1, or 0 for a feed without a header."""
    fits_header: Callable[[], bool]
    """Returns whether most of the first records have the width of the header."""
    lines_before: Callable[[], int]
    """Returns the number of line ends of the file before the text."""
    read_records: Callable[[bytes, bool], Batches]
    """Reads some records of the text, with their numbers among these, from 1.

    The second argument is whether some of them do not fit the header.
    """


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """The headers of a feed, exactly as in the file, and its records."""

    headers: tuple[str, ...] | None
    """The headers; None if the file has no record at all."""
    batches: Iterator[TextBatch | MalformedRecords] = field(
        default_factory=lambda: iter(()),
    )
    """The records; they can be read once.

    Records that fit the header come in order, and so do those of any other width.
    """
    size: int = 0
    """The bytes of the unpacked text; 0 for formats in which only the cells are text."""
    locator: RecordLocator | None = None
    """Finds records in the file; None for formats that people do not open."""
    csv: CsvText | None = None
    """The records as text; None for other formats and rare delimiters."""


def check_cell_sizes(
    columns: Sequence[pa.StringArray],
    record_numbers: RecordNumbers,
    headers: Sequence[str],
    limits: Limits,
) -> None:
    """Check that no cell of some records is too large.

    Raises:
        FeedUnreadableError: ``invalid_input``, for the first record with a cell that is too large.
    """
    large_cells: list[tuple[int, int]] = []
    for index, column in enumerate(columns):
        bounds, _ = offsets_and_bytes(column)
        if bounds[-1] - bounds[0] <= limits.cell_bytes:
            continue  # all cells together are not too large
        large_rows = np.flatnonzero(np.diff(bounds) > limits.cell_bytes)
        if len(large_rows):
            record_number = int(record_numbers[large_rows[0]])
            large_cells.append((record_number, index + 1))
    if large_cells:
        record_number, column_number = min(large_cells)
        raise large_cell_error(record_number, column_number, headers, limits)


def row_runs(sizes: WholeNumbers, max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of runs of rows of at most ``max_bytes``, or of one larger row.

    ``sizes`` are the sizes of all rows in bytes.
    """
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        bytes_before = int(ends[start - 1]) if start else 0
        stop = int(
            np.searchsorted(ends, bytes_before + max_bytes, side="right"),
        )
        stop = max(start + 1, stop)
        yield start, stop
        start = stop


def check_header(headers: Sequence[str], limits: Limits) -> None:
    """Check that a header, record 1, has not too many columns and no too large a cell.

    Columns without a name at its end do not count.

    Raises:
        FeedUnreadableError: ``invalid_input``.
    """
    width = max(
        (number for number, name in enumerate(headers, 1) if name.strip()),
        default=0,
    )
    if width > limits.columns:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the header has {width:,} columns, but the limit is {limits.columns:,}. "
            "Check that parser.delimiter and parser.skip_lines match the file, or remove "
            "columns.",
        )
    for column_number, cell in enumerate(headers, 1):
        # A character has at most four bytes, so most cells need not be encoded.
        may_be_large = 4 * len(cell) > limits.cell_bytes
        if may_be_large and len(cell.encode()) > limits.cell_bytes:
            raise large_cell_error(1, column_number, headers, limits)


def large_cell_error(
    record_number: int,
    column_number: int,
    headers: Sequence[str],
    limits: Limits,
    fix: str = "Shorten the cell, or remove the column from the file.",
) -> FeedUnreadableError:
    """Return the error of a feed with too large a cell; both numbers count from 1."""
    name = ""
    if column_number <= len(headers):
        name = headers[column_number - 1].strip()
    column = (
        f"{column_number} ({shorten(name)})" if name else str(column_number)
    )
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"record {record_number}, column {column}: the cell has more than "
        f"{limits.cell_bytes} bytes, which is the limit. {fix}",
    )


# --- bytes to text ------------------------------------------------------------------


def decode_feed(data: Buffer, encoding: str) -> memoryview:
    """Return the text of a feed as UTF-8, without a leading U+FEFF.

    A feed in UTF-8 is checked and not copied. Any other is in memory twice at most.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``, with the byte offset and the likeliest
            encodings.
    """
    try:
        if codecs.lookup(encoding).name == "utf-8":
            text = _checked_utf8(memoryview(data))
        else:
            text = _transcoded(memoryview(data), encoding)
    except UnicodeError as error:
        position = ""
        if isinstance(error, UnicodeDecodeError):
            position = f" at byte offset {error.start}"
        reason = getattr(error, "reason", None) or str(error)
        alternatives = [
            name for name in likely_encodings(data) if name != encoding
        ]
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the file is not valid {encoding}{position} ({reason}). The likeliest "
            f"encodings are: {', '.join(alternatives) or 'none'}. "
            "Set parser.encoding to the file's encoding, "
            f"or save the file as {encoding}.",
        ) from error
    has_bom = bytes(text[: len(_BOM)]) == _BOM
    return text[len(_BOM) :] if has_bom else text


def _checked_utf8(text: memoryview) -> memoryview:
    starts = [
        _character_start(text, position)
        for position in range(_CHECKED_BYTES, len(text), _CHECKED_BYTES)
    ]
    bounds = pairwise([0, *starts, len(text)])
    pieces = [text[start:end] for start, end in bounds]
    try:
        deque(ordered_map(_check_utf8, pieces), maxlen=0)
    except pa.ArrowInvalid:
        str(text, "utf-8")  # raises the error with the offset
        raise
    return text


def _character_start(text: memoryview, position: int) -> int:
    """Return the first position from ``position`` on at which a character starts.

    If none of four bytes starts one, return the position behind them: they are not
    UTF-8, wherever the text is cut.
    """
    end = min(position + 4, len(text))
    for start in range(position, end):
        if text[start] & 0xC0 != 0x80:
            return start
    return end


def _check_utf8(text: memoryview) -> None:
    """Check a piece of a text.

    Raises:
        pa.ArrowInvalid: It is not UTF-8.
    """
    offsets = np.array([0, len(text)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    array = pa.Array.from_buffers(pa.large_binary(), 1, buffers)
    array.cast(pa.large_string())


def _transcoded(data: memoryview, encoding: str) -> memoryview:
    decoder = codecs.getincrementaldecoder(encoding)()
    text = GrowingArray(np.uint8)
    for start in range(0, max(1, len(data)), _PIECE_BYTES):
        pending_bytes = decoder.getstate()[0]
        end = start + _PIECE_BYTES
        try:
            piece = decoder.decode(data[start:end], final=end >= len(data))
        except UnicodeDecodeError as error:
            # The decoder counts from the bytes that it kept from earlier pieces.
            error.start += start - len(pending_bytes)
            raise
        text.append(np.frombuffer(piece.encode("utf-8"), np.uint8))
    return memoryview(text.array().data)
