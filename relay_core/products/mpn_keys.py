"""Brands and manufacturers' part numbers in the form in which they are compared."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowMask
from relay_core.columnar.csv_text import join_fields

_MARKS = "-./"
_IGNORED = np.zeros(256, np.bool_)
_IGNORED[[*b"\t\n\v\f\r\x1c\x1d\x1e\x1f ", *_MARKS.encode()]] = True
"""Which bytes of ASCII a part number loses; other white space is not ASCII."""
_SEPARATOR = " "
"""The text between both parts of a key; a part number has no white space."""


def mpn_keys(brand: pa.StringArray, mpn: pa.StringArray) -> pa.StringArray:
    """Return the key of each row's brand and part number; empty if one is missing.

    Args:
        brand: The brands, trimmed, empty if null.
        mpn: The part numbers, trimmed, empty if null.
    """
    numbers = _changed(_squeezed(texts.lower_ascii(mpn)), mpn, _bare)
    brands = _changed(texts.lower_ascii(brand), brand, str.casefold)
    keys = join_fields([numbers, _SEPARATOR, brands], "")
    is_missing: RowMask = texts.is_empty(numbers) | texts.is_empty(brands)
    return texts.fill(keys, is_missing, "")


def _bare(mpn: str) -> str:
    """Return a part number without letter case, white space and marks."""
    return "".join(
        character
        for character in mpn.casefold()
        if not character.isspace() and character not in _MARKS
    )


def _changed(
    ascii_cells: pa.StringArray,
    text: pa.StringArray,
    change: Callable[[str], str],
) -> pa.StringArray:
    """Return changed cells; those that are not ASCII are changed one by one."""
    rows = texts.wide_rows(text)
    if not len(rows):
        return ascii_cells
    encoded = text.take(pa.array(rows)).dictionary_encode()
    distinct = [change(cell) for cell in encoded.dictionary.to_pylist()]
    cells = pa.array(distinct, pa.string()).take(encoded.indices)
    return texts.change_rows(ascii_cells, rows, lambda _: cells)


def _squeezed(text: pa.StringArray) -> pa.StringArray:
    """Return texts without the bytes that part numbers lose."""
    bounds, data = texts.offsets_and_bytes(text)
    if not len(text):
        return text
    first = int(bounds[0])
    all_bytes = data[first : int(bounds[-1])]
    is_kept = ~_IGNORED[all_bytes]
    if is_kept.all():
        return text
    kept_before = np.zeros(len(all_bytes) + 1, np.int32)
    np.cumsum(is_kept, out=kept_before[1:])
    buffers = [
        None,
        pa.py_buffer(np.ascontiguousarray(kept_before[bounds - first])),
        pa.py_buffer(all_bytes[is_kept]),
    ]
    return pa.Array.from_buffers(pa.string(), len(text), buffers)
