"""Workbooks to text columns with record numbers: the rows of a sheet become records."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar.csv_text import joined_records
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import OLE2, ZIP
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest import compression, feed
from relay_core.ingest.column_mapping import kept_cell_count
from relay_core.ingest.ods import OdsBook
from relay_core.ingest.workbook_cells import Cell, SheetRow
from relay_core.ingest.workbook_parts import protected_workbook
from relay_core.ingest.xls import XlsBook
from relay_core.ingest.xlsx import XlsxBook

if TYPE_CHECKING:  # a process that reads feeds loads no pydantic
    from relay_core.config import ParserConfig

_BATCH_BYTES = 8 << 20
"""The approximate size of a batch's texts."""
_MAX_CELLS = 4 << 20
"""The most cells of a batch."""
Book: TypeAlias = XlsBook | OdsBook | XlsxBook
"""An open workbook."""


def read_workbook(
    data: feed.Buffer,
    parser: "ParserConfig",
    limits: Limits,
) -> feed.ParsedFeed:
    """Split a sheet into its headers and batches of text columns.

    The first row that is not blank is the header and record 1. If ``parser.columns``
    are set, record 1 is the first row after the skipped ones.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the file is no workbook of the format,
            is damaged, or has a password. ``invalid_input`` if it has no such sheet,
            too many columns or too large a cell. ``feed_too_large`` if its parts, or
            the texts of its cells, have too many bytes. ``batches`` raises it too.
    """
    book = open_book(data, parser.format, limits, padded=parser.padded_numbers)
    all_rows = book.rows(_sheet_index(book.sheets, parser.sheet))
    rows = (row for row in all_rows if row[0] > parser.skip_lines)
    headers = parser.columns
    rows_before = parser.skip_lines
    if headers is None:
        for number, cells in rows:
            width = _filled_width(cells)
            if width:
                headers = tuple(_texts_of(cells, width))
                rows_before = number - 1
                break
        else:
            return feed.ParsedFeed(None)
        feed.check_header(headers, limits)
    headers = tuple(headers)
    find_rows = partial(feed.sheet_rows, rows_before)
    locator = feed.RecordLocator("sheet_row", find_rows)
    kept_cells = kept_cell_count(headers, parser, limits)
    batches = _batches(rows, headers, rows_before, kept_cells, limits)
    return feed.ParsedFeed(headers, batches, locator=locator)


def open_book(
    data: feed.Buffer,
    format: str,
    limits: Limits,
    *,
    padded: bool = False,
) -> Book:
    """Open a workbook; ``padded`` numbers get the leading zeros of their format.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the file is no workbook of the format,
            is damaged, or has a password.
    """
    actual_format = workbook_format(data)
    if actual_format is not None and actual_format != format:
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the file is an .{actual_format} workbook, not an .{format} workbook. "
            f"Set parser.format to {actual_format}.",
        )
    if format == "xls":
        return XlsBook(data)
    if format == "ods":
        return OdsBook(data, limits)
    return XlsxBook(data, limits, padded=padded)


def workbook_format(data: feed.Buffer) -> str | None:
    """Return the format of a workbook, judged by its bytes, or None if it is none.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the workbook has a password.
    """
    view = memoryview(data)
    if view[: len(OLE2)] == OLE2:
        if "EncryptedPackage".encode("utf-16-le") in bytes(view):
            raise protected_workbook()
        return "xls"
    if view[: len(ZIP)] != ZIP:
        return None
    try:
        with compression.open_archive(data) as archive:
            names = {name.casefold() for name in archive.namelist()}
            is_ods = names >= {"content.xml", "meta-inf/manifest.xml"}
            if is_ods and b":encryption-data" in archive.read(
                "META-INF/manifest.xml",
            ):
                raise protected_workbook()
    except (*compression.ARCHIVE_ERRORS, KeyError, RuntimeError):
        return None
    if is_ods:
        return "ods"
    return "xlsx" if "[content_types].xml" in names else None


def _sheet_index(sheets: Sequence[tuple[str, bool]], name: str | None) -> int:
    """Return the index of the sheet with a name, by default of the first visible one.

    Raises:
        FeedUnreadableError: ``invalid_input`` if there is no such sheet.
    """
    names = [sheet_name for sheet_name, _ in sheets]
    if name is None:
        missing = "no visible sheet"
        for index, (_, is_visible) in enumerate(sheets):
            if is_visible:
                return index
    else:
        missing = f"no sheet {shorten(name)}"
        trimmed_names = [sheet_name.strip() for sheet_name in names]
        for candidates in (names, trimmed_names):
            if name in candidates:
                return candidates.index(name)
    shown_names = listed(map(shorten, names), ", ", len(names)) or "none"
    raise FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the workbook has {missing}. Its sheets are: {shown_names}. "
        "Set parser.sheet to one of them.",
    )


