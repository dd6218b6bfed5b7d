"""Refused rows to their entries of ``errors.json``, by columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.column_values import FAULTS
from relay_core.columnar.csv_text import join_fields, whole_text
from relay_core.columnar.json_lines import ReportEntries, as_json, joined_parts, json_texts
from relay_core.columnar.text import change_rows, fill, is_empty, offsets_and_bytes
from relay_core.domain.cell_rules import explain, strip
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import JUDGED_COLUMNS
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry
from relay_core.ingest.feed import Misfits

_BYTES_AT_ONCE = 4 << 20
"""About how many bytes of entries are written at a time."""


MISFIT_ADVICE = (
    "quote fields that hold the delimiter, and give each record as many fields as the header"
)


RECORD_ADVICE = "write one object a line, each key once, with texts, numbers, true, false or null"


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """Rows with faults, as far as they are told of.

    Attributes:
        numbers: each record's number.
        codes: one fault code a judged cell, 0 where it holds; a row of codes each row.
        columns: the feed's columns that are shown, by header, as they stand in the file.
        judged: which of them each judged column is read from.
        skus: canonical ones; empty where there is none.
    """

    numbers: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint8]
    columns: Mapping[str, pa.StringArray]
    judged: Mapping[str, str]
    skus: pa.StringArray

    @property
    def entries(self) -> int:
        """How many entries there are, one a fault."""
        return int(np.count_nonzero(self.codes))

    def slice(self, start: int, stop: int) -> RefusedRows:
        """Return some of the rows."""
        columns = {name: text.slice(start, stop - start) for name, text in self.columns.items()}
        skus = self.skus.slice(start, stop - start)
        part = slice(start, stop)
        return RefusedRows(self.numbers[part], self.codes[part], columns, self.judged, skus)

    def parts(self) -> Iterator[RefusedRows]:
        """Yield the rows, as many at a time as make some bytes of entries."""
        cells = sum(text.nbytes for text in self.columns.values())
        step = max(1, _BYTES_AT_ONCE * len(self.numbers) // max(1, cells * len(JUDGED_COLUMNS)))
        for start in range(0, len(self.numbers), step):
            yield self.slice(start, start + step)


def row_entries(vendor_id: str, refused: RefusedRows) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Return the lines of entries, one a fault, by row and column, and each one's record number.

    What is told of a cell is written once for all cells of a column with the same text and fault.
    """
    rows, judged = np.nonzero(refused.codes)
    faults = refused.codes[rows, judged]
    found = _cells_at(refused, rows, judged).dictionary_encode(null_encoding="encode")
    kinds = found.indices.to_numpy().astype(np.int64) * len(JUDGED_COLUMNS) + judged
    kinds = kinds * (len(FAULTS) + 1) + faults
    _, firsts, back = np.unique(kinds, return_index=True, return_inverse=True)
    described = [
        _describe(vendor_id, JUDGED_COLUMNS[column], cell, FAULTS[fault - 1])
        for column, cell, fault in zip(
            judged[firsts].tolist(),
            found.take(pa.array(firsts)).to_pylist(),
            faults[firsts].tolist(),
            strict=True,
        )
    ]
    why, which = (pa.array(part).take(pa.array(back)) for part in zip(*described, strict=True))
    places = pa.array(rows)
    where, data = _sku_and_row(refused).take(places), _row_data(refused).take(places)
    return refused.numbers[rows], joined_parts(why, where, which, data, "}")


