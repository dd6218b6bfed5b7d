"""Feeds of random cells and bytes, read with the kernel and without it, and compared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from unittest import mock

import numpy as np

from relay_core.config import TenantConfig, load_config
from relay_core.domain.columns import extra_column
from relay_core.domain.errors import ConfigError
from relay_core.domain.limits import DEFAULT_LIMITS, ReportRoom
from relay_core.kernel import compiled, row_columns, text_parts
from relay_core.normalize import packed_rows
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.scanned_feed import ScannedRows
from relay_core.normalize.vendor import sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.validation.row_schemas import OFFER_SCHEMA, offer_fields
from support.builders import REQUESTED_AT, config_document, vendor_document

EXTRA = "shelf"
NAMES = (
    "sku",
    "quantity_available",
    "vendor_sku",
    "lead_time_days",
    "cost",
    "map_price",
    "price",
    "msrp",
    "condition",
    "brand",
    "title",
    "updated_at",
    EXTRA,
    "unread",
)
SPACES = ("", " ", "\t", "\u00a0", "\u2003", "\u3000", "\x1f", "\u0085", "\v")
DIGITS = "0123456789"
ODD_TEXTS = (
    "",
    " ",
    "N/A",
    "n/a",
    "null",
    "K",
    "\u212a",
    "STRASSE",
    "stra\u00dfe",
    "\ufeff",
    "\x00",
    "\u200b",
    "a\u0301",
    "\U0001f529",
    "-",
    "9",
    'say "no"',
    '"',
    '""',
    '"a" b',
    "'",
    ",",
    ";",
    "a\nb",
    "a\r\nb",
    "\r",
    "x" * 300,
    "\u1680x\u1680",
    "\u2028",
    "\u180e",
)
ODD_NUMBERS = (
    "007",
    "+5",
    "-0",
    "-3",
    "1e3",
    "12.",
    ".5",
    "1.23456",
    "999999999",
    "1000000000",
    "2147483647",
    "2147483648",
    "0.00005",
    "1,234",
    "1.234",
    "1'234",
    "1\u2019234",
    "1 234",
    "1\u00a0234",
    "1\u202f234.5",
    "12,34",
    "1,23,456",
    "$5",
    "5\u00a0\u20ac",
    "\u20ac 5,10",
    "EUR5EUR",
    "kr.",
    "\u0661",
    "0",
    "0.0",
    "0,00",
    "viel",
    "10+",
    ">10",
    "99999999999999999999",
)
ODD_INSTANTS = (
    "2026-02-28",
    "2024-02-29",
    "2023-02-29",
    "2026-13-01",
    "1899-12-31",
    "1900-01-01T00:00:00+14:00",
    "2199-12-31T23:59:59.999999-14:00",
    "2200-01-01",
    "2026-01-05T10:00Z",
    "2026-01-05 10:00",
    "2026-03-08 02:30",
    "2026-03-08 03:00:00",
    "2026-11-01 01:30",
    "2026-11-02T00:00:00.5",
    "1900-01-01 00:00",
    "2199-12-31 23:59",
    "2026-01-05T10:00:60Z",
    "2026-01-05T24:00:00Z",
    "2026-01-05T10:00:00.1234567Z",
    "2026-01-05T10:00:00.123",
    "2026-01-05T10:00:00.Z",
    "2026-01-05t10:00:00z",
    "2026-01-05T10:00:00+0530",
    "2026-01-05T10:00:00-05:3",
    "2026-01-05T10",
    "2026-1-5",
    "20260105",
    "05.01.2026",
    "46027",
)
BYTES = (b'"', b",", b";", b"\r", b"\n", b"\r\n", b" ", b"\x00", b"0", b"9")
BYTES += (b".", b"-", b"a", b"\xc2\xa0", b"\xe2\x80", b"\xff", b'""', b"\t")


@dataclass(frozen=True)
class Example:
    """One vendor's feed with its config."""

    config: TenantConfig
    feed: bytes
    sku_map: bytes | None = None
    part_bytes: int = text_parts.PART_BYTES


@dataclass(frozen=True)
class Reading:
    """Everything that reading a feed leaves."""

    by_kernel: bool
    result: Mapping[str, Any]


