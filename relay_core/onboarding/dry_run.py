"""The reading of a feed's first rows by one parser: headers, rejected cells, or a fault."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from relay_core.columnar.text import (
    empty_texts,
    is_empty,
    trim,
    without_nulls,
    word_index,
)
from relay_core.config import LoadContext, ParserConfig, TenantConfig, VendorConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import CHECK_LIMITS, ReportRoom
from relay_core.domain.records import Cause
from relay_core.ingest.column_mapping import (
    ColumnPlan,
    missing_columns,
    nearest_header,
    plan_columns,
    wanted_headers,
)
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.sku_map import SkuMap
from relay_core.merge.best_offer import columns_to_merge
from relay_core.normalize.file_kinds import with_kind
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import RowReader
from relay_core.normalize.vendor import ReadAgain, sorted_rows
from relay_core.normalize.vendor import read_rows as normalize_rows
from relay_core.normalize.vendor_feed import repeated_headers
from relay_core.onboarding.check_results import MissingHeader, Reading, RejectedCells
from relay_core.onboarding.feed_sample import FeedSample, whole_lines, whole_records

_MAX_COMPARED = 200
MAX_WHOLE_BYTES = 64 << 20
"""A file that unpacks to no more is read whole."""
_WHOLE_LIMITS = replace(CHECK_LIMITS, feed_bytes=MAX_WHOLE_BYTES)


def read_rows(feed: FeedSample, parser: ParserConfig, config: TenantConfig) -> Reading:
    """Return what the first rows of a feed are to a run with this parser."""
    return read_vendor(feed, parser, config)[0]


def read_vendor(
    feed: FeedSample,
    parser: ParserConfig,
    config: TenantConfig,
    vendor: VendorConfig | None = None,
    sku_map: SkuMap | None = None,
) -> tuple[Reading, NormalizedVendor | None]:
    """Return what a feed is to a run with this parser, and its rows; None where it has none.

    A feed is whole where its ``rows`` are 0. Without a vendor, rows have no more than SKUs.
    """

    def again() -> Iterator[TextBatch | MalformedRecords]:
        return _parsed(feed, parser)[0].batches

    try:
        parsed, readable = _parsed(feed, parser)
        if parsed.headers is None:
            return Reading(), None
        plan = plan_columns(parsed.headers, parser)
        error = None
        strict = config.error_policy.fail_on_missing_required_columns
        if plan.missing and (strict or plan.unusable):
            error = with_kind(
                missing_columns(plan.missing, parsed.headers), feed.data, parser
            )
        elif plan.repeated:
            error = with_kind(repeated_headers(plan), feed.data, parser)
        read = _read(parsed, plan, readable, config, vendor, sku_map, again)
    except FeedUnreadableError as fault:
        fault = with_kind(fault, feed.data, parser)
        return Reading(error_code=fault.error_code, error_message=str(fault)), None
    used = set(plan.used)
    reading = Reading(
        headers=tuple(map(str.strip, parsed.headers)),
        columns=(
            *plan.positions,
            *(c for c in parser.defaults if c not in plan.positions),
        ),
        missing=missing_headers(parsed.headers, parser),
        unused=tuple(
            h.strip() for place, h in enumerate(parsed.headers) if place not in used
        ),
        rows=read.total_rows,
        refused_rows=read.invalid_rows,
        refusals=_rejected_cells(read.causes),
        error_code=None if error is None else error.error_code,
        error_message=None if error is None else str(error),
    )
    return reading, read


def changed_parser(
    parser: ParserConfig, changes: Mapping[str, Any]
) -> ParserConfig | None:
    """Return a parser with some options changed, None where they do not go with the others."""
    own = {
        name: value for name, value in parser.model_dump().items() if value is not None
    }
    column_map = {**own["column_map"], **changes.get("column_map", {})}
    try:
        return ParserConfig.model_validate(
            {**own, **changes, "column_map": column_map},
            context=LoadContext(extra_columns=[*parser.extra_columns]),
        )
    except ValidationError:
        return None


def read_headers(feed: FeedSample, parser: ParserConfig) -> tuple[str, ...]:
    """Return a feed's headers, none where it has no record; `FeedUnreadableError` as for a run."""
    return _parsed(feed, parser)[0].headers or ()


def record_columns(
    feed: FeedSample, parser: ParserConfig
) -> tuple[tuple[str, ...], list[pa.StringArray]]:
    """Return a feed's headers and the cells under the first of them, of all records that are rows.

    They are trimmed. What a record has not is empty; what of one that does not fit the header is
    not at hand is a mark. Blank records are left out. `FeedUnreadableError`: as for a run.
    """
    parsed, _ = _parsed(feed, parser)
    headers = parsed.headers or ()
    reader = RowReader(plan_columns(headers, parser), parser, ZoneInfo("UTC"), 0, None)
    parts: list[list[pa.StringArray]] = [[] for _ in headers[:_MAX_COMPARED]]
    for batch in parsed.batches:
        if isinstance(batch, TextBatch):
            rows = reader.without_skipped(batch)[0]
            for part, column in zip(parts, rows.columns, strict=False):
                part.append(trim(column))
        elif batch.widths is not None:
            records = reader.without_skipped(batch)[0]
            for at, part in enumerate(parts):
                if at < len(records.cells):
                    part.append(trim(without_nulls(records.cells[at])))
                else:
                    part.append(
                        pc.if_else(pa.array(np.asarray(records.widths) > at), "?", "")
                    )
    columns = [pa.concat_arrays([*part, empty_texts(0)]) for part in parts]
    if not columns:
        return headers, columns
    filled = pa.array(np.logical_or.reduce([~is_empty(column) for column in columns]))
    return headers, [column.filter(filled) for column in columns]


