"""The steps in order, for the local runner and for any orchestrator alike.

``judge_inputs`` → ``normalize_vendor`` for each vendor → ``judge_normalized`` → ``merge_vendors``.
Every vendor is normalized before a run is judged, so that one pass finds all that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from relay_core.columnar.json_lines import joined_entries
from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.models import FailureCode, ReportEntry, RunFailure, Stage, WarningCode
from relay_core.ingest.column_mapping import ColumnPlan, describe_missing, plan_columns
from relay_core.ingest.csv_reader import ParsedFeed, TextBatch, parse_feed
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.sku_map import read_sku_map
from relay_core.merge.result import MergedInventory, count_codes, merge_offers, unpriced_warnings
from relay_core.normalize.rejects import MAX_ENTRIES
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import OFFER_SCHEMA, RowReader, to_microseconds
from relay_core.normalize.vendor import ReadRows, SortedRows, read_rows, sorted_rows
from relay_core.validation.gate import judge_policy

_MOST_BESIDE = 64 << 20
"""A feed of more bytes is not read before the vendor before it is done, and memory that reading has
left is given back: two such vendors would be most of what a run holds."""


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """What follows from the inputs that were found and those that were not."""

    failure: RunFailure | None
    faults: tuple[ReportEntry, ...]
    warnings: tuple[ReportEntry, ...]


def judge_inputs(
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    *,
    missing: Collection[str],
    locations: Mapping[str, str],
    missing_maps: Mapping[str, str],
) -> InputVerdict:
    """Judge which vendors have a feed and a SKU map before any is read.

    Args:
        config: the tenant's config.
        vendors: the vendors of this run, in the order of the config.
        missing: the ids of those without a feed.
        locations: where each vendor's feed is expected, for the messages.
        missing_maps: vendor id to where its configured SKU map is absent.
    """
    absent = [vendor for vendor in vendors if vendor.vendor_id in missing]
    fatal = [vendor for vendor in absent if not _may_be_empty(config, vendor)]
    faults = [_missing_vendor(vendor, locations) for vendor in fatal]
    warnings = [_missing_vendor(vendor, locations) for vendor in absent if vendor not in fatal]
    if not faults:
        mapless = [v for v in vendors if v.vendor_id in missing_maps and v not in absent]
        faults = [_missing_map(v.vendor_id, missing_maps[v.vendor_id]) for v in mapless]
    return InputVerdict(_failure(faults, Stage.FETCH_INPUTS), tuple(faults), tuple(warnings))


@dataclass(frozen=True, slots=True)
class VendorFeed:
    """One vendor's input.

    Attributes:
        vendor: the vendor, one of the config's.
        data: the file's bytes.
        file_name: the file's name, for the messages.
        sku_map: the bytes of the vendor's SKU map, if it has one.
        let_go: is called now and then while the file is read; what was read of a mapped file can
            be given back then.
    """

    vendor: VendorConfig
    data: Buffer
    file_name: str
    sku_map: Buffer | None = None
    let_go: Callable[[], None] = lambda: None


def normalize_vendor(
    config: TenantConfig,
    vendor: VendorConfig,
    feed: Buffer,
    *,
    file_name: str,
    requested_at: datetime,
    sku_map: Buffer | None = None,
) -> NormalizedVendor:
    """Read one vendor's feed; what makes it unusable is its ``fault``, never an exception.

    Args:
        config: the tenant's config.
        vendor: the vendor, one of the config's.
        feed: the file's bytes.
        file_name: the file's name, for the messages.
        requested_at: aware; stands in for a null ``updated_at``.
        sku_map: the bytes of the vendor's SKU map, if it has one.

    Raises:
        ContractBrokenError: the schema and the readers disagree about a row (an engine defect).
    """
    given = VendorFeed(vendor, feed, file_name, sku_map)
    read = _read(config, given, requested_at, OFFER_SCHEMA.names)
    return read if isinstance(read, NormalizedVendor) else _in_order(config, read).with_offers()


def normalize_vendors(
    config: TenantConfig,
    feeds: Iterable[VendorFeed],
    *,
    requested_at: datetime,
    write: Callable[[NormalizedVendor], None],
    columns: Collection[str] = tuple(OFFER_SCHEMA.names),
) -> list[NormalizedVendor]:
    """Read the feeds in turn; each vendor is sorted, judged and written beside the next's reading.

    All vendors together have as many entries of refused rows as a report keeps.

    Args:
        config: the tenant's config.
        feeds: the inputs, in the order of the config; the next is asked for when it is to be read.
        requested_at: aware; stands in for a null ``updated_at``.
        write: is given each vendor once, in order, on another thread, before its offers are made;
            only it can have ``csv_chunks`` of the vendor. While it waits until they are written,
            less memory is held.
        columns: the columns of offers that are kept: ``columns_to_merge`` are enough to merge.

    Raises:
        ContractBrokenError: the schema and the readers disagree about a row (an engine defect).
    """

    def finish(read: ReadRows | NormalizedVendor, *, large: bool) -> NormalizedVendor:
        if isinstance(read, NormalizedVendor):
            write(read)
            return read
        if large:
            pa.default_memory_pool().release_unused()
        ordered = _in_order(config, read)
        write(ordered.vendor)
        ordered.vendor = replace(ordered.vendor, lines=None)
        return ordered.with_offers()

    finished: list[Future[NormalizedVendor]] = []
    room = MAX_ENTRIES
    with ThreadPoolExecutor(1) as behind:
        for feed in feeds:
            large = len(feed.data) > _MOST_BESIDE
            if large and finished:
                finished[-1].result()
                pa.default_memory_pool().release_unused()
            read = _read(config, feed, requested_at, columns, room)
            if isinstance(read, ReadRows):
                room = read.rejects.room_left
            if finished:
                finished[-1].result()  # no more than two vendors' rows are held at once
            finished.append(behind.submit(finish, read, large=large))
            del read
    return [vendor.result() for vendor in finished]


def judge_normalized(normalized: Iterable[NormalizedVendor]) -> RunFailure | None:
    """Return the failure of a run of which a feed cannot be used: the first vendor's code."""
    faults = [vendor.fault for vendor in normalized if vendor.fault is not None]
    return _failure(faults, Stage.NORMALIZE)


