"""The kernel's reader of one feed, for the options of a parser that the kernel knows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar import timestamps
from relay_core.columnar.arrays import Bytes, WholeNumbers
from relay_core.config import ParserConfig
from relay_core.domain import columns as canonical
from relay_core.domain.columns import Kind
from relay_core.domain.gtins import read_gtin
from relay_core.ingest.column_mapping import ColumnPlan
from relay_core.ingest.feed import CsvText
from relay_core.ingest.sku_map import SkuMap
from relay_core.kernel import compiled

if TYPE_CHECKING:  # the kernel may be missing
    from relay_core.kernel.scan import Scanner, SkuTable

_MAX_CHARACTER_BYTES = 4


def text_places(extra_columns: Sequence[str]) -> dict[str, int]:
    """Return the index of each text in a packed row, by the column of offers."""
    names = (
        *canonical.names_of(Kind.TEXT),
        *map(canonical.extra_column, extra_columns),
    )
    texts_of_feeds = (name for name in names if name != "vendor_id")
    return {name: place for place, name in enumerate(texts_of_feeds)}


class FeedOptions(NamedTuple):
    """The options that decide how the cells of one feed are read."""

    plan: ColumnPlan  # the headers that each column is read from
    parser: ParserConfig  # the vendor's options
    zone: ZoneInfo  # the zone of instants without one
    # The numbers in place of nulls, by column; None if one of them is not valid
    null_numbers: Mapping[str, int] | None
    sku_map: SkuMap | None  # the vendor's SKU map, if it has one
    has_rate: bool  # whether amounts are in another currency than the tenant's

    @property
    def are_known(self) -> bool:
        """True if the kernel knows all options; no cell of a feed matters."""
        parser = self.parser
        if self.plan.deleted is not None:
            return False
        if self.has_rate or parser.skip_rows or self.plan.missing:
            return False
        if parser.blank_extra_fields == "drop" or parser.has_gtin_skus:
            return False
        if not all(
            isinstance(source, str) for source in parser.column_map.values()
        ):
            return False
        if self.null_numbers is None:
            return False
        # A quantity that is all digits could be one of the vendor's words.
        return not any(word[:1].isdigit() for word in parser.quantity_words)

    def scanner(self, text: CsvText, width: int, cell_bytes: int) -> "Scanner":
        """Return the kernel's reader of a text.

        Args:
            text: The text.
            width: The number of headers.
            cell_bytes: The size of the largest cell.
        """
        parser = self.parser
        places = text_places(parser.extra_columns)
        columns = []
        null_words = []
        longest_null = []
        for name, position in self.plan.positions.items():
            kind, place = _kind_and_place(name, places)
            if name == parser.gtin_column:
                kind = compiled.scan.GTIN
            columns.append((kind, position, place, name in parser.zero_is_null))
            words = [word.casefold() for word in parser.null_words(name)]
            null_words.append([word.encode() for word in words])
            longest = max(map(len, words), default=0)
            longest_null.append(_MAX_CHARACTER_BYTES * longest)
        symbols = sorted(parser.currency_symbols, key=len, reverse=True)
        return compiled.scan.Scanner(
            text.body,
            width=width,
            columns=np.array(columns, np.int32),
            null_words=null_words,
            longest_null=longest_null,
            text_count=len(places),
            delimiter=text.delimiter[0],
            decimal=ord(parser.decimal_separator),
            thousands=ord(parser.thousands_separator or "\0"),
            quoting=parser.quoting,
            offset_of_day=self._offset_of_day(),
            cell_bytes=cell_bytes,
            null_numbers=self._null_numbers(),
            null_texts=self._null_texts(places),
            symbols=[symbol.encode() for symbol in symbols],
            sku_map=None if self.sku_map is None else _table(self.sku_map),
        )

    def _offset_of_day(self) -> Callable[[int], int | None] | None:
        """Return the offsets of local times, by day; None if they are in UTC."""
        if self.zone.key == "UTC":
            return None
        return partial(timestamps.offset_of_day, zone=self.zone)

    def _null_numbers(self) -> WholeNumbers:
        """Return the numbers in place of nulls, as the kernel packs them."""
        names = compiled.scan.NUMBERS
        numbers = np.full(len(names), -1, np.int64)
        numbers[names.index("condition")] = 0
        for name, number in (self.null_numbers or {}).items():
            numbers[names.index(name)] = number
        return numbers

    def _null_texts(self, places: dict[str, int]) -> list[bytes]:
        """Return the texts in place of nulls, one for each text of a row."""
        texts_of_row = [b""] * len(places)
        for name, default in self.parser.defaults.items():
            place = places.get(canonical.source_column(name))
            if place is None:
                continue
            if name == self.parser.gtin_column:
                default = read_gtin(default) or ""
            texts_of_row[place] = default.encode()
        return texts_of_row


def _kind_and_place(name: str, places: dict[str, int]) -> tuple[int, int]:
    """Return the kernel's kind of a column, and its place in a packed row."""
    scan = compiled.scan
    column = canonical.BY_NAME.get(name)
    if column is None or column.kind is Kind.TEXT:
        return scan.TEXT, places[canonical.source_column(name)]
    if column.kind is Kind.MONEY:
        return scan.MONEY, canonical.MONEY_COLUMNS.index(name)
    if column.kind is Kind.CONDITION:
        return scan.CONDITION, 0
    if column.kind is Kind.INSTANT:
        return scan.INSTANT, 0
    is_quantity = name == "quantity_available"
    return (scan.QUANTITY if is_quantity else scan.LEAD_TIME), 0


def _table(sku_map: SkuMap) -> "SkuTable":
    vendor_skus = _bounds_and_bytes(sku_map.vendor_skus)
    skus = _bounds_and_bytes(sku_map.skus)
    return compiled.scan.SkuTable(*vendor_skus, *skus)


def _bounds_and_bytes(text: pa.StringArray) -> tuple[WholeNumbers, Bytes]:
    bounds, data = texts.offsets_and_bytes(text)
    return bounds.astype(np.int64), data
