"""One way to the records of a feed, whatever its format and compression."""

from __future__ import annotations

from collections.abc import Callable

from relay_core.config import ParserConfig
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.compression import unpack
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.feed import ParsedFeed
from relay_core.ingest.isolation.parent import read_apart
from relay_core.ingest.jsonl import read_json_lines
from relay_core.ingest.parquet import may_explode, read_parquet


def _read_parquet(data: Buffer, parser: ParserConfig, limits: Limits) -> ParsedFeed:
    read = read_apart if may_explode(data) else read_parquet
    return read(data, parser, limits)


_READERS: dict[str, Callable[[Buffer, ParserConfig, Limits], ParsedFeed]] = {
    "csv": parse_feed,
    "jsonl": read_json_lines,
    **dict.fromkeys(WORKBOOK_FORMATS, read_apart),
    "parquet": _read_parquet,
}


def open_feed(data: Buffer, parser: ParserConfig, limits: Limits = DEFAULT_LIMITS) -> ParsedFeed:
    """Return the headers of an upload and its records, a batch at a time.

    Raises:
        FeedUnreadableError: it cannot be used, here or from ``batches``; with the code of the run
            that fails for it.
    """
    if not len(data) and parser.format in (*WORKBOOK_FORMATS, "parquet"):
        return ParsedFeed(parser.columns)
    if parser.format not in WORKBOOK_FORMATS:  # a workbook is an archive itself
        data = unpack(data, parser.compression, limits)
    return _READERS[parser.format](data, parser, limits)