def merge_vendors(
    config: TenantConfig,
    normalized: Sequence[NormalizedVendor],
    *,
    warnings: Sequence[ReportEntry] = (),
) -> MergedInventory:
    """Judge the rows, pick each SKU's best offer and price it.

    Judged in this order: no rows, the error policy's thresholds, no valid row, nothing to publish.

    Args:
        config: the tenant's config.
        normalized: the vendors that have a feed, none of them failed, in the order of the config.
        warnings: those of the earlier steps.

    Raises:
        ContractBrokenError: the merged feed breaks its own schema (an engine defect).
    """
    parsed = [vendor for vendor in normalized if vendor.outcome == "parsed"]
    kept = [*warnings, *(entry for vendor in normalized for entry in vendor.warnings)]
    faults = _without_rows(config, parsed) or _judge_rows(config, parsed, kept)
    if faults:
        return _not_merged(config, faults, kept)
    winners = merge_offers(config, parsed)
    unpriced, count = unpriced_warnings(winners)
    counts = count_codes(kept)
    if count:
        counts[str(WarningCode.UNPRICED_SKU)] = count
    nothing = [] if winners.priced.num_rows else [_nothing_priced(count)]
    merged = MergedInventory(
        config=config,
        failure=_failure(nothing, Stage.MERGE_PRICE),
        faults=tuple(nothing),
        warnings=joined_entries([kept, unpriced]),
        warning_counts=dict(counts),
        unpriced_skus=count,
        winners=winners.priced,
    )
    if broken := merged.broken_rules():
        raise ContractBrokenError(f"the merged feed breaks its schema: {broken[:3]}")
    return merged


