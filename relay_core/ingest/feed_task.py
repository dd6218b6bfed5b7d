"""Reading a feed as a sandbox's task: for formats whose bytes can ask for any memory."""

import copyreg
import gc
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from relay_core.columnar.threads import tune_process
from relay_core.domain.limits import Limits
from relay_core.ingest.parquet import read_parquet
from relay_core.ingest.workbooks import read_workbook
from relay_core.sandbox import Ask

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

MODULES = (__name__,)  # loaded before memory is limited
PIECE_BYTES = 4 << 20  # so much of a feed is asked for at once


@dataclass(frozen=True, slots=True)
class ReadFeed:
    """Yields a feed's headers, then its batches."""

    parser: Mapping[str, Any]  # the options of its parser
    limits: Limits  # of feeds
    size: int  # how many bytes it has; each piece is asked for by its offset

    def __call__(self, ask: Ask) -> Iterator[Any]:
        """Read it."""
        sys.meta_path.insert(0, _WithoutPandas())
        tune_process()
        gc.disable()  # cells are millions of objects that never form a cycle
        copyreg.pickle(pa.StringArray, _packed)
        data = b"".join(map(ask, range(0, self.size, PIECE_BYTES)))
        parser = cast("ParserConfig", SimpleNamespace(**self.parser))
        read = read_parquet if parser.format == "parquet" else read_workbook
        parsed = read(data, parser, self.limits)
        yield parsed.headers, parsed.places
        yield from parsed.batches


class _WithoutPandas(MetaPathFinder):
    """Arrow loads pandas, where there is one, with its first array: half a second for nothing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Refuse pandas, and leave other modules to others."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def _packed(texts: pa.StringArray) -> tuple[Any, tuple[bytes]]:
    """Pickle texts as Arrow's own stream: without those of the array that they are a slice of."""
    batch = pa.record_batch([texts], names=["texts"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return _unpacked, (sink.getvalue().to_pybytes(),)


def _unpacked(data: bytes) -> pa.StringArray:
    return pa.ipc.open_stream(data).read_next_batch().column(0)
