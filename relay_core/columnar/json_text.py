"""Text columns to JSON strings, with the bytes that the standard library writes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.columnar.arrays import ByteMask, Bytes
from relay_core.columnar.csv_text import join_fields
from relay_core.domain.records import as_json

# The backslash is the first, because all other escapes begin with one.
_MARKS = ("\\", '"', *map(chr, range(ord(" "))))
_ESCAPES = {mark: as_json(mark)[1:-1] for mark in _MARKS}
"""The escape of each character that a JSON string cannot have."""


def json_texts(texts: pa.StringArray) -> pa.StringArray:
    """Return each text as a JSON string with its quotes, one a text."""
    escaped_rows = text.rows_containing(texts, _must_be_escaped)
    escaped = text.change_rows(texts, escaped_rows, _escaped)
    return join_fields(['"', escaped, '"'], "")


def _must_be_escaped(data: Bytes) -> ByteMask:
    is_control = data < ord(" ")
    is_mark = (data == ord('"')) | (data == ord("\\"))
    return np.asarray(is_control | is_mark)


def _escaped(texts: pa.StringArray) -> pa.StringArray:
    counts = np.bincount(text.byte_array_of(texts), minlength=128)
    for mark, escape in _ESCAPES.items():
        if counts[ord(mark)]:
            texts = pc.replace_substring(texts, mark, escape)
    return texts
