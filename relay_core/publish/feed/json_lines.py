"""The merged feed as JSON Lines: the bytes that ``json.dumps`` writes of each row, by columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.json_text import as_json, joined_parts, json_texts
from relay_core.columnar.text import bytes_of
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import Kind
from relay_core.publish.feed.fields import Field

SLICE = 1 << 16
"""How many rows are written at a time."""


def json_chunks(fields: Sequence[Field], rows: pa.Table) -> Iterator[memoryview]:
    """Yield an object a row: whole numbers are numbers, all else is the CSV's text or null."""

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        parts: list[pa.Array | str] = []
        for field in fields:
            text = field.text(batch).cast(pa.large_string())
            values = text if field.source.kind is Kind.WHOLE else json_texts(text)
            values = pc.if_else(field.cells(batch).is_null(), "null", values)
            parts += [f"{',' if parts else '{'}{as_json(field.header)}:", values]
        return bytes_of(joined_parts(*parts, "}\n"))

    yield from ordered_map(lines_of, rows.to_batches(SLICE))
