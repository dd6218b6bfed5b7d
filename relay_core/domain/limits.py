"""The limits of inputs and reports, each with its description."""

from dataclasses import dataclass, field, fields, replace

MAX_FAULTS = 100
"""The number of faults of a config or a body that an answer lists."""
MAX_LISTED = 10
"""The number of items of a list that a message names."""
MAX_QUOTED = 200
"""The number of characters of somebody else's text that a message quotes."""
MAX_LEVELS = 100
"""The number of levels of a JSON or XML document, or of a line of JSON Lines, at most."""


def _limit(value: int, meaning: str) -> int:
    """Return the field of a limit; ``meaning`` describes it in the documentation."""
    limit: int = field(default=value, metadata={"meaning": meaning})
    return limit


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest sizes of configs and feeds, and of what reports show of them."""

    feed_bytes: int = _limit(
        2 << 30,
        "Bytes of an uploaded file, of the data that it unpacks to, and of the text in all "
        "cells of a workbook or a Parquet file. A larger file is `feed_too_large`",
    )
    run_bytes: int = _limit(
        8 << 30,
        "Unpacked bytes of all feeds of a run, including last good feeds. Vendors are read in "
        "order. Only the vendor that exceeds the limit is `feed_too_large`",
    )
    reader_bytes: int = _limit(
        0,
        "Bytes of memory for the process that reads a workbook. 0 means twice the bytes of a "
        "feed plus 512 MiB, or a third of `RELAY_MAX_RUN_MEMORY_MB` if that is less. A workbook "
        "that needs more is `feed_too_large`",
    )
    sku_map_bytes: int = _limit(
        256 << 20, "Bytes of a SKU map. A larger one is `feed_too_large`"
    )
    columns: int = _limit(
        1_000,
        "Columns of a feed, without empty headers at the end. A feed with more is "
        "`invalid_input`",
    )
    cell_bytes: int = _limit(
        1 << 20,
        "Bytes of a cell or a header, as UTF-8 and without its quotes. A feed with a longer "
        "one is `invalid_input`",
    )
    vendors: int = _limit(200, "Vendors of a config. More are a config error")
    config_bytes: int = _limit(
        390_000,
        "Bytes of a config, as JSON without white space. A larger config is rejected with 413 "
        "`CONFIG_TOO_LARGE`",
    )
    config_levels: int = _limit(
        20,
        "Levels of nested mappings and lists in a config. Deeper nesting is a config error",
    )
    config_values: int = _limit(
        20_000,
        "Values of a config, including its mappings and lists. More are a config error",
    )
    timestamp_formats: int = _limit(
        20, "Timestamp formats of a vendor's parser. More are a config error"
    )
    null_values: int = _limit(
        200, "Null values of a vendor's parser. More are a config error"
    )
    quantity_words: int = _limit(
        200, "Quantity words of a vendor's parser. More are a config error"
    )
    currency_symbols: int = _limit(
        50, "Currency symbols of a vendor's parser. More are a config error"
    )
    parser_columns: int = _limit(
        1_000, "Names in `parser.columns`. More are a config error"
    )
    extra_columns: int = _limit(
        30, "Extra columns of a config. More are a config error"
    )
    price_rules: int = _limit(
        200, "Rules in `pricing.rules`. More are a config error"
    )
    channels: int = _limit(20, "Channels of a config. More are a config error")
    deliveries: int = _limit(
        20, "Deliveries of a config. More are a config error"
    )
    report_entries: int = _limit(
        10_000,
        "Entries of rows in `errors.json`, and entries of SKUs. A report with more is "
        "`truncated`",
    )
    report_bytes: int = _limit(
        32 << 20, "Bytes of `errors.json`. A longer report is `truncated`"
    )
    report_causes: int = _limit(
        100,
        "Causes of rejected rows in `errors.json`, and different forms of values in a column",
    )
    row_data_columns: int = _limit(
        50,
        "Columns in the `row_data` of a rejected row. Other columns are left out",
    )
    cell_characters: int = _limit(
        1_000,
        "Characters of a rejected cell in `errors.json`. A longer cell is cut and ends with `…`",
    )

    def of_feeds(self) -> dict[str, int]:
        """Return the limits that decide how much of a feed is read, by name.

        The limit of all feeds of a run is among them only if it is not the default.
        """
        names = list(_FEED_LIMITS)
        if self.run_bytes != DEFAULT_LIMITS.run_bytes:
            names.append("run_bytes")
        return {name: getattr(self, name) for name in names}


_FEED_LIMITS = ("feed_bytes", "sku_map_bytes", "columns", "cell_bytes")
DEFAULT_LIMITS = Limits()
MEANINGS = {
    limit.name: str(limit.metadata["meaning"]) for limit in fields(Limits)
}
"""The subject of each limit and what exceeding it causes, by name."""
CHECK_LIMITS = replace(DEFAULT_LIMITS, feed_bytes=256 << 20)
"""The limits of a file that is only checked: only its first bytes are read."""
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
    "channels",
    "deliveries",
)
_UNLIMITED = 1 << 31
STORED_CONFIG_LIMITS = replace(
    DEFAULT_LIMITS, **dict.fromkeys(_CONFIG_LIMITS, _UNLIMITED)
)
"""The limits of a stored config, which met the limits of the day it was stored."""


@dataclass(slots=True)
class ReportRoom:
    """The space left in ``errors.json`` for entries of rows; vendors share it."""

    entries: int  # the number of entries
    size: int  # the number of bytes
