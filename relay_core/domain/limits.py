"""The one home of the limits of inputs and reports: plain numbers, handed to whoever keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_FAULTS = 100
"""So many faults of a config or a body are told, and how many more there are."""
MAX_LISTED = 10
"""So much of a list stands in a message."""
MAX_QUOTED = 200
"""So many characters of somebody else's text stand in a message."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of configs and feeds, and of the size of reports.

    Attributes:
        feed_bytes: of an upload, of what it unpacks to, and of the texts of all cells of a workbook
            or of Parquet; `feed_too_large`.
        sku_map_bytes: of a SKU map; `feed_too_large`.
        columns: of a feed, empty headers at the end not counted; `invalid_input`.
        cell_bytes: of a cell or a header, as UTF-8 and without its quotes; `invalid_input`.
        vendors: of a config; a fault of the config.
        config_bytes: of a config, as JSON without white space; 413 `CONFIG_TOO_LARGE`.
        config_levels: of a config's mappings and lists in one another; a fault of the config.
        config_values: of a config, its mappings and lists among them; a fault of the config.
        timestamp_formats: of a vendor's parser; a fault of the config.
        null_values: of a vendor's parser; a fault of the config.
        quantity_words: of a vendor's parser; a fault of the config.
        currency_symbols: of a vendor's parser; a fault of the config.
        parser_columns: names in `parser.columns`; a fault of the config.
        price_rules: in `pricing.rules`; a fault of the config.
        report_entries: of rows, and as many of SKUs, in `errors.json`; `truncated`.
        report_bytes: of `errors.json`; `truncated`.
        report_causes: of rows in `errors.json`, and shapes that are told apart in a column.
        row_data_columns: in a refused row's `row_data`; others are left out.
        cell_characters: of a refused cell in `errors.json`; cut, with `…` behind them.
    """

    feed_bytes: int = 2 << 30
    sku_map_bytes: int = 256 << 20
    columns: int = 1_000
    cell_bytes: int = 1 << 20
    vendors: int = 200
    config_bytes: int = 390_000
    config_levels: int = 20
    config_values: int = 20_000
    timestamp_formats: int = 20
    null_values: int = 200
    quantity_words: int = 200
    currency_symbols: int = 50
    parser_columns: int = 1_000
    price_rules: int = 200
    report_entries: int = 10_000
    report_bytes: int = 32 << 20
    report_causes: int = 100
    row_data_columns: int = 50
    cell_characters: int = 1_000

    def of_feeds(self) -> dict[str, int]:
        """Return those that decide what is read of a feed."""
        return {name: getattr(self, name) for name in _OF_FEEDS}


_OF_FEEDS = ("feed_bytes", "sku_map_bytes", "columns", "cell_bytes")
DEFAULT_LIMITS = Limits()
_ANY = 1 << 31
STORED_CONFIG_LIMITS = replace(
    DEFAULT_LIMITS,
    vendors=_ANY,
    config_bytes=_ANY,
    config_values=_ANY,
    timestamp_formats=_ANY,
    null_values=_ANY,
    quantity_words=_ANY,
    currency_symbols=_ANY,
    parser_columns=_ANY,
    price_rules=_ANY,
)
"""Those of a config that is stored: it was judged when it came, by the limits of then."""


@dataclass(slots=True)
class ReportRoom:
    """The room left in ``errors.json`` for entries of rows; vendors take it in their order."""

    entries: int
    size: int

    def take(self, entries: int, size: int) -> None:
        """Note that so many entries, of so many bytes, are kept."""
        self.entries = max(0, self.entries - entries)
        self.size = max(0, self.size - size)
