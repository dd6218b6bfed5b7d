"""The limits of inputs and reports, each with its description."""

from dataclasses import dataclass, field, fields, replace

MAX_FAULTS = 100
"""The number of faults of a config or a body that an answer lists; it counts the others."""
MAX_LISTED = 10
"""The number of items of a list that a message names."""
MAX_QUOTED = 200
"""The number of characters of somebody else's text that a message quotes."""


def _limit(value: int, meaning: str) -> int:
    """Return the field of a limit; ``meaning`` is its subject and what exceeding it causes."""
    limit: int = field(default=value, metadata={"meaning": meaning})
    return limit


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest sizes of configs and feeds, and of what reports show of them."""

    feed_bytes: int = _limit(
        2 << 30,
        "of an upload, of what it unpacks to, and of the texts of all cells of a workbook or "
        "of Parquet; `feed_too_large`",
    )
    run_bytes: int = _limit(
        8 << 30,
        "of all feeds of a run, unpacked, vendors in order, last good ones too; `feed_too_large` "
        "of the vendor that passes it, and of no other",
    )
    reader_bytes: int = _limit(
        0,
        "of memory that the process has that reads a workbook; 0 is twice the bytes of a feed and "
        "512 MiB, or a third of `RELAY_MAX_RUN_MEMORY_MB` if that is less; `feed_too_large`",
    )
    sku_map_bytes: int = _limit(256 << 20, "of a SKU map; `feed_too_large`")
    columns: int = _limit(
        1_000, "of a feed, empty headers at the end not counted; `invalid_input`"
    )
    cell_bytes: int = _limit(
        1 << 20,
        "of a cell or a header, as UTF-8 and without its quotes; `invalid_input`",
    )
    vendors: int = _limit(200, "of a config; a fault of the config")
    config_bytes: int = _limit(
        390_000, "of a config, as JSON without white space; 413 `CONFIG_TOO_LARGE`"
    )
    config_levels: int = _limit(
        20, "of a config's mappings and lists in one another; a fault of the config"
    )
    config_values: int = _limit(
        20_000, "of a config, its mappings and lists among them; a fault of the config"
    )
    timestamp_formats: int = _limit(20, "of a vendor's parser; a fault of the config")
    null_values: int = _limit(200, "of a vendor's parser; a fault of the config")
    quantity_words: int = _limit(200, "of a vendor's parser; a fault of the config")
    currency_symbols: int = _limit(50, "of a vendor's parser; a fault of the config")
    parser_columns: int = _limit(
        1_000, "names in `parser.columns`; a fault of the config"
    )
    extra_columns: int = _limit(30, "of a config; a fault of the config")
    price_rules: int = _limit(200, "in `pricing.rules`; a fault of the config")
    report_entries: int = _limit(
        10_000, "of rows, and as many of SKUs, in `errors.json`; `truncated`"
    )
    report_bytes: int = _limit(32 << 20, "of `errors.json`; `truncated`")
    report_causes: int = _limit(
        100, "of rows in `errors.json`, and shapes that are told apart in a column"
    )
    row_data_columns: int = _limit(
        50, "in a refused row's `row_data`; others are left out"
    )
    cell_characters: int = _limit(
        1_000, "of a refused cell in `errors.json`; cut, with `…` behind them"
    )

    def of_feeds(self) -> dict[str, int]:
        """Return the limits that decide what is read of a feed, by name.

        The limit of all feeds of a run is among them only if it is not the default.
        """
        names = list(_FEED_LIMITS)
        if self.run_bytes != DEFAULT_LIMITS.run_bytes:
            names.append("run_bytes")
        return {name: getattr(self, name) for name in names}


_FEED_LIMITS = ("feed_bytes", "sku_map_bytes", "columns", "cell_bytes")
DEFAULT_LIMITS = Limits()
MEANINGS = {limit.name: str(limit.metadata["meaning"]) for limit in fields(Limits)}
"""The subject of each limit and what exceeding it causes, by name."""
CHECK_LIMITS = replace(DEFAULT_LIMITS, feed_bytes=256 << 20)
"""The limits of a file that is only checked, of which few bytes are read."""
_CONFIG_LIMITS = (
    "vendors",
    "config_bytes",
    "config_values",
    "timestamp_formats",
    "null_values",
    "quantity_words",
    "currency_symbols",
    "parser_columns",
    "extra_columns",
    "price_rules",
)
_UNLIMITED = 1 << 31
STORED_CONFIG_LIMITS = replace(
    DEFAULT_LIMITS, **dict.fromkeys(_CONFIG_LIMITS, _UNLIMITED)
)
"""The limits of a stored config, which met the limits of the day it was stored."""


@dataclass(slots=True)
class ReportRoom:
    """The space left in ``errors.json`` for entries of rows; vendors use it in order."""

    entries: int  # the number of entries
    size: int  # the number of bytes
