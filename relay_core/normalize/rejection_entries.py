"""Entries of ``errors.json`` for the first rejected rows of a vendor."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.arrays import RecordNumbers, WholeNumbers
from relay_core.columnar.numbers import FAULTS
from relay_core.columnar.text import offsets_and_bytes
from relay_core.domain.cell_rules import as_sentence, explain
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import JUDGED_COLUMNS
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.domain.records import ReportEntry
from relay_core.ingest.feed import MalformedRecords
from relay_core.normalize.rejection_causes import (
    COLUMN_COUNT_ADVICE,
    RECORD_ADVICE,
    RejectedBatch,
    cut_texts,
)

Locations: TypeAlias = Mapping[int, Mapping[str, Any]]
"""The line or sheet row of records, by number, as arguments of an entry."""
_ROWS_AT_ONCE = (
    256  # the number of rows whose cells are Python's own texts at a time
)
_BY_ROW = attrgetter("row_number")


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows with faults, with the cells that reports show."""

    numbers: RecordNumbers  # the record number of each row
    # The fault codes: a row a record, a judged column each
    codes: npt.NDArray[np.uint8]
    shown: pa.Table  # the feed's columns that a report shows, by header
    # The feed's cells of each judged column
    judged: Mapping[str, pa.StringArray]
    skus: pa.StringArray  # the canonical SKUs; empty if there is none
    least_size: int  # the least number of bytes of the rows' entries

    @property
    def entry_count(self) -> int:
        """The number of entries: one for each fault."""
        return int(np.count_nonzero(self.codes))


