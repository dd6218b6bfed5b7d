"""Refused records: which they are, why, and how they stood in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.columns import FAULTS, Bools
from relay_core.columnar.csv_text import join_fields, quoted
from relay_core.columnar.json_lines import ReportEntries, joined_entries
from relay_core.domain.models import ReportEntry, RowFault
from relay_core.ingest.csv_reader import RaggedRecord
from relay_core.normalize.reject_entries import RefusedRows, joined_rows, row_entries
from relay_core.normalize.row_reader import JUDGED_COLUMNS, RowReader, TypedBatch

MAX_ENTRIES = 10_000
"""How many entries of rows, and how many of SKUs, ``errors.json`` keeps."""

_BYTES_AT_ONCE = 8 << 20
"""How many bytes of refused records are written together, a batch at least."""

REJECT_SCHEMA = pa.schema(
    [("row_number", pa.int64()), ("error_codes", pa.string()), ("raw", pa.string())]
)


@dataclass(slots=True)
class RejectLog:
    """Collects one vendor's refused records, batch by batch; entries are made of the first.

    Attributes:
        room: how many entries are kept at the most.
        counts: how many faults of each code there are.
    """

    vendor_id: str
    headers: Sequence[str]
    reader: RowReader
    room: int = MAX_ENTRIES
    counts: Counter[str] = field(default_factory=Counter)
    _refused: list[RefusedRows] = field(default_factory=list)
    _ragged: list[ReportEntry] = field(default_factory=list)
    _waiting: list[RefusedRows] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)

    @property
    def room_left(self) -> int:
        """How many more entries can be kept."""
        kept = sum(int(np.count_nonzero(refused.codes)) for refused in self._refused)
        return max(0, self.room - kept - len(self._ragged))

    def add(self, batch: TypedBatch, rows: Bools) -> None:
        """Take the refused rows of a batch."""
        places = np.flatnonzero(rows)
        if not len(places):
            return
        codes = np.zeros((len(places), len(JUDGED_COLUMNS)), np.uint8)
        for place, column in enumerate(JUDGED_COLUMNS):
            if column in batch.faults:
                codes[:, place] = batch.faults[column][places]
        totals = np.bincount(codes.ravel(), minlength=len(FAULTS) + 1)[1:]
        self.counts.update({str(f): int(n) for f, n in zip(FAULTS, totals, strict=True) if n})
        *columns, skus = (
            text.take(pa.array(places)) for text in (*batch.raw.columns, batch.texts["sku"])
        )
        refused = RefusedRows(batch.raw.row_numbers[places], codes, columns, skus)
        if sum(part.nbytes for part in (*self._waiting, refused)) > _BYTES_AT_ONCE:
            self._write_waiting()
        self._waiting.append(refused)
        if room := self.room_left:
            self._refused.append(refused.head(room))

    def add_ragged(self, records: Sequence[RaggedRecord]) -> None:
        """Take the records with more or fewer fields than the header."""
        if not records:
            return
        self.counts[RowFault.COLUMN_COUNT] += len(records)
        delimiter = self.reader.parser.delimiter
        numbers = np.array([record.row_number for record in records], np.int64)
        raw = pa.array([_raw_text(record.cells, delimiter) for record in records])
        codes = pa.repeat(str(RowFault.COLUMN_COUNT), len(records))
        self._tables.append(pa.table([pa.array(numbers), codes, raw], schema=REJECT_SCHEMA))
        self._ragged.extend(map(self._ragged_entry, records[: self.room]))

    def table(self) -> pa.Table:
        """Return every refused record in row order."""
        self._write_waiting()
        table = pa.concat_tables(self._tables) if self._tables else REJECT_SCHEMA.empty_table()
        return table.sort_by("row_number").combine_chunks()

    def entries(self) -> ReportEntries:
        """Return the first ``room`` entries in row order."""
        parts = [ReportEntries.of(self._ragged)]
        numbers = [np.array([entry.row_number for entry in self._ragged], np.int64)]
        if self._refused:
            refused = joined_rows([part.large() for part in self._refused])
            of_rows, entries = row_entries(self.vendor_id, self.headers, self.reader, refused)
            parts.append(entries)
            numbers.append(of_rows)
        order = np.argsort(np.concatenate(numbers), kind="stable")[: self.room]
        return ReportEntries(joined_entries(parts).lines.take(pa.array(order)))

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        refused, self._waiting = joined_rows(self._waiting), []
        delimiter = self.reader.parser.delimiter
        raw = join_fields([quoted(column, delimiter) for column in refused.columns], delimiter)
        numbers, codes = pa.array(refused.numbers), _code_texts(refused.codes)
        self._tables.append(pa.table([numbers, codes, raw], schema=REJECT_SCHEMA))

    def _ragged_entry(self, record: RaggedRecord) -> ReportEntry:
        found, wanted = len(record.cells), len(self.headers)
        return ReportEntry(
            error_code=str(RowFault.COLUMN_COUNT),
            error_message=f"the record has {found} fields and the header has {wanted}; quote "
            "fields that hold the delimiter, and give each record as many fields as the header",
            vendor_id=self.vendor_id,
            row_number=record.row_number,
            row_data=record.cells,
        )


def _code_texts(codes: npt.NDArray[np.uint8]) -> pa.StringArray:
    """Return each row's distinct fault codes, sorted by name and joined by ``;``."""
    bits = np.where(codes > 0, np.left_shift(np.int64(1), codes.astype(np.int64)), 0)
    masks, back = np.unique(np.bitwise_or.reduce(bits, axis=1), return_inverse=True)
    texts = [
        ";".join(sorted(str(f) for i, f in enumerate(FAULTS, 1) if mask >> i & 1))
        for mask in masks.tolist()
    ]
    return pa.array(texts, pa.string()).take(pa.array(back))


def _raw_text(record: Sequence[str], delimiter: str) -> str:
    special: tuple[Any, ...] = (delimiter, '"', "\r", "\n")
    fields = (
        '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in special) else cell
        for cell in record
    )
    return delimiter.join(fields)