def cell_texts(
    feed: FeedSample,
    parser: ParserConfig,
    names: Sequence[str],
    *,
    are_headers: bool = False,
    with_numbers: bool = False,
) -> dict[str, list[str]]:
    """Return the texts, trimmed, of some canonical columns that the file has, or under headers.

    Nulls are left out. Cells that the file holds as numbers, which are written one way, are left
    out, or have the parser's decimal separator. `FeedUnreadableError`: as for a run.
    """
    parsed, _ = _parsed(feed, parser)
    if are_headers:
        headers = [header.strip() for header in parsed.headers or ()]
        positions = {name: headers.index(name) for name in names}
    else:
        known = plan_columns(parsed.headers or (), parser).positions
        positions = {name: known[name] for name in names if name in known}
    cells: dict[str, list[str]] = {name: [] for name in positions}
    for batch in parsed.batches:
        if not isinstance(batch, TextBatch):
            continue
        for name, found in cells.items():
            text = trim(batch.columns[positions[name]])
            left_out = is_empty(text) | (word_index(text, parser.null_words(name)) >= 0)
            numbers = batch.number_cells.get(positions[name])
            if numbers is not None and with_numbers and name != "updated_at":
                own = pc.replace_substring(text, ".", parser.decimal_separator)
                text = pc.if_else(pa.array(numbers), own, text)
            elif numbers is not None and not with_numbers:
                left_out |= numbers
            found.extend(text.filter(pa.array(~left_out)).to_pylist())
    return cells


def missing_headers(
    headers: Sequence[str], parser: ParserConfig
) -> tuple[MissingHeader, ...]:
    """Return the columns that a run needs, or the config maps, and whose header is not there."""
    names = [header.strip() for header in headers]
    wanted = wanted_headers(names, parser)
    near, missing = names[:_MAX_COMPARED], []
    for column in dict.fromkeys((*REQUIRED_COLUMNS, *wanted)):
        headers = wanted.get(column, ())
        lacking: list[str | None] = [
            header for header in headers if header not in names
        ]
        if column in parser.defaults and len(lacking) == len(headers):
            continue
        for header in lacking if headers else [None]:
            shown = header if column in parser.column_map else None
            missing.append(
                MissingHeader(column, shown, nearest_header(shown or column, near))
            )
    return tuple(missing)


def _parsed(feed: FeedSample, parser: ParserConfig) -> tuple[ParsedFeed, ParserConfig]:
    """Return the records that are looked at, and the parser that their bytes are read with."""
    if not feed.rows:
        return open_feed(feed.data, parser, _WHOLE_LIMITS), parser
    if parser.format == "jsonl":
        data, readable = whole_lines(feed, parser, feed.rows)
        return open_feed(data, readable, CHECK_LIMITS), readable
    if parser.format == "csv":
        headers = 1 if parser.columns is None else 0
        data, readable = whole_records(feed, parser, feed.rows + headers)
        return open_feed(data, readable, CHECK_LIMITS), readable
    headers_found, batches = _first_records(
        feed.data, parser.model_dump_json(), parser.extra_columns, feed.rows
    )
    return ParsedFeed(headers_found, iter(batches)), parser


@lru_cache(maxsize=4)
def _first_records(
    data: bytes, options: str, extra_columns: Sequence[str], most: int
) -> tuple[tuple[str, ...] | None, Sequence[TextBatch | MalformedRecords]]:
    """Return the first records of a workbook or of Parquet; each is read more than once here."""
    context = LoadContext(extra_columns=[*extra_columns])
    own = ParserConfig.model_validate_json(options, context=context)
    parsed = open_feed(data, own, CHECK_LIMITS)
    batches, left = [], most
    for batch in parsed.batches:
        first = batch.where(np.arange(len(batch.row_numbers)) < left)
        batches.append(first)
        left -= len(first.row_numbers)
        if not left:
            break
    return parsed.headers, batches


def _read(
    parsed: ParsedFeed,
    plan: ColumnPlan,
    parser: ParserConfig,
    config: TenantConfig,
    vendor: VendorConfig | None,
    sku_map: SkuMap | None,
    again: ReadAgain,
) -> NormalizedVendor:
    """Read the rows as a run does, at no time; something stands in for what the file lacks."""
    lacking = {c: "1" for c in REQUIRED_COLUMNS if c not in plan.positions}
    parser = parser.model_copy(update={"defaults": lacking | parser.defaults})
    reader = RowReader(plan, parser, config.zone, 0, sku_map)
    columns = ["sku"] if vendor is None else columns_to_merge(config)
    own = NormalizedVendor(
        "" if vendor is None else vendor.vendor_id, VendorStatus.FOUND
    )
    twice = again if vendor is not None and vendor.duplicate_skus == "refuse" else None
    rows = normalize_rows(own, parsed, reader, columns, CHECK_LIMITS, twice)
    read = sorted_rows(rows, ReportRoom(0, 0))
    return read.vendor if vendor is None else read.with_offers(columns)


def _rejected_cells(causes: Iterable[Cause]) -> tuple[RejectedCells, ...]:
    """Return for what cells are rejected, of whatever shape, most frequent first."""
    found: dict[tuple[str, str | None], RejectedCells] = {}
    for cause in causes:
        key = (cause.error_code, cause.column)
        first = min(cause.samples, key=attrgetter("row_number"))
        value, place = first.value.strip(), (first.line, first.sheet_row)
        cells = RejectedCells(*key, cause.count, first.row_number, value, *place)
        if (known := found.get(key)) is not None:
            first_of_both = min(known, cells, key=attrgetter("row_number"))
            cells = replace(first_of_both, count=known.count + cells.count)
        found[key] = cells
    return tuple(
        sorted(found.values(), key=lambda each: (-each.count, each.row_number))
    )
