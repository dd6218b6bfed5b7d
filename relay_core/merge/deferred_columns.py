"""Late materialization: columns that neither the merge nor the output reads.

They stay where they were read until the state of the feed is written; a row locator of each offer
leads back to them. So no text is copied but those of winners.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Rows, flags_of, one_chunk, take_short
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation.comparison import KEPT, SUSPECT_PRICE
from relay_core.validation.contracts import offer_fields, table_of

ROW_LOCATOR = "origin"
"""The column with an offer's row number among its vendor's rows, or among the kept rows."""
KEPT_ROWS = np.iinfo(np.int16).max
"""The rank of rows that are no vendor's offers: it follows those of all vendors."""
QUARANTINED_ROWS = KEPT_ROWS - 1
"""The rank of rows that keep what is published; it follows those of all vendors, too."""

_Cells: TypeAlias = "pa.Array | pa.ChunkedArray"
_Source: TypeAlias = Callable[[pa.Field, Rows], _Cells]


@dataclass(frozen=True, slots=True)
class DeferredColumns:
    """Gathers cells of winners, a few rows of the feed at a time; holds no other columns."""

    fields: Sequence[pa.Field]
    sources: Mapping[int, _Source]  # of the rows of each rank, in order of ranks

    @classmethod
    def left_by(
        cls, names: Sequence[str], vendors: Mapping[int, NormalizedVendor]
    ) -> "DeferredColumns":
        """Return those columns of vendors' offers; the vendors in order of ranks."""
        sources = {
            rank: partial(_cells, table_of(vendor.offers[list(names)]))
            if vendor.deferred is None
            else vendor.deferred.cells
            for rank, vendor in vendors.items()
        }
        return cls(list(offer_fields(names)), sources)

    def with_rows(self, rank: int, rows: pa.Table) -> "DeferredColumns":
        """Return the same with other rows of the feed, which are read nowhere else."""
        sources: dict[int, _Source] = {**self.sources, rank: partial(_cells, rows)}
        return replace(self, sources=dict(sorted(sources.items())))

    def of(self, feed: pa.Table) -> dict[str, _Cells]:
        """Return the cells of rows of the feed: of offers, and of those that are kept."""
        ranks = one_chunk(feed["vendor_id"]).indices.to_numpy()
        if KEPT in feed.column_names:
            ranks = np.where(flags_of(feed[KEPT]), KEPT_ROWS, ranks)
        if SUSPECT_PRICE in feed.column_names:
            ranks = np.where(flags_of(feed[SUSPECT_PRICE].is_valid()), QUARANTINED_ROWS, ranks)
        origins = one_chunk(feed[ROW_LOCATOR]).to_numpy()
        order = np.argsort(ranks, kind="stable")
        bounds = [*np.searchsorted(ranks[order], list(self.sources)), len(order)]
        rows = [origins[order[start:stop]] for start, stop in pairwise(bounds)]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        given = list(zip(self.sources.values(), rows, strict=True))
        return {
            field.name: _taken([cells(field, of) for cells, of in given], places)
            for field in self.fields
        }


def _cells(table: pa.Table, field: pa.Field, rows: Rows) -> _Cells:
    return table[field.name].take(pa.array(rows))


def _taken(parts: Sequence[_Cells], rows: Rows) -> _Cells:
    chunks = (part.chunks if isinstance(part, pa.ChunkedArray) else [part] for part in parts)
    cells = one_chunk(pa.chunked_array([chunk for each in chunks for chunk in each]))
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    return take_short(cells, rows) if is_text else cells.take(pa.array(rows))
