"""The SKU of each of a vendor's rows: by the SKU map, or by the catalog's keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import Bytes, RowIndex, RowMask
from relay_core.columnar.gtins import keys_of
from relay_core.config import TenantConfig
from relay_core.domain.columns import source_column
from relay_core.ingest.sku_map import SkuMap
from relay_core.products.catalog import Catalog
from relay_core.products.key_index import AMBIGUOUS, NO_PRODUCT
from relay_core.products.mpn_keys import mpn_keys


class MatchedBy(IntEnum):
    """The key by which a row has its SKU; the first and the last are unmatched."""

    UNKNOWN = 0
    SKU_MAP = 1
    GTIN = 2
    MPN = 3
    SKU = 4
    AMBIGUOUS = 5
    # By the SKU map, although a product with another SKU has the row's GTIN
    MAP_AGAINST_GTIN = 6


_KEYS_BY_NAME = {
    "gtin": MatchedBy.GTIN,
    "mpn": MatchedBy.MPN,
    "sku": MatchedBy.SKU,
}


class Matched(NamedTuple):
    """Rows after they are matched; every array has one entry a row."""

    # The columns that matching may change, by the column of offers
    columns: Mapping[str, pa.StringArray]
    codes: Bytes  # the key of each row, a `MatchedBy`
    own_skus: pa.StringArray  # the SKUs that the vendor and its SKU map give
    is_changed: bool  # whether a cell differs


def are_mapped(codes: Bytes) -> RowMask:
    """Return which rows the SKU map knows."""
    is_mapped = codes == MatchedBy.SKU_MAP
    return np.asarray(is_mapped | (codes == MatchedBy.MAP_AGAINST_GTIN))


def are_unmatched(codes: Bytes) -> RowMask:
    """Return which rows neither the SKU map nor the catalog knows."""
    return np.asarray(
        (codes == MatchedBy.UNKNOWN) | (codes == MatchedBy.AMBIGUOUS)
    )


@dataclass(frozen=True, slots=True)
class ProductMatcher:
    """Finds the products of one vendor's rows."""

    config: TenantConfig
    sku_map: SkuMap | None = None  # the vendor's SKU map, if it has one
    catalog: Catalog | None = None  # None if the catalog cannot be used

    @property
    def leaves_out(self) -> bool:
        """True if rows that no key matches are taken out."""
        options = self.config.catalog
        if self.catalog is None or options is None:
            return False
        return options.unmatched == "leave_out"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of offers that matching reads or changes."""
        options = self.config.catalog
        extras = (self.config.gtin_column, self.config.mpn_column)
        given_columns = () if options is None else options.gives
        names = (*filter(None, extras), *given_columns)
        return ("sku", "vendor_sku", "brand", *map(source_column, names))

    def match(self, columns: Mapping[str, pa.StringArray]) -> Matched:
        """Return the columns that matching changes, and the key of each row.

        A row without a SKU of its own is not matched.

        Args:
            columns: The columns of the rows by the column of offers, empty if null.
        """
        rows = _Rows(columns, len(columns["sku"]))
        if self.sku_map is not None:
            rows.map_skus(self.sku_map)
        if self.catalog is not None and self.config.catalog is not None:
            for key in self.config.catalog.match:
                products = self._products(key, rows)
                if products is not None:
                    rows.take_products(_KEYS_BY_NAME[key], *products)
            if "gtin" in self.config.catalog.match:
                self._contradict(rows, self.catalog)
        return self._matched(rows)

    def _contradict(self, rows: "_Rows", catalog: Catalog) -> None:
        """Note the rows whose SKU map and GTIN name different products."""
        gtin = rows.columns.get(source_column(self.config.gtin_column or ""))
        mapped_rows = rows.mapped_rows()
        if gtin is None or catalog.gtins is None or not len(mapped_rows):
            return
        products = catalog.gtins.products_of(keys_of(gtin)[mapped_rows])
        rows.contradict(mapped_rows, products, catalog)

    def _products(
        self,
        key: str,
        rows: "_Rows",
    ) -> tuple[RowIndex, RowIndex] | None:
        """Return the rows that wait for a product, and what a key says of each.

        Return None if the catalog or the vendor lacks the key.
        """
        catalog = self.catalog
        waiting = rows.waiting()
        if catalog is None or not len(waiting):
            return None
        waiting_rows = pa.array(waiting)
        if key == "sku":
            products = np.full(len(waiting), NO_PRODUCT, np.int64)
            found_rows, found_products = catalog.products_with(
                rows.columns["sku"].take(waiting_rows),
            )
            products[found_rows] = found_products
            return waiting, products
        gtin = rows.columns.get(source_column(self.config.gtin_column or ""))
        if key == "gtin":
            if gtin is None or catalog.gtins is None:
                return None
            return waiting, catalog.gtins.products_of(keys_of(gtin)[waiting])
        mpn = rows.columns.get(source_column(self.config.mpn_column or ""))
        brand = rows.columns.get("brand")
        if mpn is None or brand is None or catalog.mpns is None:
            return None
        keys = mpn_keys(brand.take(waiting_rows), mpn.take(waiting_rows))
        return waiting, catalog.mpns.products_of(keys)

    def _matched(self, rows: "_Rows") -> Matched:
        """Return the rows with the SKUs of their products, and what the catalog gives."""
        columns: dict[str, pa.StringArray] = {}
        own_skus = rows.columns["sku"] if rows.mapped is None else rows.mapped
        skus = own_skus
        is_new = (rows.codes == MatchedBy.GTIN) | (rows.codes == MatchedBy.MPN)
        by_product = np.flatnonzero(is_new)
        catalog = self.catalog
        if catalog is not None and len(by_product):
            new_skus = catalog.skus_of(rows.products[by_product])
            skus = texts.change_rows(skus, by_product, lambda _: new_skus)
        takes_sku = is_new | are_mapped(rows.codes)
        columns["sku"] = skus
        columns["vendor_sku"] = rows.vendor_skus(takes_sku)
        is_changed = bool(takes_sku.any())
        if catalog is not None and self.config.catalog is not None:
            rows.find_mapped(catalog)
            for name in self.config.catalog.gives:
                column = source_column(name)
                columns[column] = rows.given(catalog, column)
                is_changed = True
        return Matched(columns, rows.codes, own_skus, is_changed)


@dataclass(slots=True)
class _Rows:
    """Rows on their way through the keys."""

    columns: Mapping[str, pa.StringArray]
    count: int
    codes: Bytes = field(init=False)
    products: RowIndex = field(init=False)
    mapped: pa.StringArray | None = None  # the SKUs after the SKU map
    _is_waiting: RowMask = field(init=False)

    def __post_init__(self) -> None:
        self.codes = np.zeros(self.count, np.uint8)
        self.products = np.full(self.count, NO_PRODUCT, np.int64)
        self._is_waiting = ~texts.is_empty(self.columns["sku"])

    def map_skus(self, sku_map: SkuMap) -> None:
        """Take the SKUs of a SKU map."""
        self.mapped, is_mapped = sku_map.apply(self.columns["sku"])
        self.codes[is_mapped] = MatchedBy.SKU_MAP
        self._is_waiting &= ~is_mapped

    def waiting(self) -> RowIndex:
        """Return the rows that no key has matched."""
        return np.flatnonzero(self._is_waiting)

    def take_products(
        self,
        key: MatchedBy,
        rows: RowIndex,
        products: RowIndex,
    ) -> None:
        """Take the products of some rows, where a key has just one."""
        is_matched = products >= 0
        matched = rows[is_matched]
        self.products[matched] = products[is_matched]
        self.codes[matched] = key
        self._is_waiting[matched] = False
        self.codes[rows[products == AMBIGUOUS]] = MatchedBy.AMBIGUOUS

    def contradict(
        self, rows: RowIndex, products: RowIndex, catalog: Catalog
    ) -> None:
        """Note the mapped rows whose GTIN is that of a product with another SKU."""
        if self.mapped is None:
            return
        has_product = products >= 0
        candidates = rows[has_product]
        skus = catalog.skus_of(products[has_product])
        mapped = self.mapped.take(pa.array(candidates))
        differs = texts.flags_of(pc.not_equal(skus, mapped))
        self.codes[candidates[differs]] = MatchedBy.MAP_AGAINST_GTIN

    def mapped_rows(self) -> RowIndex:
        """Return the rows that the SKU map knows."""
        return np.flatnonzero(are_mapped(self.codes))

    def find_mapped(self, catalog: Catalog) -> None:
        """Take the products of the SKUs that the SKU map has given."""
        rows = self.mapped_rows()
        if self.mapped is not None and len(rows):
            mapped = self.mapped.take(pa.array(rows))
            found_rows, products = catalog.products_with(mapped)
            self.products[rows[found_rows]] = products

    def vendor_skus(self, takes_sku: RowMask) -> pa.StringArray:
        """Return the vendor SKUs; a row that takes another SKU keeps its own there."""
        vendor_skus = self.columns.get("vendor_sku")
        if vendor_skus is None:
            vendor_skus = texts.empty_texts(self.count)
        is_taken = takes_sku & texts.is_empty(vendor_skus)
        if not is_taken.any():
            return vendor_skus
        return pc.if_else(pa.array(is_taken), self.columns["sku"], vendor_skus)

    def given(self, catalog: Catalog, column: str) -> pa.StringArray:
        """Return a column with the cells of the catalog where a row is a product."""
        cells = self.columns.get(column)
        if cells is None:
            cells = texts.empty_texts(self.count)
        rows = np.flatnonzero(self.products >= 0)
        new_cells = catalog.first_cells(column, self.products[rows])
        return texts.change_rows(cells, rows, lambda _: new_cells)
