"""One vendor's feed, most of whose rows the kernel reads.

The kernel reads plain records. All others are doubtful: they are read by the reader of
cells, as a small feed of their own, with the numbers that they have in the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from relay_core.columnar.arrays import RowIndex, WholeNumbers
from relay_core.columnar.sorting import order_by_text
from relay_core.domain.cell_rules import read_cell
from relay_core.domain.columns import BY_NAME, CONDITIONS, Kind
from relay_core.domain.errors import CellError, FeedUnreadableError
from relay_core.domain.limits import Limits, ReportRoom
from relay_core.ingest import csv_records
from relay_core.ingest.feed import (
    Batches,
    Buffer,
    CsvText,
    MalformedRecords,
    ParsedFeed,
    RecordLocator,
    TextBatch,
)
from relay_core.kernel import compiled, text_parts
from relay_core.kernel.feed_scan import FeedOptions
from relay_core.normalize.packed_rows import (
    GrowingRows,
    PackedColumns,
    PackedLines,
)
from relay_core.normalize.rejected_rows import VALID_SAMPLES, RejectionLog
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader
from relay_core.normalize.row_validator import RowValidator
from relay_core.normalize.vendor import (
    AcceptedRows,
    SortedVendor,
    with_reports,
)
from relay_core.products.matched_rows import matched_rows
from relay_core.products.matcher import are_unmatched
from relay_core.validation import row_checks

if TYPE_CHECKING:  # the kernel may be missing
    from relay_core.kernel.scan import Scanner

_MAX_RAGGED_BYTES = 8 << 20
"""The limit of bytes of records that do not fit the header.

The other reader reads them in several passes if there are more, and reports list causes
in the order of these passes.
"""
_MAX_DOUBTFUL_BYTES = 1 << 20
"""The number of doubtful bytes from which on they must be less than half of the feed.

