"""One winner a SKU: criterion by criterion, then the order given."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from relay_core.merge import best_of_groups

OFFERS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-2, 2), st.sampled_from([0, 1, 2**62, -(2**62)])),
    min_size=1,
    max_size=25,
)


@given(OFFERS)
def test_the_best_offer_of_a_group_is_the_least_by_all_criteria_in_turn(
    offers: list[tuple[int, int, int]],
) -> None:
    groups = np.array([group for group, _, _ in offers])
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    criteria = [np.array([offer[place] for offer in offers], np.int64) for place in (1, 2)]

    winners = best_of_groups(order, starts, criteria)

    def least(group: int) -> int:
        rows = [row for row, offer in enumerate(offers) if offer[0] == group]
        return min(rows, key=lambda row: (offers[row][1:], row))

    assert winners.tolist() == [least(group) for group in sorted(set(groups.tolist()))]
