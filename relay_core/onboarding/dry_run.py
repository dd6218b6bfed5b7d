"""The reading of a feed's first rows by one parser: headers, rejected cells, or an error."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from relay_core.config import ParserConfig, TenantConfig, VendorConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import CHECK_LIMITS, ReportRoom
from relay_core.domain.records import Cause
from relay_core.ingest import column_mapping
from relay_core.ingest.column_mapping import ColumnPlan
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.sku_map import SkuMap
from relay_core.merge.best_offer import columns_to_merge
from relay_core.normalize import vendor as normalization
from relay_core.normalize.file_kinds import with_kind
from relay_core.normalize.read_rows import ReadAgain, read_rows
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader
from relay_core.normalize.vendor_feed import repeated_headers
from relay_core.onboarding.check_results import (
    MissingHeader,
    Reading,
    RejectedCells,
)
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.sample_reader import open_sample

# The number of headers that are compared with a missing one.
_MAX_COMPARED = 200


def read_sample(
    feed: FeedSample, parser: ParserConfig, config: TenantConfig
) -> Reading:
    """Return the reading of a feed's first rows by a run with this parser."""
    reading, _ = read_vendor(feed, parser, config)
    return reading


def read_vendor(
    feed: FeedSample,
    parser: ParserConfig,
    config: TenantConfig,
    vendor: VendorConfig | None = None,
    sku_map: SkuMap | None = None,
) -> tuple[Reading, NormalizedVendor | None]:
    """Return the reading of a feed by a run with this parser, and its rows.

    The rows are None if a run would reject the file or if it has no record.

    Args:
        feed: The sample to read; all its rows if `feed.rows` is 0.
        parser: The parser to read it with.
        config: The tenant's config.
        vendor: The vendor whose rows are returned; without one, rows have SKUs only.
        sku_map: The vendor's SKU map.
    """

    def read_again() -> Iterator[TextBatch | MalformedRecords]:
        parsed_again, _ = open_sample(feed, parser)
        return parsed_again.batches

    try:
        parsed_feed, sample_parser = open_sample(feed, parser)
        if parsed_feed.headers is None:
            return Reading(), None
        plan = column_mapping.plan_columns(parsed_feed.headers, parser)
        error = _header_error(plan, parsed_feed.headers, config)
        if error is not None:
            error = with_kind(error, feed.data, parser)
        reader = _row_reader(plan, sample_parser, config, sku_map)
        normalized = _normalized(
            parsed_feed, reader, config, vendor, read_again
        )
    except FeedUnreadableError as unreadable:
        error = with_kind(unreadable, feed.data, parser)
        return _with_error(Reading(), error), None
    reading = _reading(parsed_feed.headers, plan, parser, normalized)
    return _with_error(reading, error), normalized


def missing_headers(
    headers: Sequence[str],
    parser: ParserConfig,
) -> tuple[MissingHeader, ...]:
    """Return the required and mapped columns whose header is not in the file."""
    names = [header.strip() for header in headers]
    expected_headers = column_mapping.expected_headers(names, parser)
    compared = names[:_MAX_COMPARED]
    missing = []
    for column in dict.fromkeys((*REQUIRED_COLUMNS, *expected_headers)):
        column_headers = expected_headers.get(column, ())
        absent_headers = [
            header for header in column_headers if header not in names
        ]
        if column in parser.defaults and len(absent_headers) == len(
            column_headers
        ):
            continue
        # Without headers, the config does not map the column and the file has none of
        # its name.
        mapped_headers = absent_headers if column_headers else [None]
        for mapped_header in mapped_headers:
            nearest = column_mapping.nearest_header(
                mapped_header or column, compared
            )
            missing.append(MissingHeader(column, mapped_header, nearest))
    return tuple(missing)


