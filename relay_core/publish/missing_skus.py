"""SKUs of the published feed that nobody offers any more, kept in the feed at a quantity of 0."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.text import Bools, flags_of, one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.config import TenantConfig
from relay_core.domain.codes import WarningCode
from relay_core.domain.columns import source_column
from relay_core.domain.run_faults import fault_of
from relay_core.merge.best_offer import row_columns
from relay_core.merge.deferred_columns import KEPT_ROWS, ROW_LOCATOR
from relay_core.merge.result import MergedInventory
from relay_core.publish.state import Baseline
from relay_core.validation.comparison import KEPT, Comparison
from relay_core.validation.contracts import CENTS, INSTANT, offer_fields
from relay_core.validation.frames import frame_of, table_of

OFFERED_AT = "offered_at"
_SLICE = 1 << 17


def kept_schema(config: TenantConfig) -> pa.Schema:
    """Return the columns of a row that is kept, as a tenant's feed has it."""
    known = {field.name: field for field in offer_fields(row_columns(config))}
    known |= {"vendor_id": pa.field("vendor_id", pa.string()), "price": pa.field("price", CENTS)}
    return pa.schema([known[name] for name in row_columns(config)])


def with_missing_skus(
    merged: MergedInventory,
    baseline: Baseline,
    joined: Comparison,
    requested_at: datetime,
    left_out: Collection[str] = (),
) -> tuple[MergedInventory, Comparison]:
    """Return a feed with the SKUs of the published one that it lacks, each for some days.

    ``joined`` are both feeds, and beside the feed they are joined anew. Days are counted up to
    ``requested_at``, aware. SKUs that the tenant wants left out stay out.
    """
    output = merged.config.output
    if output.missing_skus != "zero" or merged.feed is None or merged.deferred is None:
        return merged, joined
    lacks = joined.rows_after < 0
    missing = joined.rows_before[lacks]
    rows = baseline.rows(missing)
    since = requested_at - timedelta(days=output.missing_sku_days)
    recent = pc.greater(rows[OFFERED_AT], pa.scalar(since, rows[OFFERED_AT].type))
    if left_out:
        recent = pc.and_not(recent, pc.is_in(rows["sku"], pa.array(left_out, rows["sku"].type)))
    rows = rows.filter(recent)
    if not len(rows):
        return merged, joined
    is_kept = np.zeros(len(lacks), np.bool_)
    is_kept[lacks] = flags_of(one_chunk(recent))
    place = rows.schema.get_field_index("quantity_available")
    nothing = pa.array(np.zeros(len(rows), np.int32))
    kept = kept_rows(merged.config, rows.set_column(place, rows.schema.field(place), nothing))
    offered, added = side_by_side(table_of(merged.feed), kept)
    now = pa.repeat(pa.scalar(requested_at, INSTANT), len(offered))
    offered = _with_offer(offered, now, is_kept=False)
    added = _with_offer(added, one_chunk(rows[OFFERED_AT]), is_kept=True)
    feed = frame_of(_joined(offered, added, is_kept[is_kept | ~lacks]))
    days = output.missing_sku_days
    entry = fault_of(WarningCode.MISSING_SKUS_ZEROED, skus=len(kept), days=days)
    merged = replace(
        merged,
        feed=feed,
        deferred=merged.deferred.with_rows(KEPT_ROWS, kept),
        kept=kept,
        warnings=[*merged.warnings, entry],
        warning_counts={**merged.warning_counts, entry.error_code: 1},
    )
    return merged, joined.with_after(feed, is_kept)


def kept_rows(config: TenantConfig, rows: pa.Table) -> pa.Table:
    """Return rows of a state as a tenant's feed has them; a column that it lacks is null."""
    nothing = pa.nulls(len(rows), pa.string())
    of_state = {name: source_column(name) for name in rows.column_names}
    given = dict(zip(of_state.values(), rows.columns, strict=True))
    schema = kept_schema(config)
    columns = [given.get(name, nothing) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema).combine_chunks()


def kept_chunks(merged: MergedInventory) -> Iterator[memoryview]:
    """Yield the work file of the rows that are kept, by SKU."""
    schema = kept_schema(merged.config)
    return sorted_file_chunks(schema, "sku", [] if merged.kept is None else [merged.kept])


def side_by_side(offered: pa.Table, kept: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return a feed, and rows of a state as rows of it: both with the same list of vendors.

    Those of the config come first, then those that it has no more. A column that a state lacks is
    null.
    """
    known = one_chunk(offered["vendor_id"]).dictionary.to_pylist()
    gone = sorted({*kept["vendor_id"].to_pylist()} - {*known})
    vendor_ids = pa.array([*known, *gone], pa.string())
    ranks = pc.index_in(one_chunk(kept["vendor_id"]), value_set=vendor_ids).cast(pa.int16())
    own = dict(zip(kept.column_names, kept.columns, strict=True)) | {
        "vendor_id": pa.DictionaryArray.from_arrays(ranks, vendor_ids),
        ROW_LOCATOR: pa.array(np.arange(len(kept))),
    }
    place = offered.schema.get_field_index("vendor_id")
    of_offered = one_chunk(offered["vendor_id"]).indices
    cells = pa.DictionaryArray.from_arrays(of_offered, vendor_ids)
    offered = offered.set_column(place, "vendor_id", cells)
    nothing = ((field.name, pa.nulls(len(kept), field.type)) for field in offered.schema)
    return offered, pa.table({name: own.get(name, none) for name, none in nothing})


def _with_offer(rows: pa.Table, offered_at: pa.Array, *, is_kept: bool) -> pa.Table:
    """Return rows with when they were offered last, and whether they are only kept."""
    rows = rows.append_column(OFFERED_AT, offered_at)
    return rows.append_column(KEPT, pa.repeat(pa.scalar(is_kept), len(rows)))


def _joined(offered: pa.Table, kept: pa.Table, is_kept: Bools) -> pa.Table:
    """Return rows of both in turn, as flags say; some at a time, so that few are held twice."""

    def rows_from(start: int) -> pa.Table:
        flags = is_kept[start : start + _SLICE]
        of_kept, before = int(np.count_nonzero(flags)), int(np.count_nonzero(is_kept[:start]))
        of_offered = len(flags) - of_kept
        parts = [offered.slice(start - before, of_offered), kept.slice(before, of_kept)]
        if not of_kept:
            return parts[0]
        order = np.empty(len(flags), np.int64)
        order[~flags], order[flags] = np.arange(of_offered), of_offered + np.arange(of_kept)
        return pa.concat_tables(parts).combine_chunks().take(pa.array(order))

    return pa.concat_tables(ordered_map(rows_from, range(0, len(is_kept), _SLICE)))
