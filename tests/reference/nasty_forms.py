"""Options of a parser that make other cells of those in the file, drawn for nasty tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nasty_cells import MONEY

Draw = Callable[..., Any]
TEXTS = ("sku", "vendor_sku", "brand", "title")
OPTIONAL = ("lead_time_days", "msrp", "condition", "updated_at")


def add_options(
    draw: Draw, parser: dict[str, Any], seldom: Any, one_of: Any
) -> None:
    """Draw options that change what is a row, and what cells come to."""
    for name, values in (
        (
            "skip_rows",
            (
                [{"column": "sku", "is": "empty"}],
                [{"column": "note", "is": ["a,b", "É"]}],
            ),
        ),
        ("zero_is_null", (["cost"], list(MONEY))),
        ("negative_quantity", ("zero",)),
        ("invalid_as_null", (["msrp", "updated_at"], list(OPTIONAL))),
        (
            "quantity_symbols",
            (["+", ">", "pcs"], ["Stück", "st", "<", "+-", "k"]),
        ),
        ("quoting", (False,)),
        ("blank_extra_fields", ("drop",)),
    ):
        if seldom(draw, 5):
            parser[name] = one_of(draw, values)
    if "timestamp_formats" in parser and seldom(draw, 2):
        place = one_of(draw, (0, len(parser["timestamp_formats"])))
        parser["timestamp_formats"].insert(place, "excel")
    if "null_values" in parser and seldom(draw, 3):
        parser["null_values"] = {
            "*": parser["null_values"],
            "cost": ["0", "1"],
            "sku": ["A"],
        }


def form_for(draw: Draw, column: str, one_of: Any) -> dict[str, Any]:
    """Draw an object of ``column_map``."""
    forms: list[dict[str, Any]] = [
        {"first": [f"h {column}", f"i {column}"]},
        {"first": ["h sku", column, f"i {column}"]},
        {
            "column": f"h {column}",
            "values": {"0": "5", "a": "b", "É": "", "5": "x", "new": "used"},
        },
    ]
    if column in TEXTS:
        forms.append(
            {
                "join": [f"h {column}", "sku"],
                "with": one_of(draw, ("", "-", " ")),
            }
        )
        forms.append(
            {"column": column, "strip_prefix": "PREFIX-", "strip_suffix": "1"}
        )
    if column == "quantity_available":
        forms += 2 * [{"sum": [column, f"h {column}", f"i {column}"]}]
    if column == "quantity_available" or column in MONEY:
        factor = one_of(draw, (12, 7, 1_000_000, f"f {column}", f"f {column}"))
        step = one_of(draw, ("times", "divided_by"))
        forms += 2 * [{"column": f"h {column}", step: factor}]
        forms.append(
            {
                "column": column,
                step: factor,
                "values": {"1": "-3", "12": "0.00"},
            }
        )
    return dict(one_of(draw, forms))


def headers_in(source: Any) -> list[str]:
    """Return the headers that an entry of ``column_map`` names."""
    if isinstance(source, str):
        return [source]
    lists = [
        source[name] for name in ("join", "sum", "first") if name in source
    ]
    texts = [source.get(name) for name in ("column", "times", "divided_by")]
    return [
        *(h for headers in lists for h in headers),
        *(t for t in texts if isinstance(t, str)),
    ]


FACTORS = (
    "1",
    "3",
    "12",
    "07",
    "1000000",
    "1000001",
    "0",
    "",
    "x",
    " 6 ",
    "1.0",
    "-1",
    "٣",
)
SERIALS = (
    "46350",
    "46350.5",
    "61",
    "60",
    "46350.999999",
    "999999",
    "109574.999995",
    "61.0000057870",
)
STOCKS = (
    "5+",
    ">100",
    "> 7 pcs",
    "12 PCS",
    "+5",
    "+",
    "-3",
    "-0",
    "-99999999999",
    "7 Stück",
    "3k",
)
"""Cells that the options are about."""
