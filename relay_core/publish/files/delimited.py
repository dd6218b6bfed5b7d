"""Files of cells between delimiters: CSV and TSV."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from relay_core.columnar import csv_text
from relay_core.columnar.threads import ordered_map
from relay_core.kernel import csv_lines
from relay_core.publish.files import writer
from relay_core.publish.files.changes import Roles
from relay_core.publish.files.fields import Field
from relay_core.publish.files.records import (
    MAX_BLOCK_BYTES,
    Records,
    bytes_of,
)


def delimited(delimiter: str) -> writer.Writer:
    """Return the writer of files with a delimiter between cells."""
    records = Records(
        header_count=1,
        has_quotes=True,
        table_of=partial(_table_of, delimiter),
        lines_of=partial(_lines_of, delimiter),
    )
    return writer.Writer(
        chunks=partial(_chunks, delimiter),
        changes=records.changes,
        table=partial(_table, delimiter),
    )


def _chunks(
    delimiter: str,
    fields: Sequence[Field],
    rows: pa.Table,
) -> writer.Chunks:
    """Yield the header and the rows; a field is quoted only if it must be."""
    headers = []
    for field in fields:
        header = pa.array([field.header])
        headers.append(csv_text.quoted(header, delimiter))
    yield csv_text.lines(headers, delimiter)

    def lines_of(batch: pa.RecordBatch) -> memoryview:
        columns = [field.column(batch) for field in fields]
        return csv_lines.lines_of(columns, delimiter)

    yield from ordered_map(lines_of, rows.to_batches(writer.SLICE_ROWS))


def _table_of(
    delimiter: str,
    records: pa.LargeBinaryArray,
    roles: Roles,
) -> pa.Table:
    """Return the cells of CSV records as texts."""
    types = dict.fromkeys(roles.headers, pa.string())
    if not len(records):
        return pa.schema(types.items()).empty_table()
    content = bytes_of(records)
    return pa_csv.read_csv(
        pa.BufferReader(content),
        pa_csv.ReadOptions(
            column_names=list(roles.headers),
            block_size=min(len(content) + 1, MAX_BLOCK_BYTES),
        ),
        pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pa_csv.ConvertOptions(column_types=types, null_values=[]),
    )


def _lines_of(
    delimiter: str,
    rows: pa.Table,
    _: Roles,
) -> memoryview:
    """Return rows as CSV records."""
    (batch,) = rows.to_batches()
    columns = [csv_text.quoted(cells, delimiter) for cells in batch.columns]
    return csv_text.lines(columns, delimiter)


def _table(delimiter: str, path: Path) -> pa.Table:
    """Return the cells of a file as texts, under its own headers."""
    parsing = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with path.open("rb") as file:
        names = pa_csv.open_csv(file, parse_options=parsing).schema.names
    types = dict.fromkeys(names, pa.string())
    conversion = pa_csv.ConvertOptions(column_types=types)
    return pa_csv.read_csv(
        path,
        parse_options=parsing,
        convert_options=conversion,
    )
