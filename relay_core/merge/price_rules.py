"""The price rule of each offer: the first of the tenant's rules that it meets.

Each rule is one bit. Each distinct value of a column has a mask: the rules whose condition on that
column it meets. An offer's masks are combined with AND; the lowest bit left is its rule.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.config import PriceRule, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.domain.columns import CONDITIONS
from relay_core.merge.vendor_offers import VENDOR_RANK

RULE = "rule"
"""The column that says which price rule an offer has, from 0; without it, or with -1, none."""
NO_RULE = -1
_WORD_BITS = 64
_ANY_RULE = ~np.uint64(0)
_BELOW_ALL = -1  # a cost in place of all that are below every bound


@dataclass(frozen=True, slots=True)
class _RuleMatcher:
    """The masks of one column: the rules that each of its distinct values meets."""

    kinds: Callable[[pa.Table], texts.Rows]  # the kind of each offer's cell; the last is of nothing
    met: texts.Words  # of each kind, and each word of rules, the rules that it meets


@dataclass(frozen=True, slots=True)
class PriceRules:
    """A tenant's price rules, made ready for columns of offers."""

    _rules: Sequence[PriceRule]
    _matchers: Sequence[_RuleMatcher]

    @classmethod
    def of(cls, config: TenantConfig) -> "PriceRules":
        """Return the rules of a tenant."""
        return cls(config.pricing.rules, list(_matchers(config)))

    def applied(self, offers: pa.Table) -> pa.Table:
        """Return offers with their rules; as they are where the tenant has none."""
        if not self._rules:
            return offers
        found = np.full(len(offers), NO_RULE, np.int64)
        kinds = [matcher.kinds(offers) for matcher in self._matchers]
        open_rows: texts.Rows | None = None
        for word in range(-(-len(self._rules) // _WORD_BITS)):
            met = np.full(len(offers) if open_rows is None else len(open_rows), _ANY_RULE)
            for matcher, each in zip(self._matchers, kinds, strict=True):
                met &= matcher.met[word][each if open_rows is None else each[open_rows]]
            has = met != 0
            first = np.bitwise_count(met[has] - np.uint64(1) & ~met[has]) + word * _WORD_BITS
            rows = np.flatnonzero(has) if open_rows is None else open_rows[has]
            found[rows] = first
            open_rows = np.flatnonzero(~has) if open_rows is None else open_rows[~has]
        return offers.append_column(RULE, pa.array(found.astype(np.int16)))

    def leaves_out(self, offers: pa.Table) -> texts.Bools:
        """Return which offers a rule says to leave out."""
        which = np.array([*(rule.leave_out for rule in self._rules), False])
        return which[rules_of(offers)] if which.any() else np.zeros(len(offers), np.bool_)


def rules_of(offers: pa.Table) -> texts.Ints:
    """Return the index of each offer's price rule, -1 without one."""
    if RULE not in offers.column_names:
        return np.full(len(offers), NO_RULE, np.int64)
    return texts.integers_of(offers[RULE])[0]


def _matchers(config: TenantConfig) -> Iterator[_RuleMatcher]:
    """Yield a matcher for each column that a rule has a condition on."""
    rules = config.pricing.rules
    ids = [vendor.vendor_id for vendor in config.vendors]
    when = [rule.when for rule in rules]
    if any(each.vendors for each in when):
        yield _RuleMatcher(
            lambda offers: texts.integers_of(offers[VENDOR_RANK])[0],
            _listed([each.vendors for each in when], ids),
        )
    brands = list(dict.fromkeys(name.casefold() for each in when for name in each.brands or ()))
    if brands:
        listed = [each.brands and [name.casefold() for name in each.brands] for each in when]
        yield _RuleMatcher(
            lambda offers: texts.word_index(
                texts.without_nulls(texts.one_chunk(offers["brand"])), brands
            ),
            _listed(listed, brands),
        )
    if any(each.conditions for each in when):
        yield _RuleMatcher(_condition, _listed([each.conditions for each in when], CONDITIONS))
    bounds = sorted(
        {
            int(bound * MONEY_UNIT)
            for each in when
            for bound in (each.cost_from, each.cost_below)
            if bound is not None
        }
    )
    if bounds:
        yield _RuleMatcher(lambda offers: _cost_band(offers, bounds), _within(rules, bounds))


def _listed(lists: Sequence[Sequence[str] | None], words: Sequence[str]) -> texts.Words:
    """Return which rules each word meets, where a rule lists words or takes any; and none."""
    known = [None if listed is None else {*listed} for listed in lists]
    return _masks([[each is None or word in each for each in known] for word in (*words, None)])


def _within(rules: Sequence[PriceRule], bounds: Sequence[int]) -> texts.Words:
    """Return which rules each band between bounds meets, and no cost."""
    whens = [rule.when for rule in rules]
    met = [
        [
            (when.cost_from is None or when.cost_from * MONEY_UNIT <= least)
            and (when.cost_below is None or least < when.cost_below * MONEY_UNIT)
            for when in whens
        ]
        for least in (_BELOW_ALL, *bounds)
    ]
    return _masks([*met, [when.cost_from is None and when.cost_below is None for when in whens]])


def _masks(met: Sequence[Sequence[bool]]) -> texts.Words:
    """Return the rules that each kind meets as bits, word by word."""
    bits = np.pad(np.array(met, np.bool_), ((0, 0), (0, -len(met[0]) % _WORD_BITS)))
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64).T


def _condition(offers: pa.Table) -> texts.Rows:
    found = pc.index_in(texts.one_chunk(offers["condition"]), value_set=pa.array(CONDITIONS))
    return np.asarray(texts.values_of(found.fill_null(len(CONDITIONS))), np.int64)


def _cost_band(offers: pa.Table, bounds: Sequence[int]) -> texts.Rows:
    cost, nulls = texts.integers_of(offers["cost"])
    return np.where(nulls, len(bounds) + 1, np.searchsorted(bounds, cost, side="right"))
