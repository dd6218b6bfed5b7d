"""Entries of ``errors.json`` for the first rejected rows of a vendor."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RecordNumbers, WholeNumbers
from relay_core.columnar.text import lengths_of, offsets_and_bytes
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.ingest.feed import MalformedRecords
from relay_core.normalize.entry_lines import (
    EntryLines,
    Locations,
    RejectedRows,
    malformed_lines,
    row_lines,
)
from relay_core.normalize.rejection_causes import RejectedBatch, cut_texts


@dataclass(slots=True)
class EntryLog:
    """Collects one vendor's first rejected rows, to make report entries from them."""

    vendor_id: str
    judged: Sequence[str]  # the columns whose cells can be rejected
    header_count: int  # the number of the feed's headers
    # The columns that a report shows, by header
    shown_columns: Mapping[str, int]
    # The descriptions of columns that are made of several headers, or of changed cells.
    made_of: Mapping[str, str]
    limits: Limits  # the room for entries
    file: str | None = None  # the file's name, if entries tell it
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
            columns=self.judged,
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
        if not room.entries or not room.size:
            return ()
        logs = [
            (
                row_lines(
                    self.vendor_id,
                    rows,
                    self.made_of,
                    locations,
                    self.file,
                )
                for rows in rejected
            )
            for rejected in (self._rejected, self._repeated)
        ]
        logs.append(
            malformed_lines(
                self.vendor_id,
                self.header_count,
                records,
                locations,
                self.file,
            )
            for records in self._malformed
        )
        parts: list[EntryLines] = []
        for log in logs:
            parts += _lines_within(room, chain.from_iterable(log))
        if not parts:
            return ()
        numbers = np.concatenate([part.numbers for part in parts])
        lines = pa.concat_arrays([part.lines for part in parts])
        order = np.argsort(numbers, kind="stable")
        sizes = np.cumsum(lengths_of(lines)[order])
        lines_in_bytes = int(np.searchsorted(sizes, room.size, side="right"))
        count = min(room.entries, lines_in_bytes)
        # The first line that does not fit takes the rest of the room.
        last = min(count, len(lines) - 1)
        room.entries -= count
        room.size = max(0, room.size - int(sizes[last]))
        return tuple(lines.take(pa.array(order[:count])).to_pylist())

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


def _lines_within(
    room: ReportRoom,
    parts: Iterable[EntryLines],
) -> Iterator[EntryLines]:
    """Yield parts of entries in order, until they fill the room."""
    entries_left = room.entries
    bytes_left = room.size
    for part in parts:
        yield part
        entries_left -= len(part.lines)
        bytes_left -= int(lengths_of(part.lines).sum())
        if entries_left <= 0 or bytes_left <= 0:
            return
