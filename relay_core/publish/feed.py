"""Rows of the merged feed as a file: fields of rows, and one writer a format.

The feed's own file and those of channels are written here. `SOURCES` is the one table
of the columns that a file can have. A field makes its cells from rows of the feed; its
text is the cell of a CSV file before quoting.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text, text
from relay_core.columnar.json_text import json_texts
from relay_core.columnar.threads import ordered_map
from relay_core.config.models import FileConfig
from relay_core.domain.columns import COLUMNS, Kind, extra_column
from relay_core.domain.records import as_json
from relay_core.kernel import csv_lines
from relay_core.merge.result import MergedInventory
from relay_core.publish import parquet_file

Chunks = Iterator[bytes | memoryview]

SLICE_ROWS = 1 << 15
"""The number of rows that become text at a time."""
GROUP_ROWS = 1_000_000
"""The number of rows in a row group of Parquet."""
OUT_OF_STOCK = "out_of_stock"
"""The availability of a row without a quantity."""
_STORED_TYPES = {
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: pa.decimal128(18, 4),
    Kind.INSTANT: pa.timestamp("ms", "UTC"),
}


# --- the columns that a feed can have -------------------------------------------------


class Source(NamedTuple):
    """The source of the cells under a header."""

    kind: Kind  # the kind of the cells, which decides how they are written
    stored_type: pa.DataType  # the type of the cells in Parquet
    # The function that makes the cells from the currency and rows of a feed, one a row
    cells: Callable[[str, pa.RecordBatch], pa.Array]


def _column(name: str, _: str, rows: pa.RecordBatch) -> pa.Array:
    cells = rows[name]
    if pa.types.is_dictionary(cells.type):
        return cells.dictionary_decode()
    return cells


def _constant(
    cell: str,
    _: str,
    rows: pa.RecordBatch,
) -> pa.StringArray:
    return pa.repeat(pa.scalar(cell), len(rows))


def _availability(_: str, rows: pa.RecordBatch) -> pa.StringArray:
    is_in_stock = pc.greater(rows["quantity_available"], 0)
    return pc.if_else(is_in_stock, "in_stock", OUT_OF_STOCK)


def _currency(currency: str, rows: pa.RecordBatch) -> pa.StringArray:
    return _constant(currency, currency, rows)


def _price_with_currency(
    currency: str,
    rows: pa.RecordBatch,
) -> pa.StringArray:
    prices = csv_text.cell_texts(csv_text.Column(Kind.MONEY, rows["price"]))
    return csv_text.join_fields([prices, currency], " ")


def _text_source(
    cells: Callable[[str, pa.RecordBatch], pa.Array],
) -> Source:
    return Source(Kind.TEXT, pa.string(), cells)


def _canonical_sources() -> dict[str, Source]:
    sources = {}
    for column in COLUMNS:
        stored_type = _STORED_TYPES.get(column.kind, pa.string())
        cells = partial(_column, column.name)
        sources[column.name] = Source(column.kind, stored_type, cells)
    return sources


SOURCES = {
    **_canonical_sources(),
    # Published prices are whole cents.
    "price": Source(
        Kind.MONEY,
        pa.decimal128(18, 2),
        partial(_column, "price"),
    ),
    "availability": _text_source(_availability),
    "currency": _text_source(_currency),
    "price_with_currency": _text_source(_price_with_currency),
}
"""The sources of all columns except extra columns and constants."""


class Field(NamedTuple):
    """One column of a file."""

    header: str  # the header of the column
    source: Source  # the source of its cells
    currency: str  # the currency of the feed's amounts
    escapes_formulas: bool  # whether no spreadsheet takes a text for a formula

    def cells(self, rows: pa.RecordBatch) -> pa.Array:
        """Return the typed cells of rows of the feed, one a row."""
        return self.source.cells(self.currency, rows)

    def text(self, rows: pa.RecordBatch) -> pa.StringArray:
        """Return the CSV text of rows of the feed before quoting, one a row."""
        return csv_text.cell_texts(self.column(rows))

    def column(self, rows: pa.RecordBatch) -> csv_text.Column:
        """Return the column that the CSV text of rows of the feed is made of."""
        kind = self.source.kind
        cells = self.cells(rows)
        if self.escapes_formulas and kind in csv_text.TEXT_KINDS:
            cells = csv_text.without_formulas(cells)
        return csv_text.Column(kind, cells)


def headers_of(file: FileConfig) -> list[str]:
    """Return the headers of a file as they are written, before quoting."""
    headers = pa.array([column.header for column in file.columns])
    if file.escape_formulas:
        headers = csv_text.without_formulas(headers)
    written_headers: list[str] = headers.to_pylist()
    return written_headers


def fields_of(file: FileConfig, currency: str) -> list[Field]:
    """Return the fields of a file whose amounts are in a currency, in order."""
    headers = headers_of(file)
    fields = []
    for header, column in zip(headers, file.columns, strict=True):
        if column.column is None:
            source = _text_source(partial(_constant, str(column.constant)))
        elif column.column in SOURCES:
            source = SOURCES[column.column]
        else:
            extra = extra_column(column.column)
            source = _text_source(partial(_column, extra))
        fields.append(Field(header, source, currency, file.escape_formulas))
    return fields


def row_texts(fields: Sequence[Field], rows: pa.Table) -> list[dict[str, str]]:
    """Return each row of a feed as a mapping of headers to CSV text before quoting."""
    headers = [field.header for field in fields]
    texts = []
    for batch in rows.to_batches():
        columns = [field.text(batch).to_pylist() for field in fields]
        for cells in zip(*columns, strict=True):
            texts.append(dict(zip(headers, cells, strict=True)))
    return texts


# --- formats --------------------------------------------------------------------------


def feed_chunks(merged: MergedInventory) -> Chunks:
    """Yield the feed's file piece by piece.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    rows = _feed_rows(merged)
    return file_chunks(config.output, config.default_currency, rows)


