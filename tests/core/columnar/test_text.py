"""Texts of a column: trimmed as Python trims, matched in any case, null where they are empty."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.text import (
    flags_of,
    integers_of,
    is_empty,
    possibly_blank_rows,
    take_short,
    trim,
    with_nulls,
    without_nulls,
    word_index,
)

SPACED = st.text("a\u00a0\u2003\u3000\u200b\x1c \t\n\x85é€", max_size=5)


@given(st.lists(SPACED, max_size=6))
def test_trimming_is_that_of_python(texts: list[str]) -> None:
    assert trim(pa.array(texts, pa.string())).to_pylist() == [
        text.strip() for text in texts
    ]


def test_white_space_of_every_script_is_trimmed_and_nothing_else() -> None:
    characters = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code <= 0xDFFF
    ]
    texts = [f"{character}x{character}" for character in characters]

    assert trim(pa.array(texts)).to_pylist() == [text.strip() for text in texts]


def test_trimming_a_slice_leaves_the_rest_alone() -> None:
    sliced = pa.array(["  x", " a ", "b", " c"]).slice(1, 2)

    assert trim(sliced).to_pylist() == ["a", "b"]


@given(st.lists(SPACED, max_size=6))
def test_a_blank_cell_is_one_that_may_be(texts: list[str]) -> None:
    blank = {row for row, text in enumerate(texts) if not text.strip()}

    assert blank <= set(
        possibly_blank_rows(pa.array(texts, pa.string())).tolist()
    )


@given(
    st.lists(st.sampled_from(["", "a", "é"]), max_size=20), st.integers(0, 3)
)
def test_empty_cells_become_nulls_and_back_without_a_copy(
    texts: list[str], skipped: int
) -> None:
    column = pa.array(texts, pa.string())[skipped:]
    filled = with_nulls(column)

    assert filled.to_pylist() == [text or None for text in texts[skipped:]]
    assert is_empty(without_nulls(filled)).tolist() == [
        not text for text in texts[skipped:]
    ]
    assert without_nulls(filled).to_pylist() == texts[skipped:]


def test_words_match_in_any_case_and_the_first_of_equal_ones_wins() -> None:
    indices = word_index(
        pa.array(["N/A", "n/a", "STRASSE", "straße", "x"]),
        ["n/A", "Straße", "N/a"],
    )

    assert indices.tolist() == [0, 0, 1, 1, -1]


def test_words_match_in_a_slice_that_was_cast() -> None:
    """Its bytes begin behind those of other cells, and it is no slice itself."""
    text = pa.array(["others", "New", "used"], pa.large_string())[1:].cast(
        pa.string()
    )
    assert word_index(text, ["new", "used"]).tolist() == [0, 1]


def test_rows_of_long_offsets_come_back_in_chunks_of_short_ones() -> None:
    text = pa.array(["b", "a", "long"], pa.large_string())

    whole = take_short(text, np.array([1, 2, 0]))
    cut = take_short(text, np.array([1, 2, 0]), max_bytes=4)

    assert whole.type == cut.type == pa.string()
    assert (whole.to_pylist(), cut.to_pylist()) == (
        ["a", "long", "b"],
        ["a", "long", "b"],
    )
    assert max(sum(map(len, chunk.to_pylist())) for chunk in cut.chunks) <= 4


@given(
    st.lists(st.sampled_from([True, False, None]), max_size=40),
    st.integers(0, 20),
    st.booleans(),
)
def test_flags_are_those_of_a_slice_and_nulls_are_false(
    flags: list[bool | None], skipped: int, is_chunked: bool
) -> None:
    column = pa.array(flags, pa.bool_())[skipped:]
    if is_chunked:
        column = pa.chunked_array([column[:3], column[3:]])

    assert flags_of(column).tolist() == [bool(flag) for flag in flags[skipped:]]


@given(
    st.lists(st.integers(-9, 9) | st.none(), max_size=20),
    st.integers(0, 10),
    st.sampled_from([pa.int16(), pa.int32(), pa.int64(), pa.decimal64(13, 4)]),
)
def test_integers_are_those_of_a_slice_and_nulls_are_zero(
    numbers: list[int | None], skipped: int, kind: pa.DataType
) -> None:
    column = pa.array(numbers, pa.int64())
    is_decimal = pa.types.is_decimal(kind)
    column = column.view(kind) if is_decimal else column.cast(kind)

    values, nulls = integers_of(column[skipped:])

    assert values.dtype == np.int64
    assert values.tolist() == [number or 0 for number in numbers[skipped:]]
    assert nulls.tolist() == [number is None for number in numbers[skipped:]]
