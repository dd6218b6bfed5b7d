"""Columns hold what was appended, whatever the pieces, however much it is."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar import growing_columns
from relay_core.columnar.growing_columns import (
    GrowingArray,
    GrowingNumbers,
    GrowingTexts,
)
from relay_core.columnar.text import MAX_SHORT_BYTES, offsets_and_bytes
from relay_core.domain.codes import VendorStatus
from relay_core.normalize.result import NormalizedVendor, VendorColumns
from relay_core.normalize.vendor import ReadyLines, SortedVendor

NUMBERS = st.lists(
    st.lists(st.none() | st.integers(0, 1 << 31), max_size=9), max_size=9
)
TEXTS = st.lists(st.lists(st.text(max_size=9), max_size=9), max_size=9)


class UnmovablePages(mmap.mmap):
    """Pages as systems give them that cannot move them: only Linux can."""

    def resize(self, *_: Any) -> None:
        """Refuse, as Python does there."""
        raise SystemError("mmap: resizing not available--no mremap()")


@pytest.fixture(params=["moved", "copied"])
def pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Grow from one page on, moved or copied."""
    kind = mmap.mmap if request.param == "moved" else UnmovablePages
    with (
        mock.patch.object(growing_columns, "_MIN_BYTES", mmap.PAGESIZE),
        mock.patch.object(mmap, "mmap", kind),
    ):
        yield


@pytest.mark.usefixtures("pages")
def test_an_array_grows_over_pages_and_huge_pages() -> None:
    array = GrowingArray(np.int64)
    rows = np.arange(growing_columns._HUGE_PAGES // 8 + 5)

    for part in np.array_split(rows, 7):
        array.append(part)

    assert array.size == len(rows)
    assert (array.array() == rows).all()


@pytest.mark.usefixtures("pages")
def test_what_is_skipped_is_zero() -> None:
    array = GrowingArray(np.int32)

    array.append(np.array([7]))
    array.skip(mmap.PAGESIZE)
    array.append(np.array([8]))

    assert array.array().tolist() == [7, *[0] * mmap.PAGESIZE, 8]


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("size", [0, 1, 1_000])
def test_a_cut_array_has_the_first_values(size: int) -> None:
    array = GrowingArray(np.int64)
    array.append(np.arange(mmap.PAGESIZE))

    array.cut(size)

    assert array.array().tolist() == list(range(size))
    page_count = -(-8 * size // mmap.PAGESIZE)
    assert len(array._pages) == max(page_count, 1) * mmap.PAGESIZE


@given(NUMBERS)
def test_numbers_and_nulls_come_back_row_by_row(
    parts: list[list[int | None]],
) -> None:
    column = GrowingNumbers(np.int64)
    for part in parts:
        nulls = np.array([number is None for number in part], np.bool_)
        column.append(
            np.array([number or 0 for number in part], np.int64), nulls
        )

    values, nulls = column.consume()

    given_rows = [number for part in parts for number in part]
    assert nulls.tolist() == [number is None for number in given_rows]
    assert values.tolist() == [number or 0 for number in given_rows]


@given(TEXTS)
def test_texts_come_back_with_room_for_a_word_behind_them(
    parts: list[list[str]],
) -> None:
    column = GrowingTexts()
    for part in parts:
        column.append(pa.array(["left out", *part], pa.string()).slice(1))
    given_rows = [text for part in parts for text in part]

    whole = column.consume()
    bounds, data = offsets_and_bytes(whole)

    assert whole.to_pylist() == given_rows
    assert len(data) >= bounds[-1] + 8
    assert column.consume().to_pylist() == []


@pytest.mark.parametrize("max_bytes", [MAX_SHORT_BYTES, 8])
def test_lines_are_put_in_order_however_many_bytes_they_have(
    max_bytes: int,
) -> None:
    lines = GrowingTexts()
    for part in (["b,1\n", "never\n"], ["a,22\n", "c\n"]):
        lines.append(pa.array(part))

    vendor = NormalizedVendor("v", VendorStatus.FOUND)
    columns = VendorColumns({}, np.array([2, 0, 3]))
    with mock.patch.object(growing_columns, "MAX_SHORT_BYTES", max_bytes):
        _, *pieces = SortedVendor(
            vendor, columns, ReadyLines(lines.consume())
        ).consume_lines()

    assert b"".join(pieces) == b"a,22\nb,1\nc\n"
