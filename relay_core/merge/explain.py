"""Why one SKU's feed row is what it is: its offers by rank, what each lost on, its price by steps.

What decides and what a price is made of is told by the code that decides and prices; nothing of it
is written a second time here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, Rows
from relay_core.config import TenantConfig
from relay_core.merge.best_offer import Merge, offers_of
from relay_core.merge.criteria import (
    LEFT_OUT,
    TIE_BREAKERS,
    Criterion,
    criteria_of,
    landed_costs,
)
from relay_core.merge.pricing import PriceInputs, PriceStep, explain_price

LANDED_COST = "landed_cost"
"""The column that says what an offer is compared by as its cost; null without a cost."""
MOST_OFFERS = 100
"""So many offers of a SKU are told."""


@dataclass(frozen=True, slots=True)
class ExplainedOffers:
    """The offers of one SKU as they are told.

    Attributes:
        offers: first those that competed, by rank; then the others, by vendor and row; each with
            its landed cost.
        competed: how many of them competed; the first of these is the winner.
        lost_on: of each offer the criterion that it lost on; None for the winner.
        feed_row: the winner's row of the feed; none where it comes to no price.
        price_steps: how the winner's price is made; none where it has nothing to be made of.
    """

    offers: pa.Table
    competed: int
    lost_on: Sequence[str | None]
    feed_row: pa.Table
    price_steps: Sequence[PriceStep]


@dataclass(slots=True)
class Contest:
    """Takes the offers of one SKU, vendor after vendor, and keeps as many as are told.

    Attributes:
        config: the tenant's.
        count: how many offers there are.
    """

    config: TenantConfig
    count: int = 0
    _criteria: Sequence[Criterion] = field(init=False)
    _kept: pa.Table | None = None

    def __post_init__(self) -> None:
        self._criteria = criteria_of(self.config)

    def add(self, vendor_id: str, rows: pa.Table, *, is_last_good: bool, left_out: bool) -> None:
        """Take valid rows of a vendor: vendors in the order of the config, rows in their own.

        Args:
            vendor_id: the vendor.
            rows: its rows of the SKU, ``OFFER_SCHEMA``.
            is_last_good: whether they are those of its last good feed.
            left_out: whether the run goes on without the vendor.
        """
        self.count += len(rows)
        offers = offers_of(self.config, vendor_id, rows, is_last_good=is_last_good)
        offers = offers.append_column(LEFT_OUT, pa.repeat(pa.scalar(left_out), len(offers)))
        known = [offers] if self._kept is None else [self._kept, offers]
        together = pa.concat_tables(known).combine_chunks()
        told = _Ranking.of(together, self._criteria).order[:MOST_OFFERS]
        # In the order in which they came, which is what decides last.
        self._kept = together.take(pa.array(np.sort(told)))

    def explained(self) -> ExplainedOffers | None:
        """Return what came of the offers; None where there is none."""
        if self._kept is None or not len(self._kept):
            return None
        ranking = _Ranking.of(self._kept, self._criteria)
        offers = self._kept.take(pa.array(ranking.order))
        offers = offers.append_column(LANDED_COST, landed_costs(self.config, offers))
        competing = self._kept.filter(pa.array(ranking.competes))
        decisive = [each for each in self._criteria if not each.excludes]
        feed_row, _ = Merge(self.config, decisive).of(competing)
        winner = np.arange(min(1, len(competing)))
        inputs = PriceInputs.of(offers, winner)
        steps = explain_price(inputs, self.config.pricing) if len(winner) else []
        return ExplainedOffers(offers, len(competing), ranking.lost_on(), feed_row, steps)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """Offers by rank.

    Attributes:
        order: the offers' rows, the best first; those that do not compete follow the others.
        competes: of each offer, whether it does.
        names: of the criteria.
        numbers: of each criterion a row, as far as it was come to.
    """

    order: Rows
    competes: Bools
    names: Sequence[str]
    numbers: Ints

    @classmethod
    def of(cls, offers: pa.Table, criteria: Sequence[Criterion]) -> _Ranking:
        """Rank offers, which stand in the order of vendors and rows."""
        numbers = np.array([each.numbers(offers) for each in criteria], np.int64)
        excludes = np.array([each.excludes for each in criteria])
        is_tie_breaker = np.array([each.name in TIE_BREAKERS for each in criteria])
        competes = ~numbers[excludes].any(axis=0)
        # Where an offer does not compete, nothing is asked but what excludes it, and whose it is.
        numbers[np.ix_(~excludes & ~is_tie_breaker, ~competes)] = 0
        return cls(np.lexsort(numbers[::-1]), competes, [each.name for each in criteria], numbers)

    def lost_on(self) -> list[str | None]:
        """Return by rank the first criterion in which each differs from the winner.

        What does not compete has lost on what excludes it, also where nothing competes.
        """
        ranked = self.numbers[:, self.order]
        best = ranked[:, :1] if self.competes.any() else np.zeros((len(ranked), 1), np.int64)
        differs = ranked != best
        names = np.array(self.names, np.object_)[differs.argmax(axis=0)]
        lost = differs.any(axis=0).tolist()
        return [name if has_lost else None for name, has_lost in zip(names, lost, strict=True)]
