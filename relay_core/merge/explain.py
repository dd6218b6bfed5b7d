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
from relay_core.merge.best_offer import Merge
from relay_core.merge.criteria import (
    DUPLICATE,
    LEFT_OUT,
    TIE_BREAKERS,
    Criterion,
    criteria_of,
    landed_costs,
)
from relay_core.merge.price_rules import NO_RULE, PriceRules, rules_of
from relay_core.merge.pricing import PriceInputs, PriceStep, explain_price
from relay_core.merge.vendor_offers import (
    in_stock,
    joins_duplicates,
    offers_of,
    without_duplicates,
)

FED_QUANTITY = "fed_quantity"
"""The column that says how many an offer has before stock."""
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
        rules: of each offer the index of its price rule; None for none.
        feed_row: the winner's row of the feed; none where it comes to no price.
        price_steps: how the winner's price is made; none where it has nothing to be made of.
    """

    offers: pa.Table
    competed: int
    lost_on: Sequence[str | None]
    rules: Sequence[int | None]
    feed_row: pa.Table
    price_steps: Sequence[PriceStep]


@dataclass(frozen=True, slots=True)
class _Pending:
    """The row of a vendor that stands for the SKU so far, where one does for all."""

    vendor_id: str
    is_last_good: bool
    left_out: bool
    rows: pa.Table


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
    _rules: PriceRules = field(init=False)
    _pending: _Pending | None = None
    _kept: pa.Table | None = None

    def __post_init__(self) -> None:
        self._criteria = criteria_of(self.config)
        self._rules = PriceRules.of(self.config)

    def add(self, vendor_id: str, rows: pa.Table, *, is_last_good: bool, left_out: bool) -> None:
        """Take valid rows of a vendor: vendors in the order of the config, rows in their own.

        Args:
            vendor_id: the vendor.
            rows: its rows of the SKU, or the next of them, ``OFFER_SCHEMA``.
            is_last_good: whether they are those of its last good feed.
            left_out: whether the run goes on without the vendor.
        """
        self.count += len(rows)
        vendor, earlier = self.config.vendor(vendor_id), self._pending
        if earlier is not None and earlier.vendor_id == vendor_id:
            rows, self._pending = pa.concat_tables([earlier.rows, rows]).combine_chunks(), None
        self._settle()
        made, set_aside = without_duplicates(vendor, rows)
        if set_aside.any():
            aside = rows.filter(pa.array(set_aside))
            self._rank(vendor_id, offers_of(self.config, vendor_id, aside), is_duplicate=True)
        self._pending = _Pending(vendor_id, is_last_good, left_out, made)
        if not joins_duplicates(vendor):
            self._settle()

    def explained(self) -> ExplainedOffers | None:
        """Return what came of the offers; None where there is none."""
        self._settle()
        if self._kept is None or not len(self._kept):
            return None
        ranking = _Ranking.of(self._kept, self._criteria)
        offers = self._kept.take(pa.array(ranking.order))
        offers = offers.append_column(LANDED_COST, landed_costs(self.config, offers))
        competing = self._kept.filter(pa.array(ranking.competes))
        feed_row, _ = Merge.of_all(self.config).of(competing)
        winner = np.arange(min(1, len(competing)))
        pricing, lost_on = self.config.pricing, ranking.lost_on()
        inputs = PriceInputs.of(offers, winner, pricing)
        steps = explain_price(inputs, pricing) if len(winner) else []
        rules = [
            None if rule == NO_RULE or lost == DUPLICATE else rule
            for rule, lost in zip(rules_of(offers).tolist(), lost_on, strict=True)
        ]
        return ExplainedOffers(offers, len(competing), lost_on, rules, feed_row, steps)

    def _settle(self) -> None:
        """Rank the offers of a vendor whose rows have all come."""
        made, self._pending = self._pending, None
        if made is not None:
            last_good = made.is_last_good
            offers = offers_of(self.config, made.vendor_id, made.rows, is_last_good=last_good)
            self._rank(made.vendor_id, offers, left_out=made.left_out)

    def _rank(
        self,
        vendor_id: str,
        offers: pa.Table,
        *,
        is_duplicate: bool = False,
        left_out: bool = False,
    ) -> None:
        """Put offers of a vendor among those that are kept, and keep the first by rank."""
        offers = offers.append_column(FED_QUANTITY, offers["quantity_available"])
        offers = self._rules.applied(in_stock(self.config.stock_of(vendor_id), offers))
        is_left_out = (self._rules.leaves_out(offers) | left_out) & (not is_duplicate)
        offers = offers.append_column(LEFT_OUT, pa.array(is_left_out))
        offers = offers.append_column(DUPLICATE, pa.repeat(pa.scalar(is_duplicate), len(offers)))
        known = [offers] if self._kept is None else [self._kept, offers]
        together = pa.concat_tables(known).combine_chunks()
        told = _Ranking.of(together, self._criteria).order[:MOST_OFFERS]
        # In the order in which they came, which is what decides last.
        self._kept = together.take(pa.array(np.sort(told)))


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
