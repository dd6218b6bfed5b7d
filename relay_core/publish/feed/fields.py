"""The fields of a row of the merged feed, in every format: header, source and form of each.

`SOURCES` is the one table of what can stand under a header. A field's cells are made of rows of
the feed; its text is what a CSV has of them, before quoting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import (
    cents_text,
    half_up_cents,
    instant_text,
    join_fields,
    whole_text,
)
from relay_core.columnar.text import integers_of, without_nulls
from relay_core.config import TenantConfig
from relay_core.domain.columns import COLUMNS, Kind, extra_column

FREE_TEXT = (Kind.TEXT, Kind.CONDITION)
"""The kinds of what is no number: it may have to be quoted."""
_STORED_AS = {
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: pa.decimal128(18, 4),
    Kind.INSTANT: pa.timestamp("ms", "UTC"),
}
_FORMULA = "^([-=+@\t\r])"


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a header's cells."""

    kind: Kind  # how it is written
    stored_as: pa.DataType  # its type in Parquet
    cells: Callable[[TenantConfig, pa.RecordBatch], pa.Array]  # makes it of rows of a tenant's feed


def _column(name: str, _: TenantConfig, rows: pa.RecordBatch) -> pa.Array:
    cells = rows[name]
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _constant(text: str, _: TenantConfig, rows: pa.RecordBatch) -> pa.StringArray:
    return pa.repeat(pa.scalar(text), len(rows))


def _text_source(cells: Callable[[TenantConfig, pa.RecordBatch], pa.Array]) -> Source:
    return Source(Kind.TEXT, pa.string(), cells)


SOURCES = {
    **{
        each.name: Source(
            each.kind, _STORED_AS.get(each.kind, pa.string()), partial(_column, each.name)
        )
        for each in COLUMNS
    },
    "price": Source(Kind.MONEY, pa.decimal128(18, 2), partial(_column, "price")),
    "availability": _text_source(
        lambda _, rows: pc.if_else(
            pc.greater(rows["quantity_available"], 0), "in_stock", "out_of_stock"
        )
    ),
    "currency": _text_source(lambda config, rows: _constant(config.default_currency, config, rows)),
    "price_with_currency": _text_source(
        lambda config, rows: join_fields(
            [_text(Kind.MONEY, rows["price"]), config.default_currency], " "
        )
    ),
}
"""All that can stand under a header, but for constants."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a tenant's feed."""

    header: str  # what it is called
    source: Source  # what stands under it
    config: TenantConfig

    def cells(self, rows: pa.RecordBatch) -> pa.Array:
        """Return its cells of rows of the feed, as they are typed."""
        return self.source.cells(self.config, rows)

    def text(self, rows: pa.RecordBatch) -> pa.StringArray:
        """Return its cells of rows of the feed as a CSV has them, before quoting."""
        text = _text(self.source.kind, self.cells(rows))
        escapes = self.config.output.escape_formulas and self.source.kind in FREE_TEXT
        return _without_formulas(text) if escapes else text


def fields_of(config: TenantConfig) -> list[Field]:
    """Return the fields of a tenant's feed, in order."""
    columns = config.output.columns
    headers = pa.array([column.header for column in columns])
    if config.output.escape_formulas:
        headers = _without_formulas(headers)
    sources = (
        _source(column.column)
        if column.column is not None
        else _text_source(partial(_constant, str(column.constant)))
        for column in columns
    )
    return [Field(*of, config) for of in zip(headers.to_pylist(), sources, strict=True)]


def _source(column: str) -> Source:
    """Return the source of a column; one that no table has is a tenant's extra one."""
    known = SOURCES.get(column)
    return _text_source(partial(_column, extra_column(column))) if known is None else known


def row_texts(fields: Sequence[Field], rows: pa.Table) -> list[dict[str, str]]:
    """Return rows of a feed: header to cell, as a CSV has it before quoting."""
    headers = [field.header for field in fields]
    return [
        dict(zip(headers, cells, strict=True))
        for batch in rows.to_batches()
        for cells in zip(*(field.text(batch).to_pylist() for field in fields), strict=True)
    ]


def _text(kind: Kind, cells: pa.Array) -> pa.StringArray:
    if kind in FREE_TEXT:
        return without_nulls(cells)
    values, nulls = integers_of(cells)
    if kind is Kind.INSTANT:
        return instant_text(values)
    if kind is Kind.WHOLE:
        return whole_text(values, nulls)
    return cents_text(values if cells.type.scale == 2 else half_up_cents(values), nulls)


def _without_formulas(texts: pa.StringArray) -> pa.StringArray:
    """Return texts of which a spreadsheet takes none for a formula."""
    return pc.replace_substring_regex(texts, _FORMULA, r"'\1")
