"""The rows that changed between two published files of the feed, or of a channel.

A file of changes has the rows of the newer file that the older one lacks, and then the
SKUs that are gone, at a quantity of 0. It is a file like the newer one: the same
header, format, and compression.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from relay_core.columnar import csv_text
from relay_core.columnar.json_text import json_texts
from relay_core.columnar.text import flags_of
from relay_core.config.models import FileConfig
from relay_core.domain.columns import BY_NAME, Kind
from relay_core.publish import feed, parquet_file
from relay_core.publish.channels import gzip_chunks

Content: TypeAlias = bytes | memoryview
_LINE_END = ord("\n")
_QUOTE = ord('"')
_MAX_BLOCK_BYTES = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """The rows of a file of changes, and the file piece by piece."""

    count: int
    chunks: Iterator[Content]


def changed_rows(
    older: Content,
    newer: Content,
    older_file: FileConfig,
    newer_file: FileConfig,
) -> ChangedRows | None:
    """Return the changes between two published files, or None where there are none.

    There are none if the files have no SKUs, or another header, format, or compression.

    Args:
        older: The bytes of the older file.
        newer: The bytes of the newer file.
        older_file: The format and the columns of the older file.
        newer_file: The format and the columns of the newer file.
    """
    headers = feed.headers_of(newer_file)
    is_same_kind = older_file.suffix == newer_file.suffix
    if not is_same_kind or feed.headers_of(older_file) != headers:
        return None
    roles = _Roles.of(newer_file, headers)
    older_roles = _Roles.of(older_file, headers)
    if roles.sku is None or roles.sku != older_roles.sku:
        return None
    is_packed = newer_file.suffix.endswith(".gz")
    if is_packed:
        older = gzip.decompress(older)
        newer = gzip.decompress(newer)
    if newer_file.format == "parquet":
        changes = _changed_values(older, newer, roles)
    else:
        changes = _changed_records(older, newer, roles, newer_file.format)
    if changes is not None and is_packed:
        return ChangedRows(changes.count, gzip_chunks(changes.chunks))
    return changes


@dataclass(frozen=True, slots=True)
class _Roles:
    """The headers of a file, and those of the columns that matter for changes."""

    headers: Sequence[str]
    sku: str | None  # the header of the SKU; None if the file has none
    quantities: frozenset[str]  # the headers of quantities
    availabilities: frozenset[str]  # the headers of availabilities
    whole_numbers: frozenset[str]  # the headers of whole numbers

    @classmethod
    def of(cls, file: FileConfig, headers: Sequence[str]) -> "_Roles":
        header_of_column: dict[str | None, list[str]] = {}
        whole_numbers = []
        for header, column in zip(headers, file.columns, strict=True):
            header_of_column.setdefault(column.column, []).append(header)
            canonical = BY_NAME.get(str(column.column))
            if canonical is not None and canonical.kind is Kind.WHOLE:
                whole_numbers.append(header)
        (sku, *_) = header_of_column.get("sku", [None])
        return cls(
            headers=headers,
            sku=sku,
            quantities=frozenset(
                header_of_column.get("quantity_available", ()),
            ),
            availabilities=frozenset(header_of_column.get("availability", ())),
            whole_numbers=frozenset(whole_numbers),
        )

    @property
    def tells_gone_skus(self) -> bool:
        """Return whether a row can say that its SKU is gone."""
        return bool(self.quantities or self.availabilities)

    def as_gone(self, rows: pa.Table) -> pa.Table:
        """Return rows with a quantity of 0, and out of stock."""
        for index, header in enumerate(rows.column_names):
            column = rows.schema.field(index)
            value = None
            if header in self.quantities:
                value = pa.scalar("0").cast(column.type)
            elif header in self.availabilities:
                value = pa.scalar(feed.OUT_OF_STOCK, column.type)
            if value is not None:
                cells = pa.repeat(value, len(rows))
                rows = rows.set_column(index, column, cells)
        return rows


def _not_in(values: pa.Array, others: pa.Array) -> pa.BooleanArray:
    """Return the mask of values that are not among the others."""
    return pc.invert(pc.is_in(values, value_set=others))


# --- formats of lines -----------------------------------------------------------------


def _changed_records(
    older: Content,
    newer: Content,
    roles: _Roles,
    file_format: str,
) -> ChangedRows:
    """Return the changes of a file of lines, whose records are compared by bytes."""
    header_count = 0 if file_format == "jsonl" else 1
    has_quotes = file_format != "jsonl"
    newer_records = _records(newer, has_quotes=has_quotes)
    header = newer_records[:header_count]
    newer_records = newer_records[header_count:]
    older_records = _records(older, has_quotes=has_quotes)[header_count:]
    added = newer_records.filter(_not_in(newer_records, older_records))
    dropped = older_records.filter(_not_in(older_records, newer_records))
    table_of = _TABLES[file_format]
    lines: Content = b""
    gone_count = 0
    if roles.tells_gone_skus and len(dropped):
        added_skus = table_of(added, roles)[roles.sku].combine_chunks()
        dropped_rows = table_of(dropped, roles)
        is_gone = _not_in(dropped_rows[roles.sku], added_skus)
        gone = roles.as_gone(dropped_rows.filter(is_gone)).combine_chunks()
        gone_count = len(gone)
        if gone_count:
            lines = _WRITERS[file_format](gone, roles)
    chunks = iter((_bytes_of(header), _bytes_of(added), lines))
    return ChangedRows(len(added) + gone_count, chunks)


def _records(content: Content, *, has_quotes: bool) -> pa.LargeBinaryArray:
    """Return the records of a file with their line ends; none of them is copied.

    A line end in quotes is part of a record.
    """
    data = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(data == _LINE_END) + 1
    if has_quotes:
        quotes = np.flatnonzero(data == _QUOTE)
        if len(quotes):
            quotes_before = np.searchsorted(quotes, ends)
            ends = ends[quotes_before % 2 == 0]
    bounds = np.zeros(len(ends) + 1, np.int64)
    bounds[1:] = ends
    return pa.Array.from_buffers(
        pa.large_binary(),
        len(ends),
        [None, pa.py_buffer(bounds), pa.py_buffer(content)],
    )


def _bytes_of(records: pa.LargeBinaryArray) -> memoryview:
    """Return the bytes of records, one after another."""
    _, offsets, data = records.buffers()
    bounds = np.frombuffer(offsets, np.int64)
    first = bounds[records.offset]
    last = bounds[records.offset + len(records)]
    return memoryview(data if data is not None else b"")[first:last]


def _delimited_table(
    delimiter: str,
    records: pa.LargeBinaryArray,
    roles: _Roles,
) -> pa.Table:
    """Return the cells of CSV records as texts."""
    types = dict.fromkeys(roles.headers, pa.string())
    if not len(records):
        return pa.schema(types.items()).empty_table()
    content = _bytes_of(records)
    return pa_csv.read_csv(
        pa.BufferReader(content),
        pa_csv.ReadOptions(
            column_names=list(roles.headers),
            block_size=min(len(content) + 1, _MAX_BLOCK_BYTES),
        ),
        pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pa_csv.ConvertOptions(column_types=types, null_values=[]),
    )


def _delimited_lines(
    delimiter: str,
    rows: pa.Table,
    _: _Roles,
) -> memoryview:
    """Return rows as CSV records."""
    (batch,) = rows.to_batches()
    columns = [csv_text.quoted(cells, delimiter) for cells in batch.columns]
    return csv_text.lines(columns, delimiter)


def _json_table(records: pa.LargeBinaryArray, roles: _Roles) -> pa.Table:
    """Return the values of JSON lines: whole numbers, and texts for all others."""
    types = {
        header: pa.int64() if header in roles.whole_numbers else pa.string()
        for header in roles.headers
    }
    schema = pa.schema(types.items())
    if not len(records):
        return schema.empty_table()
    content = _bytes_of(records)
    return pa_json.read_json(
        pa.BufferReader(content),
        pa_json.ReadOptions(
            use_threads=False,
            block_size=min(len(content) + 1, _MAX_BLOCK_BYTES),
        ),
        pa_json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="error",
        ),
    )


def _json_lines(rows: pa.Table, roles: _Roles) -> memoryview:
    """Return rows as JSON lines."""
    (batch,) = rows.to_batches()
    texts = []
    for header, cells in zip(roles.headers, batch.columns, strict=True):
        filled = cells.cast(pa.string()).fill_null("")
        is_number = header in roles.whole_numbers
        texts.append(filled if is_number else json_texts(filled))
    nulls = [cells.is_null() for cells in batch.columns]
    return feed.json_lines(roles.headers, texts, nulls)


_TABLES: dict[str, Callable[[pa.LargeBinaryArray, _Roles], pa.Table]] = {
    "csv": partial(_delimited_table, ","),
    "tsv": partial(_delimited_table, "\t"),
    "jsonl": _json_table,
}
_WRITERS: dict[str, Callable[[pa.Table, _Roles], memoryview]] = {
    "csv": partial(_delimited_lines, ","),
    "tsv": partial(_delimited_lines, "\t"),
    "jsonl": _json_lines,
}


# --- Parquet --------------------------------------------------------------------------


def _changed_values(
    older: Content,
    newer: Content,
    roles: _Roles,
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
        gone = older_rows.filter(_not_in(older_skus, newer_skus))
        changed = pa.concat_tables([changed, roles.as_gone(gone)])
    schema = parquet_file.stored_schema(changed.schema)
    stored = changed.cast(schema)
    groups = (
        stored.slice(start, feed.GROUP_ROWS)
        for start in range(0, len(stored), feed.GROUP_ROWS)
    )
    chunks = parquet_file.parquet_chunks(schema, groups, compression="zstd")
    return ChangedRows(len(changed), chunks)
