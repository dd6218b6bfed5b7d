"""Texts sort by code point, stably, whatever they hold."""

from __future__ import annotations

from itertools import chain, combinations
from random import Random
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_core.columnar import sorting
from relay_core.columnar.sorting import common_ranges, order_by_text
from relay_core.columnar.text import TextWords

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

    assert order.tolist() == sorted(
        range(len(texts)), key=lambda place: texts[place]
    )


@given(TEXTS)
def test_long_offsets_change_nothing(texts: list[str]) -> None:
    short, long = (
        order_by_text(pa.array(texts, kind))
        for kind in (pa.string(), pa.large_string())
    )

    assert long.rows.tolist() == short.rows.tolist()
    assert long.starts.tolist() == short.starts.tolist()


@given(TEXTS)
def test_each_distinct_text_starts_once(texts: list[str]) -> None:
    order, starts = order_by_text(pa.array(texts, pa.string()))

    ordered = [texts[place] for place in order]
    assert [ordered[start] for start in starts] == sorted(set(texts))


@pytest.mark.parametrize(
    "texts",
    [
        ["ab\x00", "ab", "b", "ab\x00\x00", "ab"],
        [
            f"{word * 9}{end}"
            for end in "ba"
            for word in ("XQ7-", "k2Zp", "09mB", "gT_w")
        ],
    ],
    ids=["padding", "ends that do not fit one number"],
)
def test_texts_that_begin_alike_are_put_in_order(texts: list[str]) -> None:
    ordered = sorted(range(len(texts)), key=lambda place: texts[place])

    assert order_by_text(pa.array(texts))[0].tolist() == ordered


@pytest.mark.parametrize("block_rows", [1, 2, 3, 50, 10_000])
def test_ties_are_ranked_block_by_block_and_groups_stay_whole(
    block_rows: int,
) -> None:
    # The first 32 letters fill a key, and groups of ties have one to ten texts.
    random = Random(7)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEF"
    heads = ["".join(random.sample(letters, 32)) for _ in range(40)]
    texts = [
        f"{head}{random.choice('xyz')}{number % 4}"
        for head in heads
        for number in range(random.randrange(1, 11))
    ]
    random.shuffle(texts)
    with mock.patch.object(sorting, "_RANKED_ROWS", block_rows):
        order, starts = order_by_text(pa.array(texts))

    expected = sorted(range(len(texts)), key=lambda row: texts[row])
    assert order.tolist() == expected
    assert [texts[order[start]] for start in starts] == sorted(set(texts))


@given(TEXTS, st.randoms(use_true_random=False))
def test_rows_left_out_leave_the_others_in_order(
    texts: list[str], random: Random
) -> None:
    mask = np.array([random.random() < 0.5 for _ in texts], np.bool_)

    rows, _ = order_by_text(pa.array(texts, pa.string()), mask)

    assert rows.tolist() == sorted(
        np.flatnonzero(mask).tolist(), key=lambda place: texts[place]
    )


@example([["", "", "", "", "", "0"]], 4)
@example([["a", "b"], ["b"]], 1)
@example([["a", "a", "a", "a", "a", "a"], ["a", "b"]], 5)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 5))
def test_ranges_part_sorted_columns_between_texts(
    columns: list[list[str]], most: int
) -> None:
    ordered = [sorted(texts) for texts in columns]

    ranges = common_ranges(
        [pa.array(texts, pa.string()) for texts in ordered], most
    )

    parts = [
        [texts[part] for texts, part in zip(ordered, row, strict=True)]
        for row in ranges
    ]
    assert [
        list(chain(*column)) for column in zip(*parts, strict=True)
    ] == ordered
    distinct_texts = [
        {text for texts in part for text in texts} for part in parts
    ]
    assert all(
        max(a) < min(b)
        for a, b in combinations(filter(None, distinct_texts), 2)
    )
    sizes = [sum(map(len, part)) for part in parts]
    assert all(sizes) or len(sizes) == 1
    assert all(
        s <= most or len(t) == 1
        for s, t in zip(sizes, distinct_texts, strict=True)
    )


class CountedTexts:
    """A sorted column that counts which of its texts are looked at."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = pa.array(texts)
        self.looked_at = 0

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, rows: slice) -> pa.StringArray:
        texts = self._texts[rows]
        self.looked_at += len(texts)
        return texts


def test_ranges_of_many_columns_take_no_more_looks_a_column_than_those_of_few() -> (
    None
):
    def looks(columns: int, rows: int = 8_000, most: int = 500) -> float:
        texts = [f"SKU-{number:06}" for number in range(rows)]
        counted = [
            CountedTexts(texts[place::columns]) for place in range(columns)
        ]
        common_ranges(counted, most)
        return sum(column.looked_at for column in counted) / columns

    assert looks(80) < 2 * looks(10)


@pytest.mark.parametrize("longest", [300, 20_000])
def test_a_long_text_takes_no_more_passes_over_the_others_than_its_first_bytes(
    longest: int,
) -> None:
    texts = [f"SKU-{number % 70:06}" for number in range(300)] + [
        "S" * longest
    ] * 2
    passes = mock.patch.object(
        TextWords, "big_endian", autospec=True, side_effect=TextWords.big_endian
    )

    with passes as counted:
        order_by_text(pa.array(texts))

    assert counted.call_count <= 256 // 8


@pytest.mark.parametrize("longest", [8, 300, 20_000])
def test_one_long_text_among_repeated_ones_is_put_in_order(
    longest: int,
) -> None:
    texts = [f"SKU-{number % 70:06}" for number in range(300)] + [
        "S" * longest
    ] * 2

    order, starts = order_by_text(pa.array(texts))

    assert order.tolist() == sorted(
        range(len(texts)), key=lambda place: texts[place]
    )
    assert len(starts) == 71
