"""Hypothesis strategies for tenants whose feeds are as odd as vendors can make them.

Rows share few skus, so that offers compete; most cells are good, so that runs get to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from nasty_cells import MONEY, cell_for, localised
from nasty_forms import (
    FACTORS,
    SERIALS,
    STOCKS,
    add_options,
    form_for,
    headers_in,
)
from nasty_rules import DUPLICATES, price_rules, stocks
from reference_rows import CANONICAL, REQUIRED

Draw = Callable[..., Any]
FROM_FILE = [column for column in CANONICAL if column != "vendor_id"]
ZONES = (
    "America/Chicago",
    "UTC",
    "Europe/Amsterdam",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Monrovia",
    "Europe/Dublin",
    "Asia/Kathmandu",
)
ENCODINGS = (
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "cp1252",
    "latin-1",
)
RARE_ENCODINGS = (
    "utf-16-be",
    "utf-32",
    "shift_jis",
    "iso8859-15",
    "ascii",
    "cp037",
)
SORT_RULES = (
    "in_stock_desc",
    "lowest_landed_cost",
    "vendor_priority",
    "shortest_lead_time",
    "most_recent",
    "highest_quantity",
)
SEPARATORS = (
    (".", None),
    (".", ","),
    (",", "."),
    (",", " "),
    (".", "'"),
    (",", None),
    (".", " "),
)
DELIMITERS = (
    ",",
    ",",
    ",",
    ";",
    "\t",
    "|",
    " ",
    "§",
    "→",
    "\x1f",
    "a",
    "\x00",
    "\u2028",
    "\u00a0",
)
FORMATS = (
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M",
    "%Y%m%d",
    "%Y-%d-%m",
    "%d %b %Y %I:%M %p",
    "%Y-%m-%d %H%z",
)
DERIVED = ("availability", "currency", "price_with_currency")
HEADERS = (
    '5" pipe, each',
    "=SUM(A1)",
    "a\tb",
    "Größe",
    "- x",
    "{",
    "line\nend",
    "@",
    "'",
    "\\",
)
CONSTANTS = (
    "",
    " padded ",
    "=1+1",
    "\tx",
    '"',
    "a,b",
    "\u2028",
    "007",
    "\rx",
    "\x7f\x01",
    "é",
)


@dataclass(frozen=True)
class NastyTenant:
    """A config document and the bytes that go with it."""

    document: dict[str, Any]
    feeds: dict[str, bytes | None]
    sku_maps: dict[str, bytes]
    requested_at: datetime


def seldom(draw: Draw, one_in: int = 8) -> bool:
    # Bounds are drawn more often than what lies between them.
    return draw(st.integers(0, one_in - 1)) == one_in // 2


def one_of(draw: Draw, values: Any) -> Any:
    return draw(st.sampled_from(values))


@st.composite
def nasty_tenants(draw: Draw) -> NastyTenant:
    ids = one_of(
        draw, (["v1"], ["v1", "v2"], ["b", "a", "B"], ["z_9", "a-1", "A", "v"])
    )
    vendors = []
    feeds = {}
    sku_maps = {}
    for vendor_id in ids:
        parser = draw(parsers())
        vendor: dict[str, Any] = {
            "vendor_id": vendor_id,
            "required": draw(st.booleans()),
            "inbound": {"type": "local"},
            "parser": parser,
        }
        if seldom(draw, 3):
            vendor["sku_map"] = {"type": "file", "local_path": "map.csv"}
            if not seldom(draw, 40):
                sku_maps[vendor_id] = draw(maps())
        if seldom(draw, 2):
            vendor["duplicate_skus"] = one_of(draw, DUPLICATES)
        if seldom(draw, 5):
            vendor["stock"] = draw(stocks())
        feeds[vendor_id] = None if seldom(draw, 40) else draw(feeds_of(parser))
        vendors.append(vendor)
    document = draw(settings_of(vendors))
    moment = draw(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
    return NastyTenant(document, feeds, sku_maps, moment.replace(tzinfo=UTC))


def pricing_of(draw: Draw, vendors: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "base_margin_pct": one_of(
            draw, ("0", "0.20", "0.333333", "1", "100", "0.000001")
        ),
        "min_price": one_of(
            draw, ("0", "0", "25.00", "0.0001", "9.995", "12.3456")
        ),
        "shipping_handling_flat": one_of(
            draw, ("0", "9.99", "0.0001", "4.5555")
        ),
        "map_policy": {"enforce": draw(st.booleans())},
        "rules": draw(price_rules([vendor["vendor_id"] for vendor in vendors])),
        "rounding": {
            "mode": one_of(draw, ("nearest", "up", "down")),
            "increment": one_of(
                draw,
                (
                    "0.01",
                    "0.99",
                    "0.05",
                    "1",
                    "0.0001",
                    "0.0003",
                    "5",
                    "0.25",
                    "123456",
                ),
            ),
        },
    }


@st.composite
def settings_of(draw: Draw, vendors: list[dict[str, Any]]) -> dict[str, Any]:
    best_offer: dict[str, Any] = {
        "landed_cost": {"include_shipping_handling": draw(st.booleans())},
        "fallback_lead_time_days": one_of(draw, (0, 7, 3)),
    }
    if not seldom(draw, 3):
        rules = st.lists(st.sampled_from(SORT_RULES), max_size=4, unique=True)
        best_offer["sort_by"] = draw(rules)
    return {
        "schema_version": 1,
        "tenant_id": "t",
        "timezone": one_of(draw, ZONES),
        "default_currency": "USD",
        "vendors": vendors,
        "pricing": pricing_of(draw, vendors),
        "stock": draw(stocks()) if seldom(draw, 5) else None,
        "merge": {"strategy": "best_offer", "best_offer": best_offer},
        "output": draw(outputs()),
        "error_policy": {
            "max_invalid_rows": 0
            if seldom(draw)
            else one_of(draw, (10_000, 10_000, 3)),
            "max_invalid_row_pct": one_of(
                draw, ("1.0", "1.0", "1.0", "0.5", "0.25")
            ),
            "fail_on_missing_required_columns": draw(st.booleans()),
            "missing_required_vendor_policy": one_of(
                draw, ("fail", "warn_only")
            ),
        },
    }


@st.composite
def outputs(draw: Draw) -> dict[str, Any]:
    """Return the form of a feed, of a format that is text."""
    columns: list[Any] = list(CANONICAL)
    if seldom(draw, 2):
        columns = draw(
            st.lists(
                st.sampled_from([*columns, *DERIVED]), min_size=1, unique=True
            )
        )
    format = one_of(draw, ("csv", "csv", "tsv", "jsonl"))
    output: dict[str, Any] = {"format": format, "columns": columns}
    if format != "jsonl":
        output["escape_formulas"] = draw(st.booleans())
    if seldom(draw, 2):
        headers = draw(
            st.lists(st.sampled_from(HEADERS), max_size=4, unique=True)
        )
        output["columns"] = [
            *columns,
            *(draw(named_columns(header)) for header in headers),
        ]
    return output


def named_columns(header: str) -> st.SearchStrategy[dict[str, str]]:
    """Return what may stand under a header."""
    return st.one_of(
        st.builds(
            dict,
            column=st.sampled_from([*CANONICAL, *DERIVED]),
            **{"as": st.just(header)},
        ),
        st.builds(
            dict, constant=st.sampled_from(CONSTANTS), **{"as": st.just(header)}
        ),
    )


@st.composite
def parsers(draw: Draw) -> dict[str, Any]:
    decimal, thousands = one_of(draw, SEPARATORS)
    parser: dict[str, Any] = {
        "format": "csv",
        "delimiter": one_of(draw, DELIMITERS) if seldom(draw, 2) else ",",
        "encoding": one_of(
            draw, RARE_ENCODINGS if seldom(draw, 12) else ENCODINGS
        ),
        "decimal_separator": decimal,
        "thousands_separator": thousands,
        "column_map": {},
        "defaults": {},
    }
    for column in FROM_FILE:
        map_column(draw, parser["column_map"], column)
        if seldom(draw, 10):
            parser["defaults"][column] = good_default(draw, column, decimal)
    if seldom(draw, 3):
        parser["currency_symbols"] = one_of(
            draw, (["$"], ["kr", "kr."], ["€", "EUR"], ["U", "USD"])
        )
    if seldom(draw, 3):
        parser["null_values"] = one_of(
            draw, (["N/A", "-"], ["null", "É"], ["0"], ["nan", "new"])
        )
    if seldom(draw, 3):
        parser["quantity_words"] = {
            "In stock": 10,
            ">100": 100,
            "5": 7,
            "None": 0,
        }
    if seldom(draw, 3):
        parser["timestamp_formats"] = draw(
            st.lists(st.sampled_from(FORMATS), max_size=3)
        )
    if seldom(draw, 2):
        add_options(draw, parser, seldom, one_of)
    if seldom(draw, 4):
        parser["skip_lines"] = draw(st.integers(1, 3))
    if seldom(draw, 6):
        parser["columns"] = headers_of(draw, parser, once=True)
    return parser


def map_column(draw: Draw, column_map: dict[str, Any], column: str) -> None:
    if seldom(draw, 4):
        sources = (
            f"h {column}",
            f"h {column}",
            "Größe",
            one_of(draw, FROM_FILE),
        )
        column_map[column] = one_of(draw, sources)
    elif seldom(draw, 8):
        column_map[column] = form_for(draw, column, one_of)


def good_default(draw: Draw, column: str, decimal: str) -> str:
    if column in MONEY:
        return one_of(draw, ("7", f"1{decimal}2345", f"0{decimal}00004", "1e2"))
    defaults = {
        "quantity_available": ("1", f"2{decimal}0"),
        "lead_time_days": ("3", "0"),
        "condition": ("new", "Used"),
        "updated_at": ("2024-03-10 02:30", "2021-05-05"),
    }
    return one_of(draw, defaults.get(column, ("dflt", "x,y")))


def headers_of(
    draw: Draw, parser: dict[str, Any], *, once: bool = False
) -> list[str]:
    """Return headers in which most of what is needed stands, in any order."""
    names = [
        name
        for column in FROM_FILE
        for name in headers_in(parser["column_map"].get(column, column))
        if not seldom(
            draw, 5 if column not in (*REQUIRED, *parser["column_map"]) else 150
        )
    ]
    if seldom(draw, 6):
        names.append(
            one_of(
                draw,
                (
                    "note",
                    "vendor_id",
                    "Größe",
                    "sku",
                    "price",
                    '5" pipe',
                    "x y",
                ),
            )
        )
    if once or not seldom(draw, 30):
        names = list(dict.fromkeys(names))
    return list(draw(st.permutations(names)))


@st.composite
def feeds_of(draw: Draw, parser: dict[str, Any]) -> bytes:
    delimiter = parser["delimiter"]
    lines = []
    for _ in range(parser.get("skip_lines", 0)):
        lines.append(one_of(draw, ("", "# made by hand", '"open', "a,b", ",,")))
    headers = parser.get("columns")
    if headers is None:
        headers = headers_of(draw, parser)
        if seldom(draw, 8):
            lines.append(one_of(draw, ("", delimiter * 2, "  ", '""')))
        if not seldom(draw, 60):
            lines.append(
                record_of(
                    draw, [padded(draw, name) for name in headers], delimiter
                )
            )
    columns_by_header = {
        name: column
        for column in FROM_FILE
        for name in headers_in(parser["column_map"].get(column, column))
    }
    for _ in range(0 if seldom(draw, 15) else draw(st.integers(1, 10))):
        if seldom(draw, 10):
            lines.append(
                one_of(
                    draw,
                    ("", "", " ", delimiter, '""', delimiter * len(headers)),
                )
            )
        cells = [
            localised(
                draw,
                draw(cell_for(columns_by_header.get(name.strip(), "title"))),
                parser,
            )
            if not (name.startswith("f ") or seldom(draw, 9))
            else one_of(
                draw, odd_cells(name, columns_by_header.get(name.strip()))
            )
            for name in headers
        ]
        if seldom(draw, 4):
            cells += one_of(draw, ([""], [" ", ""], ["", "x"]))
        if seldom(draw, 15):
            cells = cells[:-1] if seldom(draw, 2) else [*cells, "more"]
        lines.append(
            record_of(draw, [padded(draw, cell) for cell in cells], delimiter)
        )
    return encoded(draw, lines, parser["encoding"])


def odd_cells(header: str, column: str | None) -> tuple[str, ...]:
    """Return cells that options are about."""
    if header.startswith("f "):
        return FACTORS
    return {"quantity_available": STOCKS, "updated_at": SERIALS}.get(
        column or "", FACTORS
    )


def encoded(draw: Draw, lines: list[str], encoding: str) -> bytes:
    ends = one_of(
        draw, (["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r", "\r\n"])
    )
    text = "".join(line + one_of(draw, ends) for line in lines)
    if seldom(draw, 4):
        text = text.rstrip("\r\n")
    if seldom(draw, 8):
        text = "\ufeff" + text
    data = text.encode(encoding, errors="replace")
    if seldom(draw, 50):
        data += one_of(
            draw, (b"\xff", b"\x81", b"\xe2\x82", b'\n"open', b"\x00")
        )
    return data


def padded(draw: Draw, text: str) -> str:
    if not seldom(draw, 8):
        return text
    space = one_of(
        draw,
        (
            " ",
            "\t",
            "\u00a0",
            "\u2003",
            "\x1c",
            "\u3000",
            "\x85",
            "\ufeff",
            "\n",
        ),
    )
    return one_of(draw, (space + text, text + space, space + text + space))


def record_of(draw: Draw, cells: list[str], delimiter: str) -> str:
    return delimiter.join(field_of(draw, cell, delimiter) for cell in cells)


def field_of(draw: Draw, cell: str, delimiter: str) -> str:
    inner = cell.replace('"', '""')
    special = any(
        mark in cell for mark in (delimiter, "\r", "\n")
    ) or cell.startswith('"')
    if seldom(draw, 120):
        return one_of(
            draw,
            (
                cell,
                f'"{inner}"tail',
                f'"{inner}"x"y"',
                f' "{inner}"',
                f'"{inner}" ',
            ),
        )
    return f'"{inner}"' if special or seldom(draw, 6) else cell


@st.composite
def maps(draw: Draw) -> bytes:
    if seldom(draw, 30):
        return one_of(
            draw,
            (
                b"",
                b"a,b\n",
                b"vendor_sku\nA\n",
                b"vendor_sku,sku\n\xff,1\n",
                b'"',
            ),
        )
    lines = [
        one_of(
            draw,
            ("vendor_sku,sku", "sku, vendor_sku ,note", "\ufeffvendor_sku,sku"),
        )
    ]
    for _ in range(draw(st.integers(0, 6))):
        lines.append(
            record_of(
                draw, [draw(cell_for("sku")) for _ in lines[0].split(",")], ","
            )
        )
    return ("\n".join(lines) + "\n").encode()
