"""Offers to their price rules, and winners to prices, exactly: whole numbers, no binary float.

An offer's price rule is the first of the tenant's that it meets. Each rule is one bit. Each
distinct value of a column has a mask: the rules whose condition on that column it meets. An offer's
masks are combined with AND; the lowest bit left is its rule.

A price is made in named steps, of which the last is the price; `explain_price` returns
one winner's. Amounts are ten-thousandths. The candidate is kept as a numerator over the margin's
denominator until it is rounded to the increment.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import (
    Bools,
    Ints,
    Rows,
    Words,
    flags_of,
    integers_of,
    one_chunk,
    values_of,
    without_nulls,
    word_index,
)
from relay_core.config import PriceRule, PricingConfig, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.domain.columns import CONDITIONS
from relay_core.merge.vendor_offers import VENDOR_RANK

OVERRIDE_PRICE = "override_price"
"""The column with the price that an override asks for, in ten-thousandths; -1 without one."""
OVERRIDE_MIN_PRICE = "override_min_price"  # the same of an override's least price
Amounts = npt.NDArray[Any]
_LIMIT = 2**62
_NOTHING = Decimal(0)
_EXACT = Context(prec=60)  # the longest amount has a third as many digits
RULE = "rule"
"""The column that says which price rule an offer has, from 0; without it, or with -1, none."""
NO_RULE = -1
_WORD_BITS = 64
_ANY_RULE = ~np.uint64(0)
_BELOW_ALL = -1  # a cost in place of all that are below every bound


# --- price rules ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RuleMatcher:
    """The masks of one column: the rules that each of its distinct values meets."""

    kinds: Callable[
        [pa.Table], Rows
    ]  # the kind of each offer's cell; the last is of nothing
    met: Words  # of each kind, and each word of rules, the rules that it meets


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
        open_rows: Rows | None = None
        for word in range(-(-len(self._rules) // _WORD_BITS)):
            met = np.full(
                len(offers) if open_rows is None else len(open_rows), _ANY_RULE
            )
            for matcher, each in zip(self._matchers, kinds, strict=True):
                met &= matcher.met[word][each if open_rows is None else each[open_rows]]
            has = met != 0
            first = (
                np.bitwise_count(met[has] - np.uint64(1) & ~met[has])
                + word * _WORD_BITS
            )
            rows = np.flatnonzero(has) if open_rows is None else open_rows[has]
            found[rows] = first
            open_rows = np.flatnonzero(~has) if open_rows is None else open_rows[~has]
        return offers.append_column(RULE, pa.array(found.astype(np.int16)))

    def leaves_out(self, offers: pa.Table) -> Bools:
        """Return which offers a rule says to leave out."""
        which = np.array([*(rule.leave_out for rule in self._rules), False])
        return (
            which[rules_of(offers)] if which.any() else np.zeros(len(offers), np.bool_)
        )


def rules_of(offers: pa.Table) -> Ints:
    """Return the index of each offer's price rule, -1 without one."""
    if RULE not in offers.column_names:
        return np.full(len(offers), NO_RULE, np.int64)
    return integers_of(offers[RULE])[0]


def _matchers(config: TenantConfig) -> Iterator[_RuleMatcher]:
    """Yield a matcher for each column that a rule has a condition on."""
    rules = config.pricing.rules
    ids = [vendor.vendor_id for vendor in config.vendors]
    when = [rule.when for rule in rules]
    if any(each.vendors for each in when):
        yield _RuleMatcher(
            lambda offers: integers_of(offers[VENDOR_RANK])[0],
            _listed([each.vendors for each in when], ids),
        )
    brands = list(
        dict.fromkeys(name.casefold() for each in when for name in each.brands or ())
    )
    if brands:
        listed = [
            each.brands and [name.casefold() for name in each.brands] for each in when
        ]
        yield _RuleMatcher(
            lambda offers: word_index(
                without_nulls(one_chunk(offers["brand"])), brands
            ),
            _listed(listed, brands),
        )
    if any(each.conditions for each in when):
        yield _RuleMatcher(
            _condition, _listed([each.conditions for each in when], CONDITIONS)
        )
    bounds = sorted(
        {
            int(bound * MONEY_UNIT)
            for each in when
            for bound in (each.cost_from, each.cost_below)
            if bound is not None
        }
    )
    if bounds:
        yield _RuleMatcher(
            lambda offers: _cost_band(offers, bounds), _within(rules, bounds)
        )


def _listed(lists: Sequence[Sequence[str] | None], words: Sequence[str]) -> Words:
    """Return which rules each word meets, where a rule lists words or takes any; and none."""
    known = [None if listed is None else {*listed} for listed in lists]
    return _masks(
        [[each is None or word in each for each in known] for word in (*words, None)]
    )


