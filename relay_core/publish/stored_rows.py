"""Rows of the published feed's state as rows of a new feed, and both in one table."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.text import one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.config import TenantConfig
from relay_core.domain.columns import source_column
from relay_core.merge.best_offer import row_columns
from relay_core.merge.deferred_columns import LOCATOR_TYPE, ROW_LOCATOR
from relay_core.validation.row_schemas import CENTS, offer_fields

Quantities = npt.NDArray[np.int32]
_SLICE_ROWS = 1 << 17


def kept_schema(config: TenantConfig) -> pa.Schema:
    """Return the columns of a published row that a tenant's feed keeps."""
    names = row_columns(config)
    fields = {field.name: field for field in offer_fields(names)}
    fields["vendor_id"] = pa.field("vendor_id", pa.string())
    fields["price"] = pa.field("price", CENTS)
    return pa.schema([fields[name] for name in names])


def kept_rows(
    config: TenantConfig,
    stored: pa.Table,
    quantities: Quantities,
) -> pa.Table:
    """Return rows of a state as rows of a feed, with other quantities, one a row.

    Columns that the state lacks are null.
    """
    columns = {
        source_column(name): stored[name] for name in stored.column_names
    }
    columns["quantity_available"] = pa.array(quantities)
    no_text = pa.nulls(len(stored), pa.string())
    schema = kept_schema(config)
    cells = [columns.get(name, no_text) for name in schema.names]
    table = pa.table(cells, names=schema.names)
    return table.cast(schema).combine_chunks()


def kept_chunks(config: TenantConfig, kept: pa.Table) -> Iterator[memoryview]:
    """Yield the work file of the rows that a feed keeps, sorted by SKU."""
    return sorted_file_chunks(kept_schema(config), "sku", [kept])


def side_by_side(
    offered: pa.Table,
    kept: pa.Table,
) -> tuple[pa.Table, pa.Table]:
    """Return a feed's rows and the kept rows with the same columns and vendors.

    The dictionary of vendors lists those of the config first, then those that only the
    kept rows name. Columns that the kept rows lack are null.
    """
    offered_vendors = one_chunk(offered["vendor_id"])
    kept_vendors = one_chunk(kept["vendor_id"])
    config_ids = offered_vendors.dictionary.to_pylist()
    former_ids = sorted({*kept_vendors.to_pylist()} - {*config_ids})
    vendor_ids = pa.array([*config_ids, *former_ids], pa.string())
    kept_codes = pc.index_in(kept_vendors, value_set=vendor_ids).cast(
        pa.int16(),
    )

    offered = offered.set_column(
        offered.schema.get_field_index("vendor_id"),
        "vendor_id",
        pa.DictionaryArray.from_arrays(offered_vendors.indices, vendor_ids),
    )
    columns = dict(zip(kept.column_names, kept.columns, strict=True))
    columns["vendor_id"] = pa.DictionaryArray.from_arrays(
        kept_codes,
        vendor_ids,
    )
    columns[ROW_LOCATOR] = pa.array(np.arange(len(kept), dtype=LOCATOR_TYPE))
    added = {}
    for field in offered.schema:
        added[field.name] = columns.get(field.name)
        if field.name not in columns:
            added[field.name] = pa.nulls(len(kept), field.type)
    return offered, pa.table(added)


def interleaved(offered: pa.Table, kept: pa.Table, order: RowIndex) -> pa.Table:
    """Return rows of both tables in ``order``, which counts kept rows last.

    The indices of each table must ascend in ``order``. Some rows are taken at a time,
    so that few of them are in memory twice.
    """
    offered_count = len(offered)

    def rows_from(start: int) -> pa.Table:
        indices = order[start : start + _SLICE_ROWS]
        is_kept = indices >= offered_count
        if not is_kept.any():
            return offered.slice(indices[0], len(indices))
        kept_start = indices[is_kept][0]
        kept_part = kept.slice(kept_start - offered_count, is_kept.sum())
        low = indices.min(initial=offered_count, where=~is_kept)
        high = indices.max(initial=low - 1, where=~is_kept)
        offered_part = offered.slice(low, high + 1 - low)
        combined = pa.concat_tables([offered_part, kept_part]).combine_chunks()
        offered_indices = indices - low
        kept_indices = indices - kept_start + len(offered_part)
        combined_indices = np.where(is_kept, kept_indices, offered_indices)
        return combined.take(pa.array(combined_indices))

    starts = range(0, len(order), _SLICE_ROWS)
    return pa.concat_tables(ordered_map(rows_from, starts))
