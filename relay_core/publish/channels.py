"""The files of channels: rows of the feed with their own prices and quantities.

A channel is made of the feed as it is published, with the rows that it keeps and those
in quarantine. The feed's rules for prices and stock are used, and the feed's writers.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays, text
from relay_core.columnar.text import integers_of
from relay_core.config import TenantConfig
from relay_core.config.channels import (
    ChannelConditions,
    ChannelConfig,
    ChannelPriceConfig,
)
from relay_core.domain.codes import WarningCode
from relay_core.domain.columns import extra_column
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_faults import counted, fault_of
from relay_core.merge import pricing
from relay_core.merge.vendor_offers import in_stock
from relay_core.publish import feed
from relay_core.publish.files.fields import fields_of
from relay_core.validation.row_schemas import CENTS

PREVIEW_ROWS = 10
"""The number of a channel's rows that reports show."""
_CENT = 100  # in ten-thousandths, as the amounts of prices
_GZIP_LEVEL = 6
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # the largest window, with the frame of gzip


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A channel of one run: which rows of the feed it has, and at which prices."""

    config: ChannelConfig
    currency: str  # the currency of the feed's amounts
    feed_rows: pa.Table  # all rows of the feed
    has_row: arrays.RowMask  # whether the channel has a row, one flag a row
    prices: arrays.Cents  # the prices, one a row of the channel
    unpriced: int  # the rows that have no price in the channel

    @classmethod
    def of(
        cls, config: TenantConfig, channel: ChannelConfig, rows: pa.Table
    ) -> "Channel":
        """Return a channel of the feed's rows.

        Args:
            config: The tenant's config.
            channel: The channel's part of it.
            rows: The rows of the feed, with the columns that the channel reads.
        """
        has_row = _rows_meeting(channel.when, rows)
        prices = _whole_cents(
            channel.price,
            rows,
            enforces_map=config.pricing.map_policy.enforce,
        )
        has_price = prices > 0
        unpriced_count = int(np.count_nonzero(has_row & ~has_price))
        has_row &= has_price
        return cls(
            config=channel,
            currency=config.default_currency,
            feed_rows=rows,
            has_row=has_row,
            prices=pricing.with_ending(prices[has_row], channel.price.ending),
            unpriced=unpriced_count,
        )

    @property
    def channel_id(self) -> str:
        """The channel's id."""
        return self.config.channel_id

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.prices)

    def rows(self) -> pa.Table:
        """Return the channel's rows: those of the feed, with the channel's values."""
        rows = self._feed_columns()
        if len(self) < len(rows):
            rows = rows.filter(pa.array(self.has_row))
        return self._with_values(rows, self.prices)

    def file_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the channel's file piece by piece."""
        file = self.config.output
        chunks = feed.file_chunks(file, self.currency, self.rows())
        if file.compression == "gzip":
            chunks = gzip_chunks(chunks)
        yield from chunks

    def preview(self, limit: int) -> list[dict[str, str]]:
        """Return the first rows of the file, each as a mapping of headers to text."""
        first_rows = np.flatnonzero(self.has_row)[:limit]
        rows = self._with_values(
            self._feed_columns().take(pa.array(first_rows)),
            self.prices[:limit],
        )
        return feed.first_texts(self.config.output, self.currency, rows, limit)

    def warnings(self) -> Iterator[ReportEntry]:
        """Yield the warnings about the channel."""
        if self.unpriced:
            yield fault_of(
                WarningCode.CHANNEL_UNPRICED,
                channel=self.channel_id,
                rows=counted(self.unpriced, "row"),
            )
        if not len(self):
            yield fault_of(WarningCode.CHANNEL_EMPTY, channel=self.channel_id)

    def _feed_columns(self) -> pa.Table:
        """Return the feed's rows with the columns that the file is made from."""
        rows = feed.written_columns(self.config.output, self.feed_rows)
        for name in ("price", "quantity_available"):
            if name not in rows.column_names:
                rows = rows.append_column(name, self.feed_rows[name])
        return rows

    def _with_values(self, rows: pa.Table, prices: arrays.Cents) -> pa.Table:
        """Return rows of the feed with the channel's quantities and prices."""
        if self.config.stock is not None:
            rows = in_stock(self.config.stock, rows)
        price = rows.schema.get_field_index("price")
        cells = pa.array(prices).view(CENTS)
        return rows.set_column(price, "price", cells)


