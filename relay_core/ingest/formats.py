"""One way to the records of a feed, whatever its format and compression."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.codes import WORKBOOK_FORMATS, FailureCode
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest import feed_task
from relay_core.ingest.compression import unpack
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, ParsedFeed
from relay_core.ingest.jsonl import read_json_lines
from relay_core.ingest.parquet import may_explode, read_parquet
from relay_core.sandbox import (
    Sandbox,
    SandboxEndedError,
    TaskFailedError,
    TaskOutOfMemoryError,
)

_READER_BYTES = 512 << 20
"""The memory of a reader, beside twice the bytes that a feed may unpack to."""


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
    if parser.format == "jsonl":
        return replace(read_json_lines(data, parser, limits), size=len(data))
    if parser.format == "parquet" and not may_explode(data):
        return read_parquet(data, parser, limits)
    return read_apart(data, parser, limits)


def may_read_apart(parser: ParserConfig) -> bool:
    """Return whether a feed of the parser's format may be read in another process."""
    return parser.format in (*WORKBOOK_FORMATS, "parquet")


def read_apart(
    data: Buffer,
    parser: ParserConfig,
    limits: Limits,
    sandbox: Sandbox | None = None,
) -> ParsedFeed:
    """Read a feed in another process.

    The process ends with the last batch, or when the caller stops reading. By default
    the process has the memory that a feed may need.

    Raises:
        FeedUnreadableError: As the reader of the format raises it; ``feed_too_large``
            also if the process dies or needs more memory than it may have. ``batches``
            raises it too.
    """
    if sandbox is None:
        memory_bytes = 2 * limits.feed_bytes + _READER_BYTES
        if limits.reader_bytes:
            memory_bytes = min(memory_bytes, limits.reader_bytes)
        sandbox = Sandbox.start(feed_task.MODULES, memory_bytes=memory_bytes)
    results = _results(sandbox, memoryview(data), parser, limits)
    headers, locator = next(results)
    return ParsedFeed(headers, results, locator=locator)


def _results(
    sandbox: Sandbox,
    data: memoryview,
    parser: ParserConfig,
    limits: Limits,
) -> Iterator[Any]:
    parser_options = {
        **parser.model_dump(mode="json"),
        "mapped_headers": parser.mapped_headers,
        "skip_headers": parser.skip_headers,
        "extra_columns": parser.extra_columns,
    }
    task = feed_task.ReadFeed(parser_options, limits, len(data))

    def piece_at(offset: int) -> bytes:
        return bytes(data[offset : offset + feed_task.PIECE_BYTES])

    try:
        yield from sandbox.run(task, answer=piece_at)
    except TaskOutOfMemoryError as error:
        raise _too_large(
            "reading the file needs more memory than a file of the maximum size",
        ) from error
    except TaskFailedError as error:
        raise ContractBrokenError(f"reading a feed failed: {error}") from error
    except SandboxEndedError as error:
        if error.status >= 0:
            reason = (
                f"the process that reads feeds ended with status {error.status}"
            )
            raise ContractBrokenError(reason) from error
        raise _too_large(
            f"the process that read the file was ended by signal {-error.status}",
        ) from error
    finally:
        sandbox.end()


def _too_large(reason: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"{reason}. "
        "Upload a smaller file with only the columns, rows, and formats that are needed.",
    )
