"""Workbooks to text columns with record numbers: a sheet's rows become headers and records."""

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import xlrd

from relay_core.columnar.csv_text import joined_records
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest import feed, workbook_formats
from relay_core.ingest.column_mapping import shown_cells
from relay_core.ingest.compression import BROKEN, ZIP, open_archive, too_much
from relay_core.ingest.feed import Buffer

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BYTES, _CELLS = 8 << 20, 4 << 20
"""About how many bytes of text, and at most how many cells, a batch has."""


class XlsBook:
    """An old workbook of Excel (.xls), by xlrd; ``DECODE_ERROR``: damaged, or has a password."""

    def __init__(self, data: Buffer) -> None:
        try:
            self._book = xlrd.open_workbook(
                file_contents=bytes(data),
                logfile=io.StringIO(),
                on_demand=True,
                ragged_rows=True,
            )
            sheets = map(self._book.sheet_by_index, range(self._book.nsheets))
            self.sheets = [(each.name, each.visibility == 0) for each in sheets]
        except MemoryError:
            raise
        except Exception as error:  # xlrd raises whatever a damaged file leads it into
            if "encrypted" in str(error):
                raise workbook_formats.protected_workbook() from error
            why = str(error) or type(error).__name__
            raise workbook_formats.damaged_workbook("xls", why) from error

    def rows(self, place: int) -> Iterator[workbook_formats.Row]:
        """Yield the rows of a sheet that have a filled cell."""
        sheet = self._book.sheet_by_index(place)
        for number in range(sheet.nrows):
            cells = [
                (column, *found)
                for column, cell in enumerate(sheet.row(number))
                if (found := self._value(cell))
            ]
            if cells:
                yield number + 1, cells

    def _value(self, cell: xlrd.sheet.Cell) -> tuple[str, bool] | None:
        """Return a cell's text, and whether it is a number; None where it holds nothing."""
        kind, value, from_1904 = cell.ctype, cell.value, self._book.datemode == 1
        if kind == xlrd.XL_CELL_NUMBER:
            return workbook_formats.number_text(repr(value)), True
        if kind == xlrd.XL_CELL_DATE:
            return workbook_formats.serial_text(repr(value), from_1904=from_1904), False
        if kind == xlrd.XL_CELL_BOOLEAN:
            return ("true" if value else "false"), False
        if kind == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(value, "#ERROR!"), False
        return (value, False) if value else None


def read_workbook(
    data: Buffer, parser: "ParserConfig", limits: Limits
) -> feed.ParsedFeed:
    """Split a sheet into its headers and batches of text columns.

    The first row that is not blank is the header and record 1; with ``parser.columns`` the first
    row after those that are skipped is.

    `FeedUnreadableError`: ``DECODE_ERROR``, here or from ``batches``: it is no workbook of the
    format, damaged, or has a password; ``invalid_input``: it has no such sheet, too many columns,
    too large a cell; ``feed_too_large``: its parts, or the texts of its cells, have too many bytes.
    """
    book = open_book(data, parser.format, limits, padded=parser.padded_numbers)
    rows = book.rows(_place_of(book.sheets, parser.sheet))
    rows = (row for row in rows if row[0] > parser.skip_lines)
    headers, before = parser.columns, parser.skip_lines  # records count from there
    if headers is None:
        number, cells = next((row for row in rows if _width(row[1])), (0, []))
        if not cells:
            return feed.ParsedFeed(None)
        headers, before = tuple(_texts(cells, _width(cells))), number - 1
        feed.refuse_large_header(headers, limits)
    places = feed.RecordPlaces("sheet_row", partial(feed.sheet_rows, before))
    batches = _batches(rows, tuple(headers), before, parser, limits)
    return feed.ParsedFeed(tuple(headers), batches, places=places)


def open_book(
    data: Buffer, format: str, limits: Limits, *, padded: bool = False
) -> XlsBook | workbook_formats.OdsBook | workbook_formats.XlsxBook:
    """Open a workbook; ``DECODE_ERROR``: it is none of the format, damaged, or has a password."""
    found = workbook_format(data)
    if found is not None and found != format:
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the file is an .{found} workbook, and no .{format} one; set parser.format to {found}",
        )
    if format == "xls":
        return XlsBook(data)
    if format == "ods":
        return workbook_formats.OdsBook(data, limits)
    return workbook_formats.XlsxBook(data, limits, padded=padded)


