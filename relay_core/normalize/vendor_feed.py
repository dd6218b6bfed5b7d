"""A vendor's input, and whether its map, text and columns can be read."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from relay_core.columnar.text import bytes_of
from relay_core.config import ParserConfig, TenantConfig, VendorConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.config.inputs.uploads import FileKind
from relay_core.domain.codes import CATALOG, FailureCode, VendorStatus
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_faults import unreadable_feed
from relay_core.ingest.column_mapping import (
    ColumnPlan,
    missing_columns_error,
    plan_columns,
)
from relay_core.ingest.csv_records import release_mapped
from relay_core.ingest.feed import (
    Buffer,
    MalformedRecords,
    ParsedFeed,
    TextBatch,
)
from relay_core.ingest.formats import open_feed
from relay_core.ingest.sku_map import SkuMap, read_sku_map
from relay_core.normalize.read_rows import read_rows
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader, to_microseconds
from relay_core.normalize.scanned_feed import scan_feed
from relay_core.normalize.vendor import ReadFile, RowsOfFile, VendorRows
from relay_core.products.catalog import Catalog
from relay_core.products.matcher import ProductMatcher
from relay_core.validation.row_schemas import offer_schema

_BATCHES_PER_RELEASE = 4
"""The number of batches after which the pages that were read are released."""


class FeedFile(NamedTuple):
    """One file of a vendor's input."""

    data: Buffer  # the file's bytes
    name: str  # the file's name, for the messages
    part_id: str | None = None  # the part that it is of; None for the base
    kind: FileKind = "full"  # whether it is full, or a delta of a full file


@dataclass(frozen=True, slots=True)
class VendorFeed:
    """One vendor's input: its files in reading order."""

    vendor: VendorConfig  # the vendor, one of the config's
    files: Sequence[FeedFile]
    # The bytes of the vendor's SKU map, if it has one.
    sku_map: Buffer | None = None

    @classmethod
    def of_one(
        cls,
        vendor: VendorConfig,
        data: Buffer,
        file_name: str,
        sku_map: Buffer | None = None,
    ) -> "VendorFeed":
        """Return the input of a vendor of one file."""
        return cls(vendor, (FeedFile(data, file_name),), sku_map)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(len(file.data) for file in self.files)