def _read(
    config: TenantConfig,
    feed: VendorFeed,
    requested_at: datetime,
    columns: Collection[str],
    room: int = MAX_ENTRIES,
) -> ReadRows | NormalizedVendor:
    """Return the rows of a feed, or at once the vendor that it comes to where it has none."""
    vendor = feed.vendor
    try:
        sku_map = None if feed.sku_map is None else read_sku_map(feed.sku_map)
        parsed = parse_feed(feed.data, vendor.parser)
        parsed.batches = _letting_go(parsed.batches, feed.let_go)
        if parsed.headers is None:
            return NormalizedVendor(vendor.vendor_id, "parsed", warnings=_emptiness(config, vendor))
        plan = plan_columns(parsed.headers, vendor.parser)
        judged = _judge_columns(config, vendor, parsed, plan, feed.file_name)
        if judged.outcome != "parsed":
            return judged
        requested = to_microseconds(requested_at)
        reader = RowReader(plan.positions, vendor.parser, config.zone, requested, sku_map)
        return read_rows(vendor.vendor_id, parsed, reader, columns, judged.warnings, room)
    except FeedUnreadableError as error:
        entry = _feed_fault(vendor.vendor_id, feed.file_name, error)
        return NormalizedVendor(vendor.vendor_id, "failed", fault=entry)


def _letting_go(batches: Iterator[TextBatch], let_go: Callable[[], None]) -> Iterator[TextBatch]:
    for number, batch in enumerate(batches):
        if number % 4 == 0:
            let_go()
        yield batch


def _in_order(config: TenantConfig, read: ReadRows) -> SortedRows:
    """Return the rows in order; a vendor without any gets its warning."""
    ordered = sorted_rows(read)
    vendor = ordered.vendor
    if not vendor.total_rows:
        emptiness = _emptiness(config, config.vendor(vendor.vendor_id))
        ordered.vendor = replace(vendor, warnings=(*vendor.warnings, *emptiness))
    return ordered


def _judge_columns(
    config: TenantConfig,
    vendor: VendorConfig,
    parsed: ParsedFeed,
    plan: ColumnPlan,
    file_name: str,
) -> NormalizedVendor:
    """Return the vendor so far: failed, left out, or to be read, with a warning it may have."""
    if not plan.missing and not plan.repeated:
        return NormalizedVendor(vendor.vendor_id, "parsed")
    strict = config.error_policy.fail_on_missing_required_columns
    if (plan.missing and (strict or plan.unusable)) or plan.repeated:
        _drain(parsed.batches)  # a broken structure comes before missing columns
    warnings: tuple[ReportEntry, ...] = ()
    if plan.missing:
        message = describe_missing(plan.missing, parsed.headers or ())
        error = FeedUnreadableError(FailureCode.MISSING_REQUIRED_COLUMNS, message)
        if strict:
            raise error
        warnings = (_feed_fault(vendor.vendor_id, file_name, error),)
        if plan.unusable:
            return NormalizedVendor(vendor.vendor_id, "left_out", warnings=warnings)
    if plan.repeated:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"headers that are used occur more than once: {', '.join(map(repr, plan.repeated))}; "
            "rename one of each in the feed, or map another header in parser.column_map",
        )
    return NormalizedVendor(vendor.vendor_id, "parsed", warnings=warnings)


def _drain(batches: Iterator[object]) -> None:
    for _ in batches:
        pass


def _may_be_empty(config: TenantConfig, vendor: VendorConfig) -> bool:
    """Return whether the run goes on where the vendor has no feed, or one without a row."""
    return not vendor.required or config.error_policy.missing_required_vendor_policy == "warn_only"


def _emptiness(config: TenantConfig, vendor: VendorConfig) -> tuple[ReportEntry, ...]:
    """Return the warning of a feed without a row, where it does not fail the run."""
    return (_empty_feed(vendor.vendor_id),) if _may_be_empty(config, vendor) else ()


def _without_rows(config: TenantConfig, parsed: Sequence[NormalizedVendor]) -> list[ReportEntry]:
    """Return the faults that feeds without a row make."""
    empty = [vendor.vendor_id for vendor in parsed if not vendor.total_rows]
    fatal = [vendor for vendor in empty if not _may_be_empty(config, config.vendor(vendor))]
    if not fatal and len(empty) == len(parsed):
        return [_no_rows(None)]
    return [_no_rows(vendor_id) for vendor_id in fatal]


