"""The merged feed in its tenant's format: the fields of its rows, and a writer a format.

`SOURCES` is the one table of what can stand under a header. A field's cells are made of rows of
the feed; its text is what a CSV has of them, before quoting.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.columnar import csv_text
from relay_core.columnar.text import (
    Bools,
    bytes_of,
    change_rows,
    integers_in,
    integers_of,
    one_chunk,
    rows_that_hold,
    values_of,
    without_nulls,
)
from relay_core.columnar.threads import ordered_map
from relay_core.config import TenantConfig
from relay_core.domain.columns import COLUMNS, Kind, extra_column
from relay_core.domain.records import as_json
from relay_core.merge.result import MergedInventory
from relay_core.validation.contracts import table_of

FREE_TEXT = (
    Kind.TEXT,
    Kind.CONDITION,
)  # the kinds of what is no number: it may have to be quoted
_STORED_AS = {
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: pa.decimal128(18, 4),
    Kind.INSTANT: pa.timestamp("ms", "UTC"),
}
_FORMULA = "^([-=+@\t\r])"
_SECOND = 1_000_000
Chunks = Iterator[bytes | memoryview]
SLICE, GROUP_ROWS = 1 << 16, 1_000_000
"""How many rows are written at a time: of text, and as a group of Parquet."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a header's cells."""

    kind: Kind  # how it is written
    stored_as: pa.DataType  # its type in Parquet
    cells: Callable[
        [TenantConfig, pa.RecordBatch], pa.Array
    ]  # makes it of rows of a tenant's feed


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
            each.kind,
            _STORED_AS.get(each.kind, pa.string()),
            partial(_column, each.name),
        )
        for each in COLUMNS
    },
    "price": Source(Kind.MONEY, pa.decimal128(18, 2), partial(_column, "price")),
    "availability": _text_source(
        lambda _, rows: pc.if_else(
            pc.greater(rows["quantity_available"], 0), "in_stock", "out_of_stock"
        )
    ),
    "currency": _text_source(
        lambda config, rows: _constant(config.default_currency, config, rows)
    ),
    "price_with_currency": _text_source(
        lambda config, rows: csv_text.join_fields(
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
    fields = []
    for header, column in zip(headers.to_pylist(), columns, strict=True):
        if column.column is None:
            source = _text_source(partial(_constant, str(column.constant)))
        elif column.column in SOURCES:
            source = SOURCES[column.column]
        else:  # a tenant's extra one
            source = _text_source(partial(_column, extra_column(column.column)))
        fields.append(Field(header, source, config))
    return fields


def row_texts(fields: Sequence[Field], rows: pa.Table) -> list[dict[str, str]]:
    """Return rows of a feed: header to cell, as a CSV has it before quoting."""
    headers = [field.header for field in fields]
    return [
        dict(zip(headers, cells, strict=True))
        for batch in rows.to_batches()
        for cells in zip(
            *(field.text(batch).to_pylist() for field in fields), strict=True
        )
    ]


def _text(kind: Kind, cells: pa.Array) -> pa.StringArray:
    if kind in FREE_TEXT:
        return without_nulls(cells)
    values, nulls = integers_of(cells)
    if kind is Kind.INSTANT:
        return csv_text.instant_text(values)
    if kind is Kind.WHOLE:
        return csv_text.whole_text(values, nulls)
    cents = (
        values if cells.type.scale == 2 else (values + 50) // 100
    )  # of 0 or more, half up
    return csv_text.cents_text(cents, nulls)


def _without_formulas(texts: pa.StringArray) -> pa.StringArray:
    """Return texts of which a spreadsheet takes none for a formula."""
    return pc.replace_substring_regex(texts, _FORMULA, r"'\1")


# --- formats ------------------------------------------------------------------------------------


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
    return table_of(
        merged.feed[[name for name in merged.feed.columns if name in wanted]]
    )


def _delimited(delimiter: str, fields: Sequence[Field], rows: pa.Table) -> Chunks:
    """Yield the header and the rows, each field quoted only where it must be."""
    headers = (pa.array([field.header]) for field in fields)
    yield csv_text.lines(
        [csv_text.quoted(header, delimiter) for header in headers], delimiter
    )

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        texts = (
            (field.source.kind in FREE_TEXT, field.text(batch)) for field in fields
        )
        return csv_text.lines(
            [
                csv_text.quoted(text, delimiter) if free else text
                for free, text in texts
            ],
            delimiter,
        )

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
        return bytes_of(csv_text.join_fields([*parts, "}\n"], ""))

    yield from ordered_map(lines_of, rows.to_batches(SLICE))


def json_texts(text: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return each text as JSON, in its quotes."""

    def must_be_escaped(data: npt.NDArray[np.uint8]) -> Bools:
        return np.asarray((data < ord(" ")) | (data == ord('"')) | (data == ord("\\")))

    def escaped(some: pa.LargeStringArray) -> pa.LargeStringArray:
        for mark in ("\\", '"', *map(chr, range(ord(" ")))):
            if pc.any(pc.match_substring(some, mark)).as_py():
                some = pc.replace_substring(some, mark, as_json(mark)[1:-1])
        return some

    text = change_rows(text, rows_that_hold(text, must_be_escaped), escaped)
    return csv_text.join_fields(['"', text, '"'], "")


def _parquet(fields: Sequence[Field], rows: pa.Table) -> Chunks:
    """Yield the file, group after group."""
    schema = written_as(
        pa.schema([(field.header, field.source.stored_as) for field in fields])
    )

    def group_of(some: pa.Table) -> pa.Table:
        batches = some.to_batches()
        columns = [
            pa.chunked_array(
                [as_written(field.cells(batch), written.type) for batch in batches],
                written.type,
            )
            for field, written in zip(fields, schema, strict=True)
        ]
        return pa.table(columns, schema=schema)

    groups = (
        group_of(rows.slice(start, GROUP_ROWS))
        for start in range(0, len(rows), GROUP_ROWS)
    )
    yield from parquet_chunks(schema, groups, compression="zstd")


_WRITERS: dict[str, Callable[[Sequence[Field], pa.Table], Chunks]] = {
    "csv": partial(_delimited, ","),
    "tsv": partial(_delimited, "\t"),
    "jsonl": _json_lines,
    "parquet": _parquet,
}


# --- Parquet of typed rows, handed on as it is written; decimals are whole numbers in it ---------


def written_as(schema: pa.Schema) -> pa.Schema:
    """Return the types that a file is written from which is to be read back as others."""
    return pa.schema(
        [
            field.with_type(pa.decimal64(18, field.type.scale))
            if pa.types.is_decimal(field.type)
            else field
            for field in schema
        ]
    )


def as_written(cells: Any, kind: pa.DataType) -> Any:
    """Return cells of the engine as they are written; of an instant its fraction is dropped."""
    if cells.type == kind:
        return cells
    numbers = integers_in(one_chunk(cells))
    if pa.types.is_timestamp(kind):
        milliseconds = values_of(numbers) // _SECOND * 1000
        numbers = pa.array(milliseconds)
    return numbers.view(kind)


def parquet_chunks(
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    metadata: Mapping[bytes, bytes] | None = None,
    **options: Any,
) -> Iterator[bytes]:
    """Yield a Parquet file, each group a row group; ``options`` are those of Arrow's writer."""
    sink = _ChunkSink()
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        store_schema=False,  # types as the engine holds them would be read back
        store_decimal_as_integer=True,
        **options,
    ) as writer:
        if metadata is not None:
            writer.add_key_value_metadata(metadata)
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
            yield from sink.taken()
    yield from sink.taken()


class _ChunkSink(io.RawIOBase):
    """A file that is handed on as it is written."""

    def __init__(self) -> None:
        self._size = 0
        self._written: list[bytes] = []

    def writable(self) -> bool:
        """Whether Arrow may write to it."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take some bytes."""
        self._written.append(data)
        self._size += len(data)
        return len(data)

    def taken(self) -> list[bytes]:
        """Return what was written since the last call."""
        written, self._written = self._written, []
        return written

    def tell(self) -> int:
        """Return where it is."""
        return self._size
