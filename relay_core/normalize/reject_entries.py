"""Refused rows to their entries of ``errors.json``, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.columns import FAULTS, fill, is_empty
from relay_core.columnar.csv_text import whole_text
from relay_core.columnar.json_lines import ReportEntries, as_json, joined_parts, json_texts
from relay_core.domain import cell_rules as cells
from relay_core.domain.errors import CellError
from relay_core.domain.models import RowFault
from relay_core.normalize.row_reader import JUDGED_COLUMNS, RowReader


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """Rows with faults.

    Attributes:
        numbers: each record's number.
        codes: one fault code a judged cell, 0 where it holds; a row of codes each row.
        columns: the feed's columns as they stand in the file.
        skus: canonical ones; empty where there is none.
    """

    numbers: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint8]
    columns: Sequence[pa.StringArray]
    skus: pa.StringArray

    @property
    def nbytes(self) -> int:
        """How many bytes the cells have, about."""
        return sum(column.nbytes for column in self.columns)

    def large(self) -> RefusedRows:
        """Return the rows with texts of ``pa.large_string``, which have no limit together."""
        *columns, skus = (text.cast(pa.large_string()) for text in (*self.columns, self.skus))
        return RefusedRows(self.numbers, self.codes, columns, skus)

    def head(self, rows: int) -> RefusedRows:
        """Return the first rows."""
        columns = [column.slice(0, rows) for column in self.columns]
        return RefusedRows(
            self.numbers[:rows], self.codes[:rows], columns, self.skus.slice(0, rows)
        )


def joined_rows(parts: Sequence[RefusedRows]) -> RefusedRows:
    """Return the rows of all parts, of which there is one at least, one after another."""
    *columns, skus = map(
        pa.concat_arrays, zip(*([*part.columns, part.skus] for part in parts), strict=True)
    )
    return RefusedRows(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.codes for part in parts]),
        columns,
        skus,
    )


def row_entries(
    vendor_id: str, headers: Sequence[str], reader: RowReader, refused: RefusedRows
) -> tuple[npt.NDArray[np.int64], ReportEntries]:
    """Return the entries, one a fault, by row and then by column, and each one's record number.

    What is told of a cell is written once for all cells of a column with the same text, and so
    with the same fault.
    """
    rows, judged = np.nonzero(refused.codes)
    faults = refused.codes[rows, judged]
    found = _cells_at(refused, rows, judged, reader).dictionary_encode(null_encoding="encode")
    kinds = found.indices.to_numpy() * len(JUDGED_COLUMNS) + judged
    _, firsts, back = np.unique(kinds, return_index=True, return_inverse=True)
    told = [
        _told(vendor_id, reader, JUDGED_COLUMNS[column], cell, FAULTS[fault - 1])
        for column, cell, fault in zip(
            judged[firsts].tolist(),
            found.take(pa.array(firsts)).to_pylist(),
            faults[firsts].tolist(),
            strict=True,
        )
    ]
    why, which = (pa.array(part).take(pa.array(back)) for part in zip(*told, strict=True))
    places = pa.array(rows)
    where, data = _places(refused).take(places), _data(headers, refused).take(places)
    lines = joined_parts(why, where, which, data, "}")
    return refused.numbers[rows], ReportEntries(lines)


def unique_names(headers: Sequence[str]) -> list[str]:
    """Return the headers as keys: a repeated one gets ``(2)``, ``(3)``, ... behind it."""
    taken: set[str] = set()
    names = []
    for header in headers:
        others = (f"{header} ({count})" for count in range(2, len(headers) + 2))
        free = (name for name in others if name not in taken and name not in headers)
        name = next(free) if header in taken else header
        taken.add(name)
        names.append(name)
    return names


def _cells_at(
    refused: RefusedRows,
    rows: npt.NDArray[np.intp],
    judged: npt.NDArray[np.intp],
    reader: RowReader,
) -> pa.StringArray:
    """Return the cells of these rows in these judged columns; null where the feed has none."""
    places = [reader.positions.get(column) for column in JUDGED_COLUMNS]
    size = len(refused.numbers)
    absent = pa.nulls(size, refused.skus.type)
    all_cells = [absent if place is None else refused.columns[place] for place in places]
    return pa.concat_arrays(all_cells).take(pa.array(judged * size + rows))


def _told(
    vendor_id: str, reader: RowReader, column: str, cell: str | None, fault: RowFault
) -> tuple[str, str]:
    """Return a line's begin, up to the vendor, and its middle: the column and the cell."""
    message = _explain(reader, column, cell, fault)
    begin = {"error_code": str(fault), "error_message": message, "vendor_id": vendor_id}
    middle = {"column": column} | ({} if cell is None else {"value": cell})
    return as_json(begin)[:-1], f', {as_json(middle)[1:-1]}, "row_data": '


def _explain(reader: RowReader, column: str, cell: str | None, fault: RowFault) -> str:
    try:
        cells.read_cell(column, cells.strip(cell or ""), reader.parser, reader.zone)
    except CellError as error:
        if error.error_code == fault:
            return str(error)
    return f"{column} is {fault.replace('_', ' ')}; give each row of the feed a value"


def _places(refused: RefusedRows) -> pa.StringArray:
    """Return the part of a line between vendor and column: the SKU, if any, and the row."""
    skus = joined_parts(', "sku": ', json_texts(refused.skus))
    skus = fill(skus, is_empty(refused.skus), "")
    return joined_parts(skus, ', "row_number": ', whole_text(refused.numbers))


def _data(headers: Sequence[str], refused: RefusedRows) -> pa.StringArray:
    """Return each record as an object of header and cell."""
    names = [f"{as_json(name)}: " for name in unique_names(headers)]
    members = [
        joined_parts(name, json_texts(column))
        for name, column in zip(names, refused.columns, strict=True)
    ]
    return joined_parts("{", joined_parts(*members, separator=", "), "}")
