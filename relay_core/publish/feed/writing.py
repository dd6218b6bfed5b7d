"""The merged feed in its tenant's format, and its first rows for people."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import lines, quoted
from relay_core.columnar.json_text import as_json, joined_parts, json_texts
from relay_core.columnar.text import bytes_of
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import Kind
from relay_core.merge.result import MergedInventory
from relay_core.publish.feed.fields import FREE_TEXT, Field, fields_of, row_texts
from relay_core.publish.parquet_file import as_written, parquet_chunks, written_as
from relay_core.validation.frames import table_of

Chunks = Iterator[bytes | memoryview]
SLICE, GROUP_ROWS = 1 << 16, 1_000_000
"""How many rows are written at a time: of text, and as a group of Parquet."""


def feed_chunks(merged: MergedInventory) -> Chunks:
    """Yield the feed as its file, piece by piece."""
    write = _WRITERS[merged.config.output.format]
    return write(fields_of(merged.config), _rows(merged))


def preview(merged: MergedInventory, rows: int = 10) -> list[dict[str, str]]:
    """Return the first rows of the feed: header to text."""
    return row_texts(fields_of(merged.config), _rows(merged).slice(0, rows))


def _rows(merged: MergedInventory) -> pa.Table:
    """Return what the feed is made of; the SKU stands for a row that nothing else is read of."""
    if merged.feed is None:
        raise ValueError("a run without a feed writes none")
    wanted = {"sku", *merged.config.output.reads}
    return table_of(merged.feed[[name for name in merged.feed.columns if name in wanted]])


def _delimited(delimiter: str, fields: Sequence[Field], rows: pa.Table) -> Chunks:
    """Yield the header and the rows, each field quoted only where it must be."""
    headers = (pa.array([field.header]) for field in fields)
    yield lines([quoted(header, delimiter) for header in headers], delimiter)

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        texts = ((field.source.kind in FREE_TEXT, field.text(batch)) for field in fields)
        return lines([quoted(text, delimiter) if free else text for free, text in texts], delimiter)

    yield from ordered_map(lines_of, rows.to_batches(SLICE))


def _json_lines(fields: Sequence[Field], rows: pa.Table) -> Chunks:
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


def _parquet(fields: Sequence[Field], rows: pa.Table) -> Chunks:
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


_WRITERS: dict[str, Callable[[Sequence[Field], pa.Table], Chunks]] = {
    "csv": partial(_delimited, ","),
    "tsv": partial(_delimited, "\t"),
    "jsonl": _json_lines,
    "parquet": _parquet,
}