def _within(rules: Sequence[PriceRule], bounds: Sequence[int]) -> Words:
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
    return _masks(
        [*met, [when.cost_from is None and when.cost_below is None for when in whens]]
    )


def _masks(met: Sequence[Sequence[bool]]) -> Words:
    """Return the rules that each kind meets as bits, word by word."""
    bits = np.pad(np.array(met, np.bool_), ((0, 0), (0, -len(met[0]) % _WORD_BITS)))
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64).T


def _condition(offers: pa.Table) -> Rows:
    found = pc.index_in(one_chunk(offers["condition"]), value_set=pa.array(CONDITIONS))
    return np.asarray(values_of(found.fill_null(len(CONDITIONS))), np.int64)


def _cost_band(offers: pa.Table, bounds: Sequence[int]) -> Rows:
    cost, nulls = integers_of(offers["cost"])
    return np.where(nulls, len(bounds) + 1, np.searchsorted(bounds, cost, side="right"))


# --- prices ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PriceInputs:
    """The inputs of prices, one row a winner; the values of null cells do not matter."""

    cost: Ints  # the vendor's
    cost_null: Bools  # who has none
    own_price: Ints  # the vendor's own price
    own_price_null: Bools  # who has none
    map_price: Ints  # the minimum advertised price
    map_price_null: Bools  # who has none
    has_amount: Bools  # who has something to make a price of
    rule: (
        Ints | None
    )  # the index of each one's price rule, -1 without one; None where none has any
    shipping: Ints | None = (
        None  # the flat amount of each one's vendor; None: all the tenant's
    )
    asked: Ints | None = (
        None  # the price that an override asks for, -1 without one; None: no one
    )
    least: Ints | None = None  # the same of an override's least price

    @classmethod
    def of(
        cls,
        offers: pa.Table,
        rows: Rows,
        pricing: PricingConfig,
        shipping: Ints | None = None,
    ) -> "PriceInputs":
        """Return the inputs of some rows' prices; ``shipping`` is each offer's flat amount."""

        def amounts(column: str) -> tuple[Ints, Bools]:
            values, nulls = integers_of(offers[column])
            return values.take(rows), nulls.take(rows)

        rule = rules_of(offers).take(rows) if RULE in offers.column_names else None
        known = (*amounts("cost"), *amounts("price"), *amounts("map_price"))
        own_shipping = None if shipping is None else shipping.take(rows)
        asked, least = (
            integers_of(offers[name])[0].take(rows)
            if name in offers.column_names
            else None
            for name in (OVERRIDE_PRICE, OVERRIDE_MIN_PRICE)
        )
        found = has_amount(offers, pricing).take(rows)
        return cls(*known, found, rule, own_shipping, asked, least)


class PriceSteps(NamedTuple):
    """The result of each step of pricing, in their order, one number a winner."""

    cost: Amounts  # the vendor's
    shipping_handling: Amounts  # with the flat amount
    candidate: Amounts  # with the margin or the markup, or the price that is given; a numerator
    min_price: Amounts  # at least the least price; a numerator
    rounding: Amounts  # a multiple of the increment
    min_price_again: Amounts  # at least the least price, once more
    map_price: Amounts  # at least the minimum advertised price, where it is enforced
    cents: Amounts  # whole cents


class PriceStep(NamedTuple):
    """A step of one price, as it is shown: amounts as exact text."""

    step: str
    operand: str | None  # what was applied; None where nothing was to be
    before: str | None  # the amount before it; None for the first
    after: str  # the amount after it


@dataclass(frozen=True, slots=True)
class _Terms:
    """The options by which winners are priced, as whole numbers."""

    denominator: int  # of all margins
    increment: int  # what prices are rounded to
    mode: str  # how
    shipping: (
        Amounts | int
    )  # the flat amount; as the next three, one for all winners or for each
    numerator: Amounts | int  # of the margin
    markup: Amounts | int  # what is added
    minimum: Amounts | int  # the least price

    def of_rows(self, rows: Bools, kind: type) -> "_Terms":
        """Return the terms of some winners, as numbers of a kind."""

        def of(each: Amounts | int) -> Amounts | int:
            return (
                each if isinstance(each, int) else np.asarray(each[rows].astype(kind))
            )

        names = ("shipping", "numerator", "markup", "minimum")
        own: dict[str, Any] = {name: of(getattr(self, name)) for name in names}
        return replace(self, **own)


def has_amount(offers: pa.Table, pricing: PricingConfig) -> Bools:
    """Return which offers have something to make a price of: a cost, a price, a rule's."""
    nothing = pc.and_(
        *(one_chunk(offers[name]).is_null() for name in ("cost", "price"))
    )
    found = ~flags_of(nothing)
    if RULE in offers.column_names:
        found |= _fixed(pricing)[1][rules_of(offers)]
    if OVERRIDE_PRICE in offers.column_names:
        found |= integers_of(offers[OVERRIDE_PRICE])[0] >= 0
    return np.asarray(found)


