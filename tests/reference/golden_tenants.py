"""Seeded tenants whose feeds hold what the engine has a path of its own for, in some thousand rows.

Only ``Random.random`` is drawn from: Python promises its numbers for every version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nasty_cells import (
    BAD_MONEY,
    BAD_NUMBERS,
    BAD_TIMES,
    CONDITIONS,
    GOOD_MONEY,
    GOOD_NUMBERS,
    MONEY,
    SKUS,
    TEXTS,
    TIMES,
)
from nasty_tenants import FROM_FILE, SORT_RULES
from reference_rows import CANONICAL

Parser = dict[str, Any]
LENIENT = {"max_invalid_rows": 1_000_000, "max_invalid_row_pct": 1}
EUROPEAN = {
    "delimiter": ";",
    "decimal_separator": ",",
    "thousands_separator": ".",
    "currency_symbols": ["€", "EUR"],
}
SWISS = {
    "thousands_separator": "'",
    "currency_symbols": ["CHF", "Fr."],
    "delimiter": "\t",
}
WORDS = {
    "null_values": ["N/A", "-"],
    "quantity_words": {"In stock": 10, ">100": 100, "None": 0},
    "timestamp_formats": ["%d.%m.%Y", "%m/%d/%Y %H:%M"],
    "defaults": {
        "condition": "Used",
        "lead_time_days": "4",
        "brand": "No, name",
    },
}


@dataclass(frozen=True)
class GoldenTenant:
    """A tenant's config, its vendors' feeds and SKU maps, by vendor."""

    document: Mapping[str, Any]
    feeds: Mapping[str, bytes]
    sku_maps: Mapping[str, bytes]


@dataclass(frozen=True)
class Recipe:
    """What one tenant's feeds are made of: an entry of ``parsers`` a vendor."""

    parsers: Sequence[Parser] = ({}, {}, {})
    rows: int = 1_500
    bad: float = 0.04
    mapped: bool = True
    bom: bool = False
    line_end: str = "\n"
    sort_by: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


TENANTS: dict[str, Recipe] = {
    "plain": Recipe(mapped=False, bad=0.0),
    "bad_rows": Recipe(bad=0.5),
    "words": Recipe(parsers=(WORDS, {**WORDS, "delimiter": ";"})),
    "numbers": Recipe(parsers=(EUROPEAN, SWISS, {"thousands_separator": ","})),
    "encodings": Recipe(
        parsers=(
            {"encoding": "utf-16"},
            {"encoding": "utf-16-le"},
            {"encoding": "utf-8"},
        ),
        bom=True,
        line_end="\r\n",
    ),
    "clock_change": Recipe(
        settings={"timezone": "America/Chicago"}, line_end="\r"
    ),
    "one_vendor": Recipe(parsers=({"delimiter": "|"},), rows=4_000),
    "many_vendors": Recipe(parsers=({},) * 7, rows=400),
    "no_header": Recipe(parsers=({"columns": FROM_FILE, "skip_lines": 2},)),
    "raised": Recipe(
        settings={
            "pricing": {
                "base_margin_pct": "0.333333",
                "min_price": "9.995",
                "shipping_handling_flat": "4.5555",
                "rounding": {"mode": "up", "increment": "0.99"},
            }
        }
    ),
    "unpriced": Recipe(
        parsers=({"column_map": {"cost": "no cost", "price": "none"}}, {})
    ),
    **{f"by_{rule}": Recipe(rows=700, sort_by=[rule]) for rule in SORT_RULES},
    "by_all": Recipe(sort_by=SORT_RULES[::-1]),
}


def golden_tenant(name: str) -> GoldenTenant:
    """Return the tenant of that name, the same bytes on every machine."""
    return seeded_tenant(name, TENANTS[name])


def seeded_tenant(seed: str, recipe: Recipe) -> GoldenTenant:
    """Return a tenant made by a recipe."""
    make = _Maker(Random(seed))
    ids = [f"v{place}" for place in range(len(recipe.parsers), 0, -1)]
    parsers = dict(zip(ids, recipe.parsers, strict=True))
    vendors = [
        {
            "vendor_id": vendor_id,
            "inbound": {"type": "local"},
            "parser": {"format": "csv", **parser},
            **(
                {"sku_map": {"type": "file", "local_path": "m"}}
                if recipe.mapped
                else {}
            ),
        }
        for vendor_id, parser in parsers.items()
    ]
    merge = {
        "strategy": "best_offer",
        "best_offer": {"sort_by": list(recipe.sort_by)},
    }
    document = {
        "tenant_id": "golden",
        "timezone": "UTC",
        "default_currency": "USD",
        "vendors": vendors,
        "pricing": {
            "base_margin_pct": "0.2",
            "min_price": "0",
            "shipping_handling_flat": "9.99",
        },
        "merge": merge,
        "output": {"columns": list(CANONICAL)},
        "error_policy": LENIENT,
        **recipe.settings,
    }
    feeds = {
        vendor_id: make.feed(recipe, {"delimiter": ",", **parsers[vendor_id]})
        for vendor_id in ids
    }
    maps = (
        {vendor_id: make.sku_map() for vendor_id in ids}
        if recipe.mapped
        else {}
    )
    return GoldenTenant(document, feeds, maps)


