"""Polars: lazy frames, the streaming engine, exact decimals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

import polars as pl

from benchmarks.rules import (
    CANONICAL,
    HEADERS,
    MERGED,
    MOMENT,
    NEGATIVE,
    REQUESTED_AT,
    WHOLE,
    Reject,
    merged_path,
    money_pattern,
    normalized_path,
    vendor_ids,
    write_reports,
)

_MONEY_TYPE = pl.Decimal(18, 4)
_NUMBERS = {"cost": "COST", "map_price": "MAP", "msrp": "MSRP"}
_UNIT = 10_000
_KEPT = ("sku", "quantity_available", "cost", "map_price", "updated_at")


def run(folder: Path, out: Path) -> None:
    """Read, judge, write, merge, price and write."""
    rejects: list[Reject] = []
    offers = []
    vendors = vendor_ids(folder)
    for place, vendor_id in enumerate(vendors):
        rows = _typed(folder, vendor_id).collect(engine="streaming")
        rejects += rejects_of(vendor_id, rows.filter(pl.col("faults") != ""))
        valid = (
            rows.lazy().filter(pl.col("faults") == "").drop("faults", *HEADERS)
        )
        good = valid.sort("sku", maintain_order=True).collect(
            engine="streaming"
        )
        del rows
        write_normalized(good, vendor_id, out)
        offers.append(good.select(*_KEPT, vendor=pl.lit(place, pl.UInt8)))
    winners = best_offers(pl.concat(offers, rechunk=False))
    _write_merged(winners, vendors, out)
    write_reports(out, rejects)


def _typed(folder: Path, vendor_id: str) -> pl.LazyFrame:
    feed = pl.scan_csv(
        folder / f"{vendor_id}.csv",
        infer_schema=False,
        empty_string_is_null=False,
        row_index_name="row",
        row_index_offset=2,
    )
    text = {name: pl.col(name).str.strip_chars() for name in HEADERS}
    money = {name: amount_of(text[header]) for name, header in _NUMBERS.items()}
    moment = moment_of(text["UPDATED"])
    whole = {name: _whole(text[name]) for name in ("QTY", "LEAD")}
    typed = feed.with_columns(
        **money,
        own=text["SKU"],
        quantity_available=whole["QTY"],
        lead_time_days=whole["LEAD"],
        brand=text["BRAND"],
        title=text["TITLE"],
        moment=moment,
    ).with_columns(faults=_faults(text))
    stamp = (
        pl.col("moment")
        .dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        .fill_null(REQUESTED_AT)
    )
    typed = typed.with_columns(updated_at=stamp).drop("moment")
    sku_map = pl.scan_csv(folder / f"{vendor_id}.map.csv", infer_schema=False)
    sku_map = sku_map.rename({"vendor_sku": "own"}).unique("own", keep="last")
    joined = typed.join(sku_map, on="own", how="left", maintain_order="left")
    mapped = pl.when(pl.col("sku").is_not_null()).then("own")
    return joined.with_columns(
        vendor_sku=mapped, sku=pl.coalesce("sku", "own")
    ).drop("own")


def amount_of(
    text: pl.Expr, decimal: str = ".", thousands: str | None = None
) -> pl.Expr:
    """Return the exact amount that a text is; null for a text of another form."""
    number = text
    if thousands is not None:
        number = number.str.replace_all(thousands, "", literal=True)
    if decimal != ".":
        number = number.str.replace(decimal, ".", literal=True)
    return pl.when(text.str.contains(money_pattern(decimal, thousands))).then(
        number.cast(_MONEY_TYPE, strict=False)
    )


def _whole(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(WHOLE)).then(
        text.cast(pl.Int64, strict=False)
    )


def moment_of(text: pl.Expr) -> pl.Expr:
    """Return the instant that a text of an ISO form is, without a zone; null for others."""
    spaced = text.str.replace("T", " ", literal=True)
    full = (
        pl.when(spaced.str.len_bytes() == 10)
        .then(spaced + " 00:00:00")
        .otherwise(spaced)
    )
    moment = full.str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False
    )
    return pl.when(text.str.contains(MOMENT)).then(moment)


def _faults(text: dict[str, pl.Expr]) -> pl.Expr:
    """Return the row's faults in canonical order, joined; no text where there is none."""
    negative = text["QTY"].str.contains(NEGATIVE)
    whole = pl.col("quantity_available").is_null()
    quantity = (
        pl.when(text["QTY"] == "")
        .then(pl.lit("quantity_available:missing_quantity"))
        .when(negative)
        .then(pl.lit("quantity_available:negative_quantity"))
        .when(whole)
        .then(pl.lit("quantity_available:invalid_quantity"))
    )
    faults = [
        pl.when(text["SKU"] == "").then(pl.lit("sku:missing_sku")),
        quantity,
        unread("lead_time_days", text["LEAD"], "invalid_lead_time"),
        *(
            unread(name, text[header], "invalid_decimal")
            for name, header in _NUMBERS.items()
        ),
        unread("moment", text["UPDATED"], "invalid_timestamp"),
    ]
    return pl.concat_str(faults, separator="|", ignore_nulls=True)


