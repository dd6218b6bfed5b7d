"""One vendor's parsed feed to its valid rows in order and its rejected rows.

Batches are read on two threads while Arrow splits the next, and judged when there are many rows of
them; what needs all rows comes after, and can run beside the reading of another vendor. A work file
takes the result to another process.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar.growing_columns import (
    GrowingArray,
    GrowingNumbers,
    GrowingTexts,
)
from relay_core.columnar.sorted_file import read_sorted_file, sorted_file_chunks
from relay_core.columnar.sorting import TextOrder, order_by_text
from relay_core.columnar.text import Bools, Ints, Rows, bytes_of, one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.columnar.timestamps import BEFORE_ALL
from relay_core.domain import columns as canonical
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import INPUT_COLUMNS, is_extra
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.domain.records import Cause, ReportEntry
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.normalize.rejected_rows import RejectionLog
from relay_core.normalize.result import Cells, NormalizedVendor, VendorColumns
from relay_core.normalize.row_reader import RowReader, TypedBatch
from relay_core.validation import contracts

ReadAgain: TypeAlias = Callable[[], Iterator[TextBatch | MalformedRecords]]
_NO_LINES = pa.array([], pa.string())
_SLICE = 1 << 16  # how many lines are written at a time
_VALIDATED_CELLS = (
    8 << 20
)  # so many cells wait for their verdict: of a wide feed few rows do
WORK_FILE = "offers.arrow"
REJECTED_BY_SKU = pa.schema(
    [
        ("sku", pa.large_string()),
        ("vendor_id", pa.string()),
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
    ]
)
"""One rejected row that has a SKU."""

_REPORT = b"report"
_PLAIN = (
    *(
        "vendor_id",
        "status",
        "is_read",
        "skipped",
        "total_rows",
        "invalid_rows",
        "duplicates",
    ),
    *("last_sku", "fault_counts"),
)
_ROWS_AT_ONCE = 1 << 16


class RowValidator:
    """Holds the contract against rows on another thread; the log gets those that it rejects."""

    def __init__(self, log: RejectionLog) -> None:
        self.log = log
        self._rejected = GrowingArray(np.bool_)
        self._beside = ThreadPoolExecutor(1)
        self._beside.submit(contracts.check_offers, contracts.OFFER_SCHEMA)
        self._waiting: list[TypedBatch] = []
        self._verdicts: list[Future[None]] = []

    def add(self, batch: TypedBatch) -> None:
        """Take rows."""
        self._waiting.append(batch)
        rows = sum(each.size for each in self._waiting)
        if (
            rows >= contracts.VALIDATED_ROWS
            or rows * len(batch.raw.columns) >= _VALIDATED_CELLS
        ):
            self.judge()

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records that do not fit the header, which nobody has to judge."""
        self._verdicts.append(self._beside.submit(self.log.add_malformed, malformed))

    def judge(self) -> None:
        """Begin to judge what is left."""
        if self._waiting:
            self._verdicts.append(self._beside.submit(self._judge, self._waiting))
            self._waiting = []

    def rejected(self) -> Bools:
        """Wait for all verdicts, return which rows are rejected; or `ContractBrokenError`."""
        with self._beside:
            for verdict in self._verdicts:
                verdict.result()
        return self._rejected.array()

    def _judge(self, batches: list[TypedBatch]) -> None:
        rows = pa.Table.from_batches(
            [batch.rows(contracts.OFFER_SCHEMA.names) for batch in batches]
        )
        contracts.check_offers(rows.schema)
        faulty = ([codes != 0 for codes in batch.faults.values()] for batch in batches)
        suspect = np.concatenate([np.logical_or.reduce(cells) for cells in faulty])
        rejected = contracts.rejected_cells(
            contracts.CANONICAL_SCHEMA, contracts.frame_of(rows), suspect
        )
        start = 0
        for batch in batches:
            part = {
                name: cells[start : start + batch.size]
                for name, cells in rejected.items()
            }
            self.log.add(
                batch, {name: cells for name, cells in part.items() if cells.any()}
            )
            start += batch.size
        none = np.zeros(len(rows), np.bool_)
        self._rejected.append(np.logical_or.reduce([none, *rejected.values()]))