def read(example: Example, *, with_kernel: bool) -> Reading:
    """Read a feed with the kernel or without it."""
    vendor = example.config.vendors[0]
    extra_columns = example.config.extra_columns
    names = [*OFFER_SCHEMA.names, *map(extra_column, extra_columns)]
    reader = FeedReader(
        example.config,
        REQUESTED_AT,
        names,
        DEFAULT_LIMITS,
        DEFAULT_LIMITS.run_bytes,
    )
    feed = VendorFeed.of_one(vendor, example.feed, "feed.csv", example.sku_map)
    with (
        mock.patch.object(compiled, "is_enabled", with_kernel),
        mock.patch.object(text_parts, "PART_BYTES", example.part_bytes),
        mock.patch.object(
            packed_rows, "_LINE_BYTES", min(example.part_bytes, 256)
        ),
        mock.patch.object(packed_rows, "MAX_SHORT_BYTES", example.part_bytes),
        mock.patch.object(row_columns, "SPARE_ROOM", example.part_bytes >> 12),
    ):
        rows = reader.read(feed)
        by_kernel = isinstance(rows, ScannedRows)
        ordered = sorted_rows(rows, ReportRoom(1_000, 1 << 20))
        columns = list(offer_fields(names))
        cells = ordered.kept.cells(columns, ordered.kept.rows[:])
        lines = b"".join(map(bytes, ordered.consume_lines(extra_columns)))
        offers = ordered.with_offers().offers
        some_offers = offers.table(["sku", "cost"], slice(1, None, 2))
        last_offers = offers.cells(columns, np.arange(len(offers))[::-1][:3])
    result = {
        field.name: getattr(ordered.vendor, field.name)
        for field in fields(NormalizedVendor)
        if field.name not in ("offers", "rejected_rows")
    }
    result["rejected_rows"] = ordered.vendor.rejected_rows.to_pylist()
    for column, of_column in zip(columns, cells, strict=True):
        result[f"column {column.name}"] = of_column.to_pylist()
    for column, of_column in zip(columns, last_offers, strict=True):
        result[f"last {column.name}"] = of_column.to_pylist()
    result["lines"] = lines.split(b"\n")
    result["offers"] = some_offers.to_pylist()
    return Reading(by_kernel, result)


def difference(example: Example) -> str | None:
    """Return how both readings differ, or None; and fail if one of them raises."""
    with_kernel = read(example, with_kernel=True).result
    without = read(example, with_kernel=False).result
    for name, expected in without.items():
        if with_kernel[name] != expected:
            return f"{name}: {with_kernel[name]!r} is not {expected!r}"
    return None


# --- random examples --------------------------------------------------------------------


def examples(seed: int, per_config: int = 4) -> Iterator[Example]:
    """Yield examples without an end; the same ones for a seed."""
    rng = random.Random(seed)
    while True:
        document, names = _config(rng)
        try:
            config = load_config(document)
        except ConfigError:
            continue
        for _ in range(per_config):
            yield Example(
                config,
                _feed(rng, document, names),
                _sku_map(rng) if rng.random() < 0.3 else None,
                rng.choice([1, 7, 64, 1_000, text_parts.PART_BYTES]),
            )


def _some(rng: random.Random, values: Sequence[Any]) -> list[Any]:
    return [value for value in values if rng.random() < 0.3]


_PARSER_OPTIONS = {
    "delimiter": [",", ";", "\t", "|"],
    "decimal_separator": [".", ","],
    "thousands_separator": [",", ".", "'", " "],
    "currency_symbols": [["$", "\u20ac", "EUR"], ["kr.", "kr"], ["1"]],
    "null_values": [
        ["N/A", "-", "strasse"],
        ["k", "0"],
        {"title": ["null", ""], "*": ["9"], "cost": ["n/a"]},
    ],
    "zero_is_null": [["cost", "msrp"]],
    "quantity_words": [{"viel": 10}, {"5": 7}],
    "quantity_symbols": [["+", ">"]],
    "negative_quantity": ["zero"],
    "invalid_as_null": [["lead_time_days", "updated_at", "condition"]],
    "timestamp_formats": [["%d.%m.%Y"], ["excel"]],
    "quoting": [False],
    "blank_extra_fields": ["drop"],
    "skip_lines": [1, 2],
    "skip_rows": [[{"column": "sku", "is": ["9"]}]],
    "defaults": [
        {"lead_time_days": 3},
        {"condition": "used", "title": "none", "cost": "1.5"},
        {"quantity_available": 4, "updated_at": "2026-01-01"},
    ],
}
"""The values that each option of a parser may have."""
_RARE_OPTIONS = ("quoting", "blank_extra_fields", "skip_rows", "defaults")


