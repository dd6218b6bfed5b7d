"""A vendor's SKU map: read as columns, and looked up for a whole column of cells."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import Buffer, MalformedRecords, ParsedFeed

# Defaults need no validation, and pydantic would build the validator of this class.
_PARSER = ParserConfig.model_construct(format="csv")
_FACTORS = np.array([0x9E3779B97F4A7C15], np.uint64) ** np.arange(
    1,
    9,
    dtype=np.uint64,
)
"""Odd factors, one for each of a text's first words.

Texts that differ only behind these words have the same hash.
"""
_PREFIX_BITS = 18
"""The first bits of a hash tell most cells apart from a map of under 100,000 texts."""


@dataclass(frozen=True, slots=True)
class SkuMap:
    """The tenant's SKU for each of the vendor's SKUs."""

    vendor_skus: pa.StringArray
    """The vendor's SKUs: distinct texts, in the order of ``hashes``."""
    skus: pa.StringArray
    """The tenant's SKU for each of them."""
    hashes: arrays.Words | None
    """The hash of each vendor SKU, in order; None if two of them have the same hash."""
    has_prefix: arrays.RowMask
    """True if a hash starts with given bits, by these bits; most cells have others."""

    def apply(
        self,
        text: pa.StringArray,
    ) -> tuple[pa.StringArray, arrays.RowMask]:
        """Return ``text`` with the mapped cells replaced, and which cells those are."""
        if self.hashes is None:
            matches = pc.index_in(text, value_set=self.vendor_skus)
            rows = np.flatnonzero(texts.flags_of(matches.is_valid()))
            map_rows = texts.values_of(matches.take(pa.array(rows)))
        else:
            rows, map_rows = self._matches(text, self.hashes)
        skus = self.skus.take(pa.array(map_rows))
        is_mapped = np.zeros(len(text), np.bool_)
        is_mapped[rows] = True
        return texts.change_rows(text, rows, lambda _: skus), is_mapped

    def _matches(
        self,
        text: pa.StringArray,
        map_hashes: arrays.Words,
    ) -> tuple[arrays.RowIndex, arrays.RowIndex]:
        """Return the rows of a text that are in the map, and their rows in the map."""
        hashes = _hashes(text)
        rows = np.flatnonzero(self.has_prefix.take(_prefixes(hashes)))
        map_rows = np.searchsorted(map_hashes, hashes[rows])
        map_rows[map_rows == len(map_hashes)] = 0
        has_equal_hash = map_hashes.take(map_rows) == hashes[rows]
        rows = rows[has_equal_hash]
        map_rows = map_rows[has_equal_hash]
        is_equal = _are_equal(self.vendor_skus, map_rows, text, rows)
        return rows[is_equal], map_rows[is_equal]


def read_sku_map(
    data: Buffer,
    limits: Limits = DEFAULT_LIMITS,
) -> SkuMap | None:
    """Read a SKU map: UTF-8 CSV with the columns ``vendor_sku`` and ``sku``.

    Rows that lack either value are left out. Of a repeated ``vendor_sku``, the last row
    wins. Return None if there is no row.

    Raises:
        FeedUnreadableError: ``invalid_input`` if the data is not UTF-8, a quote is
            never closed, a column is missing or occurs twice, or there are more columns
            or larger cells than a feed may have.
    """
    # Keep all cells of a malformed record: both values are read from it too.
    limits = replace(limits, row_data_columns=limits.columns)
    try:
        vendor_skus, skus = _columns(parse_feed(data, _PARSER, limits))
    except FeedUnreadableError as error:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the SKU map cannot be used: {error} "
            "Upload the map as UTF-8 CSV with one column vendor_sku and one column sku.",
        ) from error
    is_incomplete = texts.is_empty(vendor_skus) | texts.is_empty(skus)
    is_complete = pa.array(~is_incomplete)
    vendor_skus = vendor_skus.filter(is_complete)
    skus = skus.filter(is_complete)
    return _sku_map(vendor_skus, skus) if len(skus) else None


