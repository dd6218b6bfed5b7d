"""The offers of one SKU by rank: which criterion each lost on, and the winner's price.

The steps are those of the merge (`Merge`) and of the pricing; none is written a second
time here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex, RowMask, WholeNumbers
from relay_core.columnar.text import flags_of
from relay_core.domain.codes import VendorStatus
from relay_core.merge import (
    criteria,
    price_explanation,
    price_rules,
    vendor_offers,
)
from relay_core.merge.best_offer import Merge
from relay_core.merge.pricing import PriceInputs
from relay_core.normalize.work_file import offer_schema_of
from relay_core.validation.row_schemas import FILE

LANDED_COST = "landed_cost"
"""The column with the cost that offers are compared by; null for no cost."""
MAX_OFFERS = 100
"""The number of offers that an explanation shows."""


@dataclass(frozen=True, slots=True)
class ExplainedOffers:
    """The offers of one SKU as an explanation shows them."""

    # The offers that competed, by rank, then the others, by vendor and row; each with
    # its landed cost
    offers: pa.Table
    # The number of offers that competed; the first of them is the winner
    competing_count: int
    # The criterion that each offer lost on, one an offer; None for the winner
    lost_on: Sequence[str | None]
    # The index of the price rule that applies, one an offer; None for no rule
    rules: Sequence[int | None]
    # The winner's row of the feed; no row if it has no price
    feed_row: pa.Table
    # The steps of the winner's price; no step if there is nothing to make a price from
    price_steps: Sequence[price_explanation.PriceStep]


@dataclass(slots=True)
class OfferRanking:
    """Ranks the offers of one SKU by vendor, and keeps the first `MAX_OFFERS`."""

    merge: Merge  # the tenant's steps of the merge
    count: int = 0  # the number of offers so far
    _first_offers: pa.Table | None = None

    def add(
        self,
        vendor_id: str,
        status: VendorStatus,
        parts: Iterable[pa.Table],
    ) -> None:
        """Rank a vendor's valid rows of the SKU.

        Vendors must come in the order of the config, rows in the order of the file.
        """
        vendor = self.merge.config.vendor(vendor_id)
        offers_of = partial(self.merge.offers_of, vendor_id)
        is_last_good = status is VendorStatus.LAST_GOOD
        left_out = status is VendorStatus.LEFT_OUT
        # Rows that are joined with duplicates wait until the last part has come.
        schema = offer_schema_of(self.merge.config)
        has_files = self.merge.config.has_file_lists
        if has_files:
            schema = schema.append(FILE)
        waiting = schema.empty_table()
        for part in parts:
            self.count += len(part)
            if has_files and FILE.name not in part.column_names:
                part = part.append_column(FILE, pa.nulls(len(part), FILE.type))
            rows = pa.concat_tables([waiting, part]).combine_chunks()
            waiting, is_set_aside = vendor_offers.without_duplicates(
                vendor,
                rows,
            )
            if is_set_aside.any():
                duplicates = rows.filter(pa.array(is_set_aside))
                self._rank(offers_of(duplicates), is_duplicate=True)
            if not vendor_offers.joins_duplicates(vendor):
                offers = offers_of(waiting, is_last_good=is_last_good)
                self._rank(offers, left_out=left_out)
                waiting = waiting.slice(0, 0)
        offers = offers_of(waiting, is_last_good=is_last_good)
        self._rank(offers, left_out=left_out)

    def explained(self) -> ExplainedOffers | None:
        """Return the ranked offers, or None if there is no offer."""
        if self._first_offers is None or not len(self._first_offers):
            return None
        config = self.merge.config
        ranking = _Ranking.of(self._first_offers, self.merge.criteria)
        offers = self._first_offers.take(pa.array(ranking.order))
        offers = offers.append_column(
            LANDED_COST,
            criteria.landed_costs(config, offers),
        )
        competing = self._first_offers.filter(pa.array(ranking.competes))
        feed_row, *_ = self.merge.feed_rows(competing)
        price_steps: list[price_explanation.PriceStep] = []
        if len(competing):
            winner = offers.slice(0, 1)
            own_shipping = vendor_offers.own_shipping(config, winner)
            inputs = PriceInputs.of(winner, config.pricing, own_shipping)
            price_steps = price_explanation.explain_price(
                inputs,
                config.pricing,
            )
        lost_on = ranking.lost_on()
        return ExplainedOffers(
            offers=offers,
            competing_count=len(competing),
            lost_on=lost_on,
            rules=_rules(offers, lost_on),
            feed_row=feed_row,
            price_steps=price_steps,
        )

    def _rank(
        self,
        offers: pa.Table,
        *,
        is_duplicate: bool = False,
        left_out: bool = False,
    ) -> None:
        """Add a vendor's offers to the first ones, and keep the first ones of both."""
        offers, left_out_by_rule = self.merge.ruled(offers)
        is_left_out = (left_out_by_rule | left_out) & (not is_duplicate)
        duplicate_flags = pa.repeat(pa.scalar(is_duplicate), len(offers))
        offers = offers.append_column(criteria.LEFT_OUT, pa.array(is_left_out))
        offers = offers.append_column(criteria.DUPLICATE, duplicate_flags)
        if self._first_offers is not None:
            first_offers = self._first_offers.drop_columns(criteria.OVERRIDDEN)
            offers = pa.concat_tables([first_offers, offers])
        offers = offers.combine_chunks()
        left_out_flags = flags_of(offers[criteria.LEFT_OUT])
        is_out = left_out_flags | flags_of(offers[criteria.DUPLICATE])
        is_overridden = self.merge.overrides.outplaced(
            offers,
            self.merge.config,
            is_out,
        )
        offers = offers.append_column(
            criteria.OVERRIDDEN,
            pa.array(is_overridden),
        )
        ranking = _Ranking.of(offers, self.merge.criteria)
        # Offers stay in the order of vendors and rows, which is the last criterion.
        first_rows = np.sort(ranking.order[:MAX_OFFERS])
        self._first_offers = offers.take(pa.array(first_rows))


