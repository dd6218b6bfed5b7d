"""A channel's rows, made row by row from the feed's: slow, obvious, for tests only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from reference_output import feed_file

FeedRow = Mapping[str, Any]
"""A row of the feed: canonical and extra columns, each as its typed value or None."""
CENT = Fraction(1, 100)


def channel_rows(
    config: Any, channel: Any, rows: Sequence[FeedRow]
) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of a channel, and the number of rows without a price in it."""
    result = []
    unpriced = 0
    for row in rows:
        if not is_met(channel.when, row):
            continue
        cents = price_in(config, channel.price, row)
        if cents <= 0:
            unpriced += 1
            continue
        cents = with_ending(cents, channel.price.ending)
        quantity = row["quantity_available"]
        if channel.stock is not None:
            quantity = offered_on(channel.stock, quantity)
        price = Decimal(cents).scaleb(-2)
        result.append({**row, "price": price, "quantity_available": quantity})
    return result, unpriced


def is_met(when: Any, row: FeedRow) -> bool:
    lists = {
        "vendor_id": when.vendors,
        "condition": when.conditions,
    }
    for name, words in lists.items():
        if words is not None and row[name] not in words:
            return False
    for name, texts in {"brand": when.brands, **when.columns}.items():
        if texts is None:
            continue
        cell = row[name]
        if cell is None:
            return False
        if cell.casefold() not in {text.casefold() for text in texts}:
            return False
    if when.price_from is not None and row["price"] < when.price_from:
        return False
    if when.price_below is not None and row["price"] >= when.price_below:
        return False
    is_in_stock = row["quantity_available"] > 0
    return when.in_stock is None or is_in_stock == when.in_stock


def price_in(config: Any, price: Any, row: FeedRow) -> int:
    """Return a row's price in cents, before its ending."""
    amount = Fraction(row["price"]) * (1 + Fraction(price.pct))
    amount += Fraction(price.flat)
    least = Fraction(price.min_price)
    if config.pricing.map_policy.enforce and row["map_price"] is not None:
        least = max(least, Fraction(row["map_price"]))
    amount = max(amount, least)
    cents = math.floor(amount / CENT + Fraction(1, 2))
    if cents * CENT < least:
        cents = math.ceil(amount / CENT)
    return cents


def with_ending(cents: int, ending: Decimal | None) -> int:
    if ending is None:
        return cents
    period = 100 if ending < 1 else 1000
    while cents % period != int(ending * 100):
        cents += 1
    return cents


def offered_on(stock: Any, quantity: int) -> int:
    quantity = max(quantity - stock.hold_back, 0) * stock.pct // 100
    if quantity < stock.zero_below:
        quantity = 0
    return quantity if stock.cap is None else min(quantity, stock.cap)


def channel_file(config: Any, channel: Any, rows: Sequence[FeedRow]) -> bytes:
    """Return a channel's file in a format that is text, before compression."""
    named = SimpleNamespace(
        output=channel.output, default_currency=config.default_currency
    )
    return feed_file(named, [as_texts(row) for row in rows])


def as_texts(row: FeedRow) -> dict[str, str]:
    """Return the cells of a row as texts of a CSV feed."""
    return {name: text_of(value) for name, value in row.items()}


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        cents = math.floor(Fraction(value) / CENT + Fraction(1, 2))
        return f"{Decimal(cents).scaleb(-2):.2f}"
    if hasattr(value, "strftime"):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return str(value)
