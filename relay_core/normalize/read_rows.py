"""The rows of one file as columns: batches read, checked, and put in order.

Batches are read on two threads while Arrow splits the next ones, and are checked when
there are enough rows.
"""

from collections import defaultdict
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
)
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RecordNumbers, RowIndex, RowMask
from relay_core.columnar.growing_columns import (
    GrowingArray,
    GrowingNumbers,
    GrowingTexts,
)
from relay_core.columnar.sorting import TextOrder, order_by_text
from relay_core.columnar.threads import ordered_map
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.normalize.rejected_rows import RejectionLog
from relay_core.normalize.result import (
    NormalizedVendor,
    VendorColumns,
)
from relay_core.normalize.row_reader import RowReader
from relay_core.normalize.row_validator import RowValidator
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.normalize.vendor import (
    AcceptedRows,
    ReadyLines,
    SortedVendor,
    lines_of_batch,
    with_reports,
)
from relay_core.products.matched_rows import key_codes, matched_rows
from relay_core.products.matcher import are_unmatched
from relay_core.validation.row_schemas import (
    MATCHED_BY,
    OFFER_SCHEMA,
)

ReadAgain: TypeAlias = Callable[[], Iterator[TextBatch | MalformedRecords]]
"""Begins to read a feed again."""


@dataclass(slots=True)
class ReadRows:
    """All rows of a feed as columns, in its order, rejected ones too."""

    vendor: NormalizedVendor  # the vendor, without rows
    validator: RowValidator  # the check of the rows
    kept: Collection[str]  # the names of the columns that are kept
    # Begins to read the feed again, to look up rows with the same SKU; None if such rows
    # are not rejected.
    again: ReadAgain | None = None
    # The kept columns that have a value in any row.
    texts: defaultdict[str, GrowingTexts] = field(
        default_factory=partial(defaultdict, GrowingTexts),
    )
    numbers: dict[str, GrowingNumbers] = field(default_factory=dict)
    # Of normalized.csv
    lines: GrowingTexts = field(default_factory=GrowingTexts)
    # The key that matched each row, and the SKU before that; empty without a catalog
    codes: GrowingArray = field(default_factory=lambda: GrowingArray(np.uint8))
    own_skus: GrowingTexts = field(default_factory=GrowingTexts)
    skipped: int = 0  # the number of records that `parser.skip_rows` names
    # The SKUs of the records that delete rows of earlier files
    deleted_skus: list[pa.StringArray] = field(default_factory=list)

    def add(self, batch: TypedBatch, lines: pa.StringArray | None) -> None:
        """Take the kept columns of a batch, and its lines of normalized.csv."""
        self.skipped += batch.skipped
        if batch.deleted_skus is not None:
            self.deleted_skus.append(batch.deleted_skus)
        self.validator.add(batch)
        for name, text in batch.texts.items():
            if name in self.kept:
                self.texts[name].append(text)
        for name, (values, nulls) in batch.integers().items():
            if name not in self.kept:
                continue
            if name not in self.numbers:
                kind = OFFER_SCHEMA.field(name).type
                is_short = kind.bit_width == 32
                self.numbers[name] = GrowingNumbers(
                    np.int32 if is_short else np.int64,
                )
            self.numbers[name].append(values, nulls)
        if lines is not None:
            self.lines.append(lines)
        if batch.matched is not None:
            self.codes.append(batch.matched.codes)
            if self.again is not None:
                self.own_skus.append(batch.own_skus)

    def add_all(
        self,
        batches: Iterable["_ReadBatch | _ReadMalformed"],
    ) -> None:
        """Take all batches of a feed, and begin to check the last rows."""
        for batch in batches:
            if isinstance(batch, _ReadBatch):
                self.add(batch.rows, batch.lines)
                continue
            self.validator.add_malformed(batch.records)
            self.skipped += batch.skipped
            self.deleted_skus.append(batch.deleted_skus)
        self.validator.flush()

    def accepted(self) -> AcceptedRows[VendorColumns]:
        """Return the valid rows in the order of the file; this consumes the rows.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        is_rejected = self.validator.rejected()
        log = self.validator.log
        columns: dict[str, Any] = {
            name: text.consume() for name, text in self.texts.items()
        }
        for name, column in self.numbers.items():
            columns[name] = column.consume()
        skus = columns.get("sku")
        vendor = replace(
            self.vendor,
            total_rows=len(is_rejected) + log.malformed,
            skipped=self.skipped,
            last_sku=None
            if skus is None or not len(skus)
            else skus[-1].as_py(),
        )
        valid_columns = VendorColumns(columns, np.flatnonzero(~is_rejected))
        return AcceptedRows(vendor, valid_columns, log, self.deleted_skus)

    def ordered(self, room: ReportRoom) -> "SortedVendor":
        """Return the valid rows in order of SKU, then of rows; this consumes the rows.

        Args:
            room: The room for the vendor's entries, which take of it.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        rows = self.accepted()
        columns: dict[str, Any] = rows.kept.columns
        skus = columns.get("sku")
        is_valid = np.zeros(0 if skus is None else len(skus), np.bool_)
        is_valid[rows.kept.rows] = True
        is_used = is_valid & ~self._taken_out(len(is_valid))
        valid_rows = np.empty(0, np.int64)
        if len(is_valid) and self.again is not None:
            record_numbers, _ = columns["row_number"]
            by_sku = order_by_text(skus, is_used)
            valid_rows = self._without_repeated(by_sku, skus, record_numbers)
            is_valid[by_sku.rows] = False
            is_valid[valid_rows] = True

        def order() -> RowIndex:
            if not len(is_valid) or self.again is not None:
                return valid_rows
            return order_by_text(skus, is_used).rows

        vendor, in_order = with_reports(rows.vendor, rows.log, room, order)
        valid_columns = VendorColumns(columns, in_order)
        vendor = self._with_matched(vendor, is_valid, valid_columns)
        return SortedVendor(
            vendor, valid_columns, ReadyLines(self.lines.consume())
        )

    def _taken_out(self, row_count: int) -> RowMask:
        """Return which rows are no offers because no product matches them."""
        matcher = self.validator.log.reader.matcher
        if matcher is not None and matcher.leaves_out:
            return are_unmatched(self.codes.array())
        return np.zeros(row_count, np.bool_)

    def _without_repeated(
        self,
        by_sku: TextOrder,
        skus: pa.StringArray,
        record_numbers: RecordNumbers,
    ) -> RowIndex:
        """Reject the rows whose SKU others have; return the other rows in order."""
        log = self.validator.log
        again = self.again
        if again is None:
            return by_sku.rows
        if log.reader.matcher is not None:
            skus = self.own_skus.consume()
        return _reject_repeated(log, by_sku, skus, record_numbers, again)

    def _with_matched(
        self,
        vendor: NormalizedVendor,
        is_valid: RowMask,
        kept: VendorColumns,
    ) -> NormalizedVendor:
        """Return the vendor with its valid rows by the key that matched them."""
        matcher = self.validator.log.reader.matcher
        if matcher is None:
            return vendor
        codes = self.codes.array()
        kept.columns[MATCHED_BY] = key_codes(codes)
        matched = matched_rows(matcher, codes, is_valid, kept)
        return replace(vendor, matched=matched)


