"""A parsed feed to the vendor's valid rows in order, its refused rows, and Pandera's verdict.

Batches are read on two threads while Arrow splits the next, and judged when there are many rows of
them; what needs all rows comes after, and can run beside the reading of another vendor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
import pyarrow as pa

from relay_core.columnar.columns import Bools
from relay_core.columnar.growable import GrowingArray, GrowingNumbers, GrowingTexts
from relay_core.columnar.sorting import Rows, rows_in_order
from relay_core.columnar.threads import ordered_map
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.models import WHOLE_COLUMNS, ReportEntry
from relay_core.ingest.csv_reader import ParsedFeed, TextBatch
from relay_core.normalize.normalized_csv import SortedLines, lines_of_batch
from relay_core.normalize.rejects import RejectLog
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import (
    OFFER_SCHEMA,
    RowReader,
    TypedBatch,
    empty_texts,
    no_numbers,
)
from relay_core.validation.gate import GATE_ROWS, broken_rules, judged_frame, rows_that_break
from relay_core.validation.schemas import CANONICAL_SCHEMA


@cache
def _validate_nothing() -> None:
    """Have pandas and Pandera load what they load when they are first used."""
    broken_rules(CANONICAL_SCHEMA, judged_frame(OFFER_SCHEMA.empty_table()))


class Gate:
    """Pandera's schema, held against the rows of a feed on another thread, many at a time."""

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(1)
        self._beside.submit(_validate_nothing)
        self._waiting: list[tuple[pa.RecordBatch, Bools]] = []
        self._verdicts: list[Future[list[str]]] = []
        self._refused: list[pa.Table] = []

    def add(self, batch: pa.RecordBatch, faulty: Bools) -> None:
        """Take rows, of which readers have found these ``faulty``."""
        self._waiting.append((batch, faulty))
        if sum(len(rows) for rows, _ in self._waiting) >= GATE_ROWS:
            self.judge()

    def judge(self) -> None:
        """Begin to judge what is left."""
        if self._waiting:
            self._verdicts.append(self._beside.submit(self._disputed, self._waiting))
            self._waiting = []

    def close(self) -> None:
        """Wait for all verdicts.

        Raises:
            ContractBrokenError: the schema refuses a row that no reader found a fault in, or the
                other way round.
        """
        with self._beside:
            disputed = [sku for verdict in self._verdicts for sku in verdict.result()]
        if self._refused:
            refused = pa.concat_tables(self._refused)
            holds = ~rows_that_break(CANONICAL_SCHEMA, judged_frame(refused))
            disputed += refused["sku"].filter(pa.array(holds)).to_pylist()
        if disputed:
            raise ContractBrokenError(
                f"schema and readers disagree about the rows of SKUs {disputed[:3]}"
            )

    def _disputed(self, batches: Sequence[tuple[pa.RecordBatch, Bools]]) -> list[str]:
        """Return SKUs of good rows that the schema refuses, and keep the faulty rows for later."""
        rows = pa.Table.from_batches([batch for batch, _ in batches])
        faulty = np.concatenate([faulty for _, faulty in batches])
        if faulty.any():
            self._refused.append(rows.filter(pa.array(faulty)))
            rows = rows.filter(pa.array(~faulty))
        broken = broken_rules(CANONICAL_SCHEMA, judged_frame(rows))
        return [rows["sku"][row].as_py() for rule in broken for row in rule.rows[:3]]


@dataclass(slots=True)
class ReadRows:
    """All rows of a feed, in its order, faulty ones too; ``sorted_rows`` uses them up.

    ``texts`` and ``numbers`` are those columns of ``kept`` that have a value in any row.
    """

    vendor_id: str
    warnings: tuple[ReportEntry, ...]
    rejects: RejectLog
    kept: Collection[str]
    ragged: int = 0
    gate: Gate = field(default_factory=Gate)
    texts: defaultdict[str, GrowingTexts] = field(
        default_factory=partial(defaultdict, GrowingTexts)
    )
    numbers: dict[str, GrowingNumbers] = field(default_factory=dict)
    faulty: GrowingArray = field(default_factory=partial(GrowingArray, np.bool_))
    lines: GrowingTexts = field(default_factory=GrowingTexts)

    def add(self, batch: TypedBatch, faulty: Bools, lines: pa.StringArray) -> None:
        """Take what is kept of a batch."""
        for name, text in batch.texts.items():
            if name in self.kept:
                self.texts[name].append(text)
        for name, (values, nulls) in batch.whole_numbers().items():
            if name in self.kept:
                if name not in self.numbers:
                    # those that hold fit 32 bits
                    short = name in WHOLE_COLUMNS
                    self.numbers[name] = GrowingNumbers(np.int32 if short else np.int64)
                self.numbers[name].append(values, nulls)
        self.faulty.append(faulty)
        self.lines.append(lines)
        self.rejects.add(batch, faulty)


