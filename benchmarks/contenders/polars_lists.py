"""Polars over real price lists: the number formats of each vendor's parser as expressions.

It reads the options from the config of the folder, and knows those that the lists need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.contenders.polars_streaming import (
    amount_of,
    best_offers,
    marked_up,
    moment_of,
    or_null,
    rejects_of,
    two_places,
    unread,
    vendor_names,
    write_normalized,
)
from benchmarks.rules import REQUESTED_AT, Reject, merged_path, write_reports

_AMOUNTS = ("cost", "msrp")
_UNQUOTED = ("vinmonopolet",)
"""The tenants in whose lists a quote is a letter."""


def run(folder: Path, out: Path) -> None:
    """Read, judge, write, merge, price and write."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    rejects: list[Reject] = []
    offers = []
    headers: Sequence[str] = ()
    vendors = [vendor["vendor_id"] for vendor in config["vendors"]]
    for place, vendor in enumerate(config["vendors"]):
        price_list = _PriceList(
            folder / f"{vendors[place]}.csv",
            vendor["parser"],
            config["timezone"],
            quote='"' if config["tenant_id"] not in _UNQUOTED else None,
        )
        rows = price_list.rows().collect(engine="streaming")
        is_bad = rows["faults"] != ""
        if is_bad.any():
            headers = price_list.headers()
            bad = price_list.records(rows.filter(is_bad))
            rejects += rejects_of(vendors[place], bad, headers)
            rows = rows.filter(~is_bad)
        rows = rows.drop("row", "faults").with_columns(
            quantity_available=pl.lit(1), vendor=pl.lit(place, pl.UInt8)
        )
        ordered = rows.lazy().sort("sku", maintain_order=True)
        good = ordered.collect(engine="streaming")
        write_normalized(good, vendors[place], out)
        offers.append(good)
    winners = best_offers(pl.concat(offers, rechunk=False))
    _write_merged(winners, vendors, config["output"]["columns"], out)
    if rejects:
        write_reports(out, rejects, headers)


@dataclass(frozen=True)
class _PriceList:
    """A vendor's list: its file, the options of its parser, and the zone of its times."""

    path: Path
    parser: Mapping[str, Any]
    zone: str
    quote: str | None

    def rows(self) -> pl.LazyFrame:
        """Return each record's columns, its number, and its faults."""
        text = {
            name: pl.col(header).str.strip_chars()
            for name, header in self.parser["column_map"].items()
        }
        amounts = {
            name: self._amount(text[name]) for name in _AMOUNTS if name in text
        }
        columns = {
            name: or_null(text[name])
            for name in ("vendor_sku", "brand", "title")
            if name in text
        }
        faults = [
            pl.when(text["sku"] == "").then(pl.lit("sku:missing_sku")),
            *(unread(name, text[name], "invalid_decimal") for name in amounts),
        ]
        instant = pl.lit(None, pl.String)
        if "updated_at" in text:
            columns["moment"] = self._moment(text["updated_at"])
            faults.append(
                unread("moment", text["updated_at"], "invalid_timestamp")
            )
            instant = pl.col("moment").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        typed = self._scan().with_columns(sku=text["sku"], **columns, **amounts)
        names = [name for name in (*columns, *amounts) if name != "moment"]
        return typed.select(
            "sku",
            "row",
            *names,
            updated_at=instant.fill_null(REQUESTED_AT),
            faults=pl.concat_str(faults, separator="|", ignore_nulls=True),
        )

    def records(self, bad: pl.DataFrame) -> pl.DataFrame:
        """Return rejected rows with all cells of their records."""
        numbers = bad.lazy().select("row", "faults")
        cells = self._scan().join(numbers, on="row", how="inner")
        return cells.collect(engine="streaming")

    def headers(self) -> list[str]:
        """Return the headers of the file."""
        return self._scan().drop("row").collect_schema().names()

    def _scan(self) -> pl.LazyFrame:
        source: Path | bytes = self.path
        encoding = self.parser.get("encoding", "utf-8")
        if encoding != "utf-8":
            source = self.path.read_bytes().decode(encoding).encode()
        return pl.scan_csv(
            source,
            separator=self.parser.get("delimiter", ","),
            quote_char=self.quote,
            infer_schema=False,
            empty_string_is_null=False,
            row_index_name="row",
            row_index_offset=2,
            with_column_names=lambda names: [name.strip() for name in names],
        )

    def _amount(self, text: pl.Expr) -> pl.Expr:
        for symbol in self.parser.get("currency_symbols", ()):
            text = text.str.strip_prefix(symbol).str.strip_suffix(symbol)
            text = text.str.strip_chars()
        return amount_of(
            text,
            self.parser.get("decimal_separator", "."),
            self.parser.get("thousands_separator"),
        )

    def _moment(self, text: pl.Expr) -> pl.Expr:
        local = moment_of(text).dt.replace_time_zone(
            self.zone, ambiguous="null", non_existent="null"
        )
        return local.dt.convert_time_zone("UTC")


def _write_merged(
    winners: pl.DataFrame,
    vendors: list[str],
    columns: Sequence[str],
    out: Path,
) -> None:
    cost = pl.col("cost")
    written = {
        "cost": two_places((cost + 50) // 100),
        "price": two_places(marked_up(cost)),
        "vendor_id": vendor_names(vendors),
    }
    if "msrp" in columns:
        msrp = pl.col("msrp").to_physical().cast(pl.Int64)
        written["msrp"] = two_places((msrp + 50) // 100)
    lines = winners.lazy().filter(cost.is_not_null())
    lines = lines.with_columns(**written).select(columns)
    lines.sink_csv(merged_path(out), engine="streaming")
