"""Parquet files of typed rows, which are compared by their values."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.columnar.text import flags_of
from relay_core.publish import parquet_file
from relay_core.publish.files import writer
from relay_core.publish.files.changes import (
    ChangedRows,
    Content,
    Roles,
    not_in,
)
from relay_core.publish.files.fields import Field

GROUP_ROWS = 1_000_000
"""The number of rows in a row group."""


def typed_table(fields: Sequence[Field], rows: pa.Table) -> pa.Table:
    """Return rows of a feed as a file of them is read: headers, and amounts as decimals."""
    schema = _schema_of(fields)
    stored_rows = _stored(fields, rows, parquet_file.stored_schema(schema))
    return stored_rows.cast(schema)


def _schema_of(fields: Sequence[Field]) -> pa.Schema:
    types = [(field.header, field.source.stored_type) for field in fields]
    return pa.schema(types)


def _stored(
    fields: Sequence[Field],
    rows: pa.Table,
    schema: pa.Schema,
) -> pa.Table:
    """Return rows of a feed in the types of a file's schema."""
    columns = []
    for field, stored_type in zip(fields, schema.types, strict=True):
        chunks = [
            parquet_file.stored_cells(field.cells(batch), stored_type)
            for batch in rows.to_batches()
        ]
        columns.append(pa.chunked_array(chunks, stored_type))
    return pa.table(columns, schema=schema)


def _chunks(fields: Sequence[Field], rows: pa.Table) -> writer.Chunks:
    """Yield the Parquet file, one row group after another."""
    schema = parquet_file.stored_schema(_schema_of(fields))

    def group_from(start: int) -> pa.Table:
        return _stored(fields, rows.slice(start, GROUP_ROWS), schema)

    groups = map(group_from, range(0, len(rows), GROUP_ROWS))
    yield from parquet_file.parquet_chunks(schema, groups, compression="zstd")


def _changes(
    older: Content,
    newer: Content,
    roles: Roles,
) -> ChangedRows | None:
    """Return the changes of a Parquet file, whose rows are compared by their values."""
    older_rows = pq.read_table(pa.BufferReader(older))
    newer_rows = pq.read_table(pa.BufferReader(newer))
    if older_rows.schema != newer_rows.schema:
        return None
    older_skus = older_rows[roles.sku].combine_chunks()
    newer_skus = newer_rows[roles.sku].combine_chunks()
    places = pc.index_in(newer_skus, value_set=older_skus)
    is_changed = flags_of(places.is_null())
    for name in roles.headers:
        before = older_rows[name].combine_chunks().take(places)
        cells = newer_rows[name].combine_chunks()
        is_equal = pc.fill_null(pc.equal(cells, before), False)
        both_null = pc.and_(cells.is_null(), before.is_null())
        is_changed |= ~flags_of(pc.or_(is_equal, both_null))
    changed = newer_rows.filter(pa.array(is_changed))
    if roles.tells_gone_skus:
        gone = older_rows.filter(not_in(older_skus, newer_skus))
        changed = pa.concat_tables([changed, roles.as_gone(gone)])
    schema = parquet_file.stored_schema(changed.schema)
    stored = changed.cast(schema)
    groups = (
        stored.slice(start, GROUP_ROWS)
        for start in range(0, len(stored), GROUP_ROWS)
    )
    chunks = parquet_file.parquet_chunks(schema, groups, compression="zstd")
    return ChangedRows(len(changed), chunks)


WRITER = writer.Writer(chunks=_chunks, changes=_changes, table=pq.read_table)
"""The writer of Parquet files."""