@dataclass(slots=True)
class ReadRows:
    """All rows of a feed, in its order, rejected ones too; ``sorted_rows`` consumes them.

    ``texts`` and ``numbers`` are those columns of ``kept`` that have a value in any row.
    ``again``, where rows with the same SKU are rejected, begins to read the feed anew: their
    records are looked up then.
    """

    vendor: NormalizedVendor  # without rows
    validator: RowValidator
    kept: Collection[str]
    again: ReadAgain | None = None
    texts: defaultdict[str, GrowingTexts] = field(
        default_factory=partial(defaultdict, GrowingTexts)
    )
    numbers: dict[str, GrowingNumbers] = field(default_factory=dict)
    lines: GrowingTexts = field(default_factory=GrowingTexts)
    skipped: int = 0

    def add(self, batch: TypedBatch, lines: pa.StringArray) -> None:
        """Take what is kept of a batch."""
        self.skipped += batch.skipped
        self.validator.add(batch)
        for name, text in batch.texts.items():
            if name in self.kept:
                self.texts[name].append(text)
        for name, (values, nulls) in batch.integers().items():
            if name in self.kept:
                if name not in self.numbers:
                    width = contracts.OFFER_SCHEMA.field(name).type.bit_width
                    self.numbers[name] = GrowingNumbers(
                        np.int32 if width == 32 else np.int64
                    )
                self.numbers[name].append(values, nulls)
        self.lines.append(lines)


def read_rows(
    vendor: NormalizedVendor,
    parsed: ParsedFeed,
    reader: RowReader,
    columns: Collection[str],
    limits: Limits,
    again: ReadAgain | None = None,
) -> ReadRows:
    """Read every row of a vendor's feed; ``columns`` of offers are kept, the SKU among them.

    ``again`` begins to read the feed anew, where rows with the same SKU are rejected.
    `FeedUnreadableError`: the feed's structure is broken.
    """
    log = RejectionLog(
        vendor.vendor_id, parsed.headers or (), reader, limits, parsed.places
    )
    kept = columns if again is None else {*columns, "row_number"}
    rows = ReadRows(vendor, RowValidator(log), kept, again)

    def read_batch(
        batch: TextBatch | MalformedRecords,
    ) -> tuple[TypedBatch, pa.StringArray] | tuple[MalformedRecords, int]:
        if isinstance(batch, MalformedRecords):
            return reader.without_skipped(batch)
        read = reader.read(batch)
        return read, lines_of_batch(vendor.vendor_id, read, reader.parser.extra_columns)

    for read in ordered_map(read_batch, parsed.batches):
        if isinstance(read[0], MalformedRecords):
            rows.validator.add_malformed(read[0])
            rows.skipped += read[1]
        else:
            rows.add(*read)
    rows.validator.judge()
    return rows


def lines_of_batch(
    vendor_id: str, batch: TypedBatch, extra_columns: Sequence[str] = ()
) -> pa.StringArray:
    """Return the line of normalized.csv of each row of a batch, its line feed included.

    Most cells stand in the feed as they are to be written: whole lines are made beside reading,
    when the cells are at hand, before anybody knows which rows hold. Those of rejected rows are
    never used.
    """
    *columns, last = (
        canonical.COLUMNS
    )  # the last is an instant; it takes the line feed along
    fields: list[pa.StringArray | str] = []
    for column in columns:
        text, read = batch.texts.get(column.name), batch.numbers.get(column.name)
        if column.name == "vendor_id":
            fields.append(vendor_id)
        elif read is not None:
            is_money = column.kind is canonical.Kind.MONEY
            write = csv_text.money_text if is_money else csv_text.whole_text
            fields.append(csv_text.canonical_text(read, write))
        elif text is None or column.kind is canonical.Kind.CONDITION:
            fields.append("" if text is None else text)
        else:
            fields.append(csv_text.quoted(text))
    updated = batch.numbers[last.name].values
    # A row that is rejected for its instant has no line to speak of: any real one will do.
    real = updated.max(initial=0)
    end = b"" if extra_columns else b"\n"
    instants = csv_text.instant_text(
        np.where(updated == BEFORE_ALL, real, updated), end
    )
    if not extra_columns:
        return csv_text.join_fields([*fields, instants])
    texts = (batch.texts.get(canonical.extra_column(name)) for name in extra_columns)
    extra = ["" if text is None else csv_text.quoted(text) for text in texts]
    return csv_text.joined_lines([*fields, instants, *extra])


