"""The merged feed in its form, written row by row: slow, obvious, for tests only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reference_csv import csv_line

DELIMITERS = {"csv": ",", "tsv": "\t"}
NUMBERS = ("quantity_available", "lead_time_days")

Row = Mapping[str, str]
"""The canonical columns of a row of the feed, each as its text; a null is empty."""


def feed_values(config: Any, row: Row) -> dict[str, Any]:
    """Return a row as it stands in the feed, header to value: text, a number or None."""
    escapes = config.output.escape_formulas
    values: dict[str, Any] = {}
    for column in config.output.columns:
        value = value_of(config, column, row)
        if escapes and isinstance(value, str):
            value = without_formula(value)
        values[without_formula(column.header) if escapes else column.header] = (
            value
        )
    return values


def value_of(config: Any, column: Any, row: Row) -> Any:
    if column.constant is not None:
        return column.constant
    match column.column:
        case "availability":
            return (
                "in_stock"
                if int(row["quantity_available"]) > 0
                else "out_of_stock"
            )
        case "currency":
            return config.default_currency
        case "price_with_currency":
            return f"{row['price']} {config.default_currency}"
        case name:
            text = row[name]
            return None if not text else int(text) if name in NUMBERS else text


def without_formula(text: str) -> str:
    return (
        f"'{text}"
        if text.startswith(("=", "+", "-", "@", "\t", "\r"))
        else text
    )


def feed_cells(config: Any, row: Row) -> dict[str, str]:
    """Return a row as it stands in a CSV feed, before quoting."""
    values = feed_values(config, row).items()
    return {
        header: "" if value is None else str(value) for header, value in values
    }


def headers_of(config: Any) -> list[str]:
    headers = [column.header for column in config.output.columns]
    if config.output.escape_formulas:
        return [without_formula(header) for header in headers]
    return headers


def feed_file(config: Any, rows: Sequence[Row]) -> bytes:
    """Return the feed in a format that is text."""
    if config.output.format == "jsonl":
        lines = [
            json.dumps(
                feed_values(config, row),
                ensure_ascii=False,
                separators=(",", ":"),
            )
            for row in rows
        ]
    else:
        delimiter = DELIMITERS[config.output.format]
        records = [
            headers_of(config),
            *(feed_cells(config, r).values() for r in rows),
        ]
        lines = [csv_line(record, delimiter) for record in records]
    return "".join(f"{line}\n" for line in lines).encode()
