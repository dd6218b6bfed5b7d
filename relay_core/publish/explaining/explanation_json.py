"""The explanation of a SKU as JSON values: the winner, its price, and all offers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.text import integers_of
from relay_core.config import Override, TenantConfig
from relay_core.domain.cell_rules import cut
from relay_core.merge.vendor_offers import FED_QUANTITY, VENDOR_RANK
from relay_core.products.matcher import MatchedBy
from relay_core.publish.channels import channels_of
from relay_core.publish.explaining.offer_ranking import (
    LANDED_COST,
    ExplainedOffers,
)
from relay_core.publish.files.fields import fields_of, row_texts
from relay_core.publish.state import SUSPECT_SINCE
from relay_core.validation.comparison import SUSPECT_PRICE
from relay_core.validation.row_schemas import FILE, MATCHED_BY

# The largest explanation as JSON. Longer ones are cut; their counts stay.
_MAX_BYTES = (1 << 20) - 1024
_MAX_CELL_LENGTH = 1000


def outcome_of(
    config: TenantConfig,
    explained: ExplainedOffers | None,
    kept: Sequence[pa.Table],
    quarantined: Sequence[pa.Table],
    overrides: Sequence[Override],
) -> dict[str, Any]:
    """Return the winner, its row of the feed and its price, or the reason for none.

    The last of the values are the channels that have the row. ``overrides`` has the
    SKU's override, if there is one.
    """
    outcome: dict[str, Any] = {
        "winner": None,
        "feed_row": None,
        "reason": None,
        "override": None,
        "quarantine": None,
        "price_steps": None,
        "channels": [],
    }
    if overrides:
        outcome["override"] = overrides[0].as_reported()
    feed_rows = [*kept, *quarantined]
    if explained is None:
        outcome["reason"] = "refused"
    elif not explained.competing_count:
        outcome["reason"] = "left_out"
    else:
        outcome["winner"] = _winner(config, explained.offers)
        if explained.price_steps:
            outcome["price_steps"] = [
                step._asdict() for step in explained.price_steps
            ]
        if not len(explained.feed_row):
            outcome["reason"] = "unpriced"
        feed_rows.append(explained.feed_row)
    if kept:
        outcome["reason"] = "kept_at_0"
    if quarantined:
        outcome["reason"] = "quarantined"
        outcome["quarantine"] = _quarantine(config, quarantined[0])
    fields = fields_of(config.output, config.default_currency)
    for rows in feed_rows:
        texts = row_texts(fields, rows)
        if texts:
            outcome["feed_row"] = texts[0]
            outcome["channels"] = _channels_with(config, rows)
            break
    return outcome


def _channels_with(
    config: TenantConfig,
    row: pa.Table,
) -> list[dict[str, Any]]:
    """Return the channels that have a row of the feed, with its values there."""
    channels = []
    for channel in channels_of(config, row):
        rows = channel.rows()
        if not len(rows):
            continue
        prices = csv_text.cents_text(channel.prices).to_pylist()
        channels.append(
            {
                "channel_id": channel.channel_id,
                "quantity": rows["quantity_available"][0].as_py(),
                "price": prices[0],
            },
        )
    return channels


def _winner(config: TenantConfig, offers: pa.Table) -> dict[str, Any]:
    rank = offers[VENDOR_RANK][0].as_py()
    winner = {
        "vendor_id": config.vendors[rank].vendor_id,
        "row_number": offers["row_number"][0].as_py(),
    }
    if FILE.name in offers.column_names:
        winner[FILE.name] = offers[FILE.name][0].as_py()
    return without_missing_file(winner)


def _quarantine(config: TenantConfig, row: pa.Table) -> dict[str, Any]:
    options = config.guards.quarantine
    published, _ = integers_of(row["price"])
    computed, _ = integers_of(row[SUSPECT_PRICE])
    since, _ = integers_of(row[SUSPECT_SINCE])
    return {
        "action": None if options is None else options.action,
        "price_published": csv_text.cents_text(published)[0].as_py(),
        "price_computed": csv_text.cents_text(computed)[0].as_py(),
        "suspect_since": csv_text.instant_text(since)[0].as_py(),
    }


def offers_as_json(
    config: TenantConfig,
    explained: ExplainedOffers | None,
) -> list[dict[str, Any]]:
    """Return the offers by rank, each as JSON values."""
    if explained is None:
        return []
    offers = explained.offers
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    # Only competing offers have a quantity after the rules of stock.
    stock_quantities: list[int | None] = offers[
        "quantity_available"
    ].to_pylist()
    excluded_count = len(offers) - explained.competing_count
    stock_quantities[explained.competing_count :] = [None] * excluded_count
    updated_at, _ = integers_of(offers["updated_at"])
    columns = {
        "vendor_id": [
            vendor_ids[rank] for rank in offers[VENDOR_RANK].to_pylist()
        ],
        "vendor_sku": offers["vendor_sku"].to_pylist(),
        **_matched_by(config, offers),
        "row_number": offers["row_number"].to_pylist(),
        FILE.name: offers[FILE.name].to_pylist()
        if FILE.name in offers.column_names
        else [None] * len(offers),
        "quantity_available": offers[FED_QUANTITY].to_pylist(),
        "stock_quantity": stock_quantities,
        "cost": _money(offers["cost"]),
        "price": _money(offers["price"]),
        "landed_cost": _money(offers[LANDED_COST]),
        "lead_time_days": offers["lead_time_days"].to_pylist(),
        "updated_at": csv_text.instant_text(updated_at).to_pylist(),
        "rule": explained.rules,
        "lost_on": explained.lost_on,
    }
    return [
        without_missing_file(dict(zip(columns, cells, strict=True)))
        for cells in zip(*columns.values(), strict=True)
    ]


def _matched_by(
    config: TenantConfig,
    offers: pa.Table,
) -> dict[str, list[str | None]]:
    """Return the key that matched each offer; None for one that no key matched.

    Return nothing without a catalog.
    """
    if config.catalog is None:
        return {}
    codes = offers[MATCHED_BY].to_pylist()
    names = [
        None if code is None else MatchedBy(code).name.lower() for code in codes
    ]
    return {MATCHED_BY: names}


def without_missing_file(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its file's name if its vendor can have only one file."""
    if row.get(FILE.name) is None:
        row.pop(FILE.name, None)
    return row


def _money(amounts: pa.ChunkedArray) -> list[str | None]:
    """Return amounts as text, one an amount; None for a null."""
    numbers, is_null = integers_of(amounts)
    texts: list[str | None] = csv_text.money_text(numbers).to_pylist()
    return [
        None if null else text
        for text, null in zip(texts, is_null.tolist(), strict=True)
    ]


def fitting(explanation: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation within `_MAX_BYTES`, with cells and offers cut."""
    if _size(explanation) <= _MAX_BYTES:
        return explanation
    for offer in explanation["offers"]:
        offer["vendor_sku"] = _cut(offer["vendor_sku"])
    if explanation["feed_row"] is not None:
        explanation["feed_row"] = {
            name: _cut(cell) for name, cell in explanation["feed_row"].items()
        }
    while explanation["offers"] and _size(explanation) > _MAX_BYTES:
        offers = explanation["offers"]
        explanation["offers"] = offers[: len(offers) // 2]
    return explanation


def _cut(cell: str | None) -> str | None:
    return cut(cell, _MAX_CELL_LENGTH) if cell else cell


def _size(explanation: Mapping[str, Any]) -> int:
    text = json.dumps(explanation, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode())