@dataclass(slots=True)
class FeedReader:
    """The reader of a run's feeds."""

    config: TenantConfig
    requested_at: datetime  # aware; used instead of a null ``updated_at``
    # The columns of offers to keep, the SKU among them
    columns: Collection[str]
    limits: Limits  # the limits of feeds
    # The number of bytes that feeds of the run may still unpack to; vendors take them
    # in order.
    bytes_left: int
    # The products that vendors' rows are matched with; None if there are none
    catalog: Catalog | None = None
    # The failures of the parts that a vendor is used without, by vendor and part.
    parts_left_out: Mapping[str, Mapping[str, ReportEntry]] = field(
        default_factory=dict,
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, feed: VendorFeed) -> VendorRows | NormalizedVendor:
        """Return the rows of a vendor's files, or the vendor if there are none to sort.

        Unusable files are the vendor's ``fault``, never an exception. Each file takes
        its bytes of those that are left, unless it is too large.
        """
        files = [
            self.read_file(feed, part, file)
            for part in feed.vendor.input_parts
            for file in feed.files
            if file.part_id == part.part_id
        ]
        if feed.vendor.has_file_list:
            return self._combined(feed, files)
        (file,) = files
        return file.rows

    def _combined(
        self,
        feed: VendorFeed,
        files: Sequence[ReadFile],
    ) -> VendorRows | NormalizedVendor:
        """Return the rows of several files."""
        # Only vendors of several files need them.
        from relay_core.normalize.file_lists.combining import combined
        from relay_core.normalize.file_lists.listed_rows import ListOptions

        vendor_id = feed.vendor.vendor_id
        try:
            sku_map = None
            if feed.sku_map is not None:
                sku_map = read_sku_map(feed.sku_map, self.limits)
        except FeedUnreadableError as error:
            fault = unreadable_feed(vendor_id, feed.files[0].name, error)
            return NormalizedVendor(vendor_id, VendorStatus.FAILED, fault=fault)
        matcher = None
        if self.catalog is not None:
            matcher = ProductMatcher(self.config, sku_map, self.catalog)
        return combined(
            feed.vendor,
            files,
            self.parts_left_out.get(vendor_id, {}),
            ListOptions(
                sku_map,
                matcher,
                to_microseconds(self.requested_at),
                self.config.extra_columns,
            ),
        )

    def read_file(
        self,
        feed: VendorFeed,
        part: InputPart,
        file: FeedFile,
    ) -> ReadFile:
        """Return the rows of one file of a vendor, or its fault, as `read` does."""
        size = _FeedSize(self.bytes_left, self.limits)
        feed_bytes = max(0, min(self.limits.feed_bytes, self.bytes_left))
        limits = replace(self.limits, feed_bytes=feed_bytes)

        def opened() -> ParsedFeed:
            parsed = open_feed(file.data, part.parser, limits)
            size.count(parsed.size)
            return replace(
                parsed,
                batches=size.of_cells(parsed.batches, file.data),
            )

        rows: RowsOfFile | NormalizedVendor
        try:
            sku_map = None
            if feed.sku_map is not None and not feed.vendor.has_file_list:
                sku_map = read_sku_map(feed.sku_map, limits)
            size.count(len(file.data))
            rows = self._read(feed.vendor, part, file, limits, opened, sku_map)
        except FeedUnreadableError as error:
            # The kinds of files load the readers of workbooks.
            from relay_core.normalize.file_kinds import with_kind

            error = with_kind(size.judge(error), file.data, part.parser)
            vendor_id = feed.vendor.vendor_id
            fault = unreadable_feed(vendor_id, file.name, error, part.part_id)
            rows = NormalizedVendor(vendor_id, VendorStatus.FAILED, fault=fault)
        finally:
            with self._lock:
                self.bytes_left -= size.counted
        return ReadFile(part, file.name, file.kind, rows, opened)

    def _read(
        self,
        vendor: VendorConfig,
        part: InputPart,
        file: FeedFile,
        limits: Limits,
        opened: Callable[[], ParsedFeed],
        sku_map: SkuMap | None,
    ) -> RowsOfFile | NormalizedVendor:
        is_listed = vendor.has_file_list
        parsed = opened()
        if parsed.headers is None:
            return NormalizedVendor(
                vendor.vendor_id,
                VendorStatus.FOUND,
                is_read=True,
            )
        plan = plan_columns(parsed.headers, part.parser)
        if file.kind == "delta" and plan.deleted is None:
            plan = plan.lacking(part.parser.deleted_headers)
        judged = _judge_columns(self.config, vendor, file, parsed, plan)
        if judged.status is not VendorStatus.FOUND:
            return judged
        reader = self._row_reader(vendor, part.parser, plan, sku_map)
        file_name = file.name if is_listed else None
        rejects_repeated = vendor.duplicate_skus == "refuse" and not is_listed
        columns = self._columns_of(vendor)
        if not rejects_repeated:
            scanned = scan_feed(
                judged,
                parsed,
                reader,
                limits,
                file.data,
                file_name,
            )
            if scanned is not None:
                scanned.keeps_numbers = "row_number" in columns
                return scanned
        return read_rows(
            judged,
            parsed,
            reader,
            columns,
            limits,
            (lambda: opened().batches) if rejects_repeated else None,
            file_name,
        )

    def _columns_of(self, vendor: VendorConfig) -> Collection[str]:
        """Return the columns of a vendor's offers to keep."""
        if vendor.has_file_list:
            names: list[str] = offer_schema(self.config.extra_columns).names
            return names
        if vendor.vendor_id == CATALOG:
            # Its products are put in the order of records again.
            return {*self.columns, "row_number"}
        return self.columns

    def _row_reader(
        self,
        vendor: VendorConfig,
        parser: ParserConfig,
        plan: ColumnPlan,
        sku_map: SkuMap | None,
    ) -> RowReader:
        matcher = None
        # Rows of several files are matched when they are combined.
        if self.catalog is not None and not vendor.has_file_list:
            matcher = ProductMatcher(self.config, sku_map, self.catalog)
            sku_map = None
        return RowReader(
            plan=plan,
            parser=parser,
            zone=self.config.zone,
            requested_at=to_microseconds(self.requested_at),
            sku_map=sku_map,
            rate=self.config.rate_of(vendor),
            matcher=matcher,
        )


