"""Rows of text columns, taken by the kernel if there is one."""

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowIndex
from relay_core.kernel import compiled

_SPARE_BYTES = 32
"""The bytes behind the last text; with them the kernel copies short texts faster."""


def take_short(
    text: pa.StringArray | pa.LargeStringArray,
    rows: RowIndex,
) -> pa.Array | pa.ChunkedArray:
    """Return rows of a column with short offsets, as `texts.take_short` does."""
    if not compiled.is_used() or not len(rows):
        return texts.take_short(text, rows)
    bounds, data = texts.offsets_and_bytes(text)
    rows = np.ascontiguousarray(rows, np.int64)
    taken = np.empty(len(rows) + 1, np.int32)
    size = compiled.scan.take_bounds(bounds, rows, taken)
    if size > texts.MAX_SHORT_BYTES:
        return texts.take_short(text, rows)
    out = np.empty(size + _SPARE_BYTES, np.uint8)
    compiled.scan.take_texts(bounds, data, rows, taken, out)
    validity = None
    if text.null_count:
        is_valid = texts.flags_of(text.is_valid()).take(rows)
        validity = pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    buffers = [validity, pa.py_buffer(taken), pa.py_buffer(out[:size])]
    return pa.Array.from_buffers(pa.string(), len(rows), buffers)