@dataclass(slots=True)
class SortedVendor:
    """A vendor whose rows are in order, before its offers are made."""

    vendor: NormalizedVendor  # all but its offers
    kept: VendorColumns  # the columns of its rows
    # Those of normalized.csv in the order of records, most of what is held
    lines: pa.StringArray | pa.LargeStringArray

    @classmethod
    def without_rows(cls, vendor: NormalizedVendor) -> "SortedVendor":
        """Return a vendor of which there is nothing to sort."""
        return cls(vendor, VendorColumns({}, np.empty(0, np.int64)), _NO_LINES)

    def consume_lines(
        self, extra_columns: Sequence[str] = ()
    ) -> Iterator[bytes | memoryview]:
        """Return normalized.csv, some lines at a time, a tenant's extra columns last.

        From then on only whoever writes the lines holds them.
        """
        text, self.lines, rows = self.lines, _NO_LINES, self.kept.rows
        header = csv_text.header_line((*canonical.CANONICAL_COLUMNS, *extra_columns))
        slices = (rows[at : at + _SLICE] for at in range(0, len(rows), _SLICE))
        lines = ordered_map(lambda some: bytes_of(text.take(pa.array(some))), slices)
        return chain([header], lines)

    def with_offers(self, columns: Collection[str]) -> NormalizedVendor:
        """Return the vendor with some columns of its offers, which ``kept`` has no longer."""
        fields = list(contracts.offer_fields(columns))
        taken = list(ordered_map(self.kept.consume, fields))
        offers = contracts.frame_of(pa.table(taken, schema=pa.schema(fields)))
        cells = self.kept.columns.items()
        left = {
            name: each
            for name, each in cells
            if name in INPUT_COLUMNS or is_extra(name)
        }
        return replace(
            self.vendor, offers=offers, deferred=VendorColumns(left, self.kept.rows)
        )


def _reject_repeated(
    log: RejectionLog,
    order: TextOrder,
    skus: pa.StringArray,
    numbers: Ints,
    again: ReadAgain,
) -> Rows:
    """Reject the rows whose SKU other rows have; return the rest, in their order."""
    sizes = np.diff(order.starts, append=len(order.rows))
    is_alone = np.repeat(sizes == 1, sizes)
    repeated = np.sort(order.rows[~is_alone])
    numbers, skus = numbers[repeated], skus.take(pa.array(repeated))
    for batch in again() if len(repeated) else ():
        if isinstance(batch, TextBatch) and len(batch.row_numbers):
            first, last = batch.row_numbers[[0, -1]]
            start, stop = np.searchsorted(numbers, [first, last + 1])
            if start < stop:
                places = np.searchsorted(batch.row_numbers, numbers[start:stop])
                log.add_repeated(batch, places, skus.slice(start, stop - start))
    return np.asarray(order.rows[is_alone])


