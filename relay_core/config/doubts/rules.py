"""Doubts about a tenant's own rules: what can never be met, sells nothing, or sells under cost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from relay_core.config import PriceRule, PricingConfig, RuleConditions, StockConfig, TenantConfig
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT
from relay_core.domain.errors import ConfigFault


def rule_doubts(config: TenantConfig, *, is_published: bool) -> Iterator[ConfigFault]:
    """Yield what is probably not meant, with its path.

    Args:
        config: the tenant's.
        is_published: whether the tenant has a feed that a run is compared with.
    """
    ids = [vendor.vendor_id for vendor in config.vendors]
    yield from _of_price_rules(config.pricing, ids)
    yield from _of_stock("stock", config.stock)
    for place, vendor in enumerate(config.vendors):
        if vendor.stock is not None:
            yield from _of_stock(f"vendors.{place}.stock", vendor.stock)
    if config.output.missing_skus == "zero" and not is_published:
        yield ConfigFault(
            "output.missing_skus",
            "zero keeps SKUs of the published feed, and the tenant has none yet: the first run "
            "keeps nothing",
        )


def _of_price_rules(pricing: PricingConfig, vendor_ids: Sequence[str]) -> Iterator[ConfigFault]:
    for index, rule in enumerate(pricing.rules):
        path = f"pricing.rules.{index}"
        earlier = next(
            (
                place
                for place, other in enumerate(pricing.rules[:index])
                if _covers(other.when, rule.when, vendor_ids)
            ),
            None,
        )
        if earlier is not None:
            yield ConfigFault(
                path,
                f"is never come to: pricing.rules.{earlier} stands before it, and has every offer "
                "that it is for; the first rule that an offer meets is its only one",
            )
        elif rule.when.cost_below == 0:
            yield ConfigFault(f"{path}.when.cost_below", "0 is met by no cost")
        else:
            yield from _under_cost(path, rule, pricing)


def _under_cost(path: str, rule: PriceRule, pricing: PricingConfig) -> Iterator[ConfigFault]:
    """Tell of a fixed price under what some of the offers that it is for may cost."""
    if rule.fixed_price is None:
        return
    least = pricing.min_price if rule.min_price is None else rule.min_price
    price, most = max(rule.fixed_price, least), rule.when.cost_below
    if price < (MONEY_LIMIT if most is None else most):
        costs = "any cost" if most is None else f"costs up to {most:f}"
        yield ConfigFault(
            f"{path}.fixed_price",
            f"is for offers of {costs}, and sells what costs more than {price:f} under its cost; "
            "set when.cost_below, or a min_price",
        )


def _covers(outer: RuleConditions, inner: RuleConditions, vendor_ids: Sequence[str]) -> bool:
    """Return whether every offer that meets the one meets the other, too."""
    return (
        _holds_all(outer.vendors, vendor_ids if inner.vendors is None else inner.vendors)
        and _holds_all(_folded(outer.brands), _folded(inner.brands))
        and _holds_all(outer.conditions, inner.conditions)
        and _holds_costs(outer, inner)
    )


def _holds_all(outer: Collection[str] | None, inner: Collection[str] | None) -> bool:
    return outer is None or (inner is not None and set(inner) <= set(outer))


def _folded(names: Sequence[str] | None) -> Collection[str] | None:
    return None if names is None else {name.casefold() for name in names}


def _holds_costs(outer: RuleConditions, inner: RuleConditions) -> bool:
    if outer.cost_from is None and outer.cost_below is None:
        return True
    if inner.cost_from is None and inner.cost_below is None:
        return False  # which also has what has no cost
    from_low = (outer.cost_from or 0) <= (inner.cost_from or 0)
    most = Decimal(MONEY_LIMIT)
    to_high = (inner.cost_below or most) <= (most if outer.cost_below is None else outer.cost_below)
    return from_low and to_high


def _of_stock(path: str, stock: StockConfig) -> Iterator[ConfigFault]:
    left = (LARGEST_WHOLE - stock.hold_back) * stock.pct // 100
    if left < max(stock.zero_below, 1) or stock.cap == 0:
        yield ConfigFault(path, "makes every quantity 0: nothing is in stock")
    elif stock.cap is not None and stock.cap < stock.zero_below:
        yield ConfigFault(
            f"{path}.cap",
            f"is under zero_below, which is {stock.zero_below}: a quantity is 0 or {stock.cap}, "
            "and nothing between them",
        )
