"""The rows of a vendor by the key that matched them, and the unmatched ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import Bytes, RowIndex, RowMask
from relay_core.columnar.numbers import AMOUNT
from relay_core.config import TenantConfig
from relay_core.domain.codes import MATCH_KEYS
from relay_core.domain.columns import source_column
from relay_core.products.matcher import (
    MatchedBy,
    ProductMatcher,
    are_unmatched,
)

UNMATCHED_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("sku", pa.string()),
        ("gtin", pa.string()),
        ("brand", pa.string()),
        ("mpn", pa.string()),
        ("title", pa.string()),
        ("quantity_available", pa.int32()),
        ("cost", AMOUNT),
        ("reason", pa.string()),
    ],
)
"""A valid row that neither the SKU map nor the catalog knows."""
_REASON = "reason"
_KEYS = {key.name.lower(): key for key in MatchedBy}
_VENDOR_SKU = pa.field("vendor_sku", pa.string())
_MAX_SAMPLE_ROWS = 100
_REASONS = ("unknown", "ambiguous")


class RowCells(Protocol):
    """The cells of rows by the columns of offers."""

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchedRows:
    """One vendor's valid rows by the key that matched them."""

    counts: Mapping[str, int]  # the number of rows that each of `KEYS` matched
    unmatched: pa.Table  # the other rows, in row order (`UNMATCHED_ROWS`)
    taken_out: int = 0  # the number of these that are not offers
    # The number of rows whose SKU map and GTIN say different products, and the first of
    # their own SKUs
    contradictions: int = 0
    contradicted_skus: Sequence[str] = ()

    @property
    def ambiguous(self) -> int:
        """The number of unmatched rows with a key of several products."""
        is_ambiguous = np.asarray(self.unmatched[_REASON]) == _REASONS[1]
        return int(is_ambiguous.sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, without the rows, as JSON values."""
        return {
            "counts": dict(self.counts),
            "taken_out": self.taken_out,
            "contradictions": self.contradictions,
            "contradicted_skus": list(self.contradicted_skus),
        }


def matched_rows(
    matcher: ProductMatcher,
    codes: Bytes,
    is_valid: RowMask,
    columns: RowCells,
) -> MatchedRows:
    """Return the valid rows of a vendor by the key that matched them.

    Args:
        matcher: The matcher of the vendor's rows.
        codes: The key of each row, a `MatchedBy`.
        is_valid: Which rows are valid, duplicates left aside.
        columns: The cells of all rows.
    """
    totals = np.bincount(codes[is_valid], minlength=len(MatchedBy))
    contradictions = int(totals[MatchedBy.MAP_AGAINST_GTIN])
    totals[MatchedBy.SKU_MAP] += contradictions
    contradicted = codes == MatchedBy.MAP_AGAINST_GTIN
    first_rows = np.flatnonzero(is_valid & contradicted)[:_MAX_SAMPLE_ROWS]
    (vendor_skus,) = columns.cells([_VENDOR_SKU], first_rows)
    rows = np.flatnonzero(is_valid & are_unmatched(codes))
    return MatchedRows(
        counts={name: int(totals[_KEYS[name]]) for name in MATCH_KEYS},
        unmatched=_table(matcher.config, codes, rows, columns),
        taken_out=len(rows) if matcher.leaves_out else 0,
        contradictions=contradictions,
        contradicted_skus=[sku for sku in vendor_skus.to_pylist() if sku],
    )


def _table(
    config: TenantConfig,
    codes: Bytes,
    rows: RowIndex,
    columns: RowCells,
) -> pa.Table:
    """Return unmatched rows (`UNMATCHED_ROWS`)."""
    sources = {
        "gtin": source_column(config.gtin_column or ""),
        "mpn": source_column(config.mpn_column or ""),
    }
    fields = [
        field.with_name(sources.get(field.name, field.name))
        for field in UNMATCHED_ROWS
        if field.name != _REASON
    ]
    cells = columns.cells(fields, rows)
    is_ambiguous = codes[rows] == MatchedBy.AMBIGUOUS
    reasons = pa.array(_REASONS).take(pa.array(is_ambiguous.astype(np.int8)))
    return pa.table([*cells, reasons], schema=UNMATCHED_ROWS)


def key_codes(codes: Bytes) -> tuple[np.ndarray[Any, Any], RowMask]:
    """Return the numbers of the column ``matched_by`` of offers, and their nulls."""
    is_unmatched = are_unmatched(codes)
    keys = np.where(
        codes == MatchedBy.MAP_AGAINST_GTIN, MatchedBy.SKU_MAP, codes
    )
    numbers = np.where(is_unmatched, 0, keys).astype(np.int32)
    return numbers, is_unmatched
