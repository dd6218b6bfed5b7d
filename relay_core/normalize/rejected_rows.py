"""The rejected records of a feed, with the reasons and the text of each."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import join_fields, quoted
from relay_core.columnar.numbers import FAULTS, fault_code
from relay_core.columnar.text import Bools, Ints, Rows, trim, with_nulls
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import BY_NAME, JUDGED_COLUMNS, NUMBER_COLUMNS
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.domain.records import Cause
from relay_core.ingest.feed import MalformedRecords, RecordPlaces, TextBatch
from relay_core.normalize.rejection_causes import (
    CauseLog,
    Places,
    RejectedRows,
    cut_texts,
    least_sizes,
    malformed_entries,
    row_entries,
    shown_columns,
)
from relay_core.normalize.row_reader import RowReader, TypedBatch
from relay_core.validation.contracts import REJECTED_ROWS

_BYTES_AT_ONCE = 8 << 20
"""How many bytes of rejected records are written together, a batch at least."""
_MAX_HELD = 20  # of so many rows that hold numbers are kept
Codes = npt.NDArray[np.uint8]


@dataclass(slots=True)
class RejectionLog:
    """Collects one vendor's rejected records, batch by batch; entries are made of the first."""

    vendor_id: str
    headers: Sequence[str]  # its feed's
    reader: RowReader  # how its cells are read
    limits: Limits  # the room for entries and causes
    places: RecordPlaces | None = None  # of records in the file
    counts: Counter[str] = field(
        default_factory=Counter
    )  # how many faults of each code there are
    records: int = 0  # how many records are rejected
    malformed: int = 0  # how many of them do not fit the header, or are no records
    made_of: Mapping[str, str] = field(
        init=False
    )  # in words, columns of several or changed cells
    causes: CauseLog = field(
        init=False
    )  # the rejected cells and records that are alike
    held: dict[str, Sequence[str]] = field(
        default_factory=dict
    )  # some that hold, by column
    _shown: Mapping[str, int] = field(init=False)
    _rejected: list[RejectedRows] = field(default_factory=list)
    _repeated: list[RejectedRows] = field(default_factory=list)
    _shown_malformed: list[MalformedRecords] = field(default_factory=list)
    _malformed_size: int = 0
    # Rows whose records are yet to be written: numbers, codes, columns, SKUs
    _waiting: list[tuple[Ints, Codes, Sequence[pa.StringArray], pa.StringArray]] = (
        field(default_factory=list)
    )
    _tables: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shown = shown_columns(self.headers, self.reader.plan.used, self.limits)
        forms = self.reader.parser.column_map.items()
        self.made_of = {
            c: each.described for c, each in forms if not isinstance(each, str)
        }
        self.causes = CauseLog(self.vendor_id, self.limits, self.made_of)

    def add(self, batch: TypedBatch, rejected: Mapping[str, Bools]) -> None:
        """Take the rows of a batch of which a contract rejects cells, by column."""
        if not rejected:
            return
        is_rejected = np.logical_or.reduce(list(rejected.values()))
        places = np.flatnonzero(is_rejected)
        codes = np.zeros((len(places), len(JUDGED_COLUMNS)), np.uint8)
        for place, column in enumerate(JUDGED_COLUMNS):
            if column in rejected:  # for the reader's reason, where it has one
                of_reader = (
                    batch.faults[column][places] if column in batch.faults else 0
                )
                rejections = BY_NAME[column].rejections
                of_contract = fault_code(rejections.unreadable or rejections.null)
                known = np.where(of_reader, of_reader, of_contract)
                codes[:, place] = np.where(rejected[column][places], known, 0)
        skus = batch.texts["sku"].take(pa.array(places))
        at = {column: at[places] for column, at in batch.places.items()}
        self._take(batch.raw, places, codes, skus, self._rejected, at)
        valid = np.flatnonzero(~is_rejected)[:_MAX_HELD]
        if not self.held and len(valid):
            positions, parts = self.reader.plan.positions, self.reader.plan.parts
            for name in NUMBER_COLUMNS:
                if name in positions and name not in parts:
                    cells = batch.raw.columns[positions[name]].take(pa.array(valid))
                    self.held[name] = [*filter(None, trim(cells).to_pylist())]

    def add_repeated(
        self, batch: TextBatch, places: Rows, skus: pa.StringArray
    ) -> None:
        """Take rows of a batch that repeat SKUs, after all others of the feed."""
        codes = np.zeros((len(places), len(JUDGED_COLUMNS)), np.uint8)
        codes[:, JUDGED_COLUMNS.index("sku")] = fault_code(RowFault.DUPLICATE_SKU)
        self._take(batch, places, codes, skus, self._repeated, {})

    def _take(
        self,
        batch: TextBatch,
        places: Rows,
        codes: Codes,
        skus: pa.StringArray,
        reported: list[RejectedRows],
        at: Mapping[str, Ints],
    ) -> None:
        """Count and keep rejected rows, report as many as fit; ``at``: where some cells stand."""
        totals = np.bincount(codes.ravel(), minlength=len(FAULTS) + 1)[1:]
        self.counts.update(
            {str(f): int(n) for f, n in zip(FAULTS, totals, strict=True) if n}
        )
        self.records += len(places)
        rows, numbers = pa.array(places), batch.row_numbers[places]
        columns = [text.take(rows) for text in batch.columns]
        self._waiting.append((numbers, codes, columns, skus))
        if (
            sum(text.nbytes for part in self._waiting for text in part[2])
            > _BYTES_AT_ONCE
        ):
            self._write_waiting()
        positions = self.reader.plan.positions
        judged = {
            c: _picked(columns, at[c]) if c in at else columns[positions[c]]
            for c in JUDGED_COLUMNS
            if c in positions
        }
        self.causes.add(numbers, codes, judged)
        room = self.limits.report_entries - sum(each.entries for each in reported)
        bytes_left = self.limits.report_bytes - sum(each.size for each in reported)
        if room > 0 and bytes_left > 0:
            shown = {name: columns[place] for name, place in self._shown.items()}
            least = least_sizes(shown.values(), len(places), self.limits)
            least += sum(len(name.encode()) for name in shown)
            of_rows = np.count_nonzero(codes, axis=1)
            entries, sizes = np.cumsum(of_rows), np.cumsum(of_rows * least)
            # No more rows than fill the room.
            some = 1 + int(
                min(np.searchsorted(entries, room), np.searchsorted(sizes, bytes_left))
            )
            most = self.limits.cell_characters
            shown = {
                name: cut_texts(c.slice(0, some), most) for name, c in shown.items()
            }
            values = {
                c: cut_texts(cells.slice(0, some), most) for c, cells in judged.items()
            }
            first = (
                numbers[:some],
                codes[:some],
                pa.table(shown),
                values,
                skus.slice(0, some),
            )
            reported.append(RejectedRows(*first, int(sizes[:some][-1])))

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records with more or fewer fields than the header, or what is no record at all."""
        size = len(malformed.row_numbers)
        if not size:
            return
        fault = (
            RowFault.INVALID_RECORD
            if malformed.widths is None
            else RowFault.COLUMN_COUNT
        )
        self.counts[fault] += size
        self.records += size
        self.malformed += size
        self.causes.add_malformed(malformed)
        codes = pa.repeat(str(fault), size)
        raw = malformed.raw.cast(pa.large_string())
        numbers = pa.array(malformed.row_numbers)
        skus = pa.nulls(size, pa.large_string())
        self._tables.append(pa.table([numbers, codes, raw, skus], schema=REJECTED_ROWS))
        room = self.limits.report_entries - sum(
            len(m.row_numbers) for m in self._shown_malformed
        )
        if room and self._malformed_size < self.limits.report_bytes:
            sizes = np.cumsum(least_sizes(malformed.cells, size, self.limits))
            left = self.limits.report_bytes - self._malformed_size
            room = min(room, 1 + int(np.searchsorted(sizes, left)))
            self._malformed_size += int(sizes[:room][-1])
            limit = self.limits.cell_characters
            shown = malformed.cells[: self.limits.row_data_columns]
            cells = [cut_texts(column.slice(0, room), limit) for column in shown]
            widths = None if malformed.widths is None else malformed.widths[:room]
            head = malformed.row_numbers[:room], malformed.raw.slice(0, 0)
            self._shown_malformed.append(MalformedRecords(widths, *head, cells))

    def table(self) -> pa.Table:
        """Return every rejected record in row order."""
        self._write_waiting()
        table = (
            pa.concat_tables(self._tables)
            if self._tables
            else REJECTED_ROWS.empty_table()
        )
        numbers = table["row_number"].to_numpy()
        if (numbers[1:] < numbers[:-1]).any():
            table = table.take(pa.array(np.argsort(numbers, kind="stable")))
        return table.combine_chunks()

    def reported(self, room: ReportRoom) -> tuple[tuple[str, ...], tuple[Cause, ...]]:
        """Return the first entries in row order, taking of the room, and causes, with places."""
        causes = tuple(self.causes.causes())
        places = self._places(
            [one.row_number for each in causes for one in each.samples]
        )
        placed = (
            replace(
                each,
                samples=tuple(
                    replace(one, **places.get(one.row_number, {}))
                    for one in each.samples
                ),
            )
            for each in causes
        )
        return self._entries(room, places), tuple(placed)

    def _entries(self, room: ReportRoom, places: Places) -> tuple[str, ...]:
        by_row = attrgetter("row_number")
        of_rows = (
            chain.from_iterable(
                row_entries(self.vendor_id, rows, self.made_of, places)
                for rows in reported
            )
            for reported in (self._rejected, self._repeated)
        )
        of_malformed = chain.from_iterable(
            malformed_entries(self.vendor_id, len(self.headers), records, places)
            for records in self._shown_malformed
        )
        lines: list[str] = []
        size = 0
        for entry in heapq.merge(
            *of_rows, sorted(of_malformed, key=by_row), key=by_row
        ):
            line = entry.as_json()
            size += len(line.encode())
            if len(lines) == room.entries or size > room.size:
                break
            lines.append(line)
        room.entries, room.size = room.entries - len(lines), max(0, room.size - size)
        return tuple(lines)

    def _places(self, others: Sequence[int]) -> Places:
        """Return the places in the file of entries' records and of others, where they differ."""
        reported = (*self._rejected, *self._repeated)
        parts = [each.numbers for each in reported]
        parts += [each.row_numbers for each in self._shown_malformed]
        if self.places is None or not (parts or others):
            return {}
        numbers = np.unique(np.concatenate([*parts, others])).astype(np.int64).tolist()
        found, name = (
            zip(numbers, self.places.find(numbers), strict=True),
            self.places.name,
        )
        return {number: {name: place} for number, place in found if place != number}

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        delimiter = self.reader.parser.delimiter
        numbers, codes, records, skus = zip(*waiting, strict=True)
        columns = map(pa.concat_arrays, zip(*records, strict=True))
        raw = join_fields([quoted(column, delimiter) for column in columns], delimiter)
        faults = np.concatenate(codes)
        # Each row's distinct fault codes, sorted by name and joined by ";".
        bits = np.where(
            faults > 0, np.left_shift(np.int64(1), faults.astype(np.int64)), 0
        )
        masks, back = np.unique(np.bitwise_or.reduce(bits, axis=1), return_inverse=True)
        texts = [
            ";".join(sorted(str(f) for i, f in enumerate(FAULTS, 1) if mask >> i & 1))
            for mask in masks.tolist()
        ]
        columns_of_table = [
            pa.array(np.concatenate(numbers)),
            pa.array(texts, pa.string()).take(pa.array(back)),
            raw.cast(pa.large_string()),
            pa.concat_arrays(
                [with_nulls(part).cast(pa.large_string()) for part in skus]
            ),
        ]
        self._tables.append(pa.table(columns_of_table, schema=REJECTED_ROWS))


def _picked(columns: Sequence[pa.StringArray], at: Ints) -> pa.StringArray:
    """Return of each row the cell of one column."""
    places = np.unique(at).tolist()
    if not places:
        return columns[0]
    cells = columns[places[0]]
    for place in places[1:]:
        cells = pc.if_else(pa.array(at == place), columns[place], cells)
    return cells