def read_rows(
    vendor_id: str,
    parsed: ParsedFeed,
    reader: RowReader,
    columns: Collection[str],
    warnings: tuple[ReportEntry, ...],
    room: int,
) -> ReadRows:
    """Read every row of a feed.

    Args:
        vendor_id: the vendor.
        parsed: its feed.
        reader: how its cells are read.
        columns: the columns of offers that are kept, the SKU among them.
        warnings: those that the vendor has already.
        room: how many entries of refused rows are kept at the most.

    Raises:
        FeedUnreadableError: the feed's structure is broken.
    """
    log = RejectLog(vendor_id, parsed.headers or (), reader, room)
    rows = ReadRows(vendor_id, warnings, log, columns)
    read = partial(_read_batch, vendor_id, reader)
    for batch, judged, faulty, lines in ordered_map(read, parsed.batches):
        rows.gate.add(judged, faulty)
        rows.add(batch, faulty, lines)
    rows.gate.judge()
    log.add_ragged(parsed.ragged)
    rows.ragged = len(parsed.ragged)
    return rows


def _read_batch(
    vendor_id: str, reader: RowReader, batch: TextBatch
) -> tuple[TypedBatch, pa.RecordBatch, Bools, pa.StringArray]:
    read = reader.read(batch)
    judged = read.typed(CANONICAL_SCHEMA.columns)
    return read, judged, read.faulty(), lines_of_batch(vendor_id, read)


@dataclass(slots=True)
class SortedRows:
    """A vendor whose rows are in order.

    ``vendor`` has all but its offers; its lines are most of what is held.
    """

    vendor: NormalizedVendor
    columns: dict[str, pa.Array | GrowingNumbers]
    places: Rows
    kept: Collection[str]

    def with_offers(self) -> NormalizedVendor:
        """Return the vendor with its offers, and use the rows up."""
        if not len(self.places):
            return self.vendor
        fields = [field for field in OFFER_SCHEMA if field.name in self.kept]
        offers = pa.table(list(ordered_map(self._taken, fields)), schema=pa.schema(fields))
        return replace(self.vendor, offers=offers)

    def _taken(self, field: pa.Field) -> pa.Array:
        """Return the rows of a column, which is let go."""
        column = self.columns.pop(field.name, None)
        if isinstance(column, GrowingNumbers):
            return column.take(self.places)
        if column is not None:
            return column.take(pa.array(self.places)).cast(field.type)
        size = len(self.places)
        return empty_texts(size) if field.type == pa.string() else no_numbers(size)


def sorted_rows(rows: ReadRows) -> SortedRows:
    """Put the valid rows in order of SKU, then of rows; ``rows`` is used up.

    Raises:
        ContractBrokenError: the schema refuses a row that no reader found a fault in, or the
            other way round.
    """
    faulty = rows.faulty.array()
    columns = {name: text.used_up() for name, text in rows.texts.items()} | rows.numbers
    with ThreadPoolExecutor(1) as beside:
        entries, rejects = map(beside.submit, (rows.rejects.entries, rows.rejects.table))
        places = rows_in_order(columns["sku"], ~faulty) if len(faulty) else np.empty(0, np.int64)
    rows.gate.close()
    vendor = NormalizedVendor(
        rows.vendor_id,
        "parsed",
        warnings=rows.warnings,
        total_rows=len(faulty) + rows.ragged,
        invalid_rows=int(faulty.sum()) + rows.ragged,
        fault_counts=dict(rows.rejects.counts),
        entries=entries.result(),
        rejects=rejects.result(),
        lines=SortedLines(rows.lines.used_up(), places),
    )
    return SortedRows(vendor, columns, places, rows.kept)
