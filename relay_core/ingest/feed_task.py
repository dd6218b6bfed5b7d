"""The reading of feeds whose bytes can ask for any memory, in another process."""

import copyreg
import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from relay_core.columnar.threads import tune_process
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.feed import Buffer, ParsedFeed
from relay_core.ingest.parquet import read_parquet
from relay_core.ingest.workbooks import read_workbook
from relay_core.sandbox import (
    Ask,
    Sandbox,
    SandboxEndedError,
    TaskFailedError,
    TaskOutOfMemoryError,
)

if TYPE_CHECKING:  # a process that reads feeds loads no pydantic
    from relay_core.config import ParserConfig

MODULES = (__name__,)
"""The modules that the sandbox loads before its memory is limited."""
PIECE_BYTES = 4 << 20
"""The number of bytes of a feed that the task asks for at once."""
_READER_BYTES = 512 << 20
"""The memory of a reader, beside twice the bytes that a feed may unpack to."""


def read_apart(
    data: Buffer,
    parser: "ParserConfig",
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
        sandbox = Sandbox.start(MODULES, memory_bytes=memory_bytes)
    results = _results(sandbox, memoryview(data), parser, limits)
    headers, locator = next(results)
    return ParsedFeed(headers, results, locator=locator)


def _results(
    sandbox: Sandbox,
    data: memoryview,
    parser: "ParserConfig",
    limits: Limits,
) -> Iterator[Any]:
    parser_options = {
        **parser.model_dump(mode="json"),
        "mapped_headers": parser.mapped_headers,
        "skip_headers": parser.skip_headers,
        "deleted_headers": parser.deleted_headers,
        "readable_columns": parser.readable_columns,
    }
    task = ReadFeed(parser_options, limits, len(data))

    def piece_at(offset: int) -> bytes:
        return bytes(data[offset : offset + PIECE_BYTES])

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


@dataclass(frozen=True, slots=True)
class ReadFeed:
    """The task: it yields the headers of a feed and its locator, then its batches."""

    parser: Mapping[str, Any]
    """The options of the parser, as plain values."""
    limits: Limits
    """The limits of feeds."""
    size: int
    """The number of bytes of the feed. The task asks for each piece by its offset."""

    def __call__(self, ask: Ask) -> Iterator[Any]:
        """Read the feed."""
        tune_process()
        gc.disable()  # cells are millions of objects that never form a cycle
        copyreg.pickle(pa.StringArray, _reduce_texts)
        data = b"".join(map(ask, range(0, self.size, PIECE_BYTES)))
        parser = cast("ParserConfig", SimpleNamespace(**self.parser))
        if parser.format == "parquet":
            parsed = read_parquet(data, parser, self.limits)
        else:
            parsed = read_workbook(data, parser, self.limits)
        yield parsed.headers, parsed.locator
        yield from parsed.batches


def _reduce_texts(texts: pa.StringArray) -> tuple[Any, tuple[bytes]]:
    """Pickle texts as an Arrow stream, which leaves out what a slice does not show."""
    batch = pa.record_batch([texts], names=["texts"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return _texts_of, (sink.getvalue().to_pybytes(),)


def _texts_of(stream: bytes) -> pa.StringArray:
    return pa.ipc.open_stream(stream).read_next_batch().column(0)
