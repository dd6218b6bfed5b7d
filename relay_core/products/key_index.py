"""Indexes of keys: the product that has a key, for a whole column of keys."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowIndex, WholeNumbers
from relay_core.columnar.gtins import are_own
from relay_core.columnar.text_index import TextIndex, index_of

NO_PRODUCT = -1
"""The product of a key that no product has."""
AMBIGUOUS = -2
"""The product of a key that several products have."""


class GtinIndex(NamedTuple):
    """The product of each GTIN."""

    keys: WholeNumbers  # the distinct GTINs as whole numbers, in order
    products: RowIndex  # the product of each, or `AMBIGUOUS`

    @classmethod
    def of(cls, gtins: WholeNumbers, products: RowIndex) -> "GtinIndex":
        """Return the index of GTINs, one a product's row; -1 for none."""
        rows = np.flatnonzero(_are_keys(gtins))
        order = rows[np.argsort(gtins[rows], kind="stable")]
        keys, starts = np.unique(gtins[order], return_index=True)
        return cls(keys, _common(products[order], starts))

    def products_of(self, gtins: WholeNumbers) -> RowIndex:
        """Return the product of each GTIN, `NO_PRODUCT`, or `AMBIGUOUS`."""
        products = np.full(len(gtins), NO_PRODUCT, np.int64)
        rows = np.flatnonzero(_are_keys(gtins))
        if not len(self.keys):
            return products
        places = np.searchsorted(self.keys, gtins[rows])
        places[places == len(self.keys)] = 0
        is_equal = self.keys[places] == gtins[rows]
        products[rows[is_equal]] = self.products[places[is_equal]]
        return products


class TextKeyIndex(NamedTuple):
    """The product of each key that is a text."""

    keys: TextIndex | None  # the distinct keys; None if there are none
    products: RowIndex  # the product of each, or `AMBIGUOUS`

    @classmethod
    def of(cls, keys: pa.StringArray, products: RowIndex) -> "TextKeyIndex":
        """Return the index of keys, one a product's row; empty for none."""
        rows = np.flatnonzero(~texts.is_empty(keys))
        if not len(rows):
            return cls(None, np.empty(0, np.int64))
        present = keys.take(pa.array(rows))
        index, _ = index_of(present)
        present_rows, key_rows = index.find(present)
        order = np.argsort(key_rows, kind="stable")
        _, starts = np.unique(key_rows[order], return_index=True)
        products_of_rows = products[rows[present_rows]]
        return cls(index, _common(products_of_rows[order], starts))

    def products_of(self, keys: pa.StringArray) -> RowIndex:
        """Return the product of each key, `NO_PRODUCT`, or `AMBIGUOUS`."""
        products = np.full(len(keys), NO_PRODUCT, np.int64)
        if self.keys is not None:
            rows, key_rows = self.keys.find(keys)
            products[rows] = self.products[key_rows]
        return products


def _are_keys(
    gtins: WholeNumbers,
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which GTINs are of products that are not a shop's own."""
    return np.asarray((gtins > 0) & ~are_own(gtins))


def _common(products: RowIndex, starts: RowIndex) -> RowIndex:
    """Return the product that all rows of each group have, or `AMBIGUOUS`.

    ``starts`` are the first rows of the groups.
    """
    if not len(starts):
        return np.empty(0, np.int64)
    least = np.minimum.reduceat(products, starts)
    greatest = np.maximum.reduceat(products, starts)
    return np.where(least == greatest, least, AMBIGUOUS)
