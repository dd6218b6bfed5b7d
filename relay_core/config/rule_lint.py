"""Lint warnings about the tenant's own rules: prices, stock, channels, deliveries."""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from relay_core.config import (
    PriceRule,
    PricingConfig,
    RuleConditions,
    StockConfig,
    TenantConfig,
)
from relay_core.config.channels import ChannelConfig
from relay_core.config.deliveries import WHOLE_EVERY_HOURS
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT
from relay_core.domain.errors import ConfigFault


def lint_price_rules(
    pricing: PricingConfig,
    vendor_ids: Sequence[str],
) -> Iterator[ConfigFault]:
    """Yield the warnings about price rules; ``vendor_ids`` has all vendors."""
    for index, rule in enumerate(pricing.rules):
        path = f"pricing.rules.{index}"
        covering_index = _covering_rule(pricing.rules[:index], rule, vendor_ids)
        if covering_index is not None:
            yield ConfigFault(
                path,
                "The rule never applies, because "
                f"pricing.rules.{covering_index} comes first and matches "
                "every offer that this rule matches. Move this rule up, or "
                "narrow the earlier one.",
            )
        elif rule.when.cost_below == 0:
            yield ConfigFault(
                f"{path}.when.cost_below",
                "No cost is below 0, so the rule never applies. Raise the "
                "limit, or remove the rule.",
            )
        else:
            yield from _lint_fixed_price(path, rule, pricing)


def lint_deliveries(config: TenantConfig) -> Iterator[ConfigFault]:
    """Yield the warnings about a config's deliveries."""
    files = {channel.channel_id: channel.output for channel in config.channels}
    paths_by_target: dict[tuple[object, ...], str] = {}
    for index, delivery in enumerate(config.deliveries):
        path = f"deliveries.{index}"
        file = files.get(str(delivery.channel_id), config.output)
        if delivery.what == "changes" and "sku" not in file.reads:
            yield ConfigFault(
                f"{path}.what",
                'The file has no column "sku", so there are no changes, and the '
                "delivery always sends the whole file. Add the column.",
            )
        hours = delivery.whole_every_hours
        if delivery.what == "feed" and hours != WHOLE_EVERY_HOURS:
            yield ConfigFault(
                f"{path}.whole_every_hours",
                "The delivery sends the whole file each time, so the option changes "
                "nothing. Remove it, or set what to changes.",
            )
        target: tuple[object, ...] = (delivery.url, delivery.file_name)
        if delivery.file_name is None:
            target = (*target, delivery.channel_id, delivery.what)
        other_path = paths_by_target.setdefault(target, path)
        if other_path != path:
            yield ConfigFault(
                f"{path}.file_name",
                f"The delivery writes the same file as {other_path}, so each "
                "replaces the file of the other. Give each its own folder or name.",
            )


def _covering_rule(
    earlier_rules: Sequence[PriceRule],
    rule: PriceRule,
    vendor_ids: Sequence[str],
) -> int | None:
    """Return the index of an earlier rule that has every offer of a rule."""
    for index, earlier_rule in enumerate(earlier_rules):
        if _covers(earlier_rule.when, rule.when, vendor_ids):
            return index
    return None


def _lint_fixed_price(
    path: str,
    rule: PriceRule,
    pricing: PricingConfig,
) -> Iterator[ConfigFault]:
    """Yield the warning about a fixed price below the cost that an offer may have."""
    if rule.fixed_price is None:
        return
    min_price = pricing.min_price if rule.min_price is None else rule.min_price
    price = max(rule.fixed_price, min_price)
    cost_limit = rule.when.cost_below
    if price < (MONEY_LIMIT if cost_limit is None else cost_limit):
        costs = (
            "any cost" if cost_limit is None else f"costs up to {cost_limit:f}"
        )
        yield ConfigFault(
            f"{path}.fixed_price",
            f"The rule applies to offers of {costs}, so an offer that costs "
            f"more than {price:f} is sold below cost. Set when.cost_below or "
            "a min_price.",
        )


def _covers(
    outer: RuleConditions,
    inner: RuleConditions,
    vendor_ids: Sequence[str],
) -> bool:
    """Return whether an offer that meets the inner conditions meets the outer."""
    inner_vendors = vendor_ids if inner.vendors is None else inner.vendors
    return (
        _includes(outer.vendors, inner_vendors)
        and _includes(_folded(outer.brands), _folded(inner.brands))
        and _includes(outer.conditions, inner.conditions)
        and _includes_costs(outer, inner)
    )


def _includes(
    outer: Collection[str] | None,
    inner: Collection[str] | None,
) -> bool:
    """Return whether a condition includes another; None means no condition."""
    if outer is None:
        return True
    return inner is not None and set(inner) <= set(outer)


def _folded(names: Sequence[str] | None) -> Collection[str] | None:
    return None if names is None else {name.casefold() for name in names}


def _includes_costs(outer: RuleConditions, inner: RuleConditions) -> bool:
    if outer.cost_from is None and outer.cost_below is None:
        return True
    if inner.cost_from is None and inner.cost_below is None:
        # The inner rule is also for offers without a cost.
        return False
    lowest_outer_cost = outer.cost_from or 0
    lowest_inner_cost = inner.cost_from or 0
    outer_limit = Decimal(MONEY_LIMIT)
    if outer.cost_below is not None:
        outer_limit = outer.cost_below
    inner_limit = inner.cost_below or Decimal(MONEY_LIMIT)
    return lowest_outer_cost <= lowest_inner_cost and inner_limit <= outer_limit


def lint_stock(path: str, stock: StockConfig) -> Iterator[ConfigFault]:
    """Yield the warnings about the section ``stock`` at a path."""
    largest_quantity = (LARGEST_WHOLE - stock.hold_back) * stock.pct // 100
    if largest_quantity < max(stock.zero_below, 1) or stock.cap == 0:
        yield ConfigFault(
            path,
            "These options make every quantity 0, so nothing is in stock. "
            "Lower hold_back or zero_below, or raise pct or cap.",
        )
    elif stock.cap is not None and stock.cap < stock.zero_below:
        yield ConfigFault(
            f"{path}.cap",
            f"The cap is below zero_below, which is {stock.zero_below}, so "
            f"every quantity becomes either 0 or {stock.cap}. Raise cap, or "
            "lower zero_below.",
        )


def lint_channel(path: str, channel: ChannelConfig) -> Iterator[ConfigFault]:
    """Yield the warnings about the channel at a path."""
    if "sku" not in channel.output.reads:
        yield ConfigFault(
            f"{path}.output.columns",
            'The file has no column "sku", so its rows cannot be matched to '
            "items, and deliveries cannot send changes. Add the column.",
        )
    if channel.when.price_below == 0:
        yield ConfigFault(
            f"{path}.when.price_below",
            "No price is below 0, so the file has no rows. Raise the limit.",
        )
    price = channel.price
    if price.flat < 0 and not price.min_price:
        yield ConfigFault(
            f"{path}.price.min_price",
            f"The minimum price is 0, and flat is {price.flat:f}, so the file "
            "lacks the items whose price comes to 0.00 or less. Set the lowest "
            "price that you would sell any item for.",
        )
    if channel.stock is not None:
        yield from lint_stock(f"{path}.stock", channel.stock)
