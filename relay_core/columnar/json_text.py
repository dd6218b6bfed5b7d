"""Columns of texts as JSON, with the bytes that ``json.dumps`` writes of each."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import change_rows, rows_that_hold
from relay_core.domain.records import as_json


def joined_parts(*parts: pa.Array | str, separator: str = "") -> pa.LargeStringArray:
    """Join texts row by row."""
    large = [
        pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.cast("large_string")
        for part in (*parts, separator)
    ]
    return pc.binary_join_element_wise(*large)


def json_texts(text: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return each text as JSON, in its quotes."""

    def must_be_escaped(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        return np.asarray((data < ord(" ")) | (data == ord('"')) | (data == ord("\\")))

    escaped = change_rows(text, rows_that_hold(text, must_be_escaped), _escaped)
    return joined_parts('"', escaped, '"')


def _escaped(text: pa.LargeStringArray) -> pa.LargeStringArray:
    for mark in ("\\", '"', *map(chr, range(ord(" ")))):
        if pc.any(pc.match_substring(text, mark)).as_py():
            text = pc.replace_substring(text, mark, as_json(mark)[1:-1])
    return text
