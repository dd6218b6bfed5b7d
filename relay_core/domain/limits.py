"""The one home of the limits of inputs and reports: plain numbers, handed to whoever keeps them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a config and a feed may be, and how much a report tells of it.

    Attributes:
        feed_bytes: how large a feed is, and what it unpacks to.
        sku_map_bytes: how large a SKU map is.
        columns: how many columns a feed has, empty headers at the end not counted.
        cell_bytes: how large a cell is, as UTF-8 and without its quotes.
        vendors: how many vendors a config, and a run order, names.
        config_bytes: how large a config is, as JSON without white space.
        report_entries: how many entries of rows, and how many of SKUs, ``errors.json`` keeps.
        report_bytes: how large ``errors.json`` gets.
        row_data_columns: how many columns of a refused row are shown.
        cell_characters: how much of a refused cell is shown.
    """

    feed_bytes: int = 2 << 30
    sku_map_bytes: int = 256 << 20
    columns: int = 1_000
    cell_bytes: int = 1 << 20
    vendors: int = 200
    config_bytes: int = 390_000
    report_entries: int = 10_000
    report_bytes: int = 32 << 20
    row_data_columns: int = 50
    cell_characters: int = 1_000


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class ReportRoom:
    """What room ``errors.json`` has left for entries of rows: vendors take it in their order."""

    entries: int
    size: int

    def take(self, entries: int, size: int) -> None:
        """Note that so many entries, of so many bytes, are kept."""
        self.entries = max(0, self.entries - entries)
        self.size = max(0, self.size - size)
