"""Texts sort by code point, stably, whatever they hold."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from relay_core.ordering import group_starts, order_by_text

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
    assert group_starts(pa.array(ordered, pa.string())).tolist() == starts.tolist()