def _rules(offers: pa.Table, lost_on: Sequence[str | None]) -> list[int | None]:
    """Return the index of the applied price rule, one an offer; None for no rule."""
    rules: list[int | None] = []
    rule_indices = price_rules.rules_of(offers).tolist()
    for rule, criterion in zip(rule_indices, lost_on, strict=True):
        has_rule = (
            rule != price_rules.NO_RULE and criterion != criteria.DUPLICATE
        )
        rules.append(rule if has_rule else None)
    return rules


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """The ranks of some offers, which are in the order of vendors and rows."""

    # The rows of the offers, the best first; offers that do not compete come last
    order: RowIndex
    competes: RowMask  # whether an offer competes, one flag an offer
    names: Sequence[str]  # the names of the criteria
    # The numbers of the criteria, one row a criterion and one column an offer; the less
    # the better
    numbers: WholeNumbers

    @classmethod
    def of(
        cls,
        offers: pa.Table,
        ordered: Sequence[criteria.Criterion],
    ) -> "_Ranking":
        """Rank offers in the order of vendors and rows by ordered criteria."""
        names = [criterion.name for criterion in ordered]
        numbers = np.array(
            [criterion.numbers(offers) for criterion in ordered],
            np.int64,
        )
        excludes = np.array([criterion.excludes for criterion in ordered])
        competes = ~numbers[excludes].any(axis=0)
        # Offers that do not compete differ only in what excludes them and in the tie
        # breakers.
        is_tie_breaker = np.isin(names, criteria.TIE_BREAKERS)
        is_compared = ~excludes & ~is_tie_breaker
        numbers[np.ix_(is_compared, ~competes)] = 0
        return cls(
            order=np.lexsort(numbers[::-1]),
            competes=competes,
            names=names,
            numbers=numbers,
        )

    def lost_on(self) -> list[str | None]:
        """Return the first criterion in which offers differ from the winner, by rank.

        An offer that does not compete lost on what excludes it, even if none competes.
        """
        ranked = self.numbers[:, self.order]
        winner = ranked[:, :1]
        if not self.competes.any():
            # Nothing would exclude a winner.
            winner = np.zeros_like(winner)
        differs = ranked != winner
        has_lost = differs.any(axis=0)
        first_difference = differs.argmax(axis=0)
        return [
            self.names[criterion] if lost else None
            for criterion, lost in zip(first_difference, has_lost, strict=True)
        ]
