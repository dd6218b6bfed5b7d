"""The task of a sandbox that reads a feed whose bytes can ask for any memory."""

import copyreg
import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from relay_core.columnar.threads import tune_process
from relay_core.domain.limits import Limits
from relay_core.ingest.parquet import read_parquet
from relay_core.ingest.workbooks import read_workbook
from relay_core.sandbox import Ask

if TYPE_CHECKING:  # a process that reads feeds loads no pydantic
    from relay_core.config import ParserConfig

MODULES = (__name__,)
"""The modules that the sandbox loads before its memory is limited."""
PIECE_BYTES = 4 << 20
"""The number of bytes of a feed that the task asks for at once."""


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