@dataclass(slots=True)
class EntryLog:
    """Collects one vendor's first rejected rows, to make report entries from them."""

    vendor_id: str
    header_count: int  # the number of the feed's headers
    # The columns that a report shows, by header
    shown_columns: Mapping[str, int]
    # The descriptions of columns that are made of several headers, or of changed cells.
    made_of: Mapping[str, str]
    limits: Limits  # the room for entries
    _rejected: list[RejectedRows] = field(default_factory=list)
    _repeated: list[RejectedRows] = field(default_factory=list)
    _malformed: list[MalformedRecords] = field(default_factory=list)
    _malformed_size: int = 0

    def add(self, batch: RejectedBatch, *, is_repeated: bool) -> None:
        """Take as many rows of a batch as a report has room for.

        Args:
            batch: The rejected rows.
            is_repeated: Whether the rows are rejected because they repeat a SKU; they
                come after all other rows of the feed.
        """
        log = self._repeated if is_repeated else self._rejected
        room = self.limits.report_entries - sum(
            rows.entry_count for rows in log
        )
        bytes_left = self.limits.report_bytes - sum(
            rows.least_size for rows in log
        )
        if room <= 0 or bytes_left <= 0:
            return
        shown_cells = {
            name: batch.columns[index]
            for name, index in self.shown_columns.items()
        }
        entries_of_rows = np.count_nonzero(batch.codes, axis=1)
        row_sizes = _least_sizes(
            shown_cells.values(),
            len(batch.numbers),
            self.limits,
        )
        row_sizes += sum(len(name.encode()) for name in shown_cells)
        entry_counts = np.cumsum(entries_of_rows)
        sizes = np.cumsum(entries_of_rows * row_sizes)
        # Rows are taken up to the first one that fills the room.
        rows_in_room = np.searchsorted(entry_counts, room)
        rows_in_bytes = np.searchsorted(sizes, bytes_left)
        count = 1 + int(min(rows_in_room, rows_in_bytes))
        rows = RejectedRows(
            numbers=batch.numbers[:count],
            codes=batch.codes[:count],
            shown=pa.table(self._cut(shown_cells, count)),
            judged=self._cut(batch.judged, count),
            skus=batch.skus.slice(0, count),
            least_size=int(sizes[:count][-1]),
        )
        log.append(rows)

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take as many malformed records as a report has room for."""
        size = len(malformed.row_numbers)
        taken_count = sum(
            len(records.row_numbers) for records in self._malformed
        )
        count = self.limits.report_entries - taken_count
        bytes_left = self.limits.report_bytes - self._malformed_size
        if not count or bytes_left <= 0:
            return
        sizes = np.cumsum(_least_sizes(malformed.cells, size, self.limits))
        count = min(count, 1 + int(np.searchsorted(sizes, bytes_left)))
        self._malformed_size += int(sizes[:count][-1])
        shown_cells = malformed.cells[: self.limits.row_data_columns]
        limit = self.limits.cell_characters
        records = MalformedRecords(
            widths=None
            if malformed.widths is None
            else malformed.widths[:count],
            row_numbers=malformed.row_numbers[:count],
            raw=malformed.raw.slice(0, 0),
            cells=[
                cut_texts(column.slice(0, count), limit)
                for column in shown_cells
            ],
        )
        self._malformed.append(records)

    def row_numbers(self) -> list[RecordNumbers]:
        """Return the record numbers of all rows that were taken."""
        rows = [rows.numbers for rows in (*self._rejected, *self._repeated)]
        malformed = [records.row_numbers for records in self._malformed]
        return [*rows, *malformed]

    def entries(
        self,
        room: ReportRoom,
        locations: Locations,
    ) -> tuple[str, ...]:
        """Return the first entries in row order, each as JSON.

        The entries take of the room.
        """
        malformed = chain.from_iterable(
            malformed_entries(
                self.vendor_id,
                self.header_count,
                records,
                locations,
            )
            for records in self._malformed
        )
        in_order = heapq.merge(
            self._row_entries(self._rejected, locations),
            self._row_entries(self._repeated, locations),
            sorted(malformed, key=_BY_ROW),
            key=_BY_ROW,
        )
        lines: list[str] = []
        size = 0
        for entry in in_order:
            line = entry.as_json()
            size += len(line.encode())
            if len(lines) == room.entries or size > room.size:
                break
            lines.append(line)
        room.entries -= len(lines)
        room.size = max(0, room.size - size)
        return tuple(lines)

    def _row_entries(
        self,
        log: Sequence[RejectedRows],
        locations: Locations,
    ) -> Iterator[ReportEntry]:
        for rows in log:
            yield from row_entries(
                self.vendor_id,
                rows,
                self.made_of,
                locations,
            )

    def _cut(
        self,
        columns: Mapping[str, pa.StringArray],
        count: int,
    ) -> dict[str, pa.StringArray]:
        """Return the first cells of columns, with long ones cut."""
        limit = self.limits.cell_characters
        return {
            name: cut_texts(cells.slice(0, count), limit)
            for name, cells in columns.items()
        }


def row_entries(
    vendor_id: str,
    rejected: RejectedRows,
    made_of: Mapping[str, str],
    locations: Locations,
) -> Iterator[ReportEntry]:
    """Yield an entry for each fault of some rows.

    Args:
        vendor_id: The vendor.
        rejected: The rows.
        made_of: The descriptions of columns that are made of several headers, or of
            changed cells.
        locations: The records' lines or sheet rows.
    """
    for start in range(0, len(rejected.numbers), _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        numbers = rejected.numbers[start:stop].tolist()
        codes = rejected.codes[start:stop].tolist()
        skus = rejected.skus.slice(start, _ROWS_AT_ONCE).to_pylist()
        row_data = rejected.shown.slice(start, _ROWS_AT_ONCE).to_pylist()
        judged = {
            column: cells.slice(start, _ROWS_AT_ONCE).to_pylist()
            for column, cells in rejected.judged.items()
        }
        for row, number in enumerate(numbers):
            location = locations.get(number, {})
            for column, code in zip(JUDGED_COLUMNS, codes[row], strict=True):
                if not code:
                    continue
                fault = FAULTS[code - 1]
                cell = judged[column][row] if column in judged else None
                message = explain(fault, column, (cell or "").strip())
                if column in made_of:
                    message = (
                        f"{message} The column {column} is {made_of[column]}."
                    )
                yield ReportEntry(
                    error_code=str(fault),
                    error_message=message,
                    vendor_id=vendor_id,
                    sku=skus[row] or None,
                    row_number=number,
                    column=column,
                    value=cell,
                    row_data=row_data[row],
                    **location,
                )


def malformed_entries(
    vendor_id: str,
    header_count: int,
    malformed: MalformedRecords,
    locations: Locations,
) -> Iterator[ReportEntry]:
    """Yield an entry for each malformed record.

    Args:
        vendor_id: The vendor.
        header_count: The number of the feed's headers.
        malformed: The records.
        locations: The records' lines or sheet rows.
    """
    numbers = malformed.row_numbers.tolist()
    columns = [column.to_pylist() for column in malformed.cells]
    records = zip(*columns, strict=True)
    if malformed.widths is None:
        entry = ReportEntry(
            str(RowFault.INVALID_RECORD),
            "The line is not a JSON object, or it has a list or an object as the value of a "
            f"column. {as_sentence(RECORD_ADVICE)}",
            vendor_id=vendor_id,
        )
        for number, cells in zip(numbers, records, strict=True):
            location = locations.get(number, {})
            yield replace(entry, row_number=number, value=cells[0], **location)
        return
    widths = malformed.widths.tolist()
    for number, width, cells in zip(numbers, widths, records, strict=True):
        yield ReportEntry(
            str(RowFault.COLUMN_COUNT),
            f"The record has {_fields(width)}, but the header has {header_count}. "
            f"{as_sentence(COLUMN_COUNT_ADVICE)}",
            vendor_id=vendor_id,
            row_number=number,
            row_data=cells[:width],
            **locations.get(number, {}),
        )


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def shown_columns(
    headers: Sequence[str],
    mapped: Sequence[int],
    limits: Limits,
) -> dict[str, int]:
    """Return the columns that a report shows, by header, in the file's order.

    Mapped columns come before others if there are too many. A header is cut as a cell
    is, and made unique.

    Args:
        headers: The feed's headers.
        mapped: The indices of the columns that something is read from.
        limits: The limits of reports.
    """
    mapped_columns = set(mapped)
    unmapped = [
        index for index in range(len(headers)) if index not in mapped_columns
    ]
    in_turn = [*dict.fromkeys(mapped), *unmapped]
    cut_headers = []
    for header in headers:
        is_long = len(header) > limits.cell_characters
        cut_header = (
            f"{header[: limits.cell_characters]}…" if is_long else header
        )
        cut_headers.append(cut_header)
    names = unique_names(cut_headers)
    return {
        names[index]: index
        for index in sorted(in_turn[: limits.row_data_columns])
    }


def unique_names(headers: Sequence[str]) -> list[str]:
    """Return headers as keys: a repeated one gets ``(2)``, ``(3)``, ... appended."""
    all_headers = set(headers)
    names: dict[str, None] = {}
    counts: dict[str, int] = {}
    for header in headers:
        name = header
        while name in names or (name != header and name in all_headers):
            counts[header] = counts.get(header, 1) + 1
            name = f"{header} ({counts[header]})"
        names[name] = None
    return list(names)


def _least_sizes(
    columns: Iterable[pa.StringArray],
    row_count: int,
    limits: Limits,
) -> WholeNumbers:
    """Return the least number of bytes of each row's cells in an entry, one a row."""
    sizes = np.zeros(row_count, np.int64)
    for column in columns:
        bounds, _ = offsets_and_bytes(column)
        sizes += np.minimum(np.diff(bounds), limits.cell_characters)
    return sizes
