"""Refused rows to their entries of ``errors.json``: the first few thousand, in plain Python."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.column_values import FAULTS
from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.text import Ints, change_rows, offsets_and_bytes
from relay_core.domain.cell_rules import explain, strip
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import JUDGED_COLUMNS
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry
from relay_core.ingest.feed import MalformedRecords

_ROWS_AT_ONCE = 256
"""So many rows' cells are Python's own texts at a time."""

COLUMN_COUNT_ADVICE = (
    "quote fields that hold the delimiter, and give each record as many fields as the header"
)
RECORD_ADVICE = "write one object a line, each key once, with texts, numbers, true, false or null"


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows with faults, as far as reports show them."""

    numbers: npt.NDArray[np.int64]  # each record's number
    # One fault code a judged cell, 0 where it holds; a row of codes each row
    codes: npt.NDArray[np.uint8]
    # The feed's columns that are shown, by header, as they stand in the file
    columns: Mapping[str, pa.StringArray]
    # Of each judged column that the feed has, the cells at fault, as they stand in it
    judged: Mapping[str, pa.StringArray]
    skus: pa.StringArray  # canonical ones; empty where there is none
    size: int  # the bytes that their entries have at the least

    @property
    def entries(self) -> int:
        """How many entries there are, one a fault."""
        return int(np.count_nonzero(self.codes))


def row_entries(
    vendor_id: str, rejected: RejectedRows, made_of: Mapping[str, str]
) -> Iterator[ReportEntry]:
    """Yield an entry for each fault; ``made_of`` says in words what some columns are made of."""
    for start in range(0, len(rejected.numbers), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        names = list(rejected.columns)
        records = zip(
            *(text.slice(start, _ROWS_AT_ONCE).to_pylist() for text in rejected.columns.values()),
            strict=True,
        )
        judged = {
            column: text.slice(start, _ROWS_AT_ONCE).to_pylist()
            for column, text in rejected.judged.items()
        }
        rows = zip(
            range(_ROWS_AT_ONCE),
            rejected.numbers[part].tolist(),
            rejected.codes[part].tolist(),
            rejected.skus.slice(start, _ROWS_AT_ONCE).to_pylist(),
            records,
            strict=False,
        )
        for place, number, codes, sku, record in rows:
            row_data = dict(zip(names, record, strict=True))
            for column, code in zip(JUDGED_COLUMNS, codes, strict=True):
                if code:
                    fault = FAULTS[code - 1]
                    cell = judged[column][place] if column in judged else None
                    message = with_source(
                        explain(fault, column, strip(cell or "")), column, made_of
                    )
                    yield ReportEntry(
                        str(fault),
                        message,
                        vendor_id,
                        sku or None,
                        number,
                        column=column,
                        value=cell,
                        row_data=row_data,
                    )


def with_source(message: str, column: str, made_of: Mapping[str, str]) -> str:
    """Return a message about a cell of a column; what that is made of stands behind it."""
    return f"{message} ({column} is {made_of[column]})" if column in made_of else message


def malformed_entries(
    vendor_id: str, wanted: int, malformed: MalformedRecords
) -> Iterator[ReportEntry]:
    """Yield an entry for each record of more or fewer fields than the header's, or of none."""
    numbers = malformed.row_numbers.tolist()
    records = zip(*(column.to_pylist() for column in malformed.cells), strict=True)
    if malformed.widths is None:
        no_record = ReportEntry(
            str(RowFault.INVALID_RECORD),
            "the line is no JSON object, or holds a list or an object where a column is read from; "
            f"{RECORD_ADVICE}",
            vendor_id=vendor_id,
        )
        for number, cells in zip(numbers, records, strict=True):
            yield replace(no_record, row_number=number, value=cells[0])
        return
    for number, width, cells in zip(numbers, malformed.widths.tolist(), records, strict=True):
        yield ReportEntry(
            str(RowFault.COLUMN_COUNT),
            f"the record has {width} fields and the header has {wanted}; {COLUMN_COUNT_ADVICE}",
            vendor_id=vendor_id,
            row_number=number,
            row_data=cells[:width],
        )


def shown_columns(headers: Sequence[str], mapped: Sequence[int], limits: Limits) -> dict[str, int]:
    """Return which columns of a feed a report shows, by header: the mapped ones, then others.

    They stand in the order of the file. A header is cut as a cell is. A repeated one
    gets ``(2)``, ``(3)``, ... behind it.
    """
    others = (place for place in range(len(headers)) if place not in set(mapped))
    first = [*dict.fromkeys(mapped), *others][: limits.row_data_columns]
    most = limits.cell_characters
    names = unique_names([name if len(name) <= most else f"{name[:most]}…" for name in headers])
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


def least_sizes(columns: Iterable[pa.StringArray], rows: int, limits: Limits) -> Ints:
    """Return how many bytes the cells of each row have in an entry, at the least."""
    lengths = (np.diff(offsets_and_bytes(column)[0]) for column in columns)
    most = limits.cell_characters
    return sum((np.minimum(each, most) for each in lengths), np.zeros(rows, np.int64))


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
