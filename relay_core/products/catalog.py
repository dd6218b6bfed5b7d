"""The merchant's own list of products, with indexes of its keys."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.gtins import keys_of
from relay_core.columnar.text import empty_texts
from relay_core.columnar.text_index import TextIndex, index_of
from relay_core.config import TenantConfig
from relay_core.domain.columns import source_column
from relay_core.products.key_index import GtinIndex, TextKeyIndex
from relay_core.products.mpn_keys import mpn_keys


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The products of a catalog: its valid rows, joined by SKU.

    A product is the index of its SKU in ``skus``.
    """

    # The columns of all valid rows in the order of records, by the column of offers;
    # empty if null. A column that the file lacks is missing.
    columns: Mapping[str, pa.StringArray]
    row_count: int  # the number of valid rows
    skus: TextIndex  # the distinct SKUs
    first_rows: RowIndex  # the first row of each product
    gtins: GtinIndex | None  # None if the file has none
    mpns: TextKeyIndex | None  # of brands and part numbers; None if it has none

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        columns: Mapping[str, pa.StringArray],
    ) -> "Catalog":
        """Return the catalog of some valid rows, at least one.

        Args:
            config: The tenant's config, which names the columns of identifiers.
            columns: The columns of the rows, as ``columns`` has them.
        """
        sku = columns["sku"]
        skus, _ = index_of(sku)
        _, products = skus.find(sku)
        first_rows = np.empty(len(skus.keys), np.int64)
        # The first row of a product is assigned last.
        first_rows[products[::-1]] = np.arange(len(sku))[::-1]
        gtins = None
        gtin = columns.get(source_column(config.gtin_column or ""))
        if gtin is not None:
            gtins = GtinIndex.of(keys_of(gtin), products)
        mpns = None
        mpn = columns.get(source_column(config.mpn_column or ""))
        brand = columns.get("brand")
        if mpn is not None and brand is not None:
            mpns = TextKeyIndex.of(mpn_keys(brand, mpn), products)
        return cls(columns, len(sku), skus, first_rows, gtins, mpns)

    def products_with(self, skus: pa.StringArray) -> tuple[RowIndex, RowIndex]:
        """Return the rows of some SKUs that are products, and these products."""
        return self.skus.find(skus)

    def skus_of(self, products: RowIndex) -> pa.StringArray:
        """Return the SKUs of some products."""
        return self.skus.keys.take(pa.array(products))

    def first_cells(self, column: str, products: RowIndex) -> pa.StringArray:
        """Return the cells of some products' first rows, empty if null."""
        cells = self.columns.get(column)
        if cells is None:
            return empty_texts(len(products))
        return cells.take(pa.array(self.first_rows[products]))
