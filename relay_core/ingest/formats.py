"""One way to the records of a feed, whatever its format and compression.

`READERS` binds a reader to each name of `FeedFormat`. A reader of another format than
CSV is loaded with the first feed that needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from relay_core.config import ParserConfig
from relay_core.domain.formats import FORMATS, WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.compression import unpack
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, ParsedFeed

Reader: TypeAlias = Callable[[Buffer, ParserConfig, Limits], ParsedFeed]
"""Reads the unpacked bytes of a feed."""


def open_feed(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits = DEFAULT_LIMITS,
) -> ParsedFeed:
    """Return the headers of an upload and its records, a batch at a time.

    Raises:
        FeedUnreadableError: The feed cannot be used, for a reason that the error has
            the code of. ``batches`` raises it too.
    """
    if not len(data) and may_read_apart(parser):
        return ParsedFeed(parser.columns)
    if parser.format not in WORKBOOK_FORMATS:  # a workbook is an archive itself
        data = unpack(data, parser.compression, limits)
    return READERS[parser.format](data, parser, limits)


def may_read_apart(parser: ParserConfig) -> bool:
    """Return whether a feed of the parser's format may be read in another process."""
    return FORMATS[parser.format].is_binary


# --- readers --------------------------------------------------------------------------


def _read_csv(data: Buffer, parser: ParserConfig, limits: Limits) -> ParsedFeed:
    return replace(parse_feed(data, parser, limits), size=len(data))


def _read_json_lines(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> ParsedFeed:
    from relay_core.ingest.jsonl import read_json_lines

    return replace(read_json_lines(data, parser, limits), size=len(data))


def _read_json_document(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> ParsedFeed:
    from relay_core.ingest.documents.json_document import read_json_document

    return read_json_document(data, parser, limits)


def _read_xml_document(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> ParsedFeed:
    from relay_core.ingest.documents.xml_document import read_xml_document

    return read_xml_document(data, parser, limits)


def _read_parquet(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> ParsedFeed:
    from relay_core.ingest.parquet import may_explode, read_parquet

    if may_explode(data):
        return _read_apart(data, parser, limits)
    return read_parquet(data, parser, limits)


def _read_apart(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> ParsedFeed:
    from relay_core.ingest.feed_task import read_apart

    return read_apart(data, parser, limits)


READERS: Mapping[str, Reader] = {
    "csv": _read_csv,
    "jsonl": _read_json_lines,
    "json": _read_json_document,
    "xml": _read_xml_document,
    "parquet": _read_parquet,
    **dict.fromkeys(WORKBOOK_FORMATS, _read_apart),
}
"""The reader of each format of feeds, by its name."""