Otherwise the other reader reads the whole feed, which takes less time and memory.
"""
_BYTES_LOOKED_AT = 8 << 20
"""The position up to which the doubtful records of parts are looked at beforehand."""
_RECORDS_LOOKED_AT = 256
"""The number of records that are looked at after each part."""
_NUMBER = 2  # the column of a doubtful record's number
_LINES = 3  # the column of the line ends before it


@dataclass(slots=True)
class ScannedRows:
    """The rows of a feed: the plain ones, then those of doubtful records."""

    vendor: NormalizedVendor  # the vendor, without rows
    validator: RowValidator  # the check of the rows of doubtful records
    rows: GrowingRows
    plain_count: int = 0  # the number of plain rows
    # Whether the offers have the numbers of their records
    keeps_numbers: bool = True

    def accepted(self) -> AcceptedRows[PackedColumns]:
        """Return the valid rows in the order of the file.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        is_rejected = self.validator.rejected()
        log = self.validator.log
        is_valid = np.ones(self.rows.count, np.bool_)
        is_valid[self.plain_count :] = ~is_rejected
        packed = self.rows.ordered(is_valid)
        vendor = replace(
            self.vendor,
            total_rows=self.rows.count + log.malformed,
            last_sku=self.rows.last_sku(),
        )
        return AcceptedRows(vendor, PackedColumns(packed), log)

    def ordered(self, room: ReportRoom) -> SortedVendor:
        """Return the valid rows in order of SKU, then of rows.

        Args:
            room: The room for the vendor's entries, which take of it.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        rows = self.accepted()
        packed = rows.kept.packed.measured()
        matcher = rows.log.reader.matcher
        is_used = None
        if matcher is not None and matcher.leaves_out:
            is_used = ~are_unmatched(packed.codes)

        def order() -> RowIndex:
            skus = packed.texts(["sku"])["sku"]
            return order_by_text(skus, is_used).rows

        vendor, in_order = with_reports(rows.vendor, rows.log, room, order)
        if matcher is not None:
            is_valid = np.ones(len(packed.numbers), np.bool_)
            matched = matched_rows(matcher, packed.codes, is_valid, rows.kept)
            vendor = replace(vendor, matched=matched)
        by_sku = packed.take(in_order)
        if not self.keeps_numbers:
            by_sku = by_sku.without_numbers()
        return SortedVendor(
            vendor,
            PackedColumns(by_sku),
            PackedLines(by_sku, vendor.vendor_id),
        )


@dataclass(slots=True)
class _Doubts:
    """The doubtful records of a text, in its order."""

    text: CsvText
    size: int = 0  # the bytes of the records
    ragged_bytes: int = 0  # the bytes of those that do not fit the header
    _parts: list[WholeNumbers] = field(default_factory=list)

    def add(self, part: text_parts.TextPart, records: int, lines: int) -> None:
        """Take the doubtful records of a part, behind some records and line ends."""
        doubts = part.doubts + np.array([0, 0, records, lines])
        self._parts.append(doubts)
        self.size += int((doubts[:, 1] - doubts[:, 0]).sum())
        self.ragged_bytes += part.ragged_bytes

    def clear(self) -> None:
        """Forget all records."""
        self._parts = []
        self.size = 0

    def are_too_many(self, position: int) -> bool:
        """Return whether the text up to a position must be read without the kernel."""
        if self.ragged_bytes > _MAX_RAGGED_BYTES:
            return True
        return self.size > _MAX_DOUBTFUL_BYTES and 2 * self.size > position

    def records(self) -> WholeNumbers:
        """Return all records, a row each, as the kernel lists them."""
        if len(self._parts) != 1:
            no_records = np.empty((0, 4), np.int64)
            self._parts = [np.concatenate([no_records, *self._parts])]
        return self._parts[0]

    def read(self, records: WholeNumbers) -> Batches:
        """Read some of the records, with their numbers among these, from 1."""
        size = int((records[:, 1] - records[:, 0]).sum())
        joined = np.empty(size + len(records), np.uint8)
        compiled.scan.join_records(self.text.body, records, joined)
        is_ragged = self.ragged_bytes > 0
        return self.text.read_records(joined.tobytes(), is_ragged)

    def lines_of(self, record_numbers: Sequence[int]) -> list[int]:
        """Return the lines of the file at which some of the records start."""
        records = self.records()
        rows = np.searchsorted(records[:, _NUMBER], record_numbers)
        lines_before = records[rows, _LINES] + self.text.lines_before()
        lines: list[int] = (lines_before + 1).tolist()
        return lines


def scan_feed(
    vendor: NormalizedVendor,
    parsed: ParsedFeed,
    reader: RowReader,
    limits: Limits,
    data: Buffer,
    file_name: str | None = None,
) -> ScannedRows | None:
    """Read all rows of a vendor's feed with the kernel.

    Args:
        vendor: The vendor.
        parsed: The feed, whose batches are not read.
        reader: The reader of the feed's cells.
        limits: The limits of feeds and reports.
        data: The bytes of the file, whose pages are released.
        file_name: The name of the file, if it is one of several.

    Returns:
        The rows, or None if the feed must be read without the kernel: it is not used,
        lacks the format or an option, or the feed's structure is broken.
    """
    text = parsed.csv
    options = _options_of(reader)
    if text is None or not compiled.is_used():
        return None
    if not options.are_known or not text.fits_header():
        return None
    doubts = _Doubts(text)
    log = RejectionLog(
        vendor.vendor_id,
        parsed.headers or (),
        reader,
        limits,
        RecordLocator("line", doubts.lines_of),
        file_name,
    )
    rows = GrowingRows(reader.parser.extra_columns)
    scanned = ScannedRows(vendor, RowValidator(log), rows)
    scanner = options.scanner(text, len(log.headers), limits.cell_bytes)
    try:
        for position in _read_plain(scanner, scanned, doubts):
            if doubts.are_too_many(position):
                return None
            csv_records.release_mapped(data)
        _read_doubtful(reader, scanned, doubts)
        csv_records.release_mapped(data)  # doubtful records are in all pages
    except (text_parts.UnreadableTextError, FeedUnreadableError):
        return None
    return scanned


def _options_of(reader: RowReader) -> FeedOptions:
    return FeedOptions(
        reader.plan,
        reader.parser,
        reader.zone,
        _null_numbers(reader),
        reader.sku_map,
        has_rate=reader.rate is not None,
    )


def _null_numbers(reader: RowReader) -> dict[str, int] | None:
    """Return the numbers in place of nulls, by column; None if one is not valid."""
    numbers = {"updated_at": reader.requested_at}
    for name, default in reader.parser.defaults.items():
        column = BY_NAME.get(name)
        if column is None or column.kind is Kind.TEXT:
            continue
        try:
            value = read_cell(name, default, reader.parser, reader.zone)
        except CellError:
            return None
        if isinstance(value, str):
            value = CONDITIONS.index(value) + 1
        if value is not None:
            numbers[name] = value
    return numbers


def _read_plain(
    scanner: "Scanner",
    scanned: ScannedRows,
    doubts: _Doubts,
) -> Iterator[int]:
    """Read the plain records; yield the position behind each part of the text.

    The first plain records are doubtful if any other record is: they may be samples of
    valid rows.

    Raises:
        UnreadableTextError: The text must be read without the kernel.
        FeedUnreadableError: A doubtful record cannot be read.
    """
    body = doubts.text.body
    rows = scanned.rows
    reader = scanned.validator.log.reader
    records = doubts.text.header_records
    lines = 0
    extremes = []
    starts = compiled.scan.part_starts(
        body,
        text_parts.PART_BYTES,
        reader.parser.quoting,
    )
    parts = text_parts.text_parts(scanner, starts, len(body), VALID_SAMPLES)
    # The records of the last part are about to be read anyway.
    last_look = min(len(body), _BYTES_LOOKED_AT)
    for part in parts:
        rows.add_part(part, records, reader.matcher)
        doubts.add(part, records, lines)
        records += part.records
        lines += part.lines
        extremes.append(part.extremes)
        if part.end < last_look:
            _look_at_latest(scanned.validator, doubts)
        yield part.end
    first_doubts = doubts.records()
    if 0 < len(first_doubts) <= VALID_SAMPLES:
        start, _, first_number, _ = first_doubts[0].tolist()
        _, end, _, _ = first_doubts[-1].tolist()
        part = next(text_parts.read_part(scanner, start, end))
        if len(part.numbers) == len(first_doubts) == part.records:
            rows.add_part(part, first_number - 1, reader.matcher)
            extremes.append(part.extremes)
            doubts.clear()
    scanned.plain_count = rows.count
    _check_extremes(extremes)


def _check_extremes(extremes: Sequence[WholeNumbers]) -> None:
    """Check that the contract of offers accepts the numbers of all plain rows.

    Raises:
        UnreadableTextError: It would reject one, so it must judge every row.
    """
    of_parts = {
        name: [tuple(part[index].tolist()) for part in extremes]
        for index, name in enumerate(
            compiled.scan.NUMBERS[: compiled.scan.NUMBER_COUNT],
        )
    }
    if not row_checks.accepts(of_parts):
        raise text_parts.UnreadableTextError


def _look_at_latest(validator: RowValidator, doubts: _Doubts) -> None:
    """Begin to load the contracts if one of the latest doubtful records has a fault.

    Loading them takes longer than reading a feed, and the kernel reads on beside it. The
    records are read again with all others.

    Raises:
        FeedUnreadableError: A record cannot be read.
    """
    records = doubts.records()
    has_only_samples = len(records) <= VALID_SAMPLES
    if has_only_samples or row_checks.are_contracts_loaded():
        return
    for batch in doubts.read(records[-_RECORDS_LOOKED_AT:]):
        if isinstance(batch, TextBatch):
            validator.look_at(validator.log.reader.read(batch))


def _read_doubtful(
    reader: RowReader,
    scanned: ScannedRows,
    doubts: _Doubts,
) -> None:
    """Read the doubtful records as the other reader does.

    Raises:
        FeedUnreadableError: A record cannot be read.
    """
    records = doubts.records()
    if not len(records):
        return
    numbers = records[:, _NUMBER].copy()
    for batch in doubts.read(records):
        in_file = replace(batch, row_numbers=numbers[batch.row_numbers - 1])
        if isinstance(in_file, MalformedRecords):
            scanned.validator.add_malformed(in_file)
            continue
        typed_batch = reader.read(in_file)
        scanned.rows.add_batch(typed_batch)
        scanned.validator.add(typed_batch)
    scanned.validator.flush()
