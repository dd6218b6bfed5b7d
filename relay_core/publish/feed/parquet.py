"""The merged feed as Parquet: typed columns under the tenant's headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from relay_core.publish.feed.fields import Field
from relay_core.publish.parquet_file import as_written, parquet_chunks, written_as

GROUP_ROWS = 1_000_000


def typed_chunks(fields: Sequence[Field], rows: pa.Table) -> Iterator[bytes]:
    """Yield the file, group after group."""
    schema = written_as(pa.schema([(field.header, field.source.stored_as) for field in fields]))

    def group_of(some: pa.Table) -> pa.Table:
        batches = some.to_batches()
        columns = [
            pa.chunked_array(
                [as_written(field.cells(batch), written.type) for batch in batches], written.type
            )
            for field, written in zip(fields, schema, strict=True)
        ]
        return pa.table(columns, schema=schema)

    groups = (group_of(rows.slice(start, GROUP_ROWS)) for start in range(0, len(rows), GROUP_ROWS))
    yield from parquet_chunks(schema, groups, compression="zstd")
