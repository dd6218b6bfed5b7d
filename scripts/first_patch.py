"""A new vendor's config by one edit: the patch that ``local_run.py --check`` prints, applied.

It starts from a config that says only which header holds the SKU, and is held against one that was
written by hand. What a file cannot say is answered as that one does, and only where it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_core.config import ParserConfig, load_config, parse_document

Document = Mapping[str, Any]
OPTIONS = (
    "format",
    "encoding",
    "delimiter",
    "skip_lines",
    "decimal_separator",
    "thousands_separator",
    "currency_symbols",
    "null_values",
    "timestamp_formats",
)
"""What must be as by hand; and how many columns a file without a header has."""
_ASKED = re.compile(r"no header is surely (\w+)")


def read_config(path: Path) -> Document:
    """Return a config in YAML."""
    return parse_document(path.read_bytes(), format="yaml")


def with_sku_alone(by_hand: Document) -> Document:
    """Return a config whose parsers say nothing but which header holds the SKU."""
    return _with_parsers(
        by_hand,
        lambda vendor: {
            "format": "csv",
            "column_map": {"sku": _header(vendor["parser"], "sku") or "sku"},
        },
    )


def with_patch(document: Document, printed: str) -> Document:
    """Return a config with the parsers that a check has printed."""
    patch = (
        parse_document(printed, format="yaml")
        if "\nvendors:" in printed
        else {"vendors": []}
    )
    parsers = {vendor["vendor_id"]: vendor["parser"] for vendor in patch["vendors"]}
    return _with_parsers(
        document, lambda vendor: parsers.get(vendor["vendor_id"], vendor["parser"])
    )


def with_answers(document: Document, by_hand: Document, printed: str) -> Document:
    """Return a config that says of each column that a check has asked for what another says."""
    own = {vendor["vendor_id"]: vendor["parser"] for vendor in by_hand["vendors"]}
    asked = set(_ASKED.findall(printed))

    def answered(vendor: Document) -> Document:
        parser, known = vendor["parser"], own[vendor["vendor_id"]]
        headers = {
            column: header for column in asked if (header := _header(known, column))
        }
        defaults = {c: v for c, v in known.get("defaults", {}).items() if c in asked}
        mapped = {**parser["column_map"], **headers}
        return {
            **parser,
            "column_map": mapped,
            **({"defaults": defaults} if defaults else {}),
        }

    return _with_parsers(document, answered)


def differences(patched: Document, by_hand: Document) -> list[str]:
    """Return in which options of a parser one config is not as the other."""
    both = zip(load_config(patched).vendors, load_config(by_hand).vendors, strict=True)
    return [
        f"{vendor.vendor_id}: {name} is {found!r}, by hand {wanted!r}"
        for vendor, own in both
        for (name, found), (_, wanted) in zip(
            _options(vendor.parser), _options(own.parser), strict=True
        )
        if found != wanted
    ]


def options_told(patched: Document) -> str:
    """Say in which options the first vendor's parser is not the default."""
    plain = dict(_options(ParserConfig(format="csv")))
    found = _options(load_config(patched).vendors[0].parser)
    named = [f"{name} {value!r}" for name, value in found if value != plain[name]]
    return ", ".join(named) or "as by default"


def _options(parser: ParserConfig) -> list[tuple[str, object]]:
    columns = 0 if parser.columns is None else len(parser.columns)
    return [*((name, getattr(parser, name)) for name in OPTIONS), ("columns", columns)]


def _header(parser: Document, column: str) -> str | None:
    """Return a column's header; in a file without one its columns are counted."""
    header = parser.get("column_map", {}).get(column)
    columns = parser.get("columns")
    return f"column {columns.index(header) + 1}" if columns and header else header


def _with_parsers(document: Document, parser_of: Any) -> Document:
    vendors = [
        {**vendor, "parser": parser_of(vendor)} for vendor in document["vendors"]
    ]
    return {**document, "vendors": vendors}
