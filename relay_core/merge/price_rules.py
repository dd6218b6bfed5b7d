"""A tenant's price rules, and which of them each offer has.

An offer's price rule is the first of the tenant's rules whose conditions it meets. Each
rule is one bit. Each distinct value of a column has a mask of the rules whose condition
on that column it meets. The masks of an offer's cells are combined with AND, and the
lowest remaining bit is the offer's rule.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays, text
from relay_core.config import PriceRule, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.domain.columns import CONDITIONS
from relay_core.merge.vendor_offers import VENDOR_RANK

RULE = "rule"
"""The column with the index of an offer's price rule; `NO_RULE` without one."""
NO_RULE = -1
_WORD_BITS = 64
_ANY_RULE = ~np.uint64(0)
_BELOW_ALL = -1  # the index of all costs below the lowest bound


@dataclass(frozen=True, slots=True)
class _RuleMatcher:
    """The rules that each distinct value of one column meets."""

    # Returns the index of each offer's value, one an offer. -1 or the last index means
    # that the offer has no value, or a value that no rule names.
    value_index: Callable[[pa.Table], arrays.RowIndex]
    # The rules met: one row per 64 rules, one column per value
    masks: arrays.Words


@dataclass(frozen=True, slots=True)
class PriceRules:
    """A tenant's price rules, prepared for columns of offers."""

    _rules: Sequence[PriceRule]
    _matchers: Sequence[_RuleMatcher]

    @classmethod
    def of(cls, config: TenantConfig) -> "PriceRules":
        """Return the rules of a tenant."""
        return cls(config.pricing.rules, list(_matchers(config)))

    def applied(self, offers: pa.Table) -> pa.Table:
        """Return the offers with the column `RULE`.

        Without rules, the offers stay as they are.
        """
        if not self._rules:
            return offers
        rule_of_offer = np.full(len(offers), NO_RULE, np.int64)
        value_indexes = [
            matcher.value_index(offers) for matcher in self._matchers
        ]
        unmatched: arrays.RowIndex | None = None  # None: all offers
        word_count = -(-len(self._rules) // _WORD_BITS)
        for word in range(word_count):
            size = len(offers) if unmatched is None else len(unmatched)
            met = np.full(size, _ANY_RULE)
            for matcher, index in zip(
                self._matchers,
                value_indexes,
                strict=True,
            ):
                open_index = index if unmatched is None else index[unmatched]
                met &= matcher.masks[word][open_index]
            is_met = met != 0
            met_rules = met[is_met]
            bits_below = met_rules - np.uint64(1) & ~met_rules
            lowest_bits = np.bitwise_count(bits_below)
            is_open = ~is_met
            if unmatched is None:
                matched = np.flatnonzero(is_met)
                unmatched = np.flatnonzero(is_open)
            else:
                matched = unmatched[is_met]
                unmatched = unmatched[is_open]
            rule_of_offer[matched] = lowest_bits + word * _WORD_BITS
        rules = pa.array(rule_of_offer.astype(np.int16))
        return offers.append_column(RULE, rules)

    def leaves_out(self, offers: pa.Table) -> arrays.RowMask:
        """Return the mask of the offers that their rule leaves out."""
        leaves_out_by_rule = [rule.leave_out for rule in self._rules]
        leaves_out = np.array([*leaves_out_by_rule, False])
        if not leaves_out.any():
            return np.zeros(len(offers), np.bool_)
        return leaves_out[rules_of(offers)]


def rules_of(offers: pa.Table) -> arrays.WholeNumbers:
    """Return the index of each offer's price rule, one an offer; `NO_RULE` for none."""
    if RULE not in offers.column_names:
        return np.full(len(offers), NO_RULE, np.int64)
    return text.integers_of(offers[RULE])[0]


def _matchers(config: TenantConfig) -> Iterator[_RuleMatcher]:
    """Yield a matcher for each column that a rule has a condition on."""
    conditions = [rule.when for rule in config.pricing.rules]
    if any(condition.vendors for condition in conditions):
        vendor_ids = [vendor.vendor_id for vendor in config.vendors]
        vendor_lists = [condition.vendors for condition in conditions]
        yield _RuleMatcher(
            _vendor_ranks,
            _masks_of_words(vendor_lists, vendor_ids),
        )
    if any(condition.brands for condition in conditions):
        yield _brand_matcher([condition.brands for condition in conditions])
    if any(condition.conditions for condition in conditions):
        condition_lists = [condition.conditions for condition in conditions]
        masks = _masks_of_words(condition_lists, CONDITIONS)
        yield _RuleMatcher(_condition_index, masks)
    cost_bounds: set[int] = set()
    for condition in conditions:
        for bound in (condition.cost_from, condition.cost_below):
            if bound is not None:
                cost_bounds.add(int(bound * MONEY_UNIT))
    if cost_bounds:
        yield _cost_matcher(config.pricing.rules, sorted(cost_bounds))


def _vendor_ranks(offers: pa.Table) -> arrays.RowIndex:
    return text.integers_of(offers[VENDOR_RANK])[0]


def _condition_index(offers: pa.Table) -> arrays.RowIndex:
    conditions = text.one_chunk(offers["condition"])
    index = pc.index_in(conditions, value_set=pa.array(CONDITIONS))
    filled = index.fill_null(len(CONDITIONS))
    return np.asarray(text.values_of(filled), np.int64)


def _brand_matcher(brand_lists: Sequence[Sequence[str] | None]) -> _RuleMatcher:
    """Return the matcher of brands, whose case does not count."""
    folded_lists = [
        brands and [brand.casefold() for brand in brands]
        for brands in brand_lists
    ]
    listed_brands: dict[str, None] = {}
    for brands in folded_lists:
        listed_brands |= dict.fromkeys(brands or ())

    def brand_index(offers: pa.Table) -> arrays.RowIndex:
        brands = text.without_nulls(text.one_chunk(offers["brand"]))
        return text.word_index(brands, listed_brands)

    return _RuleMatcher(
        brand_index,
        _masks_of_words(folded_lists, [*listed_brands]),
    )


def _cost_matcher(
    rules: Sequence[PriceRule],
    bounds: Sequence[int],
) -> _RuleMatcher:
    """Return the matcher of the bands of cost between ascending bounds."""

    def cost_band(offers: pa.Table) -> arrays.RowIndex:
        costs, nulls = text.integers_of(offers["cost"])
        bands = np.searchsorted(bounds, costs, side="right")
        return np.where(nulls, len(bounds) + 1, bands)

    conditions = [rule.when for rule in rules]
    met = []
    for lowest_cost in (_BELOW_ALL, *bounds):
        met_in_band = []
        for condition in conditions:
            low = condition.cost_from
            high = condition.cost_below
            is_above = low is None or low * MONEY_UNIT <= lowest_cost
            is_below = high is None or lowest_cost < high * MONEY_UNIT
            met_in_band.append(is_above and is_below)
        met.append(met_in_band)
    met_without_cost = [
        condition.cost_from is None and condition.cost_below is None
        for condition in conditions
    ]
    return _RuleMatcher(cost_band, _masks([*met, met_without_cost]))


def _masks_of_words(
    word_lists: Sequence[Sequence[str] | None],
    words: Sequence[str],
) -> arrays.Words:
    """Return the masks of words, and last of no word.

    A rule without a list takes any.
    """
    met = []
    for word in (*words, None):
        met_by_word = [
            listed is None or word in listed for listed in word_lists
        ]
        met.append(met_by_word)
    return _masks(met)


def _masks(met: Sequence[Sequence[bool]]) -> arrays.Words:
    """Return the rules met as bits: a row per 64 rules, a column per value."""
    missing_bits = -len(met[0]) % _WORD_BITS
    table = np.array(met, np.bool_)
    bits = np.pad(table, ((0, 0), (0, missing_bits)))
    octets = np.packbits(bits, axis=1, bitorder="little")
    return octets.view(np.uint64).T
