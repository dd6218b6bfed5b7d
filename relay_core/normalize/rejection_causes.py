"""Refused cells that look alike: how many of each column, fault and shape, and some of them.

Counts are of every refused cell. A cause is told of by its first cells that differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.column_values import FAULTS
from relay_core.columnar.shapes import shapes_of
from relay_core.columnar.text import Rows, trim, values_of
from relay_core.domain.cell_rules import advise, strip
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import JUDGED_COLUMNS
from relay_core.domain.limits import Limits
from relay_core.domain.records import Cause, CauseSample
from relay_core.ingest.feed import MalformedRecords
from relay_core.normalize.rejection_entries import (
    COLUMN_COUNT_ADVICE,
    RECORD_ADVICE,
    cut_texts,
    with_source,
)

SAMPLES = 3
_SHAPE_CHARACTERS = 60
"""So much of a cell makes its shape."""
_FAULT_KINDS = len(FAULTS) + 1


@dataclass(slots=True)
class CauseLog:
    """Counts one vendor's refused cells by column, fault and shape, batch by batch, in order."""

    vendor_id: str
    # So many shapes of a column are told apart, in the order in which they come; further ones are
    # counted together
    limits: Limits
    made_of: Mapping[str, str] = field(default_factory=dict)  # columns of several headers, in words
    _columns: dict[str, _ColumnCauses] = field(default_factory=dict)
    _widths: dict[int | None, _Group] = field(default_factory=dict)

    def add(
        self,
        numbers: npt.NDArray[np.int64],
        codes: npt.NDArray[np.uint8],
        cells: Mapping[str, pa.StringArray],
    ) -> None:
        """Take refused rows, each with its fault codes: one a judged cell, 0 where it holds."""
        for place, name in enumerate(JUDGED_COLUMNS):
            rows = np.flatnonzero(codes[:, place])
            if len(rows) and name in cells:
                column = self._columns.setdefault(name, _ColumnCauses(self.limits))
                column.add(numbers[rows], codes[rows, place], cells[name].take(pa.array(rows)))

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records of other widths than the header's, or what is no record at all."""
        if malformed.widths is None:
            self._add_records(None, malformed, np.arange(len(malformed.row_numbers)))
            return
        order = np.argsort(malformed.widths, kind="stable")
        alike = np.split(order, np.flatnonzero(np.diff(malformed.widths[order])) + 1)
        for records in sorted(alike, key=lambda each: int(each[0])):
            self._add_records(int(malformed.widths[records[0]]), malformed, records)

    def _add_records(self, width: int | None, malformed: MalformedRecords, records: Rows) -> None:
        group = self._widths.setdefault(width, _Group())
        group.count += len(records)
        shown = records[: SAMPLES - len(group.samples)]
        if len(shown):
            raw = cut_texts(malformed.raw.take(pa.array(shown)), self.limits.cell_characters)
            numbers = malformed.row_numbers[shown].tolist()
            group.samples += map(CauseSample, numbers, raw.to_pylist())

    def causes(self) -> Iterator[Cause]:
        """Yield the causes: by column, shape and fault, then by width."""
        for name in filter(self._columns.__contains__, JUDGED_COLUMNS):
            for fault, shape, group in self._columns[name].groups():
                advice = advise(fault, name, strip(group.samples[0].value))
                advice = with_source(advice, name, self.made_of)
                yield self._cause(fault, name, shape, group, advice)
        for width, group in self._widths.items():
            if width is None:
                yield self._cause(RowFault.INVALID_RECORD, None, None, group, RECORD_ADVICE)
                continue
            shape = "1 field" if width == 1 else f"{width} fields"
            yield self._cause(RowFault.COLUMN_COUNT, None, shape, group, COLUMN_COUNT_ADVICE)

    def _cause(
        self, fault: RowFault, column: str | None, shape: str | None, group: _Group, advice: str
    ) -> Cause:
        samples = tuple(group.samples)
        return Cause(
            str(fault), self.vendor_id, column, shape, group.count, samples, what_to_do=advice
        )


@dataclass(slots=True)
class _Group:
    """Rejected cells, or records, that are alike."""

    count: int = 0
    samples: list[CauseSample] = field(default_factory=list)


@dataclass(slots=True)
class _ColumnCauses:
    """The refused cells of one column; a group's place is its shape's, then its fault's."""

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
        shapes = shapes_of(cut_texts(trim(cells), _SHAPE_CHARACTERS))
        places = self._places(shapes) * _FAULT_KINDS + faults
        self.counts += np.bincount(places, minlength=len(self.counts))
        lacking = np.array([len(each) < SAMPLES for each in self.samples])
        rows = np.flatnonzero(lacking[places])
        if len(rows):
            self._show(numbers[rows], places[rows], cells.take(pa.array(rows)))

    def groups(self) -> Iterator[tuple[RowFault, str | None, _Group]]:
        """Yield each group with its fault and shape; None are the shapes that came last."""
        for place in np.flatnonzero(self.counts).tolist():
            shape, fault = divmod(place, _FAULT_KINDS)
            known = self.shapes[shape] if shape < len(self.shapes) else None
            yield FAULTS[fault - 1], known, _Group(int(self.counts[place]), self.samples[place])

    def _places(self, shapes: pa.StringArray) -> npt.NDArray[np.int64]:
        """Return which shape each is, of those that are told apart; the last for all others."""
        limit = self.limits.report_causes
        found = pc.index_in(shapes, value_set=pa.array(self.shapes, shapes.type))
        if found.null_count and len(self.shapes) < limit:
            fresh = pc.unique(shapes.filter(found.is_null()))
            self.shapes += fresh[: limit - len(self.shapes)].to_pylist()
            found = pc.index_in(shapes, value_set=pa.array(self.shapes, shapes.type))
        return np.asarray(values_of(found.fill_null(limit)), np.int64)

    def _show(
        self, numbers: npt.NDArray[np.int64], places: npt.NDArray[np.int64], cells: pa.StringArray
    ) -> None:
        """Keep the first cells of groups that lack some, each text once."""
        texts = cells.dictionary_encode()
        kinds = places * len(texts.dictionary) + values_of(texts.indices)
        firsts = np.sort(np.unique(kinds, return_index=True)[1])
        for row in firsts[_rank(places[firsts]) < 2 * SAMPLES].tolist():
            kept, value = self.samples[places[row]], cells[row].as_py()
            if len(kept) < SAMPLES and value not in {sample.value for sample in kept}:
                kept.append(CauseSample(int(numbers[row]), value))


def _rank(places: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return how many of the same place stand before each."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    ranks = np.empty(len(places), np.intp)
    ranks[order] = np.arange(len(places)) - np.repeat(begins, np.diff(begins, append=len(places)))
    return ranks
