"""A vendor's SKU map: read as columns, and looked up for a whole column of cells at once."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, MalformedRecords, ParsedFeed

_PARSER = ParserConfig(format="csv")
_NOTHING = pa.array([], pa.string())
_FACTORS = np.array([0x9E3779B97F4A7C15], np.uint64) ** np.arange(1, 9, dtype=np.uint64)
"""Odd numbers for a text's first words; texts that differ only behind them have the same hash."""
_FIRST_BITS = 18
"""Where a map has fewer than a hundred thousand texts, most others are told apart by these."""


@dataclass(frozen=True, slots=True)
class SkuMap:
    """The tenant's SKU of each of a vendor's."""

    vendor_skus: pa.StringArray  # distinct texts, in the order of ``hashes``
    skus: pa.StringArray  # what each becomes
    hashes: (
        texts.Words | None
    )  # ascending and distinct; None where two texts have the same
    starts_seen: (
        texts.Bools
    )  # which first bits hashes have; most other texts have none of them

    def apply(self, text: pa.StringArray) -> tuple[pa.StringArray, texts.Bools]:
        """Return ``text`` with mapped cells replaced, and which cells were mapped."""
        if self.hashes is None:
            found = pc.index_in(text, value_set=self.vendor_skus)
            rows = np.flatnonzero(texts.flags_of(found.is_valid()))
            places = texts.values_of(found.take(pa.array(rows)))
        else:
            asked = _hashes(text)
            rows = np.flatnonzero(self.starts_seen.take(_first_bits(asked)))
            places = np.searchsorted(self.hashes, asked[rows])
            places[places == len(self.hashes)] = 0
            equal = self.hashes.take(places) == asked[rows]
            rows, places = rows[equal], places[equal]
            same = _same(self.vendor_skus, places, text, rows)
            rows, places = rows[same], places[same]
        skus, is_mapped = (
            self.skus.take(pa.array(places)),
            np.zeros(len(text), np.bool_),
        )
        is_mapped[rows] = True
        return texts.change_rows(text, rows, lambda _: skus), is_mapped


def read_sku_map(data: Buffer, limits: Limits = DEFAULT_LIMITS) -> SkuMap | None:
    """Read a SKU map: UTF-8 CSV with columns ``vendor_sku`` and ``sku``.

    Rows that lack either value are left out; of a repeated ``vendor_sku`` the last row counts.
    Where no row is left there is no map.

    `FeedUnreadableError`: ``invalid_input``: not UTF-8, a quote never closed, a column missing or
    there twice, more columns or larger cells than a feed may have.
    """
    # Of a record that does not fit, both cells are looked at, wherever they are.
    limits = replace(limits, row_data_columns=limits.columns)
    try:
        vendor_skus, skus = _columns(parse_feed(data, _PARSER, limits))
    except FeedUnreadableError as error:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the SKU map cannot be used: {error}; it must be UTF-8 CSV with one column "
            "vendor_sku and one column sku",
        ) from error
    filled = pa.array(~(texts.is_empty(vendor_skus) | texts.is_empty(skus)))
    vendor_skus, skus = vendor_skus.filter(filled), skus.filter(filled)
    if not len(skus):
        return None
    hashes = _hashes(vendor_skus)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    repeated = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not _same(vendor_skus, order[repeated], vendor_skus, order[repeated + 1]).all():
        pairs = dict(zip(vendor_skus.to_pylist(), skus.to_pylist(), strict=True))
        nothing = np.zeros(0, np.bool_)
        return SkuMap(
            pa.array(pairs.keys(), pa.string()), pa.array(pairs.values()), None, nothing
        )
    last = np.ones(len(order), np.bool_)
    last[repeated] = False
    kept = pa.array(order[last])
    hashes = hashes[last]
    starts_seen = np.zeros(1 << _FIRST_BITS, np.bool_)
    starts_seen[_first_bits(hashes)] = True
    return SkuMap(vendor_skus.take(kept), skus.take(kept), hashes, starts_seen)


def _columns(parsed: ParsedFeed) -> tuple[pa.StringArray, pa.StringArray]:
    """Return the two columns, trimmed, in the order of records."""
    header = [cell.strip() for cell in parsed.headers or ()]
    if header.count("vendor_sku") != 1 or header.count("sku") != 1:
        names = listed(map(shorten, header), ", ", len(header))
        raise FeedUnreadableError(FailureCode.INVALID_INPUT, f"its header is {names}")
    places = (header.index("vendor_sku"), header.index("sku"))
    parts = []
    for batch in parsed.batches:
        # a record of more fields than the header's has both cells, and so may one of fewer
        columns = batch.cells if isinstance(batch, MalformedRecords) else batch.columns
        if len(columns) > max(places):
            cells = (
                texts.without_nulls(texts.trim(columns[place])) for place in places
            )
            parts.append((batch.row_numbers, *cells))
    vendor_skus, skus = (
        pa.concat_arrays([_NOTHING, *(part[n] for part in parts)]) for n in (1, 2)
    )
    numbers = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    if (numbers[1:] < numbers[:-1]).any():
        order = pa.array(np.argsort(numbers, kind="stable"))
        vendor_skus, skus = vendor_skus.take(order), skus.take(order)
    return vendor_skus, skus


def _same(
    left: pa.StringArray,
    left_rows: npt.NDArray[np.intp],
    right: pa.StringArray,
    rows: texts.Ints,
) -> texts.Bools:
    """Return whether texts of two columns are the same, row by row."""
    return texts.flags_of(
        pc.equal(left.take(pa.array(left_rows)), right.take(pa.array(rows)))
    )


def _first_bits(hashes: texts.Words) -> texts.Ints:
    return (hashes >> np.uint64(64 - _FIRST_BITS)).view(np.int64)


def _hashes(text: pa.StringArray) -> texts.Words:
    """Return a number of each text that is seldom another's; it is the same in every column."""
    words = texts.TextWords(text)
    hashes = words.lengths.astype(np.uint64)
    for place, factor in enumerate(_FACTORS):
        if place * texts.WORD < words.longest:
            # Nothing, where the text has ended.
            hashes += words.big_endian(place * texts.WORD) * factor
    hashes ^= hashes >> np.uint64(32)
    return hashes