def workbook_format(data: Buffer) -> str | None:
    """Return a workbook's format by its bytes, None for none; ``DECODE_ERROR``: a password."""
    view = memoryview(data)
    if view[: len(OLE2)] == OLE2:
        if "EncryptedPackage".encode("utf-16-le") in bytes(view):
            raise workbook_formats.protected_workbook()
        return "xls"
    if view[: len(ZIP)] != ZIP:
        return None
    try:
        with open_archive(data) as archive:
            names = {name.casefold() for name in archive.namelist()}
            is_ods = names >= {"content.xml", "meta-inf/manifest.xml"}
            if is_ods and b":encryption-data" in archive.read("META-INF/manifest.xml"):
                raise workbook_formats.protected_workbook()
    except (*BROKEN, KeyError, RuntimeError):
        return None
    return "ods" if is_ods else "xlsx" if "[content_types].xml" in names else None


def _place_of(sheets: Sequence[tuple[str, bool]], wanted: str | None) -> int:
    """Return the sheet of this name, or the first one shown; ``invalid_input``: there is none."""
    names = [name for name, _ in sheets]
    if wanted is None:
        fitting = [place for place, (_, is_visible) in enumerate(sheets) if is_visible]
    else:
        trimmed = [name.strip() for name in names]
        fitting = [each.index(wanted) for each in (names, trimmed) if wanted in each]
    if fitting:
        return fitting[0]
    what = "no sheet that is shown" if wanted is None else f"no sheet {shorten(wanted)}"
    shown = listed(map(shorten, names), ", ", len(names)) or "none"
    raise FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the workbook has {what}; its sheets: {shown}; name one in parser.sheet",
    )


# --- rows to records ----------------------------------------------------------------------------


def _batches(
    rows: Iterator[workbook_formats.Row],
    headers: tuple[str, ...],
    before: int,
    parser: "ParserConfig",
    limits: Limits,
) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
    """Yield all records, counted from the row ``before``; those of a row without a cell are not."""
    width, size, left = len(headers), 0, limits.feed_bytes
    batch = _Batch(width)
    shown = shown_cells(headers, parser, limits)
    most = max(1, _CELLS // max(1, width))
    for number, cells in rows:
        record, used = number - before, 0
        for column, text, _ in cells:
            length = len(text) if text.isascii() else len(text.encode())
            if length > limits.cell_bytes:
                raise feed.large_cell(record, column + 1, headers, limits)
            used += length
        used += batch.take(record, cells)
        size, left = size + used, left - used
        if left < 0:
            raise too_much(limits)
        if size > _BYTES or len(batch.fitting) + len(batch.malformed) >= most:
            yield from batch.records(shown)
            batch, size = _Batch(width), 0
    yield from batch.records(shown)


@dataclass(slots=True)
class _Batch:
    """Some rows, as they become records: their texts by record number."""

    width: int  # of the header
    fitting: dict[int, list[str]] = field(default_factory=dict)
    # Those of a row with a filled cell beyond the header; each ends with its last filled one
    malformed: dict[int, list[str]] = field(default_factory=dict)
    # By column the places of those that fit whose cells are numbers
    numbers: defaultdict[int, list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def take(self, number: int, cells: Sequence[workbook_formats.Cell]) -> int:
        """Take a row; return how many cells it has where it is malformed."""
        width = self.width
        if cells[-1][0] >= width or max(cells)[0] >= width:
            if (filled := _width(cells)) > width:
                self.malformed[number] = _texts(cells, filled)
                return filled
            cells = [cell for cell in cells if cell[0] < width]
        if cells:
            place, texts = len(self.fitting), [""] * width
            for column, text, is_number in cells:
                texts[column] = text
                if is_number:
                    self.numbers[column].append(place)
            self.fitting[number] = texts
        return 0

    def records(self, shown: int) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
        """Yield the records; of those that are malformed a report shows so many cells."""
        if self.fitting:
            flags = {
                column: np.zeros(len(self.fitting), np.bool_) for column in self.numbers
            }
            for column, places in self.numbers.items():
                flags[column][places] = True
            texts = zip(*self.fitting.values(), strict=True)
            columns = [pa.array(column, pa.string()) for column in texts]
            yield feed.TextBatch(columns, np.array([*self.fitting], np.int64), flags)
        if self.malformed:
            rows = self.malformed.values()
            widths = np.array([*map(len, rows)], np.int64)
            cells = zip_longest(*(texts[:shown] for texts in rows))
            columns = [pa.array(column, pa.string()) for column in cells]
            numbers = np.array([*self.malformed], np.int64)
            yield feed.MalformedRecords(widths, numbers, joined_records(rows), columns)


def _width(cells: Sequence[workbook_formats.Cell]) -> int:
    """Return how many cells a row has up to its last that is not blank."""
    return max((column + 1 for column, text, _ in cells if text.strip()), default=0)


def _texts(cells: Sequence[workbook_formats.Cell], width: int) -> list[str]:
    texts = [""] * width
    for column, text, _ in cells:
        if column < width:
            texts[column] = text
    return texts
