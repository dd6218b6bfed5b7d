"""Whole columns of made-up text, written with numpy and Arrow: a million cells in milliseconds.

Here is how one kind of cell looks; which cells a feed has is in ``feeds``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PLACES = 4


def padded_digits(values: Ints, width: int) -> pa.StringArray:
    """Return each value as exactly ``width`` digits, with zeros in front."""
    digits = np.empty((len(values), width), np.uint8)
    remaining = values.copy()
    for place in range(width - 1, -1, -1):
        remaining, last = np.divmod(remaining, 10)
        digits[:, place] = last + ord("0")
    offsets = np.arange(0, len(values) * width + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets), pa.py_buffer(digits)
    )


def decimals(values: Ints, places: npt.NDArray[np.int8]) -> pa.StringArray:
    """Return whole ten-thousandths as decimals with so many places (2 to 4), cut, not rounded."""
    written = [_cut(values, digits) for digits in (2, 3, 4)]
    return pc.choose(pa.array(places - 2), *written)


def european(money: pa.StringArray) -> pa.StringArray:
    """Write ``1234.50`` as ``1.234,50``: a decimal comma, and points between the thousands."""
    comma = pc.replace_substring(money, ".", ",")
    return pc.replace_substring_regex(
        comma, r"^([0-9]{1,3})([0-9]{3}),", r"\1.\2,"
    )


def moments(seconds: Ints) -> pa.StringArray:
    """Return seconds since the epoch as ``YYYY-MM-DD HH:MM:SS``."""
    return pc.cast(pa.array(seconds).cast(pa.timestamp("s")), pa.string())


def words(
    rng: np.random.Generator, choices: Sequence[str], size: int
) -> pa.StringArray:
    """Return one of the choices for each row."""
    return pa.array(list(choices)).take(
        pa.array(rng.integers(0, len(choices), size))
    )


def where(
    mask: Bools, chosen: pa.StringArray | str, other: pa.StringArray
) -> pa.StringArray:
    """Return the chosen text where the mask holds, the other elsewhere."""
    return pc.if_else(pa.array(mask), chosen, other)


def joined(*parts: pa.StringArray | str, separator: str = "") -> pa.StringArray:
    """Join texts row by row."""
    return pc.binary_join_element_wise(*parts, separator)


def _cut(values: Ints, places: int) -> pa.StringArray:
    scaled = np.ascontiguousarray(values // 10 ** (PLACES - places))
    buffers = [None, pa.py_buffer(scaled)]
    typed = pa.Array.from_buffers(
        pa.decimal64(18, places), len(scaled), buffers
    )
    return pc.cast(typed, pa.string())
