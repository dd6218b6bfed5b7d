"""What a run finds of its vendors' files before any is read, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import Stage
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry, RunFailure


@dataclass(frozen=True, slots=True)
class FoundInputs:
    """Which files there are, each under its vendor's id.

    Attributes:
        feeds: how many bytes each feed has; a vendor that is not there has none.
        locations: where each vendor's feed is expected, for the messages.
        maps: how many bytes each SKU map has.
        missing_maps: where a SKU map is expected that is not there.
    """

    feeds: Mapping[str, int]
    locations: Mapping[str, str]
    maps: Mapping[str, int]
    missing_maps: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """What follows from the inputs that were found and those that were not."""

    failure: RunFailure | None
    faults: tuple[ReportEntry, ...]
    warnings: tuple[ReportEntry, ...]


def judge_inputs(
    config: TenantConfig, vendors: Sequence[VendorConfig], inputs: FoundInputs, limits: Limits
) -> InputVerdict:
    """Judge which vendors have a feed and a SKU map, and whether these may be read.

    What is judged first is all that is told: missing feeds, files that are too large, missing maps.

    Args:
        config: the tenant's config.
        vendors: the vendors of this run, in the order of the config.
        inputs: what there is.
        limits: how large a feed and a map may be.
    """

    def entry(vendor: VendorConfig) -> ReportEntry:
        where = inputs.locations.get(vendor.vendor_id) or "its inbound prefix"
        return run_faults.missing_vendor(vendor.vendor_id, where, required=vendor.required)

    present = [vendor for vendor in vendors if vendor.vendor_id in inputs.feeds]
    absent = [vendor for vendor in vendors if vendor.vendor_id not in inputs.feeds]
    fatal = [vendor for vendor in absent if not may_be_empty(config, vendor)]
    warnings = [entry(vendor) for vendor in absent if vendor not in fatal]
    faults = (
        list(map(entry, fatal))
        or [fault for vendor in present for fault in _too_large(vendor.vendor_id, inputs, limits)]
        or [
            run_faults.missing_map(vendor.vendor_id, where)
            for vendor in present
            if (where := inputs.missing_maps.get(vendor.vendor_id)) is not None
        ]
    )
    failure = run_faults.failure_of(faults, Stage.FETCH_INPUTS)
    return InputVerdict(failure, tuple(faults), tuple(warnings))


def _too_large(vendor_id: str, inputs: FoundInputs, limits: Limits) -> list[ReportEntry]:
    """Return the fault of a vendor whose feed, or else its map, is larger than it may be."""
    if (size := inputs.feeds[vendor_id]) > limits.feed_bytes:
        return [run_faults.too_large(vendor_id, "feed", size, limits.feed_bytes)]
    if (size := inputs.maps.get(vendor_id, 0)) > limits.sku_map_bytes:
        return [run_faults.too_large(vendor_id, "SKU map", size, limits.sku_map_bytes)]
    return []


def may_be_empty(config: TenantConfig, vendor: VendorConfig) -> bool:
    """Return whether the run goes on where the vendor has no feed, or one without a row."""
    return not vendor.required or config.error_policy.missing_required_vendor_policy == "warn_only"
