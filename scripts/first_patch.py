"""A new vendor's config in one edit: the patch that `local_run.py --check` prints.

The edit starts from a config that only names the header of the SKU. The result is compared
with a config that was written by hand. Questions that a file cannot answer are answered as
in the config by hand, and only if the check asks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
"""The options that must be as by hand, besides the number of columns without a header."""
_QUESTION = re.compile(r"No header (?:clearly )?matches (\w+)")


def read_config(path: Path) -> Document:
    """Return the document of a YAML config."""
    return parse_document(path.read_bytes(), format="yaml")


def with_sku_alone(by_hand: Document) -> Document:
    """Return a config whose parsers only name the header of the SKU."""

    def sku_parser(vendor: Document) -> Document:
        sku_header = _header(vendor["parser"], "sku") or "sku"
        return {"format": "csv", "column_map": {"sku": sku_header}}

    return _with_parsers(by_hand, sku_parser)


def with_nothing(by_hand: Document) -> Document:
    """Return a config whose parsers say nothing about their files."""
    return _with_parsers(by_hand, lambda _: {"format": "csv"})


def asks(output: str) -> bool:
    """Return True if the output of a check asks for a column."""
    return _QUESTION.search(output) is not None


def column_differences(proposed: Document, by_hand: Document) -> list[str]:
    """Return the vendors whose SKU or cost is read from another header than by hand."""
    lines = []
    for vendor, vendor_by_hand in zip(
        proposed["vendors"], by_hand["vendors"], strict=True
    ):
        for column in ("sku", "cost"):
            header = _trimmed(_header(vendor["parser"], column))
            header_by_hand = _trimmed(_header(vendor_by_hand["parser"], column))
            if header != header_by_hand:
                lines.append(
                    f"{vendor['vendor_id']}: {column} is {header!r}, by hand "
                    f"{header_by_hand!r}"
                )
    return lines


def _trimmed(header: str | None) -> str | None:
    return None if header is None else header.strip()


def with_patch(document: Document, output: str) -> Document:
    """Return a config with the parsers in the output of a check."""
    patched_parsers: dict[str, Document] = {}
    if "\nvendors:" in output:
        for vendor in parse_document(output, format="yaml")["vendors"]:
            patched_parsers[vendor["vendor_id"]] = vendor["parser"]

    def patched_parser(vendor: Document) -> Document:
        parser: Document = vendor["parser"]
        return patched_parsers.get(vendor["vendor_id"], parser)

    return _with_parsers(document, patched_parser)


def with_answers(
    document: Document,
    by_hand: Document,
    output: str,
) -> Document:
    """Return a config that maps the columns a check asks for as the config by hand does."""
    parsers_by_hand = {
        vendor["vendor_id"]: vendor["parser"] for vendor in by_hand["vendors"]
    }
    columns = set(_QUESTION.findall(output))

    def answered_parser(vendor: Document) -> Document:
        parser_by_hand = parsers_by_hand[vendor["vendor_id"]]
        column_map = dict(vendor["parser"]["column_map"])
        for column in columns:
            header = _header(parser_by_hand, column)
            if header:
                column_map[column] = header
        defaults = {
            column: value
            for column, value in parser_by_hand.get("defaults", {}).items()
            if column in columns
        }
        parser = {**vendor["parser"], "column_map": column_map}
        if defaults:
            parser["defaults"] = defaults
        return parser

    return _with_parsers(document, answered_parser)


def differences(patched: Document, by_hand: Document) -> list[str]:
    """Return the parser options in which two configs differ, one a line."""
    lines = []
    vendor_pairs = zip(
        load_config(patched).vendors,
        load_config(by_hand).vendors,
        strict=True,
    )
    for vendor, vendor_by_hand in vendor_pairs:
        options_by_hand = _options(vendor_by_hand.parser)
        for name, value in _options(vendor.parser).items():
            value_by_hand = options_by_hand[name]
            if value != value_by_hand:
                lines.append(
                    f"{vendor.vendor_id}: {name} is {value!r}, by hand {value_by_hand!r}",
                )
    return lines


def options_told(patched: Document) -> str:
    """Return the options of the first vendor's parser that differ from the defaults."""
    defaults = _options(ParserConfig(format="csv"))
    options = _options(load_config(patched).vendors[0].parser)
    texts = [
        f"{name} {value!r}"
        for name, value in options.items()
        if value != defaults[name]
    ]
    return ", ".join(texts) or "as by default"


def _options(parser: ParserConfig) -> dict[str, object]:
    options: dict[str, object] = {
        name: getattr(parser, name) for name in OPTIONS
    }
    options["columns"] = 0 if parser.columns is None else len(parser.columns)
    return options


def _header(parser: Document, column: str) -> str | None:
    """Return the header of a column, or its number if the file has no header."""
    header: str | None = parser.get("column_map", {}).get(column)
    columns = parser.get("columns")
    if columns and header:
        return f"column {columns.index(header) + 1}"
    return header


def _with_parsers(
    document: Document,
    parser_of: Callable[[Document], Document],
) -> Document:
    vendors = [
        {**vendor, "parser": parser_of(vendor)}
        for vendor in document["vendors"]
    ]
    return {**document, "vendors": vendors}
