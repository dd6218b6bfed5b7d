"""One way to the records of a feed, whatever its format and compression."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.codes import WORKBOOK_FORMATS, FailureCode
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.compression import unpack
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, ParsedFeed
from relay_core.ingest.feed_task import MODULES, PIECE_BYTES, ReadFeed
from relay_core.ingest.jsonl import read_json_lines
from relay_core.ingest.parquet import may_explode, read_parquet
from relay_core.sandbox import (
    Sandbox,
    SandboxEndedError,
    TaskFailedError,
    TaskOutOfMemoryError,
)

_OWN_BYTES = (
    512 << 20
)  # the memory of a reader beside twice the bytes that a feed may unpack to


def read_apart(
    data: Buffer, parser: ParserConfig, limits: Limits, sandbox: Sandbox | None = None
) -> ParsedFeed:
    """Read a feed in another process; it ends with the last batch, or when none is wanted.

    By default the process has the memory that a feed may need.

    `FeedUnreadableError`: as the format's reader does, here or from ``batches``; ``feed_too_large``
    also where the process dies, or is refused the memory that it needs.
    """
    if sandbox is None:
        most = 2 * limits.feed_bytes + _OWN_BYTES
        sandbox = Sandbox(MODULES, memory_bytes=min(most, limits.reader_bytes or most))
    results = _results(sandbox, memoryview(data), parser, limits)
    headers, places = next(results)
    return ParsedFeed(headers, results, places=places)


def may_read_apart(parser: ParserConfig) -> bool:
    """Return whether a feed may be read in another process."""
    return parser.format in (*WORKBOOK_FORMATS, "parquet")


def _results(
    sandbox: Sandbox, data: memoryview, parser: ParserConfig, limits: Limits
) -> Iterator[Any]:
    # A parser as plain values, with the headers that it needs.
    of_headers = {
        "mapped_headers": parser.mapped_headers,
        "skip_headers": parser.skip_headers,
    }
    extra = {"extra_columns": parser.extra_columns}
    task = ReadFeed(
        {**parser.model_dump(mode="json"), **of_headers, **extra}, limits, len(data)
    )
    try:
        yield from sandbox.run(
            task, answer=lambda at: bytes(data[at : at + PIECE_BYTES])
        )
    except TaskOutOfMemoryError as error:
        raise _too_large(
            "reading it takes more memory than a feed of the most bytes would"
        ) from error
    except TaskFailedError as error:
        raise ContractBrokenError(f"reading a feed failed: {error}") from error
    except SandboxEndedError as error:
        if error.status >= 0:
            why = f"the process that reads feeds ended with status {error.status}"
            raise ContractBrokenError(why) from error
        raise _too_large(
            f"the process that read it was ended by signal {-error.status}"
        ) from error
    finally:
        sandbox.end()


def _too_large(why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"{why}; upload a smaller file, without columns, rows and formats that nobody needs",
    )


def open_feed(
    data: Buffer, parser: ParserConfig, limits: Limits = DEFAULT_LIMITS
) -> ParsedFeed:
    """Return the headers of an upload and its records, a batch at a time.

    `FeedUnreadableError`, here or from ``batches``: it cannot be used; with the code of the run.
    """
    if not len(data) and may_read_apart(parser):
        return ParsedFeed(parser.columns)
    if parser.format not in WORKBOOK_FORMATS:  # a workbook is an archive itself
        data = unpack(data, parser.compression, limits)
    if parser.format in ("csv", "jsonl"):
        read = parse_feed if parser.format == "csv" else read_json_lines
        return replace(read(data, parser, limits), size=len(data))
    if parser.format == "parquet" and not may_explode(data):
        return read_parquet(data, parser, limits)
    return read_apart(data, parser, limits)