def _header_error(
    plan: ColumnPlan,
    headers: Sequence[str],
    config: TenantConfig,
) -> FeedUnreadableError | None:
    """Return the error of the file's headers that makes a run reject it, or None."""
    is_strict = config.error_policy.fail_on_missing_required_columns
    if plan.missing and (is_strict or plan.unusable):
        return column_mapping.missing_columns_error(plan.missing, headers)
    if plan.repeated:
        return repeated_headers(plan)
    return None


def _row_reader(
    plan: ColumnPlan,
    parser: ParserConfig,
    config: TenantConfig,
    sku_map: SkuMap | None,
) -> RowReader:
    """Return a reader of rows that fills missing required columns with `1`.

    So a missing column does not hide rejected cells of the other columns.
    """
    placeholders = {
        column: "1"
        for column in REQUIRED_COLUMNS
        if column not in plan.positions
    }
    defaults = placeholders | parser.defaults
    lenient_parser = parser.model_copy(update={"defaults": defaults})
    return RowReader(plan, lenient_parser, config.zone, 0, sku_map)


def _normalized(
    parsed_feed: ParsedFeed,
    reader: RowReader,
    config: TenantConfig,
    vendor: VendorConfig | None,
    read_again: ReadAgain,
) -> NormalizedVendor:
    """Return the rows of a feed; without a vendor, they have SKUs only."""
    if vendor is None:
        columns = ["sku"]
        nothing_read = NormalizedVendor("", VendorStatus.FOUND)
    else:
        columns = columns_to_merge(config)
        nothing_read = NormalizedVendor(vendor.vendor_id, VendorStatus.FOUND)
    is_read_twice = vendor is not None and vendor.duplicate_skus == "refuse"
    rows = read_rows(
        nothing_read,
        parsed_feed,
        reader,
        columns,
        CHECK_LIMITS,
        read_again if is_read_twice else None,
    )
    sorted_rows = normalization.sorted_rows(rows, ReportRoom(0, 0))
    if vendor is None:
        return sorted_rows.vendor
    return sorted_rows.with_offers()


def _reading(
    headers: Sequence[str],
    plan: ColumnPlan,
    parser: ParserConfig,
    normalized: NormalizedVendor,
) -> Reading:
    default_columns = [
        name for name in parser.defaults if name not in plan.positions
    ]
    names = tuple(header.strip() for header in headers)
    used_indexes = set(plan.read_positions)
    return Reading(
        headers=names,
        columns=(*plan.positions, *default_columns),
        missing=missing_headers(headers, parser),
        unused=tuple(
            name
            for index, name in enumerate(names)
            if index not in used_indexes
        ),
        rows=normalized.total_rows,
        rejected_rows=normalized.invalid_rows,
        rejected_cells=_rejected_cells(normalized.causes),
    )


def _with_error(reading: Reading, error: FeedUnreadableError | None) -> Reading:
    """Return a reading with the error that makes a run reject the file, if any."""
    if error is None:
        return reading
    return replace(
        reading, error_code=error.error_code, error_message=str(error)
    )


def _rejected_cells(causes: Iterable[Cause]) -> tuple[RejectedCells, ...]:
    """Return the rejected cells by code and column, the most frequent first."""
    by_row_number = attrgetter("row_number")
    cells_by_kind: dict[tuple[str, str | None], RejectedCells] = {}
    for cause in causes:
        first_sample = min(cause.samples, key=by_row_number)
        cells = RejectedCells(
            error_code=cause.error_code,
            column=cause.column,
            count=cause.count,
            row_number=first_sample.row_number,
            value=first_sample.value.strip(),
            line=first_sample.line,
            sheet_row=first_sample.sheet_row,
        )
        kind = (cause.error_code, cause.column)
        same_kind = cells_by_kind.get(kind)
        if same_kind is not None:
            # Causes differ in the shape of their cells, which does not matter here.
            first_cells = min(same_kind, cells, key=by_row_number)
            cells = replace(first_cells, count=same_kind.count + cells.count)
        cells_by_kind[kind] = cells
    by_frequency = sorted(
        cells_by_kind.values(),
        key=lambda cells: (-cells.count, cells.row_number),
    )
    return tuple(by_frequency)
