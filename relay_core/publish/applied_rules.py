"""The rules of a tenant's own, each with its effect in a run: one list for all reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay_core.config import PriceRule, StockConfig
from relay_core.domain.codes import RowFault
from relay_core.domain.run_faults import listed
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """One rule, and its effect."""

    path: str  # where it stands in the config
    rule: str  # its text
    vendor_id: str | None  # whose rows or offers it was applied to; None for all
    noun: str  # what ``count`` counts: a row, a SKU, an offer, a unit
    verb: str  # what the rule did to them
    count: int  # how many

    @property
    def did(self) -> str:
        """The rule's effect, in words: ``count`` is the number of it."""
        return f"{self.noun}s {self.verb}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as reports show it."""
        names = ("path", "rule", "vendor_id", "did", "count")
        return {name: getattr(self, name) for name in names}


def applied_rules(
    merged: MergedInventory, vendors: Sequence[NormalizedVendor]
) -> Iterator[AppliedRule]:
    """Yield the rules of a run's config, in its order, those that did nothing too."""
    config, effects = merged.config, merged.effects
    repeated = {each.vendor_id: each.fault_counts for each in vendors}
    for place, vendor in enumerate(config.vendors):
        name, policy = vendor.vendor_id, vendor.duplicate_skus
        path = f"vendors.{place}.duplicate_skus"
        if policy == "refuse":
            count = repeated.get(name, {}).get(RowFault.DUPLICATE_SKU, 0)
            yield AppliedRule(path, policy, name, "row", "refused", count)
        elif policy != "compete":
            yield AppliedRule(path, policy, name, "row", "set aside", effects.set_aside[name])
    for index, rule in enumerate(config.pricing.rules):
        path, said = f"pricing.rules.{index}", in_words(rule)
        if rule.leave_out:
            yield AppliedRule(path, said, None, "offer", "left out", effects.left_out[index])
        else:
            yield AppliedRule(path, said, None, "SKU", "priced", effects.priced[index])
    yield from _stock(merged)
    if config.output.missing_skus == "zero":
        days = f"zero for {config.output.missing_sku_days} days"
        yield AppliedRule("output.missing_skus", days, None, "SKU", "kept at 0", merged.kept_at_0)


def in_words(rule: PriceRule) -> str:
    """Return the text of a price rule: ``brands Acme, cost_below 5: margin_pct 0.5``."""
    written = rule.model_dump(mode="json", exclude_defaults=True)
    when = written.pop("when", {})
    return f"{_pairs(when) or 'always'}: {_pairs(written)}"


def _stock(merged: MergedInventory) -> Iterator[AppliedRule]:
    config, held_back = merged.config, merged.effects.held_back
    for place, vendor in enumerate(config.vendors):
        stock = config.stock_of(vendor.vendor_id)
        if stock != StockConfig():
            path = "stock" if vendor.stock is None else f"vendors.{place}.stock"
            said = _pairs(stock.model_dump(exclude_defaults=True))
            count = held_back[vendor.vendor_id]
            yield AppliedRule(path, said, vendor.vendor_id, "unit", "held back", count)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_said(value)}" for name, value in values.items())


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return listed(map(str, value), " or ", len(value))
    return "true" if value is True else str(value)