def _sku_map(vendor_skus: pa.StringArray, skus: pa.StringArray) -> SkuMap:
    hashes = _hashes(vendor_skus)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    repeated = np.flatnonzero(hashes[1:] == hashes[:-1])
    is_same_sku = _are_equal(
        vendor_skus,
        order[repeated],
        vendor_skus,
        order[repeated + 1],
    )
    if not is_same_sku.all():
        by_vendor_sku = dict(
            zip(vendor_skus.to_pylist(), skus.to_pylist(), strict=True),
        )
        return SkuMap(
            pa.array(by_vendor_sku.keys(), pa.string()),
            pa.array(by_vendor_sku.values()),
            hashes=None,
            has_prefix=np.zeros(0, np.bool_),
        )
    is_last = np.ones(len(order), np.bool_)
    is_last[repeated] = False
    rows = pa.array(order[is_last])
    hashes = hashes[is_last]
    has_prefix = np.zeros(1 << _PREFIX_BITS, np.bool_)
    has_prefix[_prefixes(hashes)] = True
    return SkuMap(vendor_skus.take(rows), skus.take(rows), hashes, has_prefix)


def _columns(parsed: ParsedFeed) -> tuple[pa.StringArray, pa.StringArray]:
    """Return the columns of vendor SKUs and of SKUs, trimmed, in record order."""
    header = [cell.strip() for cell in parsed.headers or ()]
    if header.count("vendor_sku") != 1 or header.count("sku") != 1:
        names = listed(map(shorten, header), ", ", len(header))
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"its header is {names or 'empty'}.",
        )
    vendor_sku_index = header.index("vendor_sku")
    sku_index = header.index("sku")
    no_texts = pa.array([], pa.string())
    vendor_skus = [no_texts]
    skus = [no_texts]
    record_numbers = [np.zeros(0, np.int64)]
    for batch in parsed.batches:
        # A record with more cells than the header has both, and a shorter one may.
        columns = (
            batch.cells
            if isinstance(batch, MalformedRecords)
            else batch.columns
        )
        if len(columns) > max(vendor_sku_index, sku_index):
            vendor_skus.append(_trimmed(columns[vendor_sku_index]))
            skus.append(_trimmed(columns[sku_index]))
            record_numbers.append(batch.row_numbers)
    all_vendor_skus = pa.concat_arrays(vendor_skus)
    all_skus = pa.concat_arrays(skus)
    numbers = np.concatenate(record_numbers)
    if (numbers[1:] < numbers[:-1]).any():
        order = pa.array(np.argsort(numbers, kind="stable"))
        return all_vendor_skus.take(order), all_skus.take(order)
    return all_vendor_skus, all_skus


def _trimmed(column: pa.StringArray) -> pa.StringArray:
    return texts.without_nulls(texts.trim(column))


def _are_equal(
    left: pa.StringArray,
    left_rows: arrays.RowIndex,
    right: pa.StringArray,
    right_rows: arrays.RowIndex,
) -> arrays.RowMask:
    """Return whether the texts of two columns are equal, row by row."""
    left_texts = left.take(pa.array(left_rows))
    right_texts = right.take(pa.array(right_rows))
    return texts.flags_of(pc.equal(left_texts, right_texts))


def _prefixes(hashes: arrays.Words) -> arrays.WholeNumbers:
    return np.asarray((hashes >> np.uint64(64 - _PREFIX_BITS)).view(np.int64))


def _hashes(text: pa.StringArray) -> arrays.Words:
    """Return the hash of each text, which does not depend on the column."""
    words = texts.TextWords(text)
    hashes = words.lengths.astype(np.uint64)
    for index, factor in enumerate(_FACTORS):
        start = index * texts.WORD
        if start < words.longest:
            # A text that has ended adds zero.
            hashes += words.big_endian(start) * factor
    hashes ^= hashes >> np.uint64(32)
    return hashes
