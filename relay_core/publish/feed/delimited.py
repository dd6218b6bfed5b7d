"""The merged feed as CSV, and as the same with tabs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from relay_core.columnar.csv_text import lines, quoted
from relay_core.columnar.threads import ordered_map
from relay_core.publish.feed.fields import FREE_TEXT, Field

SLICE = 1 << 16
"""How many rows are written at a time."""


def delimited_chunks(
    delimiter: str, fields: Sequence[Field], rows: pa.Table
) -> Iterator[bytes | memoryview]:
    """Yield the header and the rows, each field quoted only where it must be."""
    headers = (pa.array([field.header]) for field in fields)
    yield lines([quoted(header, delimiter) for header in headers], delimiter)

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        texts = ((field.source.kind in FREE_TEXT, field.text(batch)) for field in fields)
        return lines([quoted(text, delimiter) if free else text for free, text in texts], delimiter)

    yield from ordered_map(lines_of, rows.to_batches(SLICE))
