"""Rows that are sorted by a text, as a file of which a few rows can be read without the rest.

An Arrow stream of small batches; behind it what else its maker writes; then an index, JSON: the
text that each batch begins with and where the batch lies; last, in sixteen bytes, how long the
stream and the index are.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import offsets_and_bytes

_BATCH_BYTES = 1 << 18
"""About how many bytes a batch has; a row that is longer is the last of its batch."""
_TAIL_BYTES = 64 << 10
"""So much of a file's end is read first; the index of a million rows is in it."""
_PREFIX = 64  # so many characters of a text are in the index
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_LENGTHS = struct.Struct("<QQ")

Index: TypeAlias = Sequence[tuple[str, int, int]]
"""Of each batch the text that it begins with, and where it starts and stops."""


class Part(NamedTuple):
    """Some bytes of a file: from ``start`` up to ``stop``."""

    start: int
    stop: int


def sorted_file_chunks(
    schema: pa.Schema,
    key: str,
    tables: Iterable[pa.Table],
    behind: Iterable[pa.Table] = (),
) -> Iterator[memoryview]:
    """Yield a file of rows sorted by ``key``; what is behind is read with the whole file alone."""
    head, index = schema.serialize(), []
    yield memoryview(head)
    size = head.size
    for batch in _small_batches(tables):
        data = batch.serialize()
        first = str(batch[key][0].as_py())
        index.append((first[:_PREFIX], size, size + data.size))
        yield memoryview(data)
        size += data.size
    yield memoryview(_END_OF_STREAM)
    for table in behind:
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            yield memoryview(sink.getvalue())
    written = json.dumps(index, ensure_ascii=False).encode()
    yield memoryview(written + _LENGTHS.pack(size + len(_END_OF_STREAM), len(written)))


def read_sorted_file(data: bytes | memoryview) -> list[pa.Table]:
    """Return the rows of a whole file, and the tables behind them; no cell is copied."""
    view = memoryview(data)
    length, index = _LENGTHS.unpack(view[-_LENGTHS.size :])
    tables = [_read_stream(pa.BufferReader(pa.py_buffer(view[:length])))]
    rest = pa.BufferReader(pa.py_buffer(view[length : -_LENGTHS.size - index]))
    while rest.tell() < rest.size():
        tables.append(_read_stream(rest))
    return tables


def tail_part(size: int) -> Part:
    """Return the end of a file of so many bytes, which is read first."""
    return Part(max(0, size - _TAIL_BYTES), size)


def index_part(size: int, tail: bytes) -> Part:
    """Return where the index of a file lies, whose end this is."""
    _, length = _LENGTHS.unpack(tail[-_LENGTHS.size :])
    return Part(size - _LENGTHS.size - length, size - _LENGTHS.size)


def parts_with(text: str, index: Index, most: int) -> list[Part]:
    """Return where rows of a text may lie: batches, neighbours up to ``most`` bytes together."""
    wanted, parts = text[:_PREFIX], list[Part]()
    following = [first for first, _, _ in index][1:]
    for (first, start, stop), after in zip_longest(index, following):
        if first <= wanted and (after is None or wanted <= after):
            if (
                parts and stop - parts[-1].start <= most
            ):  # those of a text follow one another
                start = parts.pop().start
            parts.append(Part(start, stop))
    return parts


def rows_with(
    text: str, part: bytes | memoryview, schema: pa.Schema, key: str
) -> pa.Table:
    """Return a part's rows of a text."""
    rows = _read_stream(
        pa.BufferReader(b"".join((schema.serialize(), part, _END_OF_STREAM)))
    )
    return rows.filter(pc.equal(rows[key], text))


def _small_batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        for batch in filter(len, table.to_batches()):
            sizes = np.full(
                batch.num_rows, 8 * batch.num_columns
            )  # about so many bytes a row
            for column in batch.columns:
                if pa.types.is_string(column.type) or pa.types.is_large_string(
                    column.type
                ):
                    sizes += np.diff(offsets_and_bytes(column)[0])
            ends = np.cumsum(sizes)
            steps = np.arange(_BATCH_BYTES, ends[-1], _BATCH_BYTES)
            cuts = np.unique(
                [0, *(np.searchsorted(ends, steps) + 1), len(ends)]
            ).tolist()
            for start, stop in pairwise(cuts):
                yield batch.slice(start, stop - start)


def _read_stream(source: Any) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        return stream.read_all().combine_chunks()
