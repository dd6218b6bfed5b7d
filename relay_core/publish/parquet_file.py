"""Parquet files of typed rows, which are handed on piece by piece as they are written.

Decimals are stored as whole numbers, instants as milliseconds or microseconds.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relay_core.columnar.text import integers_in, one_chunk, values_of

_MICROSECONDS = 1_000_000


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the types to write a file with that is read back as ``schema``."""
    fields = []
    for field in schema:
        if pa.types.is_decimal(field.type):
            stored_type = pa.decimal64(18, field.type.scale)
            fields.append(field.with_type(stored_type))
        else:
            fields.append(field)
    return pa.schema(fields)


def stored_cells(cells: Any, stored_type: pa.DataType) -> Any:
    """Return a column of the engine in its stored type, one value a row.

    Instants lose their fraction of a second.
    """
    if cells.type == stored_type:
        return cells
    numbers = integers_in(one_chunk(cells))
    if pa.types.is_timestamp(stored_type):
        seconds = values_of(numbers) // _MICROSECONDS
        numbers = pa.array(seconds * 1000)
    return numbers.view(stored_type)


def parquet_chunks(
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    metadata: Mapping[bytes, bytes] | None = None,
    **options: Any,
) -> Iterator[bytes]:
    """Yield a Parquet file piece by piece, with one row group for each of ``groups``.

    ``options`` are options of Arrow's `ParquetWriter`.
    """
    sink = _ChunkSink()
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        # With the schema, files would be read back in the types of the engine.
        store_schema=False,
        store_decimal_as_integer=True,
        **options,
    ) as writer:
        if metadata is not None:
            writer.add_key_value_metadata(metadata)
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
            yield from sink.drain()
    yield from sink.drain()


class _ChunkSink(io.RawIOBase):
    """A file in memory that keeps written bytes until it is drained."""

    def __init__(self) -> None:
        self._size = 0
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        """Return True, so that Arrow writes to it."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # Arrow hands bytes
        """Keep some bytes."""
        self._chunks.append(data)
        self._size += len(data)
        return len(data)

    def drain(self) -> list[bytes]:
        """Return the chunks that were written since the last call."""
        chunks = self._chunks
        self._chunks = []
        return chunks

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self._size