class ChannelSummary(NamedTuple):
    """A channel as reports show it."""

    channel_id: str
    rows: int  # the number of rows of its file
    headers: Sequence[str]  # the headers of its file
    # The first rows of its file, each as a mapping of headers to text
    first_rows: Sequence[Mapping[str, str]]


def summary_of(channel: Channel) -> ChannelSummary:
    """Return a channel as reports show it."""
    fields = fields_of(channel.config.output, channel.currency)
    return ChannelSummary(
        channel_id=channel.channel_id,
        rows=len(channel),
        headers=[field.header for field in fields],
        first_rows=channel.preview(PREVIEW_ROWS),
    )


def channels_of(config: TenantConfig, rows: pa.Table) -> list[Channel]:
    """Return the channels of a feed's rows, in the order of the config."""
    return [Channel.of(config, channel, rows) for channel in config.channels]


def gzip_chunks(
    chunks: Iterable[bytes | memoryview],
) -> Iterator[bytes]:
    """Yield a file compressed with gzip, without a name and a time in its header."""
    # The header that zlib writes by itself has neither.
    compressor = zlib.compressobj(
        _GZIP_LEVEL,
        zlib.DEFLATED,
        _GZIP_WINDOW,
    )
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _whole_cents(
    price: ChannelPriceConfig,
    rows: pa.Table,
    *,
    enforces_map: bool,
) -> arrays.Cents:
    """Return the prices of the feed's rows in a channel, before their ending.

    A price of 0.00 is none.
    """
    published_cents, _ = integers_of(rows["price"])
    floor = np.zeros(len(rows), np.int64)
    if enforces_map:
        floor, _ = integers_of(rows["map_price"])
    numerator, denominator = (1 + price.pct).as_integer_ratio()
    terms = pricing.PriceTerms(
        denominator=denominator,
        increment=_CENT,
        mode="nearest",
        shipping=0,
        numerator=numerator,
        markup=pricing.ten_thousandths(price.flat),
        minimum=pricing.ten_thousandths(price.min_price),
    )
    bases = pricing.PriceBases(
        from_cost=np.ones(len(rows), np.bool_),
        cost=published_cents * _CENT,
        given_price=np.zeros(len(rows), np.int64),
        floor=floor,
    )
    return pricing.cents_of(terms, bases)


def _rows_meeting(when: ChannelConditions, rows: pa.Table) -> arrays.RowMask:
    """Return which rows of the feed meet all conditions of a channel."""
    is_met = np.ones(len(rows), np.bool_)
    if when.vendors is not None:
        is_met &= _is_one_of(rows["vendor_id"], when.vendors)
    if when.conditions is not None:
        is_met &= _is_one_of(rows["condition"], when.conditions)
    texts_by_column = {
        extra_column(name): texts for name, texts in when.columns.items()
    }
    if when.brands is not None:
        texts_by_column["brand"] = when.brands
    for name, texts in texts_by_column.items():
        cells = text.without_nulls(text.one_chunk(rows[name]))
        is_met &= text.word_index(cells, texts) >= 0
    cents, _ = integers_of(rows["price"])
    if when.price_from is not None:
        is_met &= cents * _CENT >= pricing.ten_thousandths(when.price_from)
    if when.price_below is not None:
        is_met &= cents * _CENT < pricing.ten_thousandths(when.price_below)
    if when.in_stock is not None:
        quantities, _ = integers_of(rows["quantity_available"])
        is_met &= (quantities > 0) == when.in_stock
    return is_met


def _is_one_of(
    cells: pa.ChunkedArray,
    words: Sequence[str],
) -> arrays.RowMask:
    """Return which cells are one of the words; a null is none."""
    column = text.one_chunk(cells)
    if pa.types.is_dictionary(column.type):
        is_word = _is_one_of(column.dictionary, words)
        return np.asarray(is_word[column.indices.to_numpy()])
    is_word = pc.is_in(column, value_set=pa.array(words, column.type))
    return text.flags_of(is_word)