def sorted_rows(rows: ReadRows | NormalizedVendor, room: ReportRoom) -> SortedVendor:
    """Put the valid rows, consumed, in order of SKU, then of rows; or `ContractBrokenError`."""
    if isinstance(rows, NormalizedVendor):
        return SortedVendor.without_rows(rows)
    rejected = rows.validator.rejected()
    log = rows.validator.log
    texts = {name: text.consume() for name, text in rows.texts.items()}
    numbers = {name: each.consume() for name, each in rows.numbers.items()}
    columns: dict[str, Cells] = {**texts, **numbers}
    order, again = np.empty(0, np.int64), rows.again
    if len(rejected) and again is not None:
        by_sku = order_by_text(texts["sku"], ~rejected)
        order = _reject_repeated(
            log, by_sku, texts["sku"], numbers["row_number"][0], again
        )
    with ThreadPoolExecutor(1) as beside:
        reported, rejected_rows = (
            beside.submit(log.reported, room),
            beside.submit(log.table),
        )
        if len(rejected) and again is None:
            order = order_by_text(texts["sku"], ~rejected).rows
    entries, causes = reported.result()
    vendor = replace(
        rows.vendor,
        is_read=True,
        total_rows=len(rejected) + log.malformed,
        invalid_rows=log.records,
        skipped=rows.skipped,
        last_sku=texts["sku"][-1].as_py()
        if "sku" in texts and len(texts["sku"])
        else None,
        fault_counts=dict(log.counts),
        causes=causes,
        held=log.held,
        entries=entries,
        rejected_rows=rejected_rows.result(),
    )
    return SortedVendor(vendor, VendorColumns(columns, order), rows.lines.consume())


def work_file_chunks(
    ordered: SortedVendor, vendor: NormalizedVendor, extra_columns: Sequence[str] = ()
) -> Iterator[memoryview]:
    """Yield the work file of a vendor with offers; ``ordered`` has its columns that they lack."""
    schema = contracts.offer_schema(extra_columns)
    report = {
        **{name: getattr(vendor, name) for name in _PLAIN},
        "fault": None if vendor.fault is None else vendor.fault.as_dict(),
        "warnings": [entry.as_dict() for entry in vendor.warnings],
        "causes": [cause.as_dict() for cause in vendor.causes],
    }

    def offers() -> Iterator[pa.Table]:
        made = contracts.table_of(vendor.offers)
        for start in range(0, len(made), _ROWS_AT_ONCE):
            rows = ordered.kept.rows[start : start + _ROWS_AT_ONCE]
            part = made.slice(start, len(rows))
            columns = (
                part[each.name]
                if each.name in made.column_names
                else ordered.kept.cells(each, rows)
                for each in schema
            )
            yield pa.table(list(columns), schema=schema).combine_chunks()

    return sorted_file_chunks(
        schema.with_metadata(
            {_REPORT: json.dumps(report, ensure_ascii=False).encode()}
        ),
        "sku",
        offers(),
        [
            vendor.rejected_rows,
            pa.table({"entry": pa.array(vendor.entries, pa.large_string())}),
        ],
    )


def read_work_file(data: bytes | memoryview) -> NormalizedVendor:
    """Return the vendor that a work file holds."""
    offers, rejected_rows, entries = read_sorted_file(data)
    report = json.loads(offers.schema.metadata[_REPORT])
    fault = report.pop("fault")
    return NormalizedVendor(
        **{
            **report,
            "status": VendorStatus(report["status"]),
            "fault": None if fault is None else ReportEntry(**fault),
            "warnings": tuple(ReportEntry(**entry) for entry in report["warnings"]),
            "causes": tuple(map(Cause.of, report["causes"])),
        },
        entries=tuple(entries["entry"].to_pylist()),
        offers=contracts.frame_of(offers.replace_schema_metadata(None)),
        rejected_rows=rejected_rows,
    )


def rejected_rows_chunks(vendors: Sequence[NormalizedVendor]) -> Iterator[memoryview]:
    """Yield the rejected rows that have a SKU, by SKU, then vendor and row."""
    parts = [REJECTED_BY_SKU.empty_table()]
    for vendor in sorted(vendors, key=lambda each: each.vendor_id):
        known = vendor.rejected_rows.filter(pc.is_valid(vendor.rejected_rows["sku"]))
        whose = pa.repeat(vendor.vendor_id, len(known))
        columns = (known["sku"], whose, known["row_number"], known["error_codes"])
        parts.append(pa.table(list(columns), schema=REJECTED_BY_SKU))
    rejected = pa.concat_tables(parts)
    order = order_by_text(one_chunk(rejected["sku"])).rows
    starts = range(0, len(order), _ROWS_AT_ONCE)
    rows = (
        rejected.take(pa.array(order[start : start + _ROWS_AT_ONCE]))
        for start in starts
    )
    yield from sorted_file_chunks(REJECTED_BY_SKU, "sku", rows)