def unread(column: str, text: pl.Expr, code: str) -> pl.Expr:
    """Return the fault of a column that is null, although its cell has a text."""
    name = "updated_at" if column == "moment" else column
    return pl.when(pl.col(column).is_null() & (text != "")).then(
        pl.lit(f"{name}:{code}")
    )


def rejects_of(
    vendor_id: str, bad: pl.DataFrame, headers: Sequence[str] = HEADERS
) -> Iterator[Reject]:
    """Yield the rejected records in the order of the file."""
    for row, faults, *cells in (
        bad.select("row", "faults", *headers).sort("row").iter_rows()
    ):
        yield Reject(vendor_id, row, faults.split("|"), cells)


def write_normalized(good: pl.DataFrame, vendor_id: str, out: Path) -> None:
    """Write a vendor's offers; columns that they lack are empty."""
    columns = dict.fromkeys(CANONICAL, pl.lit(None, pl.String))
    columns |= {name: pl.col(name) for name in good.columns}
    columns |= {
        name: _four_places(pl.col(name))
        for name in good.columns
        if name in _NUMBERS
    }
    columns |= {
        name: or_null(pl.col(name))
        for name in good.columns
        if name in ("brand", "title")
    }
    columns["vendor_id"] = pl.lit(vendor_id)
    lines = good.lazy().select(**{name: columns[name] for name in CANONICAL})
    lines.sink_csv(normalized_path(out, vendor_id), engine="streaming")


def or_null(text: pl.Expr) -> pl.Expr:
    """Return a text, or null if it is empty."""
    return pl.when(text != "").then(text)


def _four_places(amount: pl.Expr) -> pl.Expr:
    """Write two places, and the third and fourth as far as they are not zero."""
    return amount.cast(pl.String).str.strip_suffix("0").str.strip_suffix("0")


def best_offers(offers: pl.DataFrame) -> pl.DataFrame:
    """Return each SKU's best offer: the criteria and the row packed into one integer a row."""
    offers = offers.with_columns(
        cost=pl.col("cost").to_physical().cast(pl.Int64)
    )
    dearest: int = offers.select(pl.col("cost").max().fill_null(0)).item()
    widths = [1, 1, dearest.bit_length(), len(offers).bit_length()]
    if sum(widths) > 63:
        raise OverflowError("costs too high for a packed key")
    parts = [
        pl.col("cost").is_null().cast(pl.Int64),
        (pl.col("quantity_available") == 0).cast(pl.Int64),
        pl.col("cost").fill_null(dearest),
        pl.int_range(pl.len(), dtype=pl.Int64),
    ]
    key = reduce(
        lambda packed, part: packed * (1 << part[0]) + part[1],
        zip(widths[1:], parts[1:], strict=True),
        parts[0],
    )
    best = (
        offers.lazy()
        .select("sku", key=key)
        .group_by("sku")
        .agg(pl.col("key").min())
    )
    rows = (
        best.sort("sku")
        .select(pl.col("key") % (1 << widths[3]))
        .collect(engine="streaming")
    )
    return offers[rows["key"]]


def _write_merged(winners: pl.DataFrame, vendors: list[str], out: Path) -> None:
    cost = pl.col("cost")
    floor = pl.col("map_price").to_physical().cast(pl.Int64)
    cents = pl.max_horizontal(
        marked_up(cost), pl.lit(2_500), (floor + 99) // 100
    )
    lines = (
        winners.lazy()
        .filter(cost.is_not_null())
        .with_columns(price=two_places(cents), vendor_id=vendor_names(vendors))
        .select(MERGED)
    )
    lines.sink_csv(merged_path(out), engine="streaming")


def marked_up(cost: pl.Expr) -> pl.Expr:
    """Return the price in cents, half up, of a cost in ten-thousandths."""
    return ((cost + 99_900) * 12 + 500) // 1_000


def two_places(cents: pl.Expr) -> pl.Expr:
    """Return an amount in cents as a decimal that is written with two places."""
    amount = cents.cast(pl.Decimal(18, 0)) / pl.lit(100, pl.Decimal(18, 2))
    return amount.cast(pl.Decimal(18, 2))


def vendor_names(vendors: list[str]) -> pl.Expr:
    """Return the vendor of each row by the index in ``vendor``."""
    return pl.col("vendor").replace_strict(
        list(range(len(vendors))), vendors, return_dtype=pl.String
    )