def preview(merged: MergedInventory, limit: int = 10) -> list[dict[str, str]]:
    """Return the first rows of the feed, each as a mapping of headers to text.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    rows = _feed_rows(merged)
    return first_texts(config.output, config.default_currency, rows, limit)


def _feed_rows(merged: MergedInventory) -> pa.Table:
    if merged.feed is None:
        raise ValueError("a run without a feed writes none")
    return merged.feed


def file_chunks(file: FileConfig, currency: str, rows: pa.Table) -> Chunks:
    """Yield the file of some rows of a feed piece by piece.

    Args:
        file: The format and the columns.
        currency: The currency of the feed's amounts.
        rows: The rows, with the columns that the file is made from.
    """
    write = _WRITERS[file.format]
    return write(fields_of(file, currency), written_columns(file, rows))


def first_texts(
    file: FileConfig,
    currency: str,
    rows: pa.Table,
    limit: int,
) -> list[dict[str, str]]:
    """Return the first rows of a file, each as a mapping of headers to text."""
    first_rows = written_columns(file, rows).slice(0, limit)
    return row_texts(fields_of(file, currency), first_rows)


def written_columns(file: FileConfig, rows: pa.Table) -> pa.Table:
    """Return rows with the columns that a file is made from.

    The SKU is always among them, because a file of constants reads no column, and its
    rows must still be counted.
    """
    columns = {"sku", *file.reads}
    names = [name for name in rows.column_names if name in columns]
    return rows.select(names)


def _delimited(
    delimiter: str,
    fields: Sequence[Field],
    rows: pa.Table,
) -> Chunks:
    """Yield the header and the rows; a field is quoted only if it must be."""
    headers = []
    for field in fields:
        header = pa.array([field.header])
        headers.append(csv_text.quoted(header, delimiter))
    yield csv_text.lines(headers, delimiter)

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        columns = [field.column(batch) for field in fields]
        return csv_lines.lines_of(columns, delimiter)

    yield from ordered_map(lines_of, rows.to_batches(SLICE_ROWS))


def _json_lines(fields: Sequence[Field], rows: pa.Table) -> Chunks:
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
        return json_lines(headers, columns, nulls)

    yield from ordered_map(lines_of, rows.to_batches(SLICE_ROWS))


def json_lines(
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


def feed_table(merged: MergedInventory) -> pa.Table:
    """Return the feed as its Parquet file has it: the headers, and amounts as decimals.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    fields = fields_of(config.output, config.default_currency)
    rows = written_columns(config.output, _feed_rows(merged))
    types = [(field.header, field.source.stored_type) for field in fields]
    stored_schema = parquet_file.stored_schema(pa.schema(types))
    return _typed(fields, rows, stored_schema).cast(pa.schema(types))


def _typed(
    fields: Sequence[Field],
    rows: pa.Table,
    schema: pa.Schema,
) -> pa.Table:
    """Return the cells of rows of a feed in the types of a schema."""
    columns = []
    for field, stored_type in zip(fields, schema.types, strict=True):
        chunks = [
            parquet_file.stored_cells(field.cells(batch), stored_type)
            for batch in rows.to_batches()
        ]
        columns.append(pa.chunked_array(chunks, stored_type))
    return pa.table(columns, schema=schema)


def _parquet(fields: Sequence[Field], rows: pa.Table) -> Chunks:
    """Yield the Parquet file, one row group after another."""
    types = [(field.header, field.source.stored_type) for field in fields]
    schema = parquet_file.stored_schema(pa.schema(types))

    def group_from(start: int) -> pa.Table:
        return _typed(fields, rows.slice(start, GROUP_ROWS), schema)

    groups = map(group_from, range(0, len(rows), GROUP_ROWS))
    yield from parquet_file.parquet_chunks(schema, groups, compression="zstd")


_WRITERS: dict[str, Callable[[Sequence[Field], pa.Table], Chunks]] = {
    "csv": partial(_delimited, ","),
    "tsv": partial(_delimited, "\t"),
    "jsonl": _json_lines,
    "parquet": _parquet,
}
