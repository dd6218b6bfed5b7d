"""A file of rows sorted by a text, from which a few rows can be read without the rest.

The file starts with an Arrow stream of small batches. Other tables may follow it. Then
comes an index as JSON: the first text of each batch, and the batch's byte range. The
last sixteen bytes are the lengths of the stream and of the index.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import lengths_of

_BATCH_BYTES = 1 << 18
"""The approximate size of a batch; a longer row is the last one of its batch."""
_TAIL_BYTES = 64 << 10
"""The size of a file's end that is read first; it has the index of a million rows."""
_PREFIX = 64
"""The number of characters of a text in the index."""
_FIXED_BYTES_PER_CELL = 8
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_LENGTHS = struct.Struct("<QQ")

Index: TypeAlias = Sequence[tuple[str, int, int]]
"""The first text of each batch, and the offsets where the batch starts and stops."""


class ByteRange(NamedTuple):
    """A range of a file's bytes: from ``start`` up to ``stop``."""

    start: int
    stop: int


def sorted_file_chunks(
    schema: pa.Schema,
    key: str,
    tables: Iterable[pa.Table],
    further_tables: Iterable[pa.Table] = (),
) -> Iterator[memoryview]:
    """Yield the file of rows that are sorted by the column ``key``, a chunk at a time.

    The further tables follow the rows. Only readers of the whole file get them.
    """
    head = schema.serialize()
    yield memoryview(head)
    index: list[tuple[str, int, int]] = []
    size = head.size
    for batch in _small_batches(tables):
        data = batch.serialize()
        first_text = str(batch[key][0].as_py())
        index.append((first_text[:_PREFIX], size, size + data.size))
        yield memoryview(data)
        size += data.size
    yield memoryview(_END_OF_STREAM)
    stream_length = size + len(_END_OF_STREAM)
    for table in further_tables:
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            yield memoryview(sink.getvalue())
    index_json = json.dumps(index, ensure_ascii=False).encode()
    yield memoryview(index_json + _LENGTHS.pack(stream_length, len(index_json)))


def read_sorted_file(data: bytes | memoryview) -> list[pa.Table]:
    """Return the rows of a whole file, then its further tables; no cell is copied."""
    view = memoryview(data)
    stream_length, index_length = _LENGTHS.unpack(view[-_LENGTHS.size :])
    stream = pa.BufferReader(pa.py_buffer(view[:stream_length]))
    tables = [_read_stream(stream)]
    tables_end = len(view) - _LENGTHS.size - index_length
    source = pa.BufferReader(pa.py_buffer(view[stream_length:tables_end]))
    while source.tell() < source.size():
        tables.append(_read_stream(source))
    return tables


def tail_range(file_size: int) -> ByteRange:
    """Return the range of a file's end, which readers fetch first."""
    return ByteRange(max(0, file_size - _TAIL_BYTES), file_size)


def index_range(file_size: int, tail: bytes) -> ByteRange:
    """Return the range of a file's index; ``tail`` are the last bytes of the file."""
    _, index_length = _LENGTHS.unpack(tail[-_LENGTHS.size :])
    stop = file_size - _LENGTHS.size
    return ByteRange(stop - index_length, stop)


def ranges_with(text: str, index: Index, max_bytes: int) -> list[ByteRange]:
    """Return the ranges of the batches that may have rows of ``text``.

    Adjacent batches share a range of up to ``max_bytes``.
    """
    prefix = text[:_PREFIX]
    ranges: list[ByteRange] = []
    next_texts = [first_text for first_text, _, _ in index[1:]]
    for (first_text, start, stop), next_text in zip_longest(index, next_texts):
        starts_behind = first_text > prefix
        ends_before = next_text is not None and next_text < prefix
        if starts_behind or ends_before:
            continue
        # The batches of one text follow each other without a gap.
        if ranges and stop - ranges[-1].start <= max_bytes:
            start = ranges.pop().start
        ranges.append(ByteRange(start, stop))
    return ranges


def rows_with(
    text: str,
    data: bytes | memoryview,
    schema: pa.Schema,
    key: str,
) -> pa.Table:
    """Return the rows whose ``key`` is ``text`` from the bytes of one of the ranges."""
    stream = b"".join((schema.serialize(), data, _END_OF_STREAM))
    rows = _read_stream(pa.BufferReader(stream))
    return rows.filter(pc.equal(rows[key], text))


def _small_batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        for batch in table.to_batches():
            if not len(batch):
                continue
            # The size of a row in bytes is approximate.
            fixed_bytes = _FIXED_BYTES_PER_CELL * batch.num_columns
            row_sizes = np.full(batch.num_rows, fixed_bytes)
            for column in batch.columns:
                is_large = pa.types.is_large_string(column.type)
                if is_large or pa.types.is_string(column.type):
                    row_sizes += lengths_of(column)
            row_ends = np.cumsum(row_sizes)
            batch_ends = np.arange(_BATCH_BYTES, row_ends[-1], _BATCH_BYTES)
            cuts = np.searchsorted(row_ends, batch_ends) + 1
            bounds = np.unique([0, *cuts, len(row_ends)]).tolist()
            for start, stop in pairwise(bounds):
                yield batch.slice(start, stop - start)


def _read_stream(source: Any) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        return stream.read_all().combine_chunks()
