"""Texts sort by code point, stably, whatever they hold."""

from __future__ import annotations

from itertools import chain, combinations
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.sorting import common_ranges, order_by_text

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.text("ab\x00", max_size=20),
        st.integers(0, 99).map(lambda number: f"SKU-000000000000{number:02}"),
        st.sampled_from(["z", "é", "€", "\uffff", "\U0001f600"]),
    ),
    max_size=30,
)


@given(TEXTS)
def test_the_order_is_that_of_code_points_and_stable(texts: list[str]) -> None:
    order, _ = order_by_text(pa.array(texts, pa.string()))

    assert order.tolist() == sorted(range(len(texts)), key=lambda place: texts[place])


@given(TEXTS)
def test_each_distinct_text_starts_once(texts: list[str]) -> None:
    order, starts = order_by_text(pa.array(texts, pa.string()))

    ordered = [texts[place] for place in order]
    assert [ordered[start] for start in starts] == sorted(set(texts))


@pytest.mark.parametrize(
    "texts",
    [
        ["ab\x00", "ab", "b", "ab\x00\x00", "ab"],
        [f"{word * 9}{end}" for end in "ba" for word in ("XQ7-", "k2Zp", "09mB", "gT_w")],
    ],
    ids=["padding", "ends that do not fit one number"],
)
def test_texts_that_begin_alike_are_put_in_order(texts: list[str]) -> None:
    ordered = sorted(range(len(texts)), key=lambda place: texts[place])

    assert order_by_text(pa.array(texts))[0].tolist() == ordered


@given(TEXTS, st.randoms(use_true_random=False))
def test_rows_left_out_leave_the_others_in_order(texts: list[str], random: Random) -> None:
    kept = np.array([random.random() < 0.5 for _ in texts], np.bool_)

    rows, _ = order_by_text(pa.array(texts, pa.string()), kept)

    assert rows.tolist() == sorted(np.flatnonzero(kept).tolist(), key=lambda place: texts[place])


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 5))
def test_ranges_part_sorted_columns_between_texts(columns: list[list[str]], most: int) -> None:
    ordered = [sorted(texts) for texts in columns]

    ranges = common_ranges([pa.array(texts, pa.string()) for texts in ordered], most)

    parts = [[texts[part] for texts, part in zip(ordered, row, strict=True)] for row in ranges]
    assert [list(chain(*column)) for column in zip(*parts, strict=True)] == ordered
    found = [{text for texts in part for text in texts} for part in parts]
    assert all(max(a) < min(b) for a, b in combinations(filter(None, found), 2))
    sizes = [sum(map(len, part)) for part in parts]
    assert all(s <= most or len(t) == 1 for s, t in zip(sizes, found, strict=True))


@pytest.mark.parametrize("longest", [8, 300, 20_000])
def test_one_long_text_among_repeated_ones_is_put_in_order(longest: int) -> None:
    texts = [f"SKU-{number % 70:06}" for number in range(300)] + ["S" * longest] * 2

    order, starts = order_by_text(pa.array(texts))

    assert order.tolist() == sorted(range(len(texts)), key=lambda place: texts[place])
    assert len(starts) == 71