def _judge_rows(
    config: TenantConfig, parsed: Sequence[NormalizedVendor], warnings: list[ReportEntry]
) -> list[ReportEntry]:
    """Hold the rows against the error policy; a run within it gets its warning added."""
    invalid = [vendor.invalid_rows for vendor in parsed]
    total = [vendor.total_rows for vendor in parsed]
    verdict = judge_policy(config.error_policy, invalid, total)
    if not (verdict.within_max and verdict.within_pct):
        return [ReportEntry(str(FailureCode.VALIDATION_ERRORS), verdict.message)]
    if sum(invalid):
        message = f"{sum(invalid)} of {sum(total)} rows are invalid and left out, within the limits"
        code = str(WarningCode.INVALID_ROWS_WITHIN_THRESHOLD)
        warnings.append(ReportEntry(code, message))
    if sum(invalid) == sum(total):
        return [
            ReportEntry(
                str(FailureCode.NO_ROWS_PARSED),
                f"no rows parsed: each of the {sum(total)} rows is invalid; "
                "mend the rows listed in errors.json",
            )
        ]
    return []


def _not_merged(
    config: TenantConfig, faults: list[ReportEntry], warnings: list[ReportEntry]
) -> MergedInventory:
    return MergedInventory(
        config=config,
        failure=_failure(faults, Stage.MERGE_PRICE),
        faults=tuple(faults),
        warnings=tuple(warnings),
        warning_counts=dict(count_codes(warnings)),
    )


def _failure(faults: Sequence[ReportEntry], stage: Stage) -> RunFailure | None:
    """Return the failure that these faults make: the first one's code, all their messages."""
    if not faults:
        return None
    return RunFailure(
        faults[0].error_code, " | ".join(fault.error_message for fault in faults), stage
    )


def _missing_vendor(vendor: VendorConfig, locations: Mapping[str, str]) -> ReportEntry:
    where = locations.get(vendor.vendor_id) or "its inbound prefix"
    word, code = "optional", WarningCode.OPTIONAL_VENDOR_MISSING
    if vendor.required:
        word, code = "required", WarningCode.REQUIRED_VENDOR_MISSING
    return ReportEntry(
        error_code=str(code),
        error_message=f"{word} vendor inbound missing: vendor {vendor.vendor_id!r} has no file "
        f"under {where}; upload its feed there, or correct inbound.s3_prefix in the config",
        vendor_id=vendor.vendor_id,
    )


def _missing_map(vendor_id: str, location: str) -> ReportEntry:
    return ReportEntry(
        error_code=str(FailureCode.MISSING_SKU_MAP),
        error_message=f"missing sku map: vendor {vendor_id!r} has no file at {location}; "
        "upload the map there, or take sku_map out of the vendor's config",
        vendor_id=vendor_id,
    )


_TITLES = {FailureCode.DECODE_ERROR: "decode error: ", FailureCode.INVALID_INPUT: "invalid input: "}


def _feed_fault(vendor_id: str, file_name: str, error: FeedUnreadableError) -> ReportEntry:
    title = _TITLES.get(FailureCode(error.error_code), "")
    return ReportEntry(
        error_code=str(error.error_code),
        error_message=f"{title}vendor {vendor_id!r}, file {file_name!r}: {error}",
        vendor_id=vendor_id,
    )


def _no_rows(vendor_id: str | None) -> ReportEntry:
    what = (
        "no feed has a row" if vendor_id is None else f"vendor {vendor_id!r} has a feed of no row"
    )
    return ReportEntry(
        error_code=str(FailureCode.NO_ROWS_PARSED),
        error_message=f"no rows parsed: {what}; upload a file with rows under its header and see "
        "that parser.skip_lines and parser.delimiter fit it",
        vendor_id=vendor_id,
    )


def _empty_feed(vendor_id: str) -> ReportEntry:
    return ReportEntry(
        error_code=str(WarningCode.EMPTY_FEED),
        error_message=f"vendor {vendor_id!r} has a feed of no row, so none of its SKUs is offered; "
        "upload a file with rows if that is not meant",
        vendor_id=vendor_id,
    )


def _nothing_priced(skus: int) -> ReportEntry:
    return ReportEntry(
        error_code=str(FailureCode.EMPTY_OUTPUT),
        error_message=f"empty output: none of the {skus} SKUs can be priced, and an empty feed is "
        "never published; map a cost or a price column, or set pricing.min_price",
    )
