"""The causes of rejected rows in reports: cells that look alike, counted together.

All rejected cells are counted. A cause shows its first cells that differ.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.numbers import FAULTS
from relay_core.domain.cell_rules import advise
from relay_core.domain.codes import RowFault
from relay_core.domain.limits import Limits
from relay_core.domain.records import Cause, CauseSample
from relay_core.ingest.feed import MalformedRecords

COLUMN_COUNT_ADVICE = (
    "give every record as many fields as the header, and quote fields that contain the "
    "delimiter"
)
RECORD_ADVICE = (
    "write one JSON object per line, with each key once and only text, numbers, true, "
    "false, or null as values"
)
_MAX_SAMPLES = 3  # the maximum number of samples of a cause
_SHAPE_CHARACTERS = 60  # the number of a cell's characters that make its shape
_FAULT_KINDS = len(FAULTS) + 1


@dataclass(frozen=True, slots=True)
class RejectedBatch:
    """The rejected rows of one batch."""

    numbers: arrays.RecordNumbers  # the record number of each row
    # The fault codes: a row a record, a judged column each
    codes: npt.NDArray[np.uint8]
    columns: Sequence[pa.StringArray]  # the feed's columns, verbatim
    # The feed's cells of each judged column
    judged: Mapping[str, pa.StringArray]
    skus: pa.StringArray  # the canonical SKUs; empty if there is none

    def where(self, mask: arrays.RowMask) -> "RejectedBatch":
        """Return the rows of the mask."""
        if mask.all():
            return self
        arrow_mask = pa.array(mask)
        return RejectedBatch(
            self.numbers[mask],
            self.codes[mask],
            [column.filter(arrow_mask) for column in self.columns],
            {
                name: cells.filter(arrow_mask)
                for name, cells in self.judged.items()
            },
            self.skus.filter(arrow_mask),
        )


@dataclass(slots=True)
class CauseLog:
    """Counts one vendor's rejected cells by column, fault and shape, batch by batch."""

    vendor_id: str
    limits: Limits  # bound the shapes of a column that are counted apart
    judged: Sequence[str]  # the columns whose cells can be rejected
    # The descriptions of columns that are made of several headers, or of changed cells.
    made_of: Mapping[str, str] = field(default_factory=dict)
    _columns: "dict[str, _ColumnCauses]" = field(default_factory=dict)
    # Malformed records by their width; None for lines that are no records at all.
    _widths: Counter[int | None] = field(default_factory=Counter)
    _samples: defaultdict[int | None, list[CauseSample]] = field(
        default_factory=lambda: defaultdict(list),
    )

    def add(self, batch: RejectedBatch) -> None:
        """Count the rejected cells of a batch."""
        for index, name in enumerate(self.judged):
            codes = batch.codes[:, index]
            rows = np.flatnonzero(codes)
            if len(rows) and name in batch.judged:
                column = self._columns.setdefault(
                    name,
                    _ColumnCauses(self.limits),
                )
                cells = batch.judged[name].take(pa.array(rows))
                column.add(batch.numbers[rows], codes[rows], cells)

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Count records of another width, or lines that are no records."""
        groups = _rows_by_width(malformed)
        for rows in sorted(groups, key=_first_row):
            width = None
            if malformed.widths is not None:
                width = int(malformed.widths[rows[0]])
            self._widths[width] += len(rows)
            samples = self._samples[width]
            sample_rows = rows[: _MAX_SAMPLES - len(samples)]
            if len(sample_rows):
                raw = malformed.raw.take(pa.array(sample_rows))
                records = cut_texts(
                    raw,
                    self.limits.cell_characters,
                ).to_pylist()
                numbers = malformed.row_numbers[sample_rows].tolist()
                samples += map(CauseSample, numbers, records)

    def causes(self) -> Iterator[Cause]:
        """Yield the causes: by column, shape and fault, then by width."""
        for name in self.judged:
            if name in self._columns:
                yield from self._causes_of_column(name, self._columns[name])
        for width, count in self._widths.items():
            yield self._cause_of_width(width, count)

    def _causes_of_column(
        self,
        name: str,
        column: "_ColumnCauses",
    ) -> Iterator[Cause]:
        for group in np.flatnonzero(column.counts).tolist():
            shape_index, code = divmod(group, _FAULT_KINDS)
            # The last group has the cells of all shapes that are not counted apart.
            shape = None
            if shape_index < len(column.shapes):
                shape = column.shapes[shape_index]
            fault = FAULTS[code - 1]
            samples = tuple(column.samples[group])
            advice = advise(fault, name, samples[0].value.strip())
            yield Cause(
                error_code=str(fault),
                vendor_id=self.vendor_id,
                column=name,
                shape=shape,
                count=int(column.counts[group]),
                samples=samples,
                what_to_do=with_source(advice, name, self.made_of),
            )

    def _cause_of_width(self, width: int | None, count: int) -> Cause:
        fault = RowFault.COLUMN_COUNT
        advice = COLUMN_COUNT_ADVICE
        shape: str | None = f"{width} fields"
        if width is None:
            fault = RowFault.INVALID_RECORD
            advice = RECORD_ADVICE
            shape = None
        elif width == 1:
            shape = "1 field"
        return Cause(
            error_code=str(fault),
            vendor_id=self.vendor_id,
            column=None,
            shape=shape,
            count=count,
            samples=tuple(self._samples[width]),
            what_to_do=advice,
        )


def _rows_by_width(malformed: MalformedRecords) -> list[arrays.RowIndex]:
    """Return the rows of each width; all rows together if they are no records."""
    if malformed.widths is None:
        return [np.arange(len(malformed.row_numbers))]
    order = np.argsort(malformed.widths, kind="stable")
    steps = np.diff(malformed.widths[order])
    return np.split(order, np.flatnonzero(steps) + 1)


def _first_row(rows: arrays.RowIndex) -> int:
    return int(rows[0])


@dataclass(slots=True)
class _ColumnCauses:
    """The rejected cells of one column, in groups of one shape and fault.

    A group's index is ``shape index * _FAULT_KINDS + fault code``.
    """

    limits: Limits
    # The shapes that are counted apart
    shapes: list[str] = field(default_factory=list)
    # The number of cells of each group
    counts: arrays.WholeNumbers = field(init=False)
    # The samples of each group
    samples: list[list[CauseSample]] = field(init=False)

    def __post_init__(self) -> None:
        group_count = (self.limits.report_causes + 1) * _FAULT_KINDS
        self.counts = np.zeros(group_count, np.int64)
        self.samples = [[] for _ in range(group_count)]

    def add(
        self,
        numbers: arrays.RecordNumbers,
        codes: arrays.FaultCodes,
        cells: pa.StringArray,
    ) -> None:
        """Count cells; the arguments have one item a cell."""
        cells = cut_texts(cells, self.limits.cell_characters)
        groups = self._shape_index(cells) * _FAULT_KINDS + codes
        self.counts += np.bincount(groups, minlength=len(self.counts))
        # Groups with too few samples take their first cells, each text once.
        lacks_samples = np.array(
            [len(samples) < _MAX_SAMPLES for samples in self.samples],
        )
        rows = np.flatnonzero(lacks_samples[groups])
        distinct = cells.take(pa.array(rows)).dictionary_encode()
        text_index = texts.values_of(distinct.indices)
        kinds = groups[rows] * len(distinct.dictionary) + text_index
        _, first_of_kind = np.unique(kinds, return_index=True)
        sample_rows = rows[np.sort(first_of_kind)]
        sample_groups = groups[sample_rows].tolist()
        for row, group in zip(sample_rows.tolist(), sample_groups, strict=True):
            self._add_sample(group, int(numbers[row]), cells[row].as_py())

    def _add_sample(self, group: int, number: int, value: str) -> None:
        samples = self.samples[group]
        is_new = all(value != sample.value for sample in samples)
        if is_new and len(samples) < _MAX_SAMPLES:
            samples.append(CauseSample(number, value))

    def _shape_index(self, cells: pa.StringArray) -> arrays.WholeNumbers:
        """Return the index of each cell's shape.

        Shapes that came too late get the limit.
        """
        limit = self.limits.report_causes
        trimmed = texts.trim(cells)
        shapes = texts.shapes_of(cut_texts(trimmed, _SHAPE_CHARACTERS))
        index = pc.index_in(
            shapes,
            value_set=pa.array(self.shapes, shapes.type),
        )
        if index.null_count and len(self.shapes) < limit:
            new_shapes = pc.unique(shapes.filter(index.is_null()))
            self.shapes += new_shapes[: limit - len(self.shapes)].to_pylist()
            index = pc.index_in(
                shapes,
                value_set=pa.array(self.shapes, shapes.type),
            )
        return np.asarray(texts.values_of(index.fill_null(limit)), np.int64)


def with_source(fix: str, column: str, made_of: Mapping[str, str]) -> str:
    """Return the fix of a cell, followed by its column's sources."""
    if column not in made_of:
        return fix
    return f"{fix} ({column} is {made_of[column]})"


def cut_texts(text: pa.StringArray, limit: int) -> pa.StringArray:
    """Return texts of at most ``limit`` characters.

    A text that was cut ends in ``…``.
    """
    bounds, _ = texts.offsets_and_bytes(text)
    candidates = np.flatnonzero(np.diff(bounds) > limit)  # by their bytes
    if not len(candidates):
        return text
    lengths = pc.utf8_length(text.take(pa.array(candidates))).to_numpy()

    def cut(long_texts: pa.StringArray) -> pa.StringArray:
        return join_fields(
            [pc.utf8_slice_codeunits(long_texts, 0, limit), "…"],
            "",
        )

    return texts.change_rows(text, candidates[lengths > limit], cut)
