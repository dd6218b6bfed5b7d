"""Columns of base rows from the rows of a part, matched by key."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import one_chunk, with_cells
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.columns import source_column
from relay_core.normalize.file_lists.changes import Mapped, duplicates_of
from relay_core.normalize.file_lists.figures import PartFigures
from relay_core.normalize.file_lists.file_rows import PartRows, reject_rows


@dataclass(frozen=True, slots=True)
class JoinedPart:
    """Base rows with the columns of a part, and the numbers of the part's rows."""

    table: pa.Table  # the base rows that stay
    figures: PartFigures
    unmatched: int  # the number of base rows that are left out
    # A key of the part and one of a base row, if no row of the part is used
    strange_keys: tuple[str | None, str | None] | None = None


def join_columns(
    base: pa.Table,
    rows: PartRows,
    requested_at: int,
    mapped: Mapped,
) -> JoinedPart:
    """Give base rows the columns of a part.

    Args:
        base: The base rows.
        rows: The rows of the part.
        requested_at: The instant instead of a missing one, in microseconds.
        mapped: Returns the tenant's SKUs of SKUs, for reports.
    """
    part = rows.part
    table = rows.table
    row_count = len(table)
    duplicates = duplicates_of(table, part.duplicate_skus)
    rejected_count = 0
    if duplicates is not None:
        rejected = pa.array(duplicates.rejected)
        reject_rows(rows.files, table, rejected, mapped)
        rejected_count = len(rejected)
        table = duplicates.kept_of(table)
    keys = one_chunk(base[source_column(part.key)])
    matches = pc.index_in(keys, value_set=one_chunk(table["sku"]))
    is_matched = np.asarray(matches.is_valid())
    is_used = np.zeros(len(table), np.bool_)
    is_used[np.asarray(matches.drop_null())] = True
    used_count = int(np.count_nonzero(is_used))
    strange_keys = None
    if not used_count and len(table) and len(base):
        strange_keys = (_first_text(table["sku"]), _first_text(keys))
    unmatched = 0
    if part.leaves_out and not is_matched.all():
        unmatched = int(np.count_nonzero(~is_matched))
        base = base.filter(pa.array(is_matched))
        matches = matches.drop_null()
    figures = PartFigures(
        read=rows.read,
        skipped=rows.skipped,
        refused=rows.refused,
        replaced=None if part.changes is None else rows.replaced,
        duplicates=rows.duplicates + row_count - rejected_count - len(table),
        used=used_count,
        unused=len(table) - used_count,
    )
    joined = _with_columns(base, table, matches, part, requested_at)
    return JoinedPart(joined, figures, unmatched, strange_keys)


def _first_text(column: pa.ChunkedArray | pa.Array) -> str | None:
    """Return the first text of a column that is not null."""
    texts = column.drop_null()
    return str(texts[0].as_py()) if len(texts) else None


def _with_columns(
    base: pa.Table,
    table: pa.Table,
    matches: pa.Array,
    part: InputPart,
    requested_at: int,
) -> pa.Table:
    """Return base rows with a part's columns.

    ``matches`` are the rows of the part, one a base row; null if none matches.
    """
    for name in part.columns or ():
        column = source_column(name)
        cells = table[column].take(matches)
        if column == "quantity_available":
            cells = cells.fill_null(0)
        elif column == "updated_at":
            instant = pa.scalar(requested_at, pa.int64()).cast(cells.type)
            cells = cells.fill_null(instant)
        base = with_cells(base, column, cells)
    return base
