"""Entries of ``errors.json`` for rejected rows, made by column as lines of JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RecordNumbers, RowIndex, WholeNumbers
from relay_core.columnar.csv_text import join_fields, whole_text
from relay_core.columnar.json_text import json_texts
from relay_core.columnar.numbers import FAULTS
from relay_core.domain.cell_rules import as_sentence, explain
from relay_core.domain.codes import RowFault
from relay_core.domain.records import as_json
from relay_core.ingest.feed import MalformedRecords
from relay_core.normalize.rejection_causes import (
    COLUMN_COUNT_ADVICE,
    RECORD_ADVICE,
)

Locations: TypeAlias = Mapping[int, Mapping[str, Any]]
"""The line or sheet row of records, by number, as fields of an entry."""
_ROWS_AT_ONCE = 2048  # the number of rows that become lines at a time


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows with faults, with the cells that reports show."""

    numbers: RecordNumbers  # the record number of each row
    # The fault codes: a row a record, a judged column each
    codes: npt.NDArray[np.uint8]
    shown: pa.Table  # the feed's columns that a report shows, by header
    columns: Sequence[str]  # the judged columns, in the order of ``codes``
    # The feed's cells of each judged column
    judged: Mapping[str, pa.StringArray]
    skus: pa.StringArray  # the canonical SKUs; empty if there is none
    least_size: int  # the least number of bytes of the rows' entries

    @property
    def entry_count(self) -> int:
        """The number of entries: one for each fault."""
        return int(np.count_nonzero(self.codes))

    def slice(self, start: int, count: int) -> "RejectedRows":
        """Return at most `count` of the rows."""
        stop = start + count
        return RejectedRows(
            numbers=self.numbers[start:stop],
            codes=self.codes[start:stop],
            shown=self.shown.slice(start, count),
            columns=self.columns,
            judged={
                column: cells.slice(start, count)
                for column, cells in self.judged.items()
            },
            skus=self.skus.slice(start, count),
            least_size=0,
        )


class EntryLines(NamedTuple):
    """Some entries, in the order of their records."""

    numbers: RecordNumbers  # the record number of each entry
    lines: pa.StringArray  # each entry as JSON


def row_lines(
    vendor_id: str,
    rejected: RejectedRows,
    made_of: Mapping[str, str],
    locations: Locations,
    file: str | None = None,
) -> Iterator[EntryLines]:
    """Yield an entry for each fault of some rows, some rows at a time.

    Args:
        vendor_id: The vendor.
        rejected: The rows.
        made_of: The descriptions of columns that are made of several headers, or of
            changed cells.
        locations: The records' lines or sheet rows.
        file: The name of the file, if entries tell it.
    """
    for start in range(0, len(rejected.numbers), _ROWS_AT_ONCE):
        rows = rejected.slice(start, _ROWS_AT_ONCE)
        row_of_entry, column_of_entry = np.nonzero(rows.codes)
        rows_taken = pa.array(row_of_entry)
        problems, cells = _fault_fields(
            vendor_id,
            rows,
            row_of_entry,
            column_of_entry,
            made_of,
        )
        records = join_fields(
            [
                _sku_fields(rows.skus),
                _number_fields(rows.numbers, locations, file),
            ],
            "",
        )
        row_data = _row_data(rows.shown)
        lines = join_fields(
            [
                problems,
                records.take(rows_taken),
                cells,
                row_data.take(rows_taken),
            ],
            "",
        )
        yield EntryLines(rows.numbers[row_of_entry], lines)


def malformed_lines(
    vendor_id: str,
    header_count: int,
    malformed: MalformedRecords,
    locations: Locations,
    file: str | None = None,
) -> Iterator[EntryLines]:
    """Yield an entry for each malformed record, some records at a time.

    Args:
        vendor_id: The vendor.
        header_count: The number of the feed's headers.
        malformed: The records.
        locations: The records' lines or sheet rows.
        file: The name of the file, if entries tell it.
    """
    for start in range(0, len(malformed.row_numbers), _ROWS_AT_ONCE):
        numbers = malformed.row_numbers[start : start + _ROWS_AT_ONCE]
        cells = [
            json_texts(column.slice(start, _ROWS_AT_ONCE))
            for column in malformed.cells
        ]
        number_fields = _number_fields(numbers, locations, file)
        if malformed.widths is None:
            message = (
                "The line is not a JSON object, or it has a list or an object as the value of a "
                f"column. {as_sentence(RECORD_ADVICE)}"
            )
            problem = _problem_fields(
                RowFault.INVALID_RECORD, message, vendor_id
            )
            lines = join_fields(
                [problem, number_fields, ', "value": ', cells[0], "}"], ""
            )
        else:
            widths = malformed.widths[start : start + _ROWS_AT_ONCE]
            problems = _width_fields(vendor_id, header_count, widths)
            row_data = _record_data(cells, widths)
            lines = join_fields([problems, number_fields, row_data], "")
        yield EntryLines(numbers, lines)


