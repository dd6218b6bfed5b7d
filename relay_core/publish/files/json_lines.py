"""Files of one JSON object a line."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from relay_core.columnar import csv_text, text
from relay_core.columnar.json_text import json_texts
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import Kind
from relay_core.domain.records import as_json
from relay_core.publish.files import writer
from relay_core.publish.files.changes import Roles
from relay_core.publish.files.fields import Field
from relay_core.publish.files.records import (
    MAX_BLOCK_BYTES,
    Records,
    bytes_of,
)


def _chunks(fields: Sequence[Field], rows: pa.Table) -> writer.Chunks:
    """Yield one object a row; other cells than whole numbers are text or null."""
    headers = [field.header for field in fields]

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        columns = []
        for field in fields:
            texts = field.text(batch).cast(pa.large_string())
            if field.source.kind is not Kind.WHOLE:
                texts = json_texts(texts)
            columns.append(texts)
        nulls = [field.cells(batch).is_null() for field in fields]
        return _json_lines(headers, columns, nulls)

    yield from ordered_map(lines_of, rows.to_batches(writer.SLICE_ROWS))


def _json_lines(
    headers: Sequence[str],
    columns: Sequence[pa.Array],
    nulls: Sequence[pa.BooleanArray],
) -> memoryview:
    """Return JSON lines; each column has JSON texts and the mask of its null cells."""
    parts: list[pa.Array | str] = []
    for header, texts, is_null in zip(headers, columns, nulls, strict=True):
        separator = "," if parts else "{"
        parts.append(f"{separator}{as_json(header)}:")
        parts.append(pc.if_else(is_null, "null", texts))
    parts.append("}\n")
    return text.bytes_of(csv_text.join_fields(parts, ""))


def _table_of(records: pa.LargeBinaryArray, roles: Roles) -> pa.Table:
    """Return the values of JSON lines: whole numbers, and texts for all others."""
    types = {
        header: pa.int64() if header in roles.whole_numbers else pa.string()
        for header in roles.headers
    }
    schema = pa.schema(types.items())
    if not len(records):
        return schema.empty_table()
    content = bytes_of(records)
    return pa_json.read_json(
        pa.BufferReader(content),
        pa_json.ReadOptions(
            use_threads=False,
            block_size=min(len(content) + 1, MAX_BLOCK_BYTES),
        ),
        pa_json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="error",
        ),
    )


def _lines_of(rows: pa.Table, roles: Roles) -> memoryview:
    """Return rows as JSON lines."""
    (batch,) = rows.to_batches()
    texts = []
    for header, cells in zip(roles.headers, batch.columns, strict=True):
        filled = cells.cast(pa.string()).fill_null("")
        is_number = header in roles.whole_numbers
        texts.append(filled if is_number else json_texts(filled))
    nulls = [cells.is_null() for cells in batch.columns]
    return _json_lines(roles.headers, texts, nulls)


WRITER = writer.Writer(
    chunks=_chunks,
    changes=Records(
        header_count=0,
        has_quotes=False,
        table_of=_table_of,
        lines_of=_lines_of,
    ).changes,
    table=pa_json.read_json,
)
"""The writer of JSON Lines."""
