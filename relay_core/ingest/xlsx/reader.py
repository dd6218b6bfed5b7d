"""One sheet of a workbook to text columns with record numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import join_fields, quoted
from relay_core.columnar.text import (
    Bools,
    Ints,
    empty_texts,
    is_empty,
    trim,
    values_of,
    without_nulls,
)
from relay_core.domain.limits import Limits
from relay_core.ingest.cell_sizes import (
    large_cell,
    moderate_runs,
    refuse_large_header,
    refuse_too_many_columns,
)
from relay_core.ingest.compression import too_much
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.feed import Misfits, ParsedFeed, TextBatch
from relay_core.ingest.xlsx.cell_text import cell_texts, shared_places
from relay_core.ingest.xlsx.cells import Cells, CellType
from relay_core.ingest.xlsx.sheet import shared_texts, sheet_cells
from relay_core.ingest.xlsx.workbook import Workbook, no_workbook

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

_BYTES = 8 << 20
"""About how many bytes of text a batch has."""


def read_workbook(data: Buffer, parser: ParserConfig, limits: Limits) -> ParsedFeed:
    """Split a sheet into its headers and batches of text columns.

    The first row that is not blank is the header and record 1; with ``parser.columns`` the first
    row after those that are skipped is.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``, here or from ``batches``: it is no workbook, or
            damaged; ``invalid_input``: it has no such sheet, too many columns, too large a cell;
            ``feed_too_large``: its parts, or the texts of its cells, have too many bytes.
    """
    sheet = _SheetRows(Workbook(data, limits), parser, limits)
    headers = sheet.headers()
    return ParsedFeed(None) if headers is None else ParsedFeed(headers, sheet.batches(headers))


@dataclass(frozen=True, slots=True)
class _Filled:
    """Cells with their texts, of whole rows in their order.

    Attributes:
        rows: of the sheet, from 1.
        columns: from 0.
        texts: as a feed's cells have them.
        numbers: which are numbers.
    """

    rows: Ints
    columns: Ints
    texts: pa.StringArray
    numbers: Bools

    def where(self, keep: Bools) -> _Filled:
        """Return some of the cells."""
        texts = self.texts.filter(pa.array(keep))
        return _Filled(self.rows[keep], self.columns[keep], texts, self.numbers[keep])

    def by_column(self, width: int) -> tuple[Ints, list[pa.StringArray], dict[int, Bools]]:
        """Return the rows that have cells, each column's texts in them, and which are numbers."""
        rows, places = np.unique(self.rows, return_inverse=True)
        order = np.argsort(self.columns, kind="stable")
        bounds = np.searchsorted(self.columns[order], np.arange(width + 1))
        columns, numbers = [], {}
        for column, (start, stop) in enumerate(pairwise(bounds)):
            cells = order[start:stop]
            columns.append(self._column(cells, places[cells], len(rows)))
            numbers[column] = np.zeros(len(rows), np.bool_)
            numbers[column][places[cells]] = self.numbers[cells]
        return rows, columns, numbers

    def _column(self, cells: Ints, places: Ints, size: int) -> pa.StringArray:
        if not len(cells):
            return empty_texts(size)
        if len(cells) == size and (np.diff(places) == 1).all():
            return self.texts.take(pa.array(cells))
        found = np.full(size, -1)
        found[places] = cells
        taken = self.texts.take(pa.array(found, mask=found < 0))
        return without_nulls(taken)


