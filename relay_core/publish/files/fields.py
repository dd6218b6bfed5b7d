"""The columns of a file: the source of each, and the cells that rows of the feed give.

`SOURCES` is the one table of the columns that a file can have. A field makes its cells
from rows of the feed; its text is the cell of a CSV file before quoting.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.config.models import FileConfig
from relay_core.domain.columns import COLUMNS, Kind, extra_column

OUT_OF_STOCK = "out_of_stock"
"""The availability of a row without a quantity."""
_STORED_TYPES = {
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: pa.decimal128(18, 4),
    Kind.INSTANT: pa.timestamp("ms", "UTC"),
}


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