def _config(rng: random.Random) -> tuple[dict[str, Any], list[str]]:
    """Return a config document, and the headers of its feeds."""
    names = [name for name in NAMES if name in NAMES[:2] or rng.random() < 0.7]
    rng.shuffle(names)
    parser: dict[str, Any] = {}
    for name, choices in _PARSER_OPTIONS.items():
        if rng.random() < (0.08 if name in _RARE_OPTIONS else 0.2):
            parser[name] = rng.choice(choices)
    if rng.random() < 0.1:
        parser["columns"] = names
    vendor = vendor_document(
        parser=parser,
        **({"duplicate_skus": "refuse"} if rng.random() < 0.05 else {}),
    )
    document = config_document(
        vendor,
        timezone=rng.choice(
            ["UTC", "UTC", "America/Chicago", "Africa/Casablanca"]
        ),
        extra_columns=[EXTRA],
        error_policy={"max_invalid_row_pct": 1, "max_invalid_rows": 10**6},
    )
    return document, names


def _plain(rng: random.Random, name: str, parser: Mapping[str, Any]) -> str:
    """Return a cell such as most cells of a column are."""
    if name in ("quantity_available", "lead_time_days"):
        return str(rng.randrange(10 ** rng.randrange(1, 7)))
    if name in ("cost", "map_price", "price", "msrp"):
        number = f"{rng.randrange(10 ** rng.randrange(1, 8))}"
        places = rng.randrange(5)
        mark = parser.get("thousands_separator")
        if mark and rng.random() < 0.7:
            number = f"{int(number):,}".replace(",", mark)
        if places:
            fraction = "".join(rng.choices(DIGITS, k=places))
            number += parser.get("decimal_separator", ".") + fraction
        if parser.get("currency_symbols") and rng.random() < 0.5:
            symbol = rng.choice(parser["currency_symbols"])
            space = rng.choice(SPACES[:4])
            number = rng.choice(
                [symbol + space + number, number + space + symbol]
            )
        return number
    if name == "condition":
        return rng.choice(["new", "USED", "Refurb", ""])
    if name == "updated_at":
        day = f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        clock = f"{rng.randrange(24):02}:{rng.randrange(60):02}"
        return rng.choice(
            [
                f"{day}T{clock}:07Z",
                f"{day} {clock}:59.25Z",
                f"{day} {clock}",
                day,
                "",
            ],
        )
    if name == "sku":
        return f"SKU-{rng.randrange(30)}"
    return rng.choice(
        ["", "Bolt M8", "Nut, hex", 'Pipe 3"', "Sch\u00e4kel", "x"]
    )


def _cell(rng: random.Random, name: str, parser: Mapping[str, Any]) -> str:
    if rng.random() < 0.93:
        cell = _plain(rng, name, parser)
    elif name in ("sku", "vendor_sku", "brand", "title", EXTRA, "unread"):
        cell = rng.choice(ODD_TEXTS)
    elif name == "updated_at":
        cell = rng.choice(ODD_INSTANTS + ODD_TEXTS)
    else:
        cell = rng.choice(ODD_NUMBERS + ODD_TEXTS)
    if rng.random() < 0.1:
        cell = rng.choice(SPACES) + cell + rng.choice(SPACES)
    return cell


def _field(rng: random.Random, cell: str, delimiter: str) -> str:
    must_quote = any(mark in cell for mark in (delimiter, '"', "\r", "\n"))
    if (must_quote and rng.random() < 0.95) or rng.random() < 0.05:
        cell = '"' + cell.replace('"', '""') + '"'
    return cell


def _feed(
    rng: random.Random,
    document: Mapping[str, Any],
    names: Sequence[str],
) -> bytes:
    parser = document["vendors"][0]["parser"]
    delimiter = parser.get("delimiter", ",")
    line_ends = rng.choice(
        [["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r", "\n\n"]]
    )
    lines = ['lines to skip, "and' for _ in range(parser.get("skip_lines", 0))]
    if "columns" not in parser:
        lines.append(delimiter.join(names))
    for _ in range(rng.choice([0, 1, 3, 10, 40, 90])):
        cells = [_cell(rng, name, parser) for name in names]
        if rng.random() < 0.03:
            cells = rng.choice([cells[:-1], [*cells, ""], [*cells, "x"], [""]])
        lines.append(
            delimiter.join(_field(rng, cell, delimiter) for cell in cells),
        )
    text = "".join(line + rng.choice(line_ends) for line in lines)
    data = bytearray(text.encode())
    if data and rng.random() < 0.2:
        del data[-rng.randrange(1, 4) :]
    if data and rng.random() < 0.35:
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(data))
            data[place : place + rng.randrange(2)] = rng.choice(BYTES)
    return bytes(data)


def _sku_map(rng: random.Random) -> bytes:
    rows = [f"SKU-{rng.randrange(40)},T{rng.randrange(9)}" for _ in range(20)]
    return "\n".join(
        ["vendor_sku,sku", *rows, "Sch\u00e4kel,\u00e4", ""]
    ).encode()
