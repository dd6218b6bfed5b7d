"""The best offer of each SKU, by all criteria in turn, with the kernel and without it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.arrays import WholeNumbers
from relay_core.columnar.sorting import TextOrder
from relay_core.kernel import compiled
from relay_core.merge.competition import best_of_groups, compete
from relay_core.merge.criteria import Criterion
from relay_core.merge.vendor_offers import VENDOR_RANK
from support.kernel import needs_kernel

OFFERS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(-2, 2),
        st.sampled_from([0, 1, 2**62, -(2**62)]),
    ),
    min_size=1,
    max_size=25,
)
VENDORS = 4
SKUS = st.sampled_from(["SKU-0001", "SKU-00010", "SKU-0001\0"]) | st.text(
    "a\0é", max_size=20
)
ROWS = st.tuples(
    st.integers(0, VENDORS - 1),
    SKUS,
    st.integers(0, 1),
    st.sampled_from([0, 1, 2**62, -(2**62)]),
)


def number(column: str, offers: pa.Table) -> WholeNumbers:
    return np.asarray(offers[column].to_numpy(), np.int64)


CRITERIA = [Criterion(name, partial(number, name)) for name in ("low", "wide")]


@given(OFFERS)
def test_the_best_offer_of_a_group_is_the_least_by_all_criteria_in_turn(
    offers: list[tuple[int, int, int]],
) -> None:
    groups = np.array([group for group, _, _ in offers])
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    numbers = [
        np.array([offer[place] for offer in offers], np.int64)
        for place in (1, 2)
    ]
    criteria = [
        Criterion("", lambda _, made=number: made) for number in numbers
    ]

    winners = best_of_groups(TextOrder(order, starts), pa.table({}), criteria)

    def least(group: int) -> int:
        rows = [row for row, offer in enumerate(offers) if offer[0] == group]
        return min(rows, key=lambda row: (offers[row][1:], row))

    assert winners.tolist() == [
        least(group) for group in sorted(set(groups.tolist()))
    ]


def offers_of(
    rows: list[tuple[int, str, int, int]], kind: pa.DataType
) -> pa.Table:
    """Return offers in the order of vendors, and by SKU in each of these."""
    in_order = sorted(rows, key=lambda row: (row[0], row[1].encode()))
    columns = list(zip(*in_order, strict=True)) or [()] * 4
    return pa.table(
        {
            VENDOR_RANK: pa.array(columns[0], pa.int16()),
            "sku": pa.array(columns[1], kind),
            "low": pa.array(columns[2], pa.int64()),
            "wide": pa.array(columns[3], pa.int64()),
        }
    )


@given(
    st.lists(ROWS, max_size=30),
    st.sampled_from(["", "SKU-", "a long prefix of all SKUs "]),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.sampled_from([False, *[True] * compiled.is_installed]),
)
def test_each_sku_is_won_by_its_least_offer_and_counted_once_a_vendor(
    rows: list[tuple[int, str, int, int]],
    prefix: str,
    kind: pa.DataType,
    with_kernel: bool,
) -> None:
    offers = offers_of([(v, prefix + s, n, w) for v, s, n, w in rows], kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_enabled", with_kernel)
        competition = compete(offers, CRITERIA, VENDORS)

    best: dict[bytes, tuple[int, int, int]] = {}
    offered = set()
    for row, offer in enumerate(offers.to_pylist()):
        sku = offer["sku"].encode()
        value = (offer["low"], offer["wide"], row)
        best[sku] = min(best.get(sku, value), value)
        offered.add((offer[VENDOR_RANK], sku))
    ranks = [rank for rank, _ in offered]
    assert competition.winners.tolist() == [
        best[sku][-1] for sku in sorted(best)
    ]
    assert competition.sku_counts.tolist() == [
        ranks.count(rank) for rank in range(VENDORS)
    ]


@needs_kernel
@pytest.mark.parametrize(
    ("bounds", "runs", "criterion", "error"),
    [
        ([0, 1, 2], [0, 3], 2, IndexError),  # rows that are not there
        ([0, 1, 2], [1, 0, 2], 2, IndexError),  # a run that ends first
        ([0, 1, 2], [0, 2], 1, IndexError),  # a criterion of one row
        ([0, 1, 9], [0, 2], 2, IndexError),  # a text behind the bytes
        ([1, 0, 2], [0, 2], 2, IndexError),  # a text of less than no bytes
        ([2, 3, 4], [0, 2], 2, ValueError),  # texts in another order
    ],
)
def test_the_kernel_checks_what_it_reads(
    bounds: list[int],
    runs: list[int],
    criterion: int,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        compiled.scan.best_rows(
            np.array(bounds, np.int32),
            np.frombuffer(b"abba", np.uint8),
            np.array(runs),
            [np.zeros(criterion, np.int64)],
            np.zeros(2, np.int64),
            np.zeros(2, np.int64),
        )
