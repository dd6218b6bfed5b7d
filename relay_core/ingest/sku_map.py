"""A vendor's SKU map: read as columns, and looked up for a whole column of cells."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.text_index import TextIndex, index_of
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


@dataclass(frozen=True, slots=True)
class SkuMap:
    """The tenant's SKU for each of the vendor's SKUs."""

    index: TextIndex
    """The vendor's SKUs."""
    skus: pa.StringArray
    """The tenant's SKU for each of them."""

    @property
    def vendor_skus(self) -> pa.StringArray:
        """The vendor's SKUs: distinct texts."""
        return self.index.keys

    def apply(
        self,
        text: pa.StringArray,
    ) -> tuple[pa.StringArray, arrays.RowMask]:
        """Return ``text`` with the mapped cells replaced, and which cells those are."""
        rows, map_rows = self.index.find(text)
        skus = self.skus.take(pa.array(map_rows))
        is_mapped = np.zeros(len(text), np.bool_)
        is_mapped[rows] = True
        return texts.change_rows(text, rows, lambda _: skus), is_mapped


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
    if not len(skus):
        return None
    index, last_rows = index_of(vendor_skus)
    return SkuMap(index, skus.take(pa.array(last_rows)))


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
