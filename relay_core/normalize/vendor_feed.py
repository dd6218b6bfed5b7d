"""A vendor's input, and whether it can be read at all: its map, its text, its columns."""

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from relay_core.columnar.text import bytes_of
from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.codes import FailureCode, VendorStatus
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import unreadable_feed
from relay_core.ingest.column_mapping import ColumnPlan, missing_columns, plan_columns
from relay_core.ingest.csv_records import release_mapped
from relay_core.ingest.feed import Buffer, MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.sku_map import read_sku_map
from relay_core.normalize.file_kinds import with_kind
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader, to_microseconds
from relay_core.normalize.vendor import ReadRows, read_rows


@dataclass(frozen=True, slots=True)
class VendorFeed:
    """One vendor's input."""

    vendor: VendorConfig  # the vendor, one of the config's
    data: Buffer  # the file's bytes
    file_name: str  # the file's name, for the messages
    sku_map: Buffer | None = None  # the bytes of the vendor's SKU map, if it has one


@dataclass(slots=True)
class FeedReader:
    """Reads the feeds of a run."""

    config: TenantConfig
    requested_at: datetime  # aware; stands in for a null ``updated_at``
    columns: Collection[str]  # those of offers that are kept, the SKU among them
    limits: Limits  # of feeds
    left: int  # the bytes that feeds of the run may still unpack to; vendors take them in order
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, feed: VendorFeed) -> ReadRows | NormalizedVendor:
        """Return the rows of a feed, or at once the vendor that it comes to where it has none.

        What makes it unusable is the vendor's ``fault``, never an exception. The feed takes its
        bytes of those that are left, unless it is too large.
        """
        size = _FeedSize(self.left, self.limits)
        limits = replace(
            self.limits, feed_bytes=max(0, min(self.limits.feed_bytes, self.left))
        )
        vendor = feed.vendor

        def opened() -> ParsedFeed:
            parsed = open_feed(feed.data, vendor.parser, limits)
            size.count(parsed.size)
            return replace(parsed, batches=size.of_cells(parsed.batches, feed.data))

        try:
            sku_map = (
                None if feed.sku_map is None else read_sku_map(feed.sku_map, limits)
            )
            size.count(len(feed.data))
            parsed = opened()
            if parsed.headers is None:
                return NormalizedVendor(
                    vendor.vendor_id, VendorStatus.FOUND, is_read=True
                )
            plan = plan_columns(parsed.headers, vendor.parser)
            judged = _judge_columns(self.config, feed, parsed, plan)
            if judged.status is not VendorStatus.FOUND:
                return judged
            requested, rate = (
                to_microseconds(self.requested_at),
                self.config.rate_of(vendor),
            )
            reader = RowReader(
                plan, vendor.parser, self.config.zone, requested, sku_map, rate
            )
            again = (
                (lambda: opened().batches)
                if vendor.duplicate_skus == "refuse"
                else None
            )
            return read_rows(judged, parsed, reader, self.columns, limits, again)
        except FeedUnreadableError as error:
            found = with_kind(size.judge(error), feed.data, vendor.parser)
            fault = unreadable_feed(vendor.vendor_id, feed.file_name, found)
            return NormalizedVendor(vendor.vendor_id, VendorStatus.FAILED, fault=fault)
        finally:
            with self._lock:
                self.left -= size.counted


@dataclass(slots=True)
class _FeedSize:
    """The bytes of a feed: of the upload or of what it unpacks to, whichever are more.

    A workbook and Parquet unpack to the texts of their cells.
    """

    room: int  # how many the run has left
    limits: Limits
    counted: int = 0  # how many were found, none of a feed that is too large

    def count(self, size: int) -> None:
        """Count what was found of the feed; ``feed_too_large``: the run has not so many left."""
        self.counted = max(self.counted, size)
        if self.counted > self.room:
            raise self._passes_run()

    def of_cells(
        self, batches: Iterator[TextBatch | MalformedRecords], data: Buffer
    ) -> Iterator[TextBatch | MalformedRecords]:
        """Yield the batches; count the texts of their cells, and let go of what was read."""
        size = 0
        for number, batch in enumerate(batches):
            if number % 4 == 0:
                release_mapped(data)
            texts = batch.columns if isinstance(batch, TextBatch) else [batch.raw]
            size += sum(len(bytes_of(text)) for text in texts)
            self.count(size)
            yield batch
        release_mapped(data)

    def judge(self, error: FeedUnreadableError) -> FeedUnreadableError:
        """Return the fault of a feed that cannot be used; what is too large counts nothing."""
        if error.error_code != FailureCode.FEED_TOO_LARGE:
            return error
        self.counted = 0
        return self._passes_run() if self.room < self.limits.feed_bytes else error

    def _passes_run(self) -> FeedUnreadableError:
        most = self.limits.run_bytes
        return FeedUnreadableError(
            FailureCode.FEED_TOO_LARGE,
            f"with it the feeds of the run unpack to more than {most} bytes, which are the most "
            "of all together; upload a smaller one, without columns and rows that nobody needs",
        )


def repeated_headers(plan: ColumnPlan) -> FeedUnreadableError:
    """Return the fault of a feed in which a header that is used stands twice."""
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"headers that are used occur more than once: {', '.join(map(repr, plan.repeated))}; "
        "rename one of each in the feed, or map another header in parser.column_map",
    )


def _judge_columns(
    config: TenantConfig, feed: VendorFeed, parsed: ParsedFeed, plan: ColumnPlan
) -> NormalizedVendor:
    """Return the vendor, left out or to be read, with a warning; or `FeedUnreadableError`."""
    vendor = NormalizedVendor(feed.vendor.vendor_id, VendorStatus.FOUND)
    strict = config.error_policy.fail_on_missing_required_columns
    if (plan.missing and (strict or plan.unusable)) or plan.repeated:
        for _ in parsed.batches:  # a broken structure comes before missing columns
            pass
    if plan.missing:
        error = missing_columns(plan.missing, parsed.headers or ())
        if strict:
            raise error
        warning = unreadable_feed(vendor.vendor_id, feed.file_name, error)
        status = VendorStatus.LEFT_OUT if plan.unusable else VendorStatus.FOUND
        vendor = replace(vendor, status=status, warnings=(warning,))
    if plan.repeated and vendor.status is VendorStatus.FOUND:
        fault = unreadable_feed(
            vendor.vendor_id, feed.file_name, repeated_headers(plan)
        )
        return replace(vendor, status=VendorStatus.FAILED, fault=fault)
    return vendor
