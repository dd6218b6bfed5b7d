"""Refused records: which they are, why, and how they stood in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core import cells
from relay_core.columns import FAULTS, Bools
from relay_core.csv_lines import join_fields, quoted
from relay_core.errors import CellError
from relay_core.models import ReportEntry, RowFault
from relay_core.normalize import JUDGED_COLUMNS, RowReader, TypedBatch
from relay_core.parsing import RaggedRecord

MAX_ENTRIES = 10_000
"""How many entries of rows, and how many of SKUs, ``errors.json`` keeps."""

REJECT_SCHEMA = pa.schema(
    [("row_number", pa.int64()), ("error_codes", pa.string()), ("raw", pa.string())]
)


@dataclass(slots=True)
class RejectLog:
    """Collects one vendor's refused records, batch by batch, and the first ``room`` entries."""

    vendor_id: str
    headers: Sequence[str]
    reader: RowReader
    room: int = MAX_ENTRIES
    counts: Counter[str] = field(default_factory=Counter)
    _entries: list[ReportEntry] = field(default_factory=list)
    _messages: dict[tuple[str, str | None, str], str] = field(default_factory=dict)
    _tables: list[pa.Table] = field(default_factory=list)

    @property
    def room_left(self) -> int:
        """How many more entries can be kept."""
        return max(0, self.room - len(self._entries))

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
        taken = [column.take(pa.array(places)) for column in batch.raw.columns]
        numbers = batch.raw.row_numbers[places]
        self._tables.append(self._table(numbers, _code_texts(codes), taken))
        if room := self.room_left:
            skus = batch.texts["sku"].take(pa.array(places[:room]))
            heads = [column.slice(0, room) for column in taken]
            entries = self._row_entries(numbers[:room], codes[:room], heads, skus)
            self._entries.extend(islice(entries, room))

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
        self._entries.extend(map(self._ragged_entry, records[: self.room]))

    def table(self) -> pa.Table:
        """Return every refused record in row order."""
        table = pa.concat_tables(self._tables) if self._tables else REJECT_SCHEMA.empty_table()
        return table.sort_by("row_number").combine_chunks()

    def entries(self) -> tuple[ReportEntry, ...]:
        """Return the first ``room`` entries in row order."""
        ordered = sorted(self._entries, key=lambda entry: entry.row_number or 0)
        return tuple(ordered[: self.room])

    def _table(
        self, numbers: npt.NDArray[np.int64], codes: pa.StringArray, taken: list[pa.StringArray]
    ) -> pa.Table:
        delimiter = self.reader.parser.delimiter
        raw = join_fields([quoted(column, delimiter) for column in taken], delimiter)
        return pa.table([pa.array(numbers), codes, raw], schema=REJECT_SCHEMA)

    def _row_entries(
        self,
        numbers: npt.NDArray[np.int64],
        codes: npt.NDArray[np.uint8],
        taken: list[pa.StringArray],
        skus: pa.StringArray,
    ) -> Iterator[ReportEntry]:
        names = unique_names(self.headers)
        records = list(zip(*(column.to_pylist() for column in taken), strict=True))
        row_data = [dict(zip(names, record, strict=True)) for record in records]
        texts, places = skus.to_pylist(), [self.reader.positions.get(c) for c in JUDGED_COLUMNS]
        rows, columns = np.nonzero(codes)
        found = zip(rows.tolist(), columns.tolist(), codes[rows, columns].tolist(), strict=True)
        for row, column, code in found:
            place, fault = places[column], FAULTS[code - 1]
            value = None if place is None else records[row][place]
            yield ReportEntry(
                error_code=str(fault),
                error_message=self._message(JUDGED_COLUMNS[column], value, fault),
                vendor_id=self.vendor_id,
                sku=texts[row] or None,
                row_number=int(numbers[row]),
                column=JUDGED_COLUMNS[column],
                value=value,
                row_data=row_data[row],
            )

    def _message(self, column: str, value: str | None, fault: RowFault) -> str:
        asked = (column, value, str(fault))
        if asked not in self._messages:
            self._messages[asked] = self._explain(column, value, fault)
        return self._messages[asked]

    def _explain(self, column: str, value: str | None, fault: RowFault) -> str:
        try:
            cells.read_cell(column, cells.strip(value or ""), self.reader.parser, self.reader.zone)
        except CellError as error:
            if error.error_code == fault:
                return str(error)
        return f"{column} is {fault.replace('_', ' ')}; give each row of the feed a value"

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


def unique_names(headers: Iterable[str]) -> list[str]:
    """Return the headers as keys: a repeated one gets ``(2)``, ``(3)``, ... behind it."""
    seen: Counter[str] = Counter()
    names = []
    for header in headers:
        seen[header] += 1
        names.append(header if seen[header] == 1 else f"{header} ({seen[header]})")
    return names


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
