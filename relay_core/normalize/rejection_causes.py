"""Rejected rows in reports: causes, which count what looks alike, and entries of ``errors.json``.

Counts are of every rejected cell. A cause is shown by its first cells that differ. Entries are of
the first few thousand rows, in plain Python.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as text_columns
from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.numbers import FAULTS
from relay_core.domain.cell_rules import advise, explain
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import JUDGED_COLUMNS
from relay_core.domain.limits import Limits
from relay_core.domain.records import Cause, CauseSample, ReportEntry
from relay_core.ingest.feed import MalformedRecords

Places: TypeAlias = Mapping[int, Mapping[str, Any]]
"""By a record's number where it stands in the file, named as `RecordPlaces.name` says."""
SAMPLES = 3
_SHAPE_CHARACTERS = 60  # so much of a cell makes its shape
_FAULT_KINDS = len(FAULTS) + 1
_ROWS_AT_ONCE = 256  # so many rows' cells are Python's own texts at a time

COLUMN_COUNT_ADVICE = (
    "quote fields that hold the delimiter, "
    "and give each record as many fields as the header"
)
RECORD_ADVICE = (
    "write one object a line, each key once, with texts, numbers, true, false or null"
)


@dataclass(slots=True)
class CauseLog:
    """Counts one vendor's rejected cells by column, fault and shape, batch by batch, in order."""

    vendor_id: str
    limits: Limits  # of the shapes of a column that are told apart; others are counted together
    made_of: Mapping[str, str] = field(
        default_factory=dict
    )  # columns of several headers, in words
    _columns: "dict[str, _ColumnCauses]" = field(default_factory=dict)
    _widths: Counter[int | None] = field(
        default_factory=Counter
    )  # None: no records at all
    _samples: defaultdict[int | None, list[CauseSample]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(
        self,
        numbers: npt.NDArray[np.int64],
        codes: npt.NDArray[np.uint8],
        cells: Mapping[str, pa.StringArray],
    ) -> None:
        """Take rejected rows, each with its fault codes: one a judged cell, 0 where it holds."""
        for place, name in enumerate(JUDGED_COLUMNS):
            rows = np.flatnonzero(codes[:, place])
            if len(rows) and name in cells:
                column = self._columns.setdefault(name, _ColumnCauses(self.limits))
                column.add(
                    numbers[rows], codes[rows, place], cells[name].take(pa.array(rows))
                )

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records of other widths than the header's, or what is no record at all."""
        widths, alike = malformed.widths, [np.arange(len(malformed.row_numbers))]
        if widths is not None:
            order = np.argsort(widths, kind="stable")
            alike = np.split(order, np.flatnonzero(np.diff(widths[order])) + 1)
        for records in sorted(alike, key=lambda each: int(each[0])):
            width = None if widths is None else int(widths[records[0]])
            self._widths[width] += len(records)
            shown = records[: SAMPLES - len(self._samples[width])]
            if len(shown):
                raw = cut_texts(
                    malformed.raw.take(pa.array(shown)), self.limits.cell_characters
                )
                numbers = malformed.row_numbers[shown].tolist()
                self._samples[width] += map(CauseSample, numbers, raw.to_pylist())

    def causes(self) -> Iterator[Cause]:
        """Yield the causes: by column, shape and fault, then by width."""
        for name in filter(self._columns.__contains__, JUDGED_COLUMNS):
            column = self._columns[name]
            for place in np.flatnonzero(column.counts).tolist():
                kind, code = divmod(place, _FAULT_KINDS)
                # No shape is that of cells whose shapes came last.
                known = column.shapes[kind] if kind < len(column.shapes) else None
                fault, samples = FAULTS[code - 1], tuple(column.samples[place])
                advice = advise(fault, name, samples[0].value.strip())
                advice = with_source(advice, name, self.made_of)
                about = (
                    str(fault),
                    self.vendor_id,
                    name,
                    known,
                    int(column.counts[place]),
                )
                yield Cause(*about, samples, what_to_do=advice)
        for width, count in self._widths.items():
            fault, advice = RowFault.COLUMN_COUNT, COLUMN_COUNT_ADVICE
            shape = (
                None
                if width is None
                else "1 field"
                if width == 1
                else f"{width} fields"
            )
            if width is None:
                fault, advice = RowFault.INVALID_RECORD, RECORD_ADVICE
            samples = tuple(self._samples[width])
            yield Cause(
                str(fault),
                self.vendor_id,
                None,
                shape,
                count,
                samples,
                what_to_do=advice,
            )


@dataclass(slots=True)
class _ColumnCauses:
    """The rejected cells of one column; a group's place is its shape's, then its fault's."""

    limits: Limits
    shapes: list[str] = field(default_factory=list)
    counts: npt.NDArray[np.int64] = field(init=False)
    samples: list[list[CauseSample]] = field(init=False)

    def __post_init__(self) -> None:
        places = (self.limits.report_causes + 1) * _FAULT_KINDS
        self.counts = np.zeros(places, np.int64)
        self.samples = [[] for _ in range(places)]

    def add(
        self,
        numbers: npt.NDArray[np.int64],
        faults: npt.NDArray[np.uint8],
        cells: pa.StringArray,
    ) -> None:
        """Take cells, each with its fault."""
        cells = cut_texts(cells, self.limits.cell_characters)
        shapes = text_columns.shapes_of(
            cut_texts(text_columns.trim(cells), _SHAPE_CHARACTERS)
        )
        # Which shape each is, of those that are told apart; the last for all others.
        limit = self.limits.report_causes
        found = pc.index_in(shapes, value_set=pa.array(self.shapes, shapes.type))
        if found.null_count and len(self.shapes) < limit:
            fresh = pc.unique(shapes.filter(found.is_null()))
            self.shapes += fresh[: limit - len(self.shapes)].to_pylist()
            found = pc.index_in(shapes, value_set=pa.array(self.shapes, shapes.type))
        known = np.asarray(text_columns.values_of(found.fill_null(limit)), np.int64)
        places = known * _FAULT_KINDS + faults
        self.counts += np.bincount(places, minlength=len(self.counts))
        # The first cells of groups that lack some, each text once.
        lacking = np.array([len(each) < SAMPLES for each in self.samples])
        rows = np.flatnonzero(lacking[places])
        texts = cells.take(pa.array(rows)).dictionary_encode()
        kinds = places[rows] * len(texts.dictionary) + text_columns.values_of(
            texts.indices
        )
        firsts = rows[np.sort(np.unique(kinds, return_index=True)[1])]
        for row, place in zip(firsts.tolist(), places[firsts].tolist(), strict=True):
            samples = self.samples[place]
            if len(samples) < SAMPLES:
                value = cells[row].as_py()
                if all(value != each.value for each in samples):
                    samples.append(CauseSample(int(numbers[row]), value))


# --- entries of errors.json ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows with faults, as far as reports show them."""

    numbers: npt.NDArray[np.int64]  # each record's number
    codes: npt.NDArray[np.uint8]  # of each row, one a judged cell, 0 where it holds
    columns: pa.Table  # the feed's that are shown, by header, as they stand in the file
    judged: Mapping[
        str, pa.StringArray
    ]  # the cells at fault of each judged column of the feed
    skus: pa.StringArray  # canonical ones; empty where there is none
    size: int  # the bytes that their entries have at the least

    @property
    def entries(self) -> int:
        """How many entries there are, one a fault."""
        return int(np.count_nonzero(self.codes))


def row_entries(
    vendor_id: str, rejected: RejectedRows, made_of: Mapping[str, str], places: Places
) -> Iterator[ReportEntry]:
    """Yield an entry for each fault; ``made_of`` says in words what some columns are made of."""
    for start in range(0, len(rejected.numbers), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        judged = {
            column: text.slice(start, _ROWS_AT_ONCE).to_pylist()
            for column, text in rejected.judged.items()
        }
        rows = zip(
            range(_ROWS_AT_ONCE),
            rejected.numbers[part].tolist(),
            rejected.codes[part].tolist(),
            rejected.skus.slice(start, _ROWS_AT_ONCE).to_pylist(),
            rejected.columns.slice(start, _ROWS_AT_ONCE).to_pylist(),
            strict=False,
        )
        for place, number, codes, sku, row_data in rows:
            where = places.get(number, {})
            for column, code in zip(JUDGED_COLUMNS, codes, strict=True):
                if code:
                    fault = FAULTS[code - 1]
                    cell = judged[column][place] if column in judged else None
                    message = with_source(
                        explain(fault, column, (cell or "").strip()), column, made_of
                    )
                    about = str(fault), message, vendor_id, sku or None, number
                    yield ReportEntry(
                        *about, column=column, value=cell, row_data=row_data, **where
                    )


def with_source(message: str, column: str, made_of: Mapping[str, str]) -> str:
    """Return a message about a cell of a column; what that is made of stands behind it."""
    return (
        f"{message} ({column} is {made_of[column]})" if column in made_of else message
    )


def malformed_entries(
    vendor_id: str, wanted: int, malformed: MalformedRecords, places: Places
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
            place = places.get(number, {})
            yield replace(no_record, row_number=number, value=cells[0], **place)
        return
    for number, width, cells in zip(
        numbers, malformed.widths.tolist(), records, strict=True
    ):
        yield ReportEntry(
            str(RowFault.COLUMN_COUNT),
            f"the record has {width} fields and the header has {wanted}; {COLUMN_COUNT_ADVICE}",
            vendor_id=vendor_id,
            row_number=number,
            row_data=cells[:width],
            **places.get(number, {}),
        )


def shown_columns(
    headers: Sequence[str], mapped: Sequence[int], limits: Limits
) -> dict[str, int]:
    """Return which columns of a feed a report shows, by header: the mapped ones, then others.

    They stand in the order of the file. A header is cut as a cell is, and made unique.
    """
    others = (place for place in range(len(headers)) if place not in set(mapped))
    first = [*dict.fromkeys(mapped), *others][: limits.row_data_columns]
    most = limits.cell_characters
    names = unique_names(
        [name if len(name) <= most else f"{name[:most]}…" for name in headers]
    )
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


def least_sizes(
    columns: Iterable[pa.StringArray], rows: int, limits: Limits
) -> text_columns.Ints:
    """Return how many bytes the cells of each row have in an entry, at the least."""
    lengths = (np.diff(text_columns.offsets_and_bytes(column)[0]) for column in columns)
    most = limits.cell_characters
    return sum((np.minimum(each, most) for each in lengths), np.zeros(rows, np.int64))


def cut_texts(text: pa.StringArray, limit: int) -> pa.StringArray:
    """Return texts of at most so many characters; what is cut ends in ``…``."""
    bounds, _ = text_columns.offsets_and_bytes(text)
    long = np.flatnonzero(np.diff(bounds) > limit)
    if not len(long):
        return text
    lengths = pc.utf8_length(text.take(pa.array(long))).to_numpy()

    def cut(some: pa.StringArray) -> pa.StringArray:
        return join_fields([pc.utf8_slice_codeunits(some, 0, limit), "…"], "")

    return text_columns.change_rows(text, long[lengths > limit], cut)
