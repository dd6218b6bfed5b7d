"""Why one SKU's feed row is what it is: its offers by rank, what each lost on, its price by steps.

The steps are those of the merge (`Merge`), and the price's steps those of the pricing: neither is
written a second time here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, Rows, flags_of
from relay_core.merge.best_offer import (
    DUPLICATE,
    LEFT_OUT,
    OVERRIDDEN,
    TIE_BREAKERS,
    Criterion,
    Merge,
    landed_costs,
)
from relay_core.merge.price_rules import NO_RULE, rules_of
from relay_core.merge.pricing import PriceInputs, PriceStep, explain_price
from relay_core.merge.vendor_offers import joins_duplicates, own_shipping, without_duplicates
from relay_core.validation.contracts import offer_schema

LANDED_COST = "landed_cost"
"""The column that says what an offer is compared by as its cost; null without a cost."""
MAX_OFFERS = 100
"""So many offers of a SKU are shown."""


@dataclass(frozen=True, slots=True)
class ExplainedOffers:
    """The offers of one SKU as they are shown."""

    # First those that competed, by rank; then the others, by vendor and row; each with its landed
    # cost
    offers: pa.Table
    competed: int  # how many of them competed; the first of these is the winner
    # Of each offer the criterion that it lost on; None for the winner
    lost_on: Sequence[str | None]
    rules: Sequence[int | None]  # of each offer the index of its price rule; None for none
    feed_row: pa.Table  # the winner's row of the feed; none where it comes to no price
    # How the winner's price is made; none where it has nothing to be made of
    price_steps: Sequence[PriceStep]


@dataclass(slots=True)
class OfferRanking:
    """Ranks the offers of one SKU, vendor after vendor, and keeps as many as are shown."""

    merge: Merge  # the tenant's steps
    count: int = 0  # how many offers there are
    _kept: pa.Table | None = None

    def add(
        self, vendor_id: str, parts: Iterable[pa.Table], *, is_last_good: bool, left_out: bool
    ) -> None:
        """Take a vendor's valid rows: vendors in the order of the config, rows in their own."""
        vendor = self.merge.config.vendor(vendor_id)
        offers_of = partial(self.merge.offers_of, vendor_id)
        schema = offer_schema(self.merge.config.extra_columns)
        standing = schema.empty_table()  # the row that stands for all so far, if one does
        for part in parts:
            self.count += len(part)
            rows = pa.concat_tables([standing, part]).combine_chunks()
            standing, set_aside = without_duplicates(vendor, rows)
            if set_aside.any():
                self._rank(offers_of(rows.filter(pa.array(set_aside))), is_duplicate=True)
            if not joins_duplicates(vendor):
                self._rank(offers_of(standing, is_last_good=is_last_good), left_out=left_out)
                standing = standing.slice(0, 0)
        self._rank(offers_of(standing, is_last_good=is_last_good), left_out=left_out)

    def explained(self) -> ExplainedOffers | None:
        """Return what came of the offers; None where there is none."""
        if self._kept is None or not len(self._kept):
            return None
        config = self.merge.config
        ranking = _Ranking.of(self._kept, self.merge.criteria)
        offers = self._kept.take(pa.array(ranking.order))
        offers = offers.append_column(LANDED_COST, landed_costs(config, offers))
        competing = self._kept.filter(pa.array(ranking.competes))
        feed_row = self.merge.feed_rows(competing)[0]
        winner = np.arange(min(1, len(competing)))
        pricing, lost_on = config.pricing, ranking.lost_on()
        inputs = PriceInputs.of(offers, winner, pricing, own_shipping(config, offers))
        steps = explain_price(inputs, pricing) if len(winner) else []
        rules = [
            None if rule == NO_RULE or lost == DUPLICATE else rule
            for rule, lost in zip(rules_of(offers).tolist(), lost_on, strict=True)
        ]
        return ExplainedOffers(offers, len(competing), lost_on, rules, feed_row, steps)

    def _rank(
        self, offers: pa.Table, *, is_duplicate: bool = False, left_out: bool = False
    ) -> None:
        """Put offers of a vendor among those that are kept, and keep the first by rank."""
        offers, left_out_by_rule = self.merge.ruled(offers)
        is_left_out = (left_out_by_rule | left_out) & (not is_duplicate)
        offers = offers.append_column(LEFT_OUT, pa.array(is_left_out))
        offers = offers.append_column(DUPLICATE, pa.repeat(pa.scalar(is_duplicate), len(offers)))
        known = [offers] if self._kept is None else [self._kept.drop_columns(OVERRIDDEN), offers]
        together = pa.concat_tables(known).combine_chunks()
        out = flags_of(together[LEFT_OUT]) | flags_of(together[DUPLICATE])
        overridden = pa.array(self.merge.overrides.outplaced(together, self.merge.config, out))
        together = together.append_column(OVERRIDDEN, overridden)
        shown = _Ranking.of(together, self.merge.criteria).order[:MAX_OFFERS]
        # In the order in which they came, which is what decides last.
        self._kept = together.take(pa.array(np.sort(shown)))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """Offers by rank."""

    order: Rows  # the offers' rows, the best first; those that do not compete follow the others
    competes: Bools  # of each offer, whether it does
    names: Sequence[str]  # of the criteria
    numbers: Ints  # of each criterion a row, as far as it was come to

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