# --- rows to records ----------------------------------------------------------------


def _batches(
    rows: Iterator[SheetRow],
    headers: tuple[str, ...],
    rows_before: int,
    kept_cells: int,
    limits: Limits,
) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
    """Yield all records, and skip rows without a filled cell.

    ``kept_cells`` is the number of cells to keep of a malformed record.
    """
    remaining_bytes = limits.feed_bytes
    max_rows = max(1, _MAX_CELLS // max(1, len(headers)))
    batch = _Batch(len(headers))
    for number, cells in rows:
        record_number = number - rows_before
        row_bytes = 0
        for column, text, _ in cells:
            length = len(text) if text.isascii() else len(text.encode())
            if length > limits.cell_bytes:
                raise feed.large_cell_error(
                    record_number,
                    column + 1,
                    headers,
                    limits,
                )
            row_bytes += length
        row_bytes += batch.add(record_number, cells)
        batch.size += row_bytes
        remaining_bytes -= row_bytes
        if remaining_bytes < 0:
            raise compression.feed_too_large(limits)
        if batch.size > _BATCH_BYTES or batch.row_count >= max_rows:
            yield from batch.records(kept_cells)
            batch = _Batch(len(headers))
    yield from batch.records(kept_cells)


@dataclass(slots=True)
class _Batch:
    """Rows that become records."""

    width: int
    """The width of the header."""
    size: int = 0
    """The bytes of the texts, and a byte for each cell of a malformed record."""
    fitting: dict[int, list[str]] = field(default_factory=dict)
    """The texts of each record that fits the header, by its number."""
    malformed: dict[int, list[str]] = field(default_factory=dict)
    """The texts of each record that is filled beyond the header, by its number.

    The last text is that of the last filled cell.
    """
    number_rows: defaultdict[int, list[int]] = field(
        default_factory=lambda: defaultdict(list),
    )
    """By column, the fitting records whose cell is a number, by their index."""

    @property
    def row_count(self) -> int:
        """The number of records."""
        return len(self.fitting) + len(self.malformed)

    def add(self, record_number: int, cells: Sequence[Cell]) -> int:
        """Add a row; return its number of cells if it is malformed, else 0."""
        width = self.width
        if cells[-1][0] >= width or max(cells)[0] >= width:
            filled_width = _filled_width(cells)
            if filled_width > width:
                self.malformed[record_number] = _texts_of(cells, filled_width)
                return filled_width
            cells = [cell for cell in cells if cell[0] < width]
        if not cells:
            return 0
        row = len(self.fitting)
        texts = [""] * width
        for column, text, is_number in cells:
            texts[column] = text
            if is_number:
                self.number_rows[column].append(row)
        self.fitting[record_number] = texts
        return 0

    def records(
        self,
        kept_cells: int,
    ) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
        """Yield the records; malformed ones with their first cells."""
        if self.fitting:
            number_cells = {}
            for column, rows in self.number_rows.items():
                number_cells[column] = np.zeros(len(self.fitting), np.bool_)
                number_cells[column][rows] = True
            columns = [
                pa.array(texts, pa.string())
                for texts in zip(*self.fitting.values(), strict=True)
            ]
            numbers = np.array([*self.fitting], np.int64)
            yield feed.TextBatch(columns, numbers, number_cells)
        if self.malformed:
            records = self.malformed.values()
            widths = np.array([*map(len, records)], np.int64)
            numbers = np.array([*self.malformed], np.int64)
            cells = zip_longest(*(texts[:kept_cells] for texts in records))
            columns = [pa.array(column, pa.string()) for column in cells]
            raw = joined_records(records)
            yield feed.MalformedRecords(widths, numbers, raw, columns)


def _filled_width(cells: Sequence[Cell]) -> int:
    """Return the number of cells of a row, up to its last one that is not blank."""
    return max(
        (column + 1 for column, text, _ in cells if text.strip()),
        default=0,
    )


def _texts_of(cells: Sequence[Cell], width: int) -> list[str]:
    texts = [""] * width
    for column, text, _ in cells:
        if column < width:
            texts[column] = text
    return texts