class _ReadBatch(NamedTuple):
    """A batch after reading, with its lines of normalized.csv."""

    rows: TypedBatch
    lines: pa.StringArray | None  # None if they are not written


class _ReadMalformed(NamedTuple):
    """Malformed records after reading."""

    records: MalformedRecords
    skipped: int  # the number of records that are no rows
    # The SKUs of those that delete rows of earlier files
    deleted_skus: pa.StringArray


def read_rows(
    vendor: NormalizedVendor,
    parsed: ParsedFeed,
    reader: RowReader,
    columns: Collection[str],
    limits: Limits,
    again: ReadAgain | None = None,
    file_name: str | None = None,
) -> ReadRows:
    """Read all rows of a vendor's feed.

    Args:
        vendor: The vendor.
        parsed: The feed.
        reader: The reader of the feed's cells.
        columns: The columns of offers to keep, the SKU among them.
        limits: The limits of reports.
        again: Begins to read the feed again, to reject rows with the same SKU.
        file_name: The name of the file, if it is one of several: no lines are made.

    Raises:
        FeedUnreadableError: The feed's structure is broken.
    """
    log = RejectionLog(
        vendor.vendor_id,
        parsed.headers or (),
        reader,
        limits,
        parsed.locator,
        file_name,
    )
    if again is not None or reader.matcher is not None:
        columns = {*columns, "row_number"}
    rows = ReadRows(vendor, RowValidator(log), columns, again)

    def read_batch(
        batch: TextBatch | MalformedRecords,
    ) -> _ReadBatch | _ReadMalformed:
        if isinstance(batch, MalformedRecords):
            return _malformed_of(reader, batch)
        typed_batch = reader.read(batch)
        if file_name is not None:
            return _ReadBatch(typed_batch, None)
        names = reader.parser.extra_columns
        lines = lines_of_batch(vendor.vendor_id, typed_batch, names)
        return _ReadBatch(typed_batch, lines)

    rows.add_all(ordered_map(read_batch, parsed.batches))
    return rows


def _malformed_of(
    reader: RowReader,
    batch: MalformedRecords,
) -> _ReadMalformed:
    """Return malformed records without those that are no rows."""
    records, skipped = reader.without_skipped(batch)
    records, deleted_skus = reader.without_deleted(records)
    return _ReadMalformed(records, skipped + len(deleted_skus), deleted_skus)


def _reject_repeated(
    log: RejectionLog,
    order: TextOrder,
    skus: pa.StringArray,
    record_numbers: RecordNumbers,
    again: ReadAgain,
) -> RowIndex:
    """Reject the rows whose SKU other rows have.

    Return the other rows, in their order.
    """
    sizes = np.diff(order.starts, append=len(order.rows))
    is_alone = np.repeat(sizes == 1, sizes)
    repeated = np.sort(order.rows[~is_alone])
    add_repeated(
        log,
        record_numbers[repeated],
        skus.take(pa.array(repeated)),
        again,
    )
    return np.asarray(order.rows[is_alone])


def add_repeated(
    log: RejectionLog,
    record_numbers: RecordNumbers,
    skus: pa.StringArray,
    again: ReadAgain,
) -> None:
    """Reject rows of a feed that repeat a SKU.

    Args:
        log: The log of the feed's rejected rows.
        record_numbers: The numbers of the rows, in order.
        skus: The SKU of each of them.
        again: Begins to read the feed again, to look them up.
    """
    for batch in again() if len(record_numbers) else ():
        if isinstance(batch, TextBatch) and len(batch.row_numbers):
            first, last = batch.row_numbers[[0, -1]]
            start, stop = np.searchsorted(record_numbers, [first, last + 1])
            if start < stop:
                numbers = record_numbers[start:stop]
                rows = np.searchsorted(batch.row_numbers, numbers)
                log.add_repeated(batch, rows, skus.slice(start, stop - start))