def price_winners(inputs: PriceInputs, pricing: PricingConfig) -> tuple[Ints, Bools]:
    """Return each winner's price in cents and whether it has one, which 0.00 is not."""
    cents, priced = whole_cents(inputs, pricing)
    ended = _ended(cents, pricing.ending)
    if inputs.asked is None:
        return ended, priced
    is_asked = inputs.asked >= 0
    return np.where(is_asked, inputs.asked // 100, ended), priced | is_asked


def whole_cents(inputs: PriceInputs, pricing: PricingConfig) -> tuple[Ints, Bools]:
    """Return the same before the tenant's ending, and whatever an override asks for."""
    terms = _terms(pricing, inputs)
    has_cost, cost, given, floor = _begin(inputs, pricing)
    # The steps of large amounts do not fit 64 bits; they are computed with Python's integers.
    denominator, large = terms.denominator, np.ones(len(cost), np.bool_)
    limit = (_LIMIT - 2 * terms.increment * denominator) // (2 * denominator)
    if limit > 0:  # no product is made that may not fit: a quotient says as much
        shipped_limit = (limit - terms.markup) // (terms.numerator // denominator + 1)
        large = (cost > shipped_limit - terms.shipping) | (given > limit)
        large |= terms.minimum >= limit
    cents = np.zeros(len(cost), np.int64)
    for rows, kind in ((~large, np.int64), (large, np.object_)):
        if rows.any():
            parts = (values[rows].astype(kind) for values in (cost, given, floor))
            some = terms.of_rows(rows, kind)
            cents[rows] = _steps(some, *parts, has_cost=has_cost[rows]).cents
    return cents, inputs.has_amount & (cents > 0)


def _ended(cents: Ints, ending: Decimal | None) -> Ints:
    """Return the least prices, none below the one it stands for, that end as the tenant's do."""
    if ending is None:
        return cents
    last, whole = int(ending.scaleb(2)), 100 if ending < 1 else 1000
    return np.asarray(cents + (last - cents) % whole)


def explain_price(inputs: PriceInputs, pricing: PricingConfig) -> list[PriceStep]:
    """Return the steps of a winner's price, none without amount; also those that change nothing."""
    if not inputs.has_amount.all():
        return []
    if inputs.asked is not None and inputs.asked[0] >= 0:
        price = _text(int(inputs.asked[0]))
        return [PriceStep("override", price, None, price)]
    has_cost, *amounts = _begin(inputs, pricing)
    terms = _terms(pricing, inputs).of_rows(np.ones(1, np.bool_), np.object_)
    parts = (values.astype(np.object_) for values in amounts)
    steps = _steps(terms, *parts, has_cost=has_cost)
    return list(_described(terms, inputs, pricing, steps))


def _described(
    terms: _Terms, inputs: PriceInputs, pricing: PricingConfig, steps: PriceSteps
) -> Iterator[PriceStep]:
    """Yield the steps of a price; what a share or a rounding is called, the snapshot says."""
    after = {name: int(values[0]) for name, values in steps._asdict().items()}
    written = pricing.model_dump(mode="json")
    minimum, map_price = _text(_only(terms.minimum)), None
    if pricing.map_policy.enforce and not inputs.map_price_null[0]:
        map_price = _text(int(inputs.map_price[0]))
    candidate = _text(after["candidate"], terms.denominator)
    rule = -1 if inputs.rule is None else int(inputs.rule[0])
    own = (
        written["rules"][rule]
        if rule >= 0
        else {"margin_pct": written["base_margin_pct"]}
    )
    if own.get("fixed_price") is not None:
        begin = [("fixed_price", candidate, candidate)]
    elif inputs.cost_null[0]:
        begin = [("own_price", candidate, candidate)]
    else:
        begin = [
            ("cost", _text(after["cost"]), _text(after["cost"])),
            (
                "shipping_handling",
                _text(_only(terms.shipping)),
                _text(after["shipping_handling"]),
            ),
            ("margin", own["margin_pct"], candidate)
            if own["margin_pct"] is not None
            else ("markup", _text(_only(terms.markup)), candidate),
        ]
    rounding = "{mode} {increment}".format_map(written["rounding"])
    end = [
        ("min_price", minimum, _text(after["min_price"], terms.denominator)),
        ("rounding", rounding, _text(after["rounding"])),
        ("min_price_again", minimum, _text(after["min_price_again"])),
        ("map_price", map_price, _text(after["map_price"])),
        ("cents", None, _text(after["cents"] * 100)),
    ]
    if pricing.ending is not None and after["cents"]:
        ended = _ended(np.array([after["cents"]], np.object_), pricing.ending)
        end.append(("ending", f"{pricing.ending:.2f}", _text(_only(ended) * 100)))
    before = None
    for name, operand, amount in (*begin, *end):
        yield PriceStep(name, operand, before, amount)
        before = amount


def _only(numbers: Amounts | int) -> int:
    """Return the number of the one winner."""
    return numbers if isinstance(numbers, int) else int(numbers[0])


def _text(numerator: int, denominator: int = 1) -> str:
    """Return an amount as exact text: two places, and more as far as they are not zero."""
    amount = _EXACT.divide(Decimal(numerator).scaleb(-4, _EXACT), Decimal(denominator))
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0'):0<2}"


def _begin(
    inputs: PriceInputs, pricing: PricingConfig
) -> tuple[Bools, Ints, Ints, Ints]:
    """Return whose price is made of the cost, that, the amount it is made of otherwise, its floor.

    The amount is a rule's fixed price, and without a cost the vendor's own price; the floor is the
    minimum advertised price, as far as it is one.
    """
    has_cost, given = (
        ~inputs.cost_null,
        np.where(inputs.own_price_null, 0, inputs.own_price),
    )
    if inputs.rule is not None:
        amounts, has_fixed = _fixed(pricing)
        is_fixed = has_fixed[inputs.rule]
        given = np.where(is_fixed, amounts[inputs.rule], given)
        has_cost &= ~is_fixed
    cost, given = np.where(has_cost, inputs.cost, 0), np.where(has_cost, 0, given)
    is_floor = ~inputs.map_price_null & pricing.map_policy.enforce
    return has_cost, cost, given, np.where(is_floor, inputs.map_price, 0)


def _fixed(pricing: PricingConfig) -> tuple[Ints, Bools]:
    """Return the fixed price of each rule, and which have one; last, of none."""
    prices = [*(rule.fixed_price for rule in pricing.rules), None]
    amounts = np.array([_units(price or _NOTHING) for price in prices], np.int64)
    return amounts, np.array([price is not None for price in prices])


def _steps(
    terms: _Terms, cost: Amounts, given: Amounts, floor: Amounts, *, has_cost: Bools
) -> PriceSteps:
    denominator = terms.denominator
    shipped = cost + terms.shipping
    candidate = shipped * terms.numerator + terms.markup * denominator
    candidate = np.where(has_cost, candidate, given * denominator)
    at_least = np.maximum(candidate, terms.minimum * denominator)
    step = terms.increment * terms.denominator
    if terms.mode == "up":
        steps = -(-at_least // step)
    elif terms.mode == "down":
        steps = at_least // step
    else:
        steps = (2 * at_least + step) // (2 * step)
    rounded = np.asarray(steps * terms.increment)
    again = np.maximum(rounded, terms.minimum)
    price = np.maximum(again, floor)
    cents = (price + 50) // 100
    falls_under = cents * 100 < np.maximum(floor, terms.minimum)
    cents = np.where(falls_under, -(-price // 100), cents)
    return PriceSteps(cost, shipped, candidate, at_least, rounded, again, price, cents)


def _terms(pricing: PricingConfig, inputs: PriceInputs) -> _Terms:
    """Return the terms of winners with these rules; of none, the tenant's own."""
    rule, shipping = inputs.rule, inputs.shipping
    rules = () if rule is None else pricing.rules
    margins = [
        1 + (_NOTHING if each.margin_pct is None else each.margin_pct) for each in rules
    ]
    margins.append(1 + pricing.base_margin_pct)
    least = [
        pricing.min_price if each.min_price is None else each.min_price
        for each in rules
    ]
    ratios = [margin.as_integer_ratio() for margin in margins]
    denominator = math.lcm(*(below for _, below in ratios))
    columns = (
        [above * (denominator // below) for above, below in ratios],
        [*(_units(each.markup or _NOTHING) for each in rules), 0],
        [*map(_units, least), _units(pricing.min_price)],
    )
    numerator, markup, minimum = (
        column[0] if rule is None else np.array(column, np.int64)[rule]
        for column in columns
    )
    if inputs.least is not None:
        minimum = np.where(inputs.least >= 0, inputs.least, minimum)
    return _Terms(
        denominator=denominator,
        increment=_units(pricing.rounding.increment),
        mode=pricing.rounding.mode,
        shipping=_units(pricing.shipping_handling_flat)
        if shipping is None
        else shipping,
        numerator=numerator,
        markup=markup,
        minimum=minimum,
    )


def _units(amount: Decimal) -> int:
    return int(amount.scaleb(4))
