"""Pandas as one writes it first: cells as Python objects, ``Decimal`` and a function a cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.rules import (
    CANONICAL,
    HEADERS,
    MARGIN,
    MERGED,
    MIN_PRICE,
    MOMENT,
    MONEY,
    NEGATIVE,
    REQUESTED_AT,
    SHIPPING,
    WHOLE,
    Reject,
    merged_path,
    normalized_path,
    vendor_ids,
    write_reports,
)

_CENT = Decimal("0.01")
_COLUMNS = (
    *("own", "quantity_available", "cost", "map_price", "msrp"),
    *("brand", "title", "lead_time_days", "updated_at"),
)
_MONEY_COLUMNS = ("cost", "map_price", "msrp")


def run(folder: Path, out: Path) -> None:
    """Read, judge, write, merge, price and write."""
    rejects: list[Reject] = []
    offers = []
    for vendor_id in vendor_ids(folder):
        raw = pd.read_csv(
            folder / f"{vendor_id}.csv",
            dtype=object,
            keep_default_na=False,
            na_filter=False,
        )
        text = raw.apply(lambda column: column.str.strip()).set_axis(
            _COLUMNS, axis=1
        )
        moments = _moments(text["updated_at"])
        faults = _faults(text, moments)
        bad = faults.notna().any(axis=1)
        rejects += _rejects(vendor_id, raw[bad], faults[bad])
        text["updated_at"] = moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ").fillna(
            REQUESTED_AT
        )
        good = _typed(text[~bad].copy(), vendor_id, folder)
        _write_normalized(good, out, vendor_id)
        offers.append(good)
    _write_merged(pd.concat(offers), out)
    write_reports(out, rejects)


def _moments(text: pd.Series[Any]) -> pd.Series[Any]:
    formed = text.where(
        text.map(lambda cell: bool(re.match(MOMENT, cell))), None
    )
    return pd.to_datetime(
        formed.astype(object), format="ISO8601", errors="coerce"
    )


def _faults(text: pd.DataFrame, moments: pd.Series[Any]) -> pd.DataFrame:
    late = (text["updated_at"] != "") & moments.isna()
    return pd.DataFrame(
        {
            "sku": text["own"].map(
                lambda cell: None if cell else "missing_sku"
            ),
            "quantity_available": text["quantity_available"].map(
                _quantity_fault
            ),
            "lead_time_days": text["lead_time_days"].map(
                lambda cell: (
                    None
                    if not cell or re.match(WHOLE, cell)
                    else "invalid_lead_time"
                )
            ),
            **{name: text[name].map(_money_fault) for name in _MONEY_COLUMNS},
            "updated_at": late.map({True: "invalid_timestamp", False: None}),
        },
        dtype=object,
    )


def _quantity_fault(cell: str) -> str | None:
    if not cell:
        return "missing_quantity"
    if re.match(NEGATIVE, cell):
        return "negative_quantity"
    return None if re.match(WHOLE, cell) else "invalid_quantity"


def _money_fault(cell: str) -> str | None:
    return None if not cell or re.match(MONEY, cell) else "invalid_decimal"


def _rejects(
    vendor_id: str, raw: pd.DataFrame, faults: pd.DataFrame
) -> Iterator[Reject]:
    for row in raw.index:
        codes = [
            f"{column}:{code}"
            for column, code in faults.loc[row].items()
            if pd.notna(code)
        ]
        yield Reject(
            vendor_id, int(row) + 2, codes, list(raw.loc[row, list(HEADERS)])
        )


def _typed(good: pd.DataFrame, vendor_id: str, folder: Path) -> pd.DataFrame:
    sku_map = pd.read_csv(folder / f"{vendor_id}.map.csv", dtype=object)
    ours = dict(zip(sku_map["vendor_sku"], sku_map["sku"], strict=True))
    good["sku"] = good["own"].map(lambda own: ours.get(own, own))
    good["vendor_sku"] = good["own"].map(
        lambda own: own if own in ours else None
    )
    good["vendor_id"] = vendor_id
    good["quantity_available"] = good["quantity_available"].astype(int)
    for column in _MONEY_COLUMNS:
        amounts = [Decimal(cell) if cell else None for cell in good[column]]
        good[column] = pd.Series(amounts, index=good.index, dtype=object)
    return good.sort_values("sku", kind="stable")


def _write_normalized(good: pd.DataFrame, out: Path, vendor_id: str) -> None:
    written = good.assign(
        price=None,
        condition=None,
        **{column: good[column].map(_four_places) for column in _MONEY_COLUMNS},
    )
    path = normalized_path(out, vendor_id)
    written[CANONICAL].to_csv(path, index=False, lineterminator="\n")


def _four_places(amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    written = f"{amount:.4f}"
    return written[:-2] + written[-2:].rstrip("0")


def _write_merged(offers: pd.DataFrame, out: Path) -> None:
    offers["no_cost"] = offers["cost"].map(lambda cost: cost is None)
    offers["no_stock"] = offers["quantity_available"] == 0
    offers["landed"] = offers["cost"].map(
        lambda cost: Decimal(0) if cost is None else cost
    )
    order = ["sku", "no_cost", "no_stock", "landed", "vendor_id"]
    winners = offers.sort_values(order, kind="stable").drop_duplicates("sku")
    winners = winners[~winners["no_cost"]]
    prices = map(_price, winners["cost"], winners["map_price"])
    winners = winners.assign(price=list(prices))
    winners[MERGED].to_csv(merged_path(out), index=False, lineterminator="\n")


def _price(cost: Decimal, map_price: Decimal | None) -> str:
    computed = ((cost + Decimal(SHIPPING)) * Decimal(MARGIN)).quantize(
        _CENT, ROUND_HALF_UP
    )
    price = max(computed, Decimal(MIN_PRICE))
    if map_price is not None:
        price = max(price, map_price.quantize(_CENT, ROUND_CEILING))
    return f"{price:.2f}"
