"""The rejected records of a feed, with the reasons and the text of each."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.csv_text import join_fields, quoted
from relay_core.columnar.numbers import FAULTS, fault_code
from relay_core.columnar.text import trim, with_nulls
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import (
    NUMBER_COLUMNS,
    judged_columns,
    rejections_of,
)
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.domain.records import Cause
from relay_core.ingest.feed import MalformedRecords, RecordLocator, TextBatch
from relay_core.normalize.entry_lines import Locations
from relay_core.normalize.rejection_causes import CauseLog, RejectedBatch
from relay_core.normalize.rejection_entries import EntryLog, shown_columns
from relay_core.normalize.row_reader import RowReader
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.validation.row_schemas import REJECTED_ROWS

_BYTES_AT_ONCE = 8 << 20
"""The least number of bytes of rejected records that are written together."""
VALID_SAMPLES = 20
"""The number of valid rows, the first ones of a feed, whose numbers are kept."""


@dataclass(slots=True)
class RejectionLog:
    """Collects one vendor's rejected records, batch by batch."""

    vendor_id: str
    headers: Sequence[str]  # the feed's headers
    reader: RowReader  # the reader of the feed's cells
    limits: Limits  # the room for entries and causes
    locator: RecordLocator | None = None  # finds records in the file
    file: str | None = None  # the file's name, if entries tell it
    # The rejected rows that later files may replace; None if there are no such files
    held: list[RejectedBatch] | None = field(init=False)
    # The number of faults of each code.
    counts: Counter[str] = field(default_factory=Counter)
    records: int = 0  # the number of rejected records
    malformed: int = 0  # the number of those that do not fit the header
    _valid_samples: dict[str, list[str]] = field(default_factory=dict)
    _sampled_rows: int = 0
    _has_rejected_cells: bool = False
    # The columns whose cells can be rejected
    _judged: Sequence[str] = field(init=False)
    _causes: CauseLog = field(init=False)
    _entries: EntryLog = field(init=False)
    _table: "_RejectedTable" = field(init=False)

    def __post_init__(self) -> None:
        self.held = None if self.file is None else []
        parser = self.reader.parser
        made_of = {
            column: source.described
            for column, source in parser.column_map.items()
            if not isinstance(source, str)
        }
        used_columns = self.reader.plan.read_positions
        columns_shown = shown_columns(self.headers, used_columns, self.limits)
        self._judged = judged_columns(parser.gtin_column)
        self._causes = CauseLog(
            self.vendor_id,
            self.limits,
            self._judged,
            made_of,
        )
        self._entries = EntryLog(
            self.vendor_id,
            self._judged,
            len(self.headers),
            columns_shown,
            made_of,
            self.limits,
        )
        self._table = _RejectedTable(parser.delimiter)

    def add(
        self,
        batch: TypedBatch,
        rejected: Mapping[str, arrays.RowMask],
    ) -> None:
        """Take the rows of a batch that a contract rejects.

        Args:
            batch: The batch.
            rejected: The masks of rejected cells, by column; only of columns with some.
        """
        is_rejected = np.zeros(batch.size, np.bool_)
        for mask in rejected.values():
            is_rejected |= mask
        samples_needed = VALID_SAMPLES - self._sampled_rows
        if samples_needed:
            valid_rows = np.flatnonzero(~is_rejected)[:samples_needed]
            self._keep_valid_samples(batch.raw, valid_rows)
        if not rejected:
            return
        self._has_rejected_cells = True
        rows = np.flatnonzero(is_rejected)
        codes = np.zeros((len(rows), len(self._judged)), np.uint8)
        for index, column in enumerate(self._judged):
            if column in rejected:
                fault_codes = _fault_codes(batch, column, rows)
                codes[:, index] = np.where(
                    rejected[column][rows],
                    fault_codes,
                    0,
                )
        skus = batch.own_skus.take(pa.array(rows))
        source_columns = {
            column: columns[rows]
            for column, columns in batch.source_columns.items()
        }
        rejected_batch = self._rejected_batch(
            batch.raw,
            rows,
            codes,
            skus,
            source_columns,
        )
        self._take(rejected_batch, is_repeated=False)

    def add_repeated(
        self,
        batch: TextBatch,
        rows: arrays.RowIndex,
        skus: pa.StringArray,
    ) -> None:
        """Take rows of a batch that repeat SKUs, after all others of the feed."""
        codes = np.zeros((len(rows), len(self._judged)), np.uint8)
        codes[:, self._judged.index("sku")] = fault_code(
            RowFault.DUPLICATE_SKU,
        )
        rejected_batch = self._rejected_batch(batch, rows, codes, skus, {})
        self._take(rejected_batch, is_repeated=True)

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records that do not fit the header, or lines that are no records."""
        count = len(malformed.row_numbers)
        if not count:
            return
        is_record = malformed.widths is not None
        fault = RowFault.COLUMN_COUNT if is_record else RowFault.INVALID_RECORD
        self.counts[fault] += count
        self.records += count
        self.malformed += count
        self._causes.add_malformed(malformed)
        self._table.add_malformed(malformed, fault)
        self._entries.add_malformed(malformed)

    @property
    def valid_samples(self) -> Mapping[str, Sequence[str]]:
        """The numbers of the first valid rows, as written, by column.

        There are none if no row is rejected for a cell of its own.
        """
        return self._valid_samples if self._has_rejected_cells else {}

    def table(self) -> pa.Table:
        """Return every rejected record in row order (`REJECTED_ROWS`)."""
        return self._table.table()

    def reported(
        self,
        room: ReportRoom,
    ) -> tuple[tuple[str, ...], tuple[Cause, ...]]:
        """Return the first entries in row order, each as JSON, and the causes.

        The entries take of the room.
        """
        causes = list(self._causes.causes())
        sample_numbers = [
            sample.row_number for cause in causes for sample in cause.samples
        ]
        locations = self._locations(sample_numbers)
        self._entries.file = self.file
        entries = self._entries.entries(room, locations)
        located = tuple(
            _located(cause, locations, self.file) for cause in causes
        )
        return entries, located

    def _rejected_batch(
        self,
        batch: TextBatch,
        rows: arrays.RowIndex,
        codes: arrays.FaultCodes,
        skus: pa.StringArray,
        source_columns: Mapping[str, arrays.WholeNumbers],
    ) -> RejectedBatch:
        """Return some rows of a batch, with their fault codes.

        ``source_columns`` has the index of the feed's column that each cell is read
        from, for columns of several headers.
        """
        row_array = pa.array(rows)
        columns = [column.take(row_array) for column in batch.columns]
        positions = self.reader.plan.positions
        judged = {}
        for column in self._judged:
            if column in source_columns:
                judged[column] = _picked(columns, source_columns[column])
            elif column in positions:
                judged[column] = columns[positions[column]]
        return RejectedBatch(
            batch.row_numbers[rows],
            codes,
            columns,
            judged,
            skus,
        )

    def release(
        self,
        masks: Sequence[arrays.RowMask],
        mapped: Callable[[pa.StringArray], pa.StringArray],
    ) -> int:
        """Count and keep the held rows that no later file replaces.

        Args:
            masks: The masks of the rows that are replaced, one a held batch.
            mapped: Returns the tenant's SKUs of SKUs.

        Returns:
            The number of rows that are replaced.
        """
        batches = self.held or ()
        self.held = None
        count = 0
        for batch, is_replaced in zip(batches, masks, strict=True):
            count += int(np.count_nonzero(is_replaced))
            rows = batch.where(~is_replaced)
            if len(rows.numbers):
                rows = replace(rows, skus=mapped(rows.skus))
                self._take(rows, is_repeated=False)
        return count

    def _take(self, batch: RejectedBatch, *, is_repeated: bool) -> None:
        """Count and keep rejected rows, unless they are held."""
        if self.held is not None and not is_repeated:
            self.held.append(batch)
            return
        totals = np.bincount(batch.codes.ravel(), minlength=len(FAULTS) + 1)[1:]
        for fault, total in zip(FAULTS, totals.tolist(), strict=True):
            if total:
                self.counts[str(fault)] += total
        self.records += len(batch.numbers)
        self._table.add(batch)
        self._causes.add(batch)
        self._entries.add(batch, is_repeated=is_repeated)

    def _keep_valid_samples(
        self,
        batch: TextBatch,
        rows: arrays.RowIndex,
    ) -> None:
        plan = self.reader.plan
        self._sampled_rows += len(rows)
        if not len(rows):
            return
        for name in NUMBER_COLUMNS:
            if name in plan.positions and name not in plan.parts:
                column = batch.columns[plan.positions[name]]
                cells = trim(column.take(pa.array(rows))).to_pylist()
                samples = self._valid_samples.setdefault(name, [])
                samples += [cell for cell in cells if cell]

    def _locations(self, sample_numbers: Sequence[int]) -> Locations:
        """Return the locations of reported records, if not their numbers."""
        parts = self._entries.row_numbers()
        parts.append(np.array(sample_numbers, np.int64))
        numbers = np.unique(np.concatenate(parts)).tolist()
        if self.locator is None or not numbers:
            return {}
        name = self.locator.unit
        places = self.locator.find(numbers)
        return {
            number: {name: place}
            for number, place in zip(numbers, places, strict=True)
            if place != number
        }


def _fault_codes(
    batch: TypedBatch,
    column: str,
    rows: arrays.RowIndex,
) -> arrays.FaultCodes:
    """Return the reader's fault codes of some cells.

    A cell without one gets the contract's code.
    """
    rejections = rejections_of(column)
    contract_code = fault_code(rejections.unreadable or rejections.null)
    if column not in batch.faults:
        return np.full(len(rows), contract_code)
    codes = batch.faults[column][rows]
    return np.where(codes, codes, contract_code)


def _located(cause: Cause, locations: Locations, file: str | None) -> Cause:
    """Return a cause with the places of its samples."""
    samples = [
        replace(sample, **locations.get(sample.row_number, {}), file=file)
        for sample in cause.samples
    ]
    return replace(cause, samples=tuple(samples))


def _picked(
    columns: Sequence[pa.StringArray],
    picks: arrays.WholeNumbers,
) -> pa.StringArray:
    """Return the cell of one column for each row; ``picks`` has its index."""
    picked_columns = np.unique(picks).tolist()
    if not picked_columns:
        return columns[0]
    cells = columns[picked_columns[0]]
    for index in picked_columns[1:]:
        cells = pc.if_else(pa.array(picks == index), columns[index], cells)
    return cells


@dataclass(slots=True)
class _RejectedTable:
    """Rejected records as rows of `REJECTED_ROWS`, written some megabytes at a time."""

    delimiter: str  # the vendor's delimiter
    _waiting: list[RejectedBatch] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)

    def add(self, batch: RejectedBatch) -> None:
        """Take rejected rows."""
        self._waiting.append(batch)
        size = sum(
            column.nbytes
            for waiting in self._waiting
            for column in waiting.columns
        )
        if size > _BYTES_AT_ONCE:
            self._write_waiting()

    def add_malformed(
        self,
        malformed: MalformedRecords,
        fault: RowFault,
    ) -> None:
        """Take records that do not fit the header."""
        count = len(malformed.row_numbers)
        columns = [
            pa.array(malformed.row_numbers),
            pa.repeat(str(fault), count),
            malformed.raw.cast(pa.large_string()),
            pa.nulls(count, pa.large_string()),
        ]
        self._tables.append(pa.table(columns, schema=REJECTED_ROWS))

    def table(self) -> pa.Table:
        """Return all records in row order."""
        self._write_waiting()
        if not self._tables:
            return REJECTED_ROWS.empty_table()
        table = pa.concat_tables(self._tables)
        numbers = table["row_number"].to_numpy()
        if (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")
            table = table.take(pa.array(order))
        return table.combine_chunks()

    def _write_waiting(self) -> None:
        batches = self._waiting
        self._waiting = []
        if not batches:
            return
        columns_of_batches = zip(
            *(batch.columns for batch in batches),
            strict=True,
        )
        columns = [pa.concat_arrays(parts) for parts in columns_of_batches]
        fields = [quoted(column, self.delimiter) for column in columns]
        raw = join_fields(fields, self.delimiter)
        skus = [
            with_nulls(batch.skus).cast(pa.large_string()) for batch in batches
        ]
        columns_of_table = [
            pa.array(np.concatenate([batch.numbers for batch in batches])),
            _joined_faults(np.concatenate([batch.codes for batch in batches])),
            raw.cast(pa.large_string()),
            pa.concat_arrays(skus),
        ]
        self._tables.append(pa.table(columns_of_table, schema=REJECTED_ROWS))


def _joined_faults(codes: arrays.FaultCodes) -> pa.StringArray:
    """Return each row's distinct faults, sorted by name and joined by ``;``."""
    bits = np.left_shift(np.int64(1), codes.astype(np.int64))
    mask_of_row = np.bitwise_or.reduce(np.where(codes > 0, bits, 0), axis=1)
    masks, back = np.unique(mask_of_row, return_inverse=True)
    texts = []
    for mask in masks.tolist():
        names = [
            str(fault)
            for code, fault in enumerate(FAULTS, 1)
            if mask >> code & 1
        ]
        texts.append(";".join(sorted(names)))
    return pa.array(texts, pa.string()).take(pa.array(back))