def misfit_entries(vendor_id: str, wanted: int, misfits: Misfits) -> ReportEntries:
    """Return an entry for each record of more or fewer fields than the header's, or of none."""
    numbers = misfits.row_numbers.tolist()
    records = zip(*(column.to_pylist() for column in misfits.cells), strict=True)
    if misfits.widths is None:
        no_record = ReportEntry(
            str(RowFault.INVALID_RECORD),
            "the line is no JSON object, or holds a list or an object where a column is read from; "
            f"{RECORD_ADVICE}",
            vendor_id=vendor_id,
        )
        return ReportEntries.of(
            replace(no_record, row_number=number, value=cells[0])
            for number, cells in zip(numbers, records, strict=True)
        )
    return ReportEntries.of(
        ReportEntry(
            str(RowFault.COLUMN_COUNT),
            f"the record has {width} fields and the header has {wanted}; {MISFIT_ADVICE}",
            vendor_id=vendor_id,
            row_number=number,
            row_data=cells[:width],
        )
        for number, width, cells in zip(numbers, misfits.widths.tolist(), records, strict=True)
    )


def shown_columns(headers: Sequence[str], mapped: Sequence[int], limits: Limits) -> dict[str, int]:
    """Return which columns of a feed a report shows, by header: the mapped ones, then others.

    They stand in the order of the file. A repeated header gets ``(2)``, ``(3)``, ... behind it.
    """
    others = (place for place in range(len(headers)) if place not in set(mapped))
    first = [*dict.fromkeys(mapped), *others][: limits.row_data_columns]
    names = unique_names(headers)
    return {names[place]: place for place in sorted(first)}


def unique_names(headers: Sequence[str]) -> list[str]:
    """Return the headers as keys: a repeated one gets ``(2)``, ``(3)``, ... behind it."""
    given, taken = set(headers), set[str]()
    counts: dict[str, int] = {}
    names = []
    for header in headers:
        name = header
        while name in taken or (name != header and name in given):
            counts[header] = counts.get(header, 1) + 1
            name = f"{header} ({counts[header]})"
        taken.add(name)
        names.append(name)
    return names


def cut_texts(text: pa.StringArray, limit: int) -> pa.StringArray:
    """Return texts of at most so many characters; what is cut ends in ``…``."""
    bounds, _ = offsets_and_bytes(text)
    long = np.flatnonzero(np.diff(bounds) > limit)
    if not len(long):
        return text
    lengths = pc.utf8_length(text.take(pa.array(long))).to_numpy()

    def cut(some: pa.StringArray) -> pa.StringArray:
        return join_fields([pc.utf8_slice_codeunits(some, 0, limit), "…"], "")

    return change_rows(text, long[lengths > limit], cut)


def _cells_at(
    refused: RefusedRows, rows: npt.NDArray[np.intp], judged: npt.NDArray[np.intp]
) -> pa.StringArray:
    """Return the cells of these rows in these judged columns; null where the feed has none."""
    size = len(refused.numbers)
    absent = pa.nulls(size, pa.large_string())
    headers = (refused.judged.get(column) for column in JUDGED_COLUMNS)
    all_cells = [
        absent if header is None else refused.columns[header].cast(pa.large_string())
        for header in headers
    ]
    return pa.concat_arrays(all_cells).take(pa.array(judged * size + rows))


def _describe(vendor_id: str, column: str, cell: str | None, fault: RowFault) -> tuple[str, str]:
    """Return a line's begin, up to the vendor, and its middle: the column and the cell."""
    message = explain(fault, column, strip(cell or ""))
    begin = {"error_code": str(fault), "error_message": message, "vendor_id": vendor_id}
    middle = {"column": column} | ({} if cell is None else {"value": cell})
    return as_json(begin)[:-1], f', {as_json(middle)[1:-1]}, "row_data": '


def _sku_and_row(refused: RefusedRows) -> pa.StringArray:
    """Return the part of a line between vendor and column: the SKU, if any, and the row."""
    skus = joined_parts(', "sku": ', json_texts(refused.skus))
    skus = fill(skus, is_empty(refused.skus), "")
    return joined_parts(skus, ', "row_number": ', whole_text(refused.numbers))


def _row_data(refused: RefusedRows) -> pa.StringArray:
    """Return each record as an object of header and cell."""
    members = [
        joined_parts(f"{as_json(name)}: ", json_texts(text))
        for name, text in refused.columns.items()
    ]
    return joined_parts("{", joined_parts(*members, separator=", "), "}")
