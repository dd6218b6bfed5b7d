"""Rows of texts are the same with the kernel and without it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar import text as texts
from relay_core.kernel import compiled
from relay_core.kernel.taken_texts import take_short
from support.kernel import needs_kernel

TEXTS = st.lists(st.none() | st.text("aé", max_size=40), min_size=4, max_size=8)


@needs_kernel
@given(
    TEXTS,
    st.lists(st.integers(0, 3), max_size=30),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.integers(0, 1),
)
def test_rows_are_those_of_the_engine_without_the_kernel(
    cells: list[str | None], rows: list[int], kind: pa.DataType, skipped: int
) -> None:
    column = pa.array([*cells, "last"], kind).slice(skipped)
    indices = np.array(rows, np.int64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_enabled", True)
        chosen = take_short(column, indices)
    chosen.validate(full=True)

    assert chosen.equals(texts.take_short(column, indices))


@needs_kernel
def test_texts_of_every_length_are_copied_whole() -> None:
    cells = ["abcdefghijklmnopqrstuvwxyz"[-n % 26 :] * 2 for n in range(26)]
    column = pa.array([cell[:n] for cell in cells for n in range(50)])
    backwards = np.arange(len(column))[::-1]

    rows = take_short(column, backwards)

    assert rows.to_pylist() == column.to_pylist()[::-1]


@needs_kernel
def test_a_row_that_is_not_there_is_an_error() -> None:
    bounds = np.array([0, 2, 4], np.int32)
    data = np.zeros(4, np.uint8)
    new_bounds = np.zeros(2, np.int32)
    out = np.zeros(2, np.uint8)
    take_bounds = compiled.scan.take_bounds
    take_texts = compiled.scan.take_texts
    for row in (-1, 2):
        rows = np.array([row])
        with pytest.raises(IndexError, match="no such row"):
            take_bounds(bounds, rows, new_bounds)
        with pytest.raises(IndexError, match="no such row"):
            take_texts(bounds, data, rows, new_bounds, out)
    with pytest.raises(IndexError, match="not those of the rows"):
        take_bounds(bounds, np.array([0, 1]), new_bounds)
    with pytest.raises(IndexError, match="not in its buffer"):
        take_texts(bounds, data[:3], np.array([1]), new_bounds, out)
    with pytest.raises(IndexError, match="no room"):
        take_texts(bounds, data, np.array([1]), new_bounds, out[:1])