@dataclass(slots=True)
class _FeedSize:
    """The bytes of a feed: of the upload or of its unpacked form, whichever are more.

    A workbook and Parquet unpack to the texts of their cells.
    """

    room: int  # the number of bytes that the run has left
    limits: Limits
    # The bytes that were counted; 0 for a feed that is too large.
    counted: int = 0

    def count(self, size: int) -> None:
        """Count the bytes of the feed.

        Raises:
            FeedUnreadableError: ``feed_too_large``: the run has fewer bytes left.
        """
        self.counted = max(self.counted, size)
        if self.counted > self.room:
            raise self._exceeds_run()

    def of_cells(
        self,
        batches: Iterator[TextBatch | MalformedRecords],
        data: Buffer,
    ) -> Iterator[TextBatch | MalformedRecords]:
        """Yield the batches, count their cells' texts, and release read pages."""
        size = 0
        for number, batch in enumerate(batches):
            if number % _BATCHES_PER_RELEASE == 0:
                release_mapped(data)
            texts = (
                batch.columns if isinstance(batch, TextBatch) else [batch.raw]
            )
            size += sum(len(bytes_of(text)) for text in texts)
            self.count(size)
            yield batch
        release_mapped(data)

    def judge(self, error: FeedUnreadableError) -> FeedUnreadableError:
        """Return the fault of an unusable feed.

        One that is too large counts no bytes.
        """
        if error.error_code != FailureCode.FEED_TOO_LARGE:
            return error
        self.counted = 0
        is_of_run = self.room < self.limits.feed_bytes
        return self._exceeds_run() if is_of_run else error

    def _exceeds_run(self) -> FeedUnreadableError:
        limit = self.limits.run_bytes
        return FeedUnreadableError(
            FailureCode.FEED_TOO_LARGE,
            f"together with this file, the files of the run unpack to more than {limit} bytes, "
            "which is the limit. Upload a smaller file with only the columns and rows that are "
            "needed.",
        )


def repeated_headers(plan: ColumnPlan) -> FeedUnreadableError:
    """Return the fault of a feed in which a header that is used occurs twice."""
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"these headers occur more than once: {', '.join(map(repr, plan.repeated))}. "
        "Rename the extra ones in the file, or map other headers in parser.column_map.",
    )


def _judge_columns(
    config: TenantConfig,
    vendor_config: VendorConfig,
    file: FeedFile,
    parsed: ParsedFeed,
    plan: ColumnPlan,
) -> NormalizedVendor:
    """Return the vendor: to be read, left out or failed.

    Raises:
        FeedUnreadableError: A column is missing, and the error policy fails the run for
            it.
    """
    vendor = NormalizedVendor(
        vendor_config.vendor_id,
        VendorStatus.FOUND,
        file_name=file.name,
    )
    unreadable = partial(
        unreadable_feed,
        vendor.vendor_id,
        file.name,
        part_id=file.part_id,
    )
    is_catalog = (
        config.catalog is not None and vendor_config.vendor_id == CATALOG
    )
    policy = config.error_policy
    is_strict = is_catalog or policy.fail_on_missing_required_columns
    is_unusable = bool(plan.missing) and (is_strict or plan.unusable)
    if is_unusable or plan.repeated:
        # A broken structure is reported before the columns.
        for _ in parsed.batches:
            pass
    if plan.missing:
        error = missing_columns_error(plan.missing, parsed.headers or ())
        if is_strict:
            raise error
        warning = unreadable(error=error)
        status = VendorStatus.LEFT_OUT if plan.unusable else VendorStatus.FOUND
        vendor = replace(vendor, status=status, warnings=(warning,))
    if plan.repeated and vendor.status is VendorStatus.FOUND:
        error = repeated_headers(plan)
        fault = unreadable(error=error)
        return replace(vendor, status=VendorStatus.FAILED, fault=fault)
    return vendor
