"""What every reader of feeds gives: headers, text columns with record numbers, malformed records.

A reader takes a feed's bytes and its parser's options. It trims and judges no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, size_of_texts


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some records that fit the header."""

    columns: Sequence[pa.StringArray]  # a text column each header
    row_numbers: npt.NDArray[np.int64]  # each record's number
    # By column, which cells the file holds as numbers, written with a point; no text is one,
    # whatever it looks like. A column without any may be left out
    number_cells: Mapping[int, Bools] = field(default_factory=dict)

    @property
    def text_size(self) -> int:
        """How many bytes the texts have."""
        return sum(map(size_of_texts, self.columns))

    def where(self, keep: Bools) -> TextBatch:
        """Return the records that are kept."""
        mask = pa.array(keep)
        numbers = {place: cells[keep] for place, cells in self.number_cells.items()}
        columns = [column.filter(mask) for column in self.columns]
        return TextBatch(columns, self.row_numbers[keep], numbers)


@dataclass(frozen=True, slots=True)
class MalformedRecords:
    """Some records that are not of the header's width; none of them is blank."""

    # How many cells each has; None where they are no records at all, and a cell each
    widths: Ints | None
    row_numbers: npt.NDArray[np.int64]  # each record's number
    raw: pa.StringArray  # each record as CSV with the vendor's delimiter
    # The first columns, as many as a report shows; null where a record has no such cell
    cells: Sequence[pa.StringArray]

    @property
    def text_size(self) -> int:
        """How many bytes the records have."""
        return size_of_texts(self.raw)

    def where(self, keep: Bools) -> MalformedRecords:
        """Return the records that are kept."""
        mask = pa.array(keep)
        cells = [column.filter(mask) for column in self.cells]
        widths = None if self.widths is None else self.widths[keep]
        return MalformedRecords(widths, self.row_numbers[keep], self.raw.filter(mask), cells)


@dataclass(frozen=True, slots=True)
class RecordPlaces:
    """Where records stand in a file that people open."""

    name: Literal["line", "sheet_row"]  # what is counted
    # Returns the place of each of some records, by their numbers, which are in order
    find: Callable[[Sequence[int]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class SheetRows:
    """The rows of a sheet in which records stand: so many stand before the first."""

    before: int

    def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        """Return the row of each record."""
        return [number + self.before for number in numbers]


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's headers, as they stand in the file, and its records."""

    headers: tuple[str, ...] | None  # None where the file has no record at all
    # Walked once. The records that fit come in their order, and so do those of any other width
    batches: Iterator[TextBatch | MalformedRecords] = field(default_factory=lambda: iter(()))
    size: int = 0  # the bytes of its text once it is unpacked; 0 where its cells alone have texts
    # Of records in the file; None where people open no lines or rows
    places: RecordPlaces | None = None