def _problem_fields(fault: RowFault, message: str, vendor_id: str) -> str:
    """Return the first fields of an entry, without the brace behind them."""
    fields = {
        "error_code": fault,
        "error_message": message,
        "vendor_id": vendor_id,
    }
    return as_json(fields)[:-1]


def _sku_fields(skus: pa.StringArray) -> pa.StringArray:
    """Return the field of each SKU; an empty text if there is none."""
    fields = join_fields([', "sku": ', json_texts(skus)], "")
    return pc.if_else(pa.array(texts.is_empty(skus)), "", fields)


def _number_fields(
    numbers: RecordNumbers,
    locations: Locations,
    file: str | None,
) -> pa.StringArray:
    """Return the fields of each record's number, location and file."""
    fields: list[pa.StringArray | str] = [
        ', "row_number": ',
        whole_text(numbers),
    ]
    if locations:
        location_fields = []
        for number in numbers.tolist():
            location = as_json(locations.get(number, {}))
            location_fields.append(
                f", {location[1:-1]}" if number in locations else ""
            )
        fields.append(pa.array(location_fields, pa.string()))
    if file is not None:
        fields.append(f', "file": {as_json(file)}')
    return join_fields(fields, "")


def _row_data(shown: pa.Table) -> pa.StringArray:
    """Return the last field of each row's entry: its cells by header."""
    parts: list[pa.StringArray | str] = []
    for header, cells in zip(shown.column_names, shown.columns, strict=True):
        separator = ", " if parts else ', "row_data": {'
        parts.append(f"{separator}{as_json(header)}: ")
        parts.append(json_texts(texts.one_chunk(cells)))
    return join_fields([*parts, "}}"], "")


def _fault_fields(
    vendor_id: str,
    rows: RejectedRows,
    row_of_entry: RowIndex,
    column_of_entry: RowIndex,
    made_of: Mapping[str, str],
) -> tuple[pa.StringArray, pa.StringArray]:
    """Return each entry's fields before those of its record, and those after them.

    Equal cells of a column with the same fault have the same fields.
    """
    codes = rows.codes[row_of_entry, column_of_entry]
    problems: list[str] = []
    cell_fields: list[str] = []
    index_of_entry = np.empty(len(codes), np.int64)
    for column_index in np.unique(column_of_entry).tolist():
        column = rows.columns[column_index]
        entries_of_column = np.flatnonzero(column_of_entry == column_index)
        cells: list[str | None] = [None]
        cell_index = np.zeros(len(entries_of_column), np.int64)
        if column in rows.judged:
            rows_of_column = pa.array(row_of_entry[entries_of_column])
            encoded = rows.judged[column].take(rows_of_column)
            encoded = encoded.dictionary_encode()
            cells = encoded.dictionary.to_pylist()
            cell_index = texts.values_of(encoded.indices)
        kinds, kind_index = np.unique(
            codes[entries_of_column].astype(np.int64) * len(cells) + cell_index,
            return_inverse=True,
        )
        index_of_entry[entries_of_column] = kind_index + len(problems)
        for kind in kinds.tolist():
            code, index = divmod(kind, len(cells))
            fault = FAULTS[code - 1]
            cell = cells[index]
            message = explain(fault, column, (cell or "").strip())
            if column in made_of:
                message = f"{message} The column {column} is {made_of[column]}."
            problems.append(_problem_fields(fault, message, vendor_id))
            fields = {"column": column}
            if cell is not None:
                fields["value"] = cell
            cell_fields.append(f", {as_json(fields)[1:-1]}")
    taken = pa.array(index_of_entry)
    return (
        pa.array(problems, pa.string()).take(taken),
        pa.array(cell_fields, pa.string()).take(taken),
    )


def _width_fields(
    vendor_id: str,
    header_count: int,
    widths: WholeNumbers,
) -> pa.StringArray:
    """Return the first fields of the entry of each record of another width."""
    distinct_widths, width_index = np.unique(widths, return_inverse=True)
    problems = []
    for width in distinct_widths.tolist():
        fields = "1 field" if width == 1 else f"{width} fields"
        message = (
            f"The record has {fields}, but the header has {header_count}. "
            f"{as_sentence(COLUMN_COUNT_ADVICE)}"
        )
        problems.append(
            _problem_fields(RowFault.COLUMN_COUNT, message, vendor_id)
        )
    return pa.array(problems, pa.string()).take(pa.array(width_index))


def _record_data(
    cells: Sequence[pa.StringArray],
    widths: WholeNumbers,
) -> pa.StringArray:
    """Return the last field of each record's entry: the cells that it has.

    Args:
        cells: The first cells of the records as JSON, by column.
        widths: The number of cells of each record.
    """
    counts = np.minimum(widths, len(cells))
    parts = []
    rows_of_parts = []
    for count in np.unique(counts).tolist():
        rows = np.flatnonzero(counts == count)
        rows_taken = pa.array(rows)
        listed = join_fields(
            [column.take(rows_taken) for column in cells[:count]], ", "
        )
        parts.append(join_fields([', "row_data": [', listed, "]}"], ""))
        rows_of_parts.append(rows)
    order = np.argsort(np.concatenate(rows_of_parts))
    return pa.concat_arrays(parts).take(pa.array(order))
