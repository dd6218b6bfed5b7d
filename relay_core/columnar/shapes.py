"""The shapes of texts: runs of digits, letters and white space become one mark each."""

import string

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import change_rows, offsets_and_bytes, rows_that_hold

_KINDS = np.arange(256, dtype=np.uint8)
for _marks, _kind in ((string.digits, "9"), (string.ascii_letters, "A"), (string.whitespace, " ")):
    _KINDS[np.frombuffer(_marks.encode(), np.uint8)] = ord(_kind)
_FIRST_WIDE = 0x80
"""Bytes from here on are parts of characters: none of them stands for itself."""


def shapes_of(text: pa.StringArray) -> pa.StringArray:
    """Return the shape of each text: ``9`` for digits, ``A`` for letters, all else as it stands.

    A run of one kind is one mark. Letters are those of any script.
    """
    wide = rows_that_hold(text, lambda data: np.asarray(data >= _FIRST_WIDE))
    text = change_rows(text, wide, lambda some: pc.replace_substring_regex(some, r"[\pL\pM]+", "A"))
    bounds, data = offsets_and_bytes(text)
    low, high = int(bounds[0]), int(bounds[-1])
    if low == high:
        return text
    kinds, begins = _KINDS.take(data[low:high]), bounds - low
    kept = np.ones(len(kinds), np.bool_)
    np.not_equal(kinds[1:], kinds[:-1], out=kept[1:])
    kept |= kinds >= _FIRST_WIDE
    kept[begins[:-1][begins[1:] > begins[:-1]]] = True
    ends = np.zeros(len(kinds) + 1, begins.dtype)
    np.cumsum(kept, out=ends[1:])
    buffers = [None, pa.py_buffer(ends.take(begins)), pa.py_buffer(kinds[kept])]
    return pa.Array.from_buffers(text.type, len(text), buffers)
