"""The whole of a run's data, row by row and value by value: the yardstick of the real engine.

Only tests use it. It is written from the rules alone, shares no code with ``relay_core`` but
the loaded config, and prefers the obvious to the fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from reference_cells import EPOCH, MONEY
from reference_csv import csv_line
from reference_merge import CENT, selling_price, to_multiple, winners
from reference_output import feed_file
from reference_rows import CANONICAL, Entry, Offer, Vendor, read_vendor
from reference_rules import made


@dataclass
class Outcome:
    """All that two engines have to agree on."""

    failure: str | None = None
    stage: str = "COMPLETE"
    fault_codes: dict[str, str] = field(default_factory=dict)
    normalized: dict[str, bytes] = field(default_factory=dict)
    merged: bytes | None = None
    invalid_rows: bytes = b""
    entries: list[Entry] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    valid_rows: dict[str, int] = field(default_factory=dict)
    total_rows: int = 0
    record_count: int = 0


def run_reference(
    config: Any,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
    requested_at: datetime,
) -> Outcome:
    """Run a tenant's feeds; a vendor that is None or not in ``feeds`` has no input."""
    outcome = Outcome()
    warnings: Counter[str] = Counter()
    judge_inputs(config, feeds, sku_maps, outcome, warnings)
    if outcome.failure is None:
        vendors = [
            read_vendor(
                config,
                vendor,
                feed,
                None if vendor.sku_map is None else sku_maps[vendor.vendor_id],
                requested_at,
            )
            for vendor in config.vendors
            if (feed := feeds.get(vendor.vendor_id)) is not None
        ]
        judge_vendors(config, vendors, outcome, warnings)
        if outcome.failure is None:
            merge(config, vendors, outcome, warnings)
    outcome.warnings = {
        code: count for code, count in warnings.items() if count
    }
    return outcome


def judge_inputs(
    config: Any,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
    outcome: Outcome,
    warnings: Counter[str],
) -> None:
    must_be_there = config.error_policy.missing_required_vendor_policy == "fail"
    without_map = False
    for vendor in config.vendors:
        if feeds.get(vendor.vendor_id) is not None:
            without_map |= (
                vendor.sku_map is not None and vendor.vendor_id not in sku_maps
            )
        elif not vendor.required:
            warnings["OPTIONAL_VENDOR_MISSING"] += 1
        elif must_be_there:
            outcome.failure = "REQUIRED_VENDOR_MISSING"
            outcome.stage = "FETCH_INPUTS"
        else:
            warnings["REQUIRED_VENDOR_MISSING"] += 1
    if without_map and outcome.failure is None:
        outcome.failure = "missing_sku_map"
        outcome.stage = "FETCH_INPUTS"


def must_have_rows(config: Any, vendor_id: str) -> bool:
    return (
        config.vendor(vendor_id).required
        and config.error_policy.missing_required_vendor_policy == "fail"
    )


def judge_vendors(
    config: Any, vendors: list[Vendor], outcome: Outcome, warnings: Counter[str]
) -> None:
    rejected = []
    for vendor in vendors:
        warnings.update(vendor.warnings)
        outcome.entries.extend(vendor.entries)
        outcome.total_rows += vendor.total_rows
        outcome.valid_rows[vendor.vendor_id] = len(vendor.offers)
        if vendor.outcome == "parsed":
            outcome.normalized[vendor.vendor_id] = normalized_csv(vendor)
            if vendor.total_rows == 0 and not must_have_rows(
                config, vendor.vendor_id
            ):
                warnings["EMPTY_FEED"] += 1
        if vendor.fault is not None:
            outcome.fault_codes[vendor.vendor_id] = vendor.fault
        delimiter = config.vendor(vendor.vendor_id).parser.delimiter
        for number, codes, record in vendor.rejects:
            raw = csv_line(record, delimiter)
            rejected.append(
                csv_line([vendor.vendor_id, str(number), ";".join(codes), raw])
            )
    if rejected:
        lines = ["vendor_id,row_number,error_codes,raw", *rejected]
        outcome.invalid_rows = ("\n".join(lines) + "\n").encode()
    if outcome.fault_codes:
        outcome.failure = next(iter(outcome.fault_codes.values()))
        outcome.stage = "NORMALIZE"


def normalized_csv(vendor: Vendor) -> bytes:
    lines = [",".join(CANONICAL)]
    for offer in sorted(
        vendor.offers, key=lambda offer: (offer["sku"], offer["row_number"])
    ):
        lines.append(
            csv_line(text_of(offer, column, places=4) for column in CANONICAL)
        )
    return ("\n".join(lines) + "\n").encode()


def text_of(offer: Offer, column: str, *, places: int) -> str:
    value = offer[column]
    if value is None:
        return ""
    if column == "updated_at":
        moment = EPOCH + timedelta(seconds=value // 1_000_000)
        return f"{moment.year:04}-{moment:%m-%dT%H:%M:%SZ}"
    if column in MONEY:
        if places == 2:
            return cents_text(Fraction(value, 10_000))
        whole, remainder = divmod(value, 10_000)
        fraction = f"{remainder:04}"
        return f"{whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"
    return str(value)


def cents_text(value: Fraction) -> str:
    whole, cents = divmod(int(to_multiple(value, CENT, "nearest") * 100), 100)
    return f"{whole}.{cents:02}"


def merge(
    config: Any, vendors: list[Vendor], outcome: Outcome, warnings: Counter[str]
) -> None:
    parsed = [vendor for vendor in vendors if vendor.outcome == "parsed"]
    invalid = sum(len(vendor.rejects) for vendor in parsed)
    total = outcome.total_rows
    policy = config.error_policy
    outcome.stage = "MERGE_PRICE"
    if total == 0 or any(
        vendor.total_rows == 0 and must_have_rows(config, vendor.vendor_id)
        for vendor in parsed
    ):
        outcome.failure = "no_rows_parsed"
        return
    share = Fraction(invalid, total)
    if invalid > policy.max_invalid_rows or share > Fraction(
        policy.max_invalid_row_pct
    ):
        outcome.failure = "validation_errors"
        return
    if invalid:
        warnings["invalid_rows_within_threshold"] += 1
    if invalid == total:
        outcome.failure = "no_rows_parsed"
        return
    offers = [offer for vendor in parsed for offer in made(config, vendor)]
    publish(config, offers, outcome, warnings)


def publish(
    config: Any, offers: list[Offer], outcome: Outcome, warnings: Counter[str]
) -> None:
    rows: list[dict[str, str]] = []
    for offer in winners(config, offers):
        price = selling_price(config, offer)
        if price is None:
            warnings["UNPRICED_SKU"] += 1
            continue
        rows.append(merged_cells(config, offer, price))
    if not rows:
        outcome.failure = "empty_output"
        return
    outcome.record_count = len(rows)
    outcome.merged = feed_file(config, rows)
    outcome.stage = "COMPLETE"


def merged_cells(config: Any, offer: Offer, price: Fraction) -> dict[str, str]:
    row = dict(offer)
    if row["lead_time_days"] is None:
        row["lead_time_days"] = config.merge.best_offer.fallback_lead_time_days
    cells = {column: text_of(row, column, places=2) for column in CANONICAL}
    return {**cells, "price": cents_text(price)}
