"""The records and cells of a feed sample, read as a run reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.config import LoadContext, ParserConfig
from relay_core.domain.formats import WORKBOOK_FORMATS
from relay_core.domain.limits import CHECK_LIMITS
from relay_core.ingest.charset import decode_head
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.normalize.row_reader import RowReader
from relay_core.onboarding.feed_sample import (
    FeedSample,
    sample_records,
    whole_lines,
    whole_records,
)

MAX_WHOLE_BYTES = 64 << 20
"""The maximum unpacked size of a file that a check reads as a whole."""
_WHOLE_LIMITS = replace(CHECK_LIMITS, feed_bytes=MAX_WHOLE_BYTES)
_MAX_COLUMNS = 200
_MAX_HEADER_RECORDS = 100  # the header and blank records around it


def open_sample(
    feed: FeedSample,
    parser: ParserConfig,
) -> tuple[ParsedFeed, ParserConfig]:
    """Return the records that a check reads, and the parser that fits their bytes.

    Raises:
        FeedUnreadableError: A run would reject the feed.
    """
    if not feed.rows:
        return open_feed(feed.data, parser, _WHOLE_LIMITS), parser
    if parser.format == "jsonl":
        data, text_parser = whole_lines(feed, parser, feed.rows)
        return open_feed(data, text_parser, CHECK_LIMITS), text_parser
    if parser.format == "csv":
        header_records = 1 if parser.columns is None else 0
        data, text_parser = whole_records(
            feed, parser, feed.rows + header_records
        )
        return open_feed(data, text_parser, CHECK_LIMITS), text_parser
    reader = parser
    if parser.format in WORKBOOK_FORMATS:
        # The records of a workbook are the same for all other options.
        reader = ParserConfig(
            format=parser.format,
            sheet=parser.sheet,
            skip_lines=parser.skip_lines,
            columns=parser.columns,
            padded_numbers=parser.padded_numbers,
            skip_rows=parser.skip_rows,
        )
    headers, batches = _first_records(
        feed.data,
        reader.model_dump_json(),
        reader.extra_columns,
        reader.gtin_column,
        feed.rows,
    )
    return ParsedFeed(headers, iter(batches)), parser


def read_headers(feed: FeedSample, parser: ParserConfig) -> tuple[str, ...]:
    """Return a feed's headers, not trimmed; none if it has no record.

    Raises:
        FeedUnreadableError: A run would reject the feed.
    """
    parsed_feed, _ = open_sample(feed, parser)
    return parsed_feed.headers or ()


def rows_start(feed: FeedSample, parser: ParserConfig) -> int:
    """Return the line or sheet row after the header of a file, from 1.

    Raises:
        FeedUnreadableError: The bytes are not of the parser's format or encoding.
    """
    if parser.format in WORKBOOK_FORMATS:
        parsed_feed, _ = open_sample(feed, parser)
        locator = parsed_feed.locator
        header_row = parser.skip_lines + 1
        if locator is not None:
            (header_row,) = locator.find([1])
        return header_row + 1
    decoded = decode_head(feed.data, parser.encoding, is_whole=feed.is_whole)
    records = sample_records(
        decoded,
        parser.delimiter,
        skip=parser.skip_lines,
        quoting=parser.quoting,
        is_whole=feed.is_whole,
    )
    lines = [
        record.line
        for record in islice(records, _MAX_HEADER_RECORDS)
        if any(cell.strip() for cell in record.cells)
    ]
    return lines[1] if len(lines) > 1 else lines[0] + 1


def record_columns(
    feed: FeedSample,
    parser: ParserConfig,
) -> tuple[tuple[str, ...], list[pa.StringArray]]:
    """Return a feed's headers, and the cells of its first columns, one a record.

    Cells are trimmed. Records that are skipped or blank are left out. A record that is
    shorter than the header has empty cells; a cell that a malformed record has but the
    reader did not keep is a question mark.

    Raises:
        FeedUnreadableError: A run would reject the feed.
    """
    parsed_feed, _ = open_sample(feed, parser)
    headers = parsed_feed.headers or ()
    reader = RowReader(
        plan_columns(headers, parser), parser, ZoneInfo("UTC"), 0, None
    )
    chunks: list[list[pa.StringArray]] = [[] for _ in headers[:_MAX_COLUMNS]]
    for batch in parsed_feed.batches:
        if isinstance(batch, TextBatch):
            rows, _ = reader.without_skipped(batch)
            for column_chunks, column in zip(
                chunks, rows.columns, strict=False
            ):
                column_chunks.append(text.trim(column))
        elif batch.widths is not None:
            records, _ = reader.without_skipped(batch)
            for index, column_chunks in enumerate(chunks):
                column_chunks.append(_cells_of_malformed(records, index))
    columns = [
        pa.concat_arrays([*parts, text.empty_texts(0)]) for parts in chunks
    ]
    if not columns:
        return headers, columns
    has_text = np.logical_or.reduce(
        [~text.is_empty(column) for column in columns]
    )
    mask = pa.array(has_text)
    return headers, [column.filter(mask) for column in columns]


def cells_by_column(
    feed: FeedSample,
    parser: ParserConfig,
    columns: Sequence[str],
    *,
    with_numbers: bool = False,
) -> dict[str, list[str]]:
    """Return the cells of those canonical columns that the file has, trimmed, without nulls.

    Args:
        feed: The sample to read.
        parser: The parser to read it with.
        columns: The canonical columns.
        with_numbers: Whether to include cells that the file stores as numbers, written
            with the parser's decimal separator.

    Raises:
        FeedUnreadableError: A run would reject the feed.
    """
    parsed_feed, _ = open_sample(feed, parser)
    all_positions = plan_columns(parsed_feed.headers or (), parser).positions
    positions = {
        name: all_positions[name] for name in columns if name in all_positions
    }
    return _cells_at(positions, parsed_feed, parser, with_numbers=with_numbers)


def cells_by_header(
    feed: FeedSample,
    parser: ParserConfig,
    headers: Sequence[str],
    *,
    with_numbers: bool = False,
) -> dict[str, list[str]]:
    """Return the cells under trimmed headers of the file, as `cells_by_column` does."""
    parsed_feed, _ = open_sample(feed, parser)
    all_headers = [header.strip() for header in parsed_feed.headers or ()]
    positions = {header: all_headers.index(header) for header in headers}
    return _cells_at(positions, parsed_feed, parser, with_numbers=with_numbers)


def _cells_at(
    positions: Mapping[str, int],
    parsed_feed: ParsedFeed,
    parser: ParserConfig,
    *,
    with_numbers: bool,
) -> dict[str, list[str]]:
    cells: dict[str, list[str]] = {name: [] for name in positions}
    for batch in parsed_feed.batches:
        if not isinstance(batch, TextBatch):
            continue
        for name, position in positions.items():
            texts = text.trim(batch.columns[position])
            null_words = parser.null_words(name)
            is_null = text.is_empty(texts) | (
                text.word_index(texts, null_words) >= 0
            )
            # Numbers are always stored with a point, so they show no style of the vendor.
            is_number = batch.number_cells.get(position)
            if is_number is not None and not with_numbers:
                is_null |= is_number
            elif is_number is not None and name != "updated_at":
                localized = pc.replace_substring(
                    texts, ".", parser.decimal_separator
                )
                texts = pc.if_else(pa.array(is_number), localized, texts)
            cells[name].extend(texts.filter(pa.array(~is_null)).to_pylist())
    return cells


def _cells_of_malformed(
    records: MalformedRecords, index: int
) -> pa.StringArray:
    """Return the cells at one index of records whose width is not the header's."""
    if index < len(records.cells):
        return text.trim(text.without_nulls(records.cells[index]))
    has_cell = pa.array(np.asarray(records.widths) > index)
    return pc.if_else(has_cell, "?", "")


@lru_cache(maxsize=4)
def _first_records(
    data: bytes,
    parser_json: str,
    extra_columns: Sequence[str],
    gtin_column: str | None,
    max_rows: int,
) -> tuple[tuple[str, ...] | None, Sequence[TextBatch | MalformedRecords]]:
    """Return the headers and first records of a workbook or a Parquet file.

    They are cached, since a check reads the same file several times.
    """
    context = LoadContext(
        extra_columns=[*extra_columns],
        gtin_column=gtin_column,
    )
    parser = ParserConfig.model_validate_json(parser_json, context=context)
    parsed_feed = open_feed(data, parser, CHECK_LIMITS)
    batches = []
    remaining_rows = max_rows
    for batch in parsed_feed.batches:
        is_first = np.arange(len(batch.row_numbers)) < remaining_rows
        first_records = batch.where(is_first)
        batches.append(first_records)
        remaining_rows -= len(first_records.row_numbers)
        if not remaining_rows:
            break
    return parsed_feed.headers, batches