class _SheetRows:
    """The rows of a workbook's sheet that is read."""

    def __init__(self, workbook: Workbook, parser: ParserConfig, limits: Limits) -> None:
        self._parser, self._limits = parser, limits
        self._from_1904 = workbook.counts_from_1904
        part = workbook.sheet(parser.sheet).part
        self._is_date = _flags(workbook.date_styles)
        shared = workbook.shared_texts
        self._shared = shared_texts(() if shared is None else workbook.pieces(shared))
        self._lengths = values_of(pc.binary_length(self._shared))
        self._filled = self._with_texts(sheet_cells(workbook.pieces(part)))
        self._left = limits.feed_bytes
        self._before = self._first = parser.skip_lines  # records count from, and come after

    def headers(self) -> tuple[str, ...] | None:
        """Return the names of the columns; None where every row is blank."""
        if self._parser.columns is not None:
            return tuple(self._parser.columns)
        for filled in self._filled:
            cells = filled.where((filled.rows > self._first) & ~is_empty(trim(filled.texts)))
            if not len(cells.rows):
                continue
            self._first = int(cells.rows[0])
            self._before = self._first - 1
            self._filled = chain([filled], self._filled)
            header = cells.where(cells.rows == self._first)
            width = int(header.columns.max()) + 1
            headers = tuple(column[0].as_py() for column in header.by_column(width)[1])
            refuse_too_many_columns(headers, self._limits)
            refuse_large_header(headers, self._limits)
            return headers
        return None

    def batches(self, headers: tuple[str, ...]) -> Iterator[TextBatch | Misfits]:
        """Yield all records; those of a row without a cell are left out."""
        width = len(headers)
        for found in self._filled:
            filled = found.where(found.rows > self._first)
            self._count(filled.texts.nbytes)
            self._refuse_large(filled, headers)
            beyond = (filled.columns >= width) & ~is_empty(trim(filled.texts))
            is_misfit = np.isin(filled.rows, filled.rows[beyond])
            fitting = filled.where(~is_misfit & (filled.columns < width))
            if len(fitting.rows):
                rows, columns, flags = fitting.by_column(width)
                yield TextBatch(columns, rows - self._before, flags)
            if is_misfit.any():
                yield self._misfits(filled.where(is_misfit))

    def _misfits(self, cells: _Filled) -> Misfits:
        """Return rows with a cell beyond the header; each ends with its last one."""
        filled = np.flatnonzero(~is_empty(trim(cells.texts)))
        rows, places = np.unique(cells.rows, return_inverse=True)
        widths = np.zeros(len(rows), np.int64)
        np.maximum.at(widths, places[filled], cells.columns[filled] + 1)
        self._count(int(widths.sum()))
        some = cells.where(cells.columns < widths[places])
        most = min(int(widths.max()), self._limits.row_data_columns)
        shown_rows, columns, _ = some.where(some.columns < most).by_column(most)
        at = np.searchsorted(shown_rows, rows)
        known = np.isin(rows, shown_rows)
        taken = pa.array(np.minimum(at, max(0, len(shown_rows) - 1)), mask=~known)
        told = [
            pc.if_else(pa.array(widths > place), without_nulls(column.take(taken)), None)
            for place, column in enumerate(columns)
        ]
        return Misfits(widths, rows - self._before, _lines(some), told)

    def _with_texts(self, all_cells: Iterable[Cells]) -> Iterator[_Filled]:
        """Yield cells with their texts, of no more rows at once than have a moderate size."""
        for cells in all_cells:
            if not len(cells.rows):
                continue
            starts = np.flatnonzero(np.diff(cells.rows, prepend=0))
            sizes = np.add.reduceat(self._sizes(cells), starts)
            bounds = np.append(starts, len(cells.rows))
            for start, stop in moderate_runs(sizes, _BYTES):
                part = cells.slice(int(bounds[start]), int(bounds[stop]))
                texts, numbers = cell_texts(
                    part, self._shared, self._is_date, from_1904=self._from_1904
                )
                yield _Filled(part.rows, part.columns, texts, numbers)

    def _sizes(self, cells: Cells) -> Ints:
        sizes = values_of(pc.binary_length(cells.texts)).astype(np.int64)
        shared = np.flatnonzero(cells.types == CellType.SHARED)
        if len(shared):
            try:
                places = shared_places(cells.texts.take(pa.array(shared)), len(self._shared))
            except ValueError as error:
                raise no_workbook(str(error)) from error
            sizes[shared] = self._lengths[values_of(places)]
        return sizes

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise too_much(self._limits)

    def _refuse_large(self, cells: _Filled, headers: Sequence[str]) -> None:
        large = np.flatnonzero(values_of(pc.binary_length(cells.texts)) > self._limits.cell_bytes)
        for first in large[:1]:
            record, column = int(cells.rows[first]) - self._before, int(cells.columns[first]) + 1
            raise large_cell(record, column, headers, self._limits)


def _lines(cells: _Filled) -> pa.StringArray:
    """Return rows as CSV, each up to its last cell."""
    starts = np.flatnonzero(np.diff(cells.rows, prepend=0))
    commas = np.diff(cells.columns, prepend=0)
    commas[starts] = cells.columns[starts]
    before = pc.binary_repeat(pa.scalar(","), pa.array(commas))
    fields = join_fields([before, quoted(cells.texts)], "")
    bounds = pa.array(np.append(starts, len(cells.rows)), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(bounds, fields), "")


def _flags(places: Collection[int]) -> Bools:
    flags = np.zeros(max(places, default=-1) + 1, np.bool_)
    flags[list(places)] = True
    return flags
