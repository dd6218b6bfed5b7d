"""One vendor's valid rows in order, its lines of normalized.csv, and its rejected rows.

These steps need all rows of the vendor, and can run beside the reading of another one.
"""

from collections.abc import (
    Callable,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.text import bytes_of, empty_texts
from relay_core.columnar.threads import ordered_map
from relay_core.columnar.timestamps import BEFORE_ALL
from relay_core.config.inputs.parts import InputPart
from relay_core.config.inputs.uploads import FileKind
from relay_core.domain import columns as canonical
from relay_core.domain.limits import ReportRoom
from relay_core.ingest.feed import ParsedFeed
from relay_core.normalize.rejected_rows import RejectionLog
from relay_core.normalize.result import (
    KeptColumns,
    KeptOffers,
    NormalizedVendor,
    VendorColumns,
)
from relay_core.normalize.typed_batch import TypedBatch

_LINES_AT_ONCE = 1 << 16  # the number of lines that are written at a time


AnyColumns = TypeVar("AnyColumns", bound=KeptColumns, covariant=True)


@dataclass(frozen=True, slots=True)
class AcceptedRows(Generic[AnyColumns]):
    """The valid rows of a file in its order, and its rejected ones."""

    vendor: NormalizedVendor  # the vendor with the numbers of its records
    kept: AnyColumns  # the kept columns; its rows are the valid ones
    log: RejectionLog  # the rejected rows
    # The SKUs of the records that delete rows of earlier files
    deleted_skus: Sequence[pa.StringArray] = ()


class VendorRows(Protocol):
    """All rows of a vendor, rejected ones too."""

    def ordered(self, room: ReportRoom) -> "SortedVendor":
        """Return the valid rows in order of SKU, then of rows; this consumes the rows.

        Args:
            room: The room for the vendor's entries, which take of it.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """


class RowsOfFile(VendorRows, Protocol):
    """All rows of one file, rejected ones too."""

    vendor: NormalizedVendor  # the vendor, without rows

    def accepted(self) -> AcceptedRows[KeptColumns]:
        """Return the valid rows in the order of the file; this consumes the rows.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """


class ReadFile(NamedTuple):
    """A file of a vendor after reading."""

    part: InputPart
    name: str  # the file's name
    kind: FileKind
    # Its rows, or the vendor if the file has none, or is unusable
    rows: RowsOfFile | NormalizedVendor
    # Begins to read the file again, to look up rows
    again: Callable[[], ParsedFeed]


def lines_of_batch(
    vendor_id: str,
    batch: TypedBatch,
    extra_columns: Sequence[str] = (),
) -> pa.StringArray:
    """Return the line of normalized.csv of each row of a batch, with its line feed.

    Most cells of a feed are written verbatim. So lines are made while the cells are at
    hand, before it is known which rows are valid. The lines of rejected rows are not
    used.
    """
    *columns, last_column = canonical.COLUMNS
    fields: list[pa.StringArray | str] = []
    for column in columns:
        text = batch.texts.get(column.name)
        numbers = batch.numbers.get(column.name)
        if column.name == "vendor_id":
            fields.append(vendor_id)
        elif numbers is not None:
            is_money = column.kind is canonical.Kind.MONEY
            write = csv_text.money_text if is_money else csv_text.whole_text
            fields.append(csv_text.canonical_text(numbers, write))
        elif text is None:
            fields.append("")
        elif column.kind is canonical.Kind.CONDITION:
            fields.append(text)
        else:
            fields.append(csv_text.quoted(text))
    updated_at = batch.numbers[last_column.name].values
    # A row that is rejected for its instant has no instant to write; any other will do.
    any_instant = updated_at.max(initial=0)
    instants = np.where(updated_at == BEFORE_ALL, any_instant, updated_at)
    if not extra_columns:
        fields.append(csv_text.instant_text(instants, b"\n"))
        return csv_text.join_fields(fields)
    fields.append(csv_text.instant_text(instants, b""))
    for name in extra_columns:
        text = batch.texts.get(canonical.extra_column(name))
        fields.append("" if text is None else csv_text.quoted(text))
    return csv_text.joined_lines(fields)


class Lines(Protocol):
    """The lines of normalized.csv of all rows of a feed."""

    def of_rows(self, rows: RowIndex) -> memoryview:
        """Return the lines of some rows."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadyLines:
    """Lines that were written when the rows were read."""

    text: pa.StringArray | pa.LargeStringArray

    def of_rows(self, rows: RowIndex) -> memoryview:
        """Return the lines of some rows."""
        return bytes_of(self.text.take(pa.array(rows)))


_NO_LINES = ReadyLines(empty_texts(0))


@dataclass(slots=True)
class SortedVendor:
    """A vendor whose rows are in order, before its offers are made."""

    vendor: NormalizedVendor  # the vendor, without offers
    kept: KeptColumns  # the kept columns of its rows
    lines: Lines  # the lines of normalized.csv: most of the memory in use

    @classmethod
    def without_rows(cls, vendor: NormalizedVendor) -> "SortedVendor":
        """Return a vendor that has no rows to sort."""
        no_columns = VendorColumns({}, np.empty(0, np.int64))
        return cls(vendor, no_columns, _NO_LINES)

    def consume_lines(
        self,
        extra_columns: Sequence[str] = (),
    ) -> Iterator[bytes | memoryview]:
        """Return normalized.csv, some lines at a time.

        Only the iterator keeps the lines in memory after this call.

        Args:
            extra_columns: The tenant's extra columns, the last ones of the file.
        """
        lines = self.lines
        self.lines = _NO_LINES
        rows = self.kept.rows
        names = (*canonical.CANONICAL_COLUMNS, *extra_columns)

        def chunk(start: int) -> memoryview:
            return lines.of_rows(rows[start : start + _LINES_AT_ONCE])

        starts = range(0, len(rows), _LINES_AT_ONCE)
        return chain([csv_text.header_line(names)], ordered_map(chunk, starts))

    def with_offers(self) -> NormalizedVendor:
        """Return the vendor with its offers, whose cells stay in ``kept``."""
        return replace(self.vendor, offers=KeptOffers(self.kept))


def sorted_rows(
    rows: VendorRows | NormalizedVendor,
    room: ReportRoom,
) -> SortedVendor:
    """Put the valid rows in order of SKU, then of rows; this consumes the rows.

    Args:
        rows: The rows, or a vendor that has none.
        room: The room for the vendor's entries, which take of it.

    Raises:
        ContractBrokenError: The columns are not those of the contract.
    """
    if isinstance(rows, NormalizedVendor):
        return SortedVendor.without_rows(rows)
    return rows.ordered(room)


def with_reports(
    vendor: NormalizedVendor,
    log: RejectionLog,
    room: ReportRoom,
    order: Callable[[], RowIndex],
) -> tuple[NormalizedVendor, RowIndex]:
    """Return a vendor with its rejected rows, and the order of its valid rows.

    The reports are made on another thread while this one puts the rows in order.

    Args:
        vendor: The vendor.
        log: The rejected rows.
        room: The room for the vendor's entries, which take of it.
        order: Returns the valid rows in order.
    """
    with ThreadPoolExecutor(1) as thread:
        reported = thread.submit(log.reported, room)
        rejected_rows = thread.submit(log.table)
        rows = order()
    entries, causes = reported.result()
    vendor = replace(
        vendor,
        is_read=True,
        invalid_rows=log.records,
        fault_counts=dict(log.counts),
        causes=causes,
        valid_samples={None: [log.valid_samples]},
        entries=entries,
        rejected_rows=rejected_rows.result(),
    )
    return vendor, rows