class _Maker:
    """Draws everything from one source of luck."""

    def __init__(self, luck: Random) -> None:
        self._luck = luck

    def feed(self, recipe: Recipe, parser: Parser) -> bytes:
        """Return one vendor's feed."""
        header = [
            parser.get("column_map", {}).get(column, column)
            for column in FROM_FILE
        ]
        lines = [] if "columns" in parser else [self._record(header, parser)]
        lines[:0] = ["# made by hand"] * parser.get("skip_lines", 0)
        for _ in range(recipe.rows):
            cells = [
                self._padded(self._cell(column, parser)) for column in FROM_FILE
            ]
            if self._chance(recipe.bad):
                self._spoil(cells)
            if self._chance(0.02):
                lines.append(
                    self._pick(("", parser["delimiter"] * (len(FROM_FILE) - 1)))
                )
            lines.append(self._record(cells, parser))
        text = "\ufeff" * recipe.bom + recipe.line_end.join([*lines, ""])
        return text.encode(parser.get("encoding", "utf-8"))

    def sku_map(self) -> bytes:
        """Return a map of some SKUs onto others, some of them twice."""
        numbers = (self._below(900) for _ in range(150))
        pairs = [f"SKU-{number:05},OURS-{number % 70:03}" for number in numbers]
        return "\n".join(
            ["vendor_sku,sku", *pairs, "A,B", '"q,t",mapped', ""]
        ).encode()

    def _cell(self, column: str, parser: Parser) -> str:
        numbers: dict[str, Callable[[], str]] = {
            "quantity_available": lambda: self._some(
                GOOD_NUMBERS, f"{self._below(40)}"
            ),
            "lead_time_days": lambda: self._some(
                ("", "3", *GOOD_NUMBERS), f"{self._below(9)}"
            ),
            **dict.fromkeys(MONEY, self._money),
        }
        if column in numbers:
            return self._localised(numbers[column](), parser)
        makers: dict[str, Callable[[], str]] = {
            "sku": lambda: self._some(SKUS[:14], f"SKU-{self._below(900):05}"),
            "condition": lambda: self._pick(CONDITIONS[:7]),
            "updated_at": lambda: self._some(TIMES, self._moment()),
        }
        return makers.get(
            column, lambda: self._some(TEXTS, f"text {self._below(50)}")
        )()

    def _moment(self) -> str:
        day = f"2025-{1 + self._below(12):02}-{1 + self._below(28):02}"
        clock = (
            f"{self._below(24):02}:{self._below(60):02}:{self._below(60):02}"
        )
        return day if self._chance(0.1) else f"{day}{self._pick(' T')}{clock}"

    def _money(self) -> str:
        if self._chance(0.1):
            return self._pick(GOOD_MONEY)
        places = self._below(5)
        amount = f"{self._below(3_000)}.{self._below(10**places):0{places}}"
        return "" if self._chance(0.15) else amount

    def _localised(self, text: str, parser: Parser) -> str:
        whole, point, fraction = text.partition(".")
        if (
            not whole.isdecimal()
            or not text.isascii()
            or (fraction and not fraction.isdecimal())
        ):
            return text
        if (thousands := parser.get("thousands_separator")) and self._chance(
            0.5
        ):
            whole = f"{int(whole):,}".replace(",", thousands)
        symbol = self._pick(("", "", *parser.get("currency_symbols", ())))
        plain = (
            whole
            + (parser.get("decimal_separator", ".") if point else "")
            + fraction
        )
        return f"{symbol} {plain}" if fraction and symbol else plain

    def _spoil(self, cells: list[str]) -> None:
        bad = {"quantity_available": BAD_NUMBERS, "lead_time_days": BAD_NUMBERS}
        bad |= {
            "updated_at": BAD_TIMES,
            "condition": CONDITIONS[7:],
            "sku": ("", " \u00a0"),
        }
        bad |= dict.fromkeys(MONEY, BAD_MONEY)
        for _ in range(1 + self._below(2)):
            column = self._pick(tuple(bad))
            cells[FROM_FILE.index(column)] = self._pick(
                [c for c in bad[column] if len(c) < 99]
            )
        if self._chance(0.1):
            cells.append("more")
        elif self._chance(0.1):
            del cells[-2:]

    def _padded(self, text: str) -> str:
        if not self._chance(0.05):
            return text
        space = self._pick((" ", "\t", "\u00a0", "\u2003", "\u3000"))
        return self._pick((space + text, text + space))

    def _record(self, cells: Sequence[str], parser: Parser) -> str:
        special = (parser["delimiter"], '"', "\r", "\n")
        return parser["delimiter"].join(
            '"' + cell.replace('"', '""') + '"'
            if any(mark in cell for mark in special) or self._chance(0.01)
            else cell
            for cell in cells
        )

    def _some(self, odd: Sequence[str], usual: str) -> str:
        return self._pick(odd) if self._chance(0.08) else usual

    def _pick(self, choices: Sequence[str]) -> str:
        return choices[self._below(len(choices))]

    def _below(self, limit: int) -> int:
        return int(self._luck.random() * limit)

    def _chance(self, of_one: float) -> bool:
        return self._luck.random() < of_one
