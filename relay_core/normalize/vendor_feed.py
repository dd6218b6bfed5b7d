"""A vendor's input, and whether it can be read at all: its map, its text, its columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.codes import FailureCode, VendorStatus
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_faults import unreadable_feed
from relay_core.ingest.column_mapping import ColumnPlan, describe_missing, plan_columns
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.sku_map import read_sku_map
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader, to_microseconds
from relay_core.normalize.vendor import ReadRows, read_rows


@dataclass(frozen=True, slots=True)
class VendorFeed:
    """One vendor's input.

    Attributes:
        vendor: the vendor, one of the config's.
        data: the file's bytes.
        file_name: the file's name, for the messages.
        sku_map: the bytes of the vendor's SKU map, if it has one.
        on_progress: is called now and then while the file is read; what was read of a mapped file
            can be given back to the system then.
    """

    vendor: VendorConfig
    data: Buffer
    file_name: str
    sku_map: Buffer | None = None
    on_progress: Callable[[], None] = lambda: None


def read_feed(
    config: TenantConfig,
    feed: VendorFeed,
    requested_at: datetime,
    columns: Collection[str],
    limits: Limits,
) -> ReadRows | NormalizedVendor:
    """Return the rows of a feed, or at once the vendor that it comes to where it has none.

    What makes it unusable is the vendor's ``fault``, never an exception.
    """
    vendor = feed.vendor

    def again() -> Iterator[TextBatch | MalformedRecords]:
        batches = open_feed(feed.data, vendor.parser, limits).batches
        return _with_progress(batches, feed.on_progress)

    try:
        sku_map = None if feed.sku_map is None else read_sku_map(feed.sku_map, limits)
        parsed = open_feed(feed.data, vendor.parser, limits)
        parsed = replace(parsed, batches=_with_progress(parsed.batches, feed.on_progress))
        if parsed.headers is None:
            return NormalizedVendor(vendor.vendor_id, VendorStatus.FOUND, is_read=True)
        plan = plan_columns(parsed.headers, vendor.parser)
        judged = _judge_columns(config, vendor, parsed, plan, feed.file_name)
        if judged.status is not VendorStatus.FOUND:
            return judged
        requested = to_microseconds(requested_at)
        reader = RowReader(plan.positions, vendor.parser, config.zone, requested, sku_map)
        return read_rows(
            vendor.vendor_id,
            parsed,
            reader,
            columns=columns,
            warnings=judged.warnings,
            limits=limits,
            again=again if vendor.duplicate_skus == "refuse" else None,
        )
    except FeedUnreadableError as error:
        fault = unreadable_feed(vendor.vendor_id, feed.file_name, error)
        return NormalizedVendor(vendor.vendor_id, VendorStatus.FAILED, fault=fault)


def _with_progress(
    batches: Iterator[TextBatch | MalformedRecords], on_progress: Callable[[], None]
) -> Iterator[TextBatch | MalformedRecords]:
    for number, batch in enumerate(batches):
        if number % 4 == 0:
            on_progress()
        yield batch


def missing_columns(plan: ColumnPlan, headers: Sequence[str]) -> FeedUnreadableError:
    """Return the fault of a feed that lacks columns."""
    message = describe_missing(plan.missing, headers)
    return FeedUnreadableError(FailureCode.MISSING_REQUIRED_COLUMNS, message)


def repeated_headers(plan: ColumnPlan) -> FeedUnreadableError:
    """Return the fault of a feed in which a header that is used stands twice."""
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"headers that are used occur more than once: {', '.join(map(repr, plan.repeated))}; "
        "rename one of each in the feed, or map another header in parser.column_map",
    )


def _judge_columns(
    config: TenantConfig,
    vendor: VendorConfig,
    parsed: ParsedFeed,
    plan: ColumnPlan,
    file_name: str,
) -> NormalizedVendor:
    """Return the vendor so far: left out, or to be read, with a warning it may have.

    Raises:
        FeedUnreadableError: it has failed.
    """
    if not plan.missing and not plan.repeated:
        return NormalizedVendor(vendor.vendor_id, VendorStatus.FOUND)
    strict = config.error_policy.fail_on_missing_required_columns
    if (plan.missing and (strict or plan.unusable)) or plan.repeated:
        for _ in parsed.batches:  # a broken structure comes before missing columns
            pass
    warnings: tuple[ReportEntry, ...] = ()
    if plan.missing:
        error = missing_columns(plan, parsed.headers or ())
        if strict:
            raise error
        warnings = (unreadable_feed(vendor.vendor_id, file_name, error),)
        if plan.unusable:
            return NormalizedVendor(vendor.vendor_id, VendorStatus.LEFT_OUT, warnings=warnings)
    if plan.repeated:
        fault = unreadable_feed(vendor.vendor_id, file_name, repeated_headers(plan))
        return NormalizedVendor(
            vendor.vendor_id, VendorStatus.FAILED, fault=fault, warnings=warnings
        )
    return NormalizedVendor(vendor.vendor_id, VendorStatus.FOUND, warnings=warnings)
