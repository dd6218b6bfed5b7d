"""Base rows after their parts: the SKU map, the catalog, and rows of one SKU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import Bytes
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.file_lists.changes import duplicates_of
from relay_core.normalize.file_lists.file_rows import FileRows, reject_rows
from relay_core.normalize.file_lists.joined_table import TableColumns
from relay_core.normalize.file_lists.sorted_list import with_files
from relay_core.normalize.row_reader import mapped_skus
from relay_core.normalize.typed_batch import typed
from relay_core.products.matched_rows import (
    MatchedRows,
    key_codes,
    matched_rows,
)
from relay_core.products.matcher import ProductMatcher, are_unmatched
from relay_core.validation.row_schemas import MATCHED_BY


@dataclass(slots=True)
class OfferedRows:
    """Base rows after the SKU map and the catalog."""

    table: pa.Table  # the rows that are offers
    # The valid rows that are none, as no product matches them.
    taken_out: pa.Table
    matcher: ProductMatcher | None = None  # None without a catalog
    # The key of each row, a `MatchedBy`; empty without a catalog
    codes: Bytes | None = None
    codes_taken_out: Bytes | None = None

    @classmethod
    def of(
        cls,
        table: pa.Table,
        sku_map: SkuMap | None,
        matcher: ProductMatcher | None,
    ) -> "OfferedRows":
        """Return base rows with the SKUs of the SKU map, or of the catalog."""
        if matcher is None:
            return cls(_with_map(table, sku_map), table.slice(0, 0))
        names = [name for name in matcher.columns if name in table.column_names]
        matched = matcher.match(_texts_of(table, names))
        table = _with_texts(table, matched.columns)
        numbers, nulls = key_codes(matched.codes)
        keys = typed(pa.int32(), numbers, nulls)
        table = table.append_column(pa.field(MATCHED_BY, pa.int32()), keys)
        is_taken_out = np.zeros(len(table), np.bool_)
        if matcher.leaves_out:
            is_taken_out = are_unmatched(matched.codes)
        return cls(
            table.filter(pa.array(~is_taken_out)),
            table.filter(pa.array(is_taken_out)),
            matcher,
            matched.codes[~is_taken_out],
            matched.codes[is_taken_out],
        )

    def reject_repeated(self, files: Sequence[FileRows]) -> None:
        """Reject the rows whose SKU others have, each in the log of its file."""
        duplicates = duplicates_of(self.table, "refuse")
        if duplicates is None:
            return
        rejected = pa.array(duplicates.rejected)
        reject_rows(files, self.table, rejected, lambda skus: skus)
        self.table = duplicates.kept_of(self.table)
        if self.codes is not None:
            self.codes = self.codes[duplicates.kept]

    def matched(self, files: Sequence[FileRows]) -> MatchedRows | None:
        """Return the valid rows by the key that matched them; None without a catalog.

        Each unmatched row also has the name of its file.
        """
        if self.matcher is None or self.codes is None:
            return None
        table = pa.concat_tables([self.taken_out, self.table])
        codes = np.concatenate([self.codes_taken_out, self.codes])
        numbers, _ = texts.integers_of(table["row_number"])
        order = np.argsort(numbers, kind="stable")
        table = table.take(pa.array(order))
        columns = dict(zip(table.column_names, table.columns, strict=True))
        is_valid = np.ones(len(table), np.bool_)
        kept = TableColumns(columns, np.arange(len(table)))
        matched = matched_rows(self.matcher, codes[order], is_valid, kept)
        return replace(matched, unmatched=with_files(files, matched.unmatched))


def _texts_of(
    table: pa.Table,
    names: Sequence[str],
) -> dict[str, pa.StringArray]:
    """Return some columns of texts, empty if null."""
    return {
        name: texts.without_nulls(texts.one_chunk(table[name]))
        for name in names
    }


def _with_texts(
    table: pa.Table,
    columns: Mapping[str, pa.StringArray],
) -> pa.Table:
    """Return rows with other texts, which are empty if null."""
    for name, cells in columns.items():
        table = texts.with_cells(table, name, texts.with_nulls(cells))
    return table


def _with_map(table: pa.Table, sku_map: SkuMap | None) -> pa.Table:
    """Return rows after the SKU map."""
    if sku_map is None:
        return table
    columns = _texts_of(table, ("sku", "vendor_sku"))
    return _with_texts(table, mapped_skus(sku_map, columns))
