"""Columns that neither the merge nor the output reads, gathered only for the winners.

They stay where they were read until the state of the feed is written (late
materialization). A row locator of each winner leads back to them, so that no text is
copied but those of winners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.text import flags_of, one_chunk
from relay_core.kernel.taken_texts import take_short
from relay_core.normalize.result import NormalizedVendor, OfferTable
from relay_core.validation.comparison import KEPT, SUSPECT_PRICE
from relay_core.validation.row_schemas import offer_fields

ROW_LOCATOR = "origin"
"""The column with a row's index among its vendor's offers or the kept rows."""
LOCATOR_TYPE = np.int32
"""The type of row locators: each row of the feed has one."""
KEPT_RANK = np.iinfo(np.int16).max
"""The rank of rows that are no vendor's offers: it follows those of all vendors."""
QUARANTINED_RANK = KEPT_RANK - 1
"""The rank of rows that keep their published values.

It follows those of all vendors, too.
"""

_Cells: TypeAlias = "pa.Array | pa.ChunkedArray"
_Source: TypeAlias = Callable[[Sequence[pa.Field], RowIndex], Sequence[_Cells]]


@dataclass(frozen=True, slots=True)
class DeferredColumns:
    """The source of the winners' other columns, a few rows at a time."""

    fields: Sequence[pa.Field]  # the columns that it has, and no others
    # The sources of the rows of each rank, by rank
    sources: Mapping[int, _Source]

    @classmethod
    def left_by(
        cls,
        names: Sequence[str],
        vendors: Mapping[int, NormalizedVendor],
    ) -> DeferredColumns:
        """Return columns of vendors' offers.

        Args:
            names: The columns.
            vendors: The vendors by rank, in the order of ranks.
        """
        sources = {
            rank: vendor.offers.cells for rank, vendor in vendors.items()
        }
        fields = list(offer_fields(names))
        return cls(fields, sources)

    def with_rows(self, rank: int, rows: pa.Table) -> DeferredColumns:
        """Return the same with the rows of one more rank."""
        sources = dict(self.sources)
        sources[rank] = OfferTable(rows).cells
        by_rank = dict(sorted(sources.items()))
        return replace(self, sources=by_rank)

    def of(self, feed: pa.Table) -> dict[str, _Cells]:
        """Return the columns of some rows of the feed, one cell a row."""
        ranks = _ranks_of(feed)
        locators = one_chunk(feed[ROW_LOCATOR]).to_numpy()
        by_rank = np.argsort(ranks, kind="stable")
        starts = np.searchsorted(ranks[by_rank], list(self.sources))
        ranges = pairwise([*starts, len(by_rank)])
        rows_of_sources = [
            locators[by_rank[start:stop]] for start, stop in ranges
        ]
        back = np.empty_like(by_rank)
        back[by_rank] = np.arange(len(by_rank))
        sources = zip(self.sources.values(), rows_of_sources, strict=True)
        columns_of_sources = [
            source(self.fields, rows) for source, rows in sources
        ]
        parts_of_columns = zip(*columns_of_sources, strict=True)
        return {
            field.name: _taken(parts, back)
            for field, parts in zip(self.fields, parts_of_columns, strict=True)
        }


def _ranks_of(feed: pa.Table) -> npt.NDArray[np.int16]:
    """Return the rank of each row's source, one a row."""
    vendor_ids = one_chunk(feed["vendor_id"])
    ranks: npt.NDArray[np.int16] = vendor_ids.indices.to_numpy()
    if KEPT in feed.column_names:
        is_kept = flags_of(feed[KEPT])
        ranks = np.where(is_kept, KEPT_RANK, ranks)
    if SUSPECT_PRICE in feed.column_names:
        is_quarantined = flags_of(feed[SUSPECT_PRICE].is_valid())
        ranks = np.where(is_quarantined, QUARANTINED_RANK, ranks)
    return ranks


def _taken(parts: Sequence[_Cells], rows: RowIndex) -> _Cells:
    """Return rows of columns that are put one after another."""
    chunks: list[pa.Array] = []
    for part in parts:
        if isinstance(part, pa.ChunkedArray):
            chunks += part.chunks
        else:
            chunks.append(part)
    cells = one_chunk(pa.chunked_array(chunks))
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return take_short(cells, rows)
    return cells.take(pa.array(rows))
