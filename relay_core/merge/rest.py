"""The columns of winners that neither the merge nor the output reads.

They stay where they were read until the state of the feed is written. A winner is known by its
vendor and its row there, so that no other text is ever copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Rows, one_chunk, take_short
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.frames import table_of

ORIGIN = "origin"
"""The column that says which row of its vendor's an offer is."""


class Rest:
    """Gathers cells of winners, a few rows of the feed at a time.

    Args:
        names: the columns.
        vendors: those with offers, by their rank, in order of ranks.
    """

    def __init__(self, names: Sequence[str], vendors: Mapping[int, NormalizedVendor]) -> None:
        self._fields = [OFFER_SCHEMA.field(name) for name in names]
        self._vendors = vendors
        self._offers = {
            rank: table_of(vendor.offers[list(names)])
            for rank, vendor in vendors.items()
            if vendor.rest is None
        }

    def of(self, ranks: Rows, origins: Rows) -> dict[str, pa.Array | pa.ChunkedArray]:
        """Return the cells of winners, of each its vendor's rank and its row there."""
        order = np.argsort(ranks, kind="stable")
        bounds = [*np.searchsorted(ranks[order], list(self._vendors)), len(order)]
        rows = [origins[order[start:stop]] for start, stop in pairwise(bounds)]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        given = list(zip(self._vendors, rows, strict=True))
        return {
            field.name: _taken([self._cells(rank, field, of) for rank, of in given], places)
            for field in self._fields
        }

    def _cells(self, rank: int, field: pa.Field, rows: Rows) -> pa.Array | pa.ChunkedArray:
        rest = self._vendors[rank].rest
        if rest is not None:
            return rest.cells(field, rows)
        return self._offers[rank][field.name].take(pa.array(rows))


def origins_of(vendor: NormalizedVendor) -> Rows:
    """Return which row of its vendor's each offer is."""
    return np.arange(len(vendor.offers)) if vendor.rest is None else vendor.rest.rows


def _taken(parts: Sequence[pa.Array | pa.ChunkedArray], rows: Rows) -> pa.Array | pa.ChunkedArray:
    chunks = (part.chunks if isinstance(part, pa.ChunkedArray) else [part] for part in parts)
    cells = one_chunk(pa.chunked_array([chunk for each in chunks for chunk in each]))
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    return take_short(cells, rows) if is_text else cells.take(pa.array(rows))
