"""One way to the records of a feed, whatever its format and compression."""

from dataclasses import replace

from relay_core.config import ParserConfig
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.compression import unpack
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, ParsedFeed


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
    if parser.format == "csv":
        return replace(parse_feed(data, parser, limits), size=len(data))
    # Other readers load code that this format does not need.
    if parser.format == "jsonl":
        from relay_core.ingest.jsonl import read_json_lines

        return replace(read_json_lines(data, parser, limits), size=len(data))
    if parser.format == "json":
        from relay_core.ingest.documents.json_document import read_json_document

        return read_json_document(data, parser, limits)
    if parser.format == "xml":
        from relay_core.ingest.documents.xml_document import read_xml_document

        return read_xml_document(data, parser, limits)
    if parser.format == "parquet":
        from relay_core.ingest.parquet import may_explode, read_parquet

        if not may_explode(data):
            return read_parquet(data, parser, limits)
    from relay_core.ingest.feed_task import read_apart

    return read_apart(data, parser, limits)


def may_read_apart(parser: ParserConfig) -> bool:
    """Return whether a feed of the parser's format may be read in another process."""
    return parser.format in (*WORKBOOK_FORMATS, "parquet")
