"""A Parquet file of typed rows, handed on while it is written; decimals are whole numbers in it."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relay_core.columnar.text import integers_in, one_chunk, values_of

_SECOND = 1_000_000


def written_as(schema: pa.Schema) -> pa.Schema:
    """Return the types that a file is written from which is to be read back as others."""
    return pa.schema(
        [
            field.with_type(pa.decimal64(18, field.type.scale))
            if pa.types.is_decimal(field.type)
            else field
            for field in schema
        ]
    )


def as_written(cells: Any, kind: pa.DataType) -> Any:
    """Return cells of the engine as they are written; of an instant its fraction is dropped."""
    if cells.type == kind:
        return cells
    numbers = integers_in(one_chunk(cells))
    if pa.types.is_timestamp(kind):
        milliseconds = values_of(numbers) // _SECOND * 1000
        numbers = pa.array(milliseconds)
    return numbers.view(kind)


def parquet_chunks(
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    metadata: Mapping[bytes, bytes] | None = None,
    **options: Any,
) -> Iterator[bytes]:
    """Yield a Parquet file, each group a row group; ``options`` are those of Arrow's writer."""
    sink = _Chunks()
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        store_schema=False,  # types as the engine holds them would be read back
        store_decimal_as_integer=True,
        **options,
    ) as writer:
        if metadata is not None:
            writer.add_key_value_metadata(metadata)
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
            yield from sink.taken()
    yield from sink.taken()


class _Chunks(io.RawIOBase):
    """A file that is handed on as it is written."""

    def __init__(self) -> None:
        self._size = 0
        self._written: list[bytes] = []

    def writable(self) -> bool:
        """Tell Arrow that it may be written."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take some bytes."""
        self._written.append(data)
        self._size += len(data)
        return len(data)

    def taken(self) -> list[bytes]:
        """Return what was written since the last call."""
        written, self._written = self._written, []
        return written

    def tell(self) -> int:
        """Return where it is."""
        return self._size
