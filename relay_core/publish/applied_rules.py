"""The tenant's own rules that a run applied, with the effect of each."""

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

    path: str  # the rule's path in the config
    rule: str  # the rule's text
    vendor_id: str | None  # the vendor that it was applied to; None for all
    noun: str  # the subject of the count: a row, a SKU, an offer, a unit
    verb: str  # the effect on the subjects
    count: int  # the number of the subjects

    @property
    def did(self) -> str:
        """The rule's effect, in words; ``count`` is the number of it."""
        return f"{self.noun}s {self.verb}"

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as reports show it."""
        return {
            "path": self.path,
            "rule": self.rule,
            "vendor_id": self.vendor_id,
            "did": self.did,
            "count": self.count,
        }


def applied_rules(
    merged: MergedInventory,
    uploads: Sequence[NormalizedVendor],
) -> Iterator[AppliedRule]:
    """Yield the rules of a run's config, in its order, also those without an effect.

    Args:
        merged: The merged inventory.
        uploads: The uploads that were read.
    """
    yield from _rules_of_duplicates(merged, uploads)
    yield from _price_rules(merged)
    yield from _stock_rules(merged)
    output = merged.config.output
    if output.missing_skus == "zero":
        yield AppliedRule(
            path="output.missing_skus",
            rule=f"zero for {output.missing_sku_days} days",
            vendor_id=None,
            noun="SKU",
            verb="kept at 0",
            count=0 if merged.kept is None else len(merged.kept),
        )


def _rules_of_duplicates(
    merged: MergedInventory,
    uploads: Sequence[NormalizedVendor],
) -> Iterator[AppliedRule]:
    fault_counts = {upload.vendor_id: upload.fault_counts for upload in uploads}
    for index, vendor in enumerate(merged.config.vendors):
        vendor_id = vendor.vendor_id
        policy = vendor.duplicate_skus
        path = f"vendors.{index}.duplicate_skus"
        if policy == "refuse":
            counts = fault_counts.get(vendor_id, {})
            count = counts.get(RowFault.DUPLICATE_SKU, 0)
            yield AppliedRule(path, policy, vendor_id, "row", "refused", count)
        elif policy != "compete":
            count = merged.effects["set_aside", vendor_id]
            yield AppliedRule(
                path,
                policy,
                vendor_id,
                "row",
                "set aside",
                count,
            )


def _price_rules(merged: MergedInventory) -> Iterator[AppliedRule]:
    for index, rule in enumerate(merged.config.pricing.rules):
        path = f"pricing.rules.{index}"
        text = in_words(rule)
        if rule.leave_out:
            count = merged.effects["left_out", index]
            yield AppliedRule(path, text, None, "offer", "left out", count)
        else:
            count = merged.effects["priced", index]
            yield AppliedRule(path, text, None, "SKU", "priced", count)


def _stock_rules(merged: MergedInventory) -> Iterator[AppliedRule]:
    config = merged.config
    for index, vendor in enumerate(config.vendors):
        stock = vendor.stock or config.stock
        if stock == StockConfig():
            continue
        path = "stock" if vendor.stock is None else f"vendors.{index}.stock"
        text = _pairs(stock.model_dump(exclude_defaults=True))
        count = merged.effects["held_back", vendor.vendor_id]
        yield AppliedRule(
            path,
            text,
            vendor.vendor_id,
            "unit",
            "held back",
            count,
        )


def in_words(rule: PriceRule) -> str:
    """Return a price rule's text: ``brands Acme, cost_below 5: margin_pct 0.5``."""
    document = rule.model_dump(mode="json", exclude_defaults=True)
    conditions = document.pop("when", {})
    return f"{_pairs(conditions) or 'always'}: {_pairs(document)}"


def _pairs(options: Mapping[str, Any]) -> str:
    pairs = [f"{name} {_as_text(value)}" for name, value in options.items()]
    return ", ".join(pairs)


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return listed(map(str, value), " or ", len(value))
    return "true" if value is True else str(value)
