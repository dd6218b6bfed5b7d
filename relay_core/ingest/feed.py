"""What every reader of feeds gives: headers, text columns with record numbers, and misfits.

A reader takes a feed's bytes and its parser's options. It trims and judges no cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some records that fit the header: a text column each header, each record's number."""

    columns: Sequence[pa.StringArray]
    row_numbers: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Misfits:
    """Some records of one width, which is not the header's; none of them is blank.

    Attributes:
        width: how many cells each has.
        row_numbers: each record's number.
        raw: each record as CSV with the vendor's delimiter.
        cells: the first columns, as many as a report shows.
    """

    width: int
    row_numbers: npt.NDArray[np.int64]
    raw: pa.StringArray
    cells: Sequence[pa.StringArray]


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's headers, as they stand in the file, and its records.

    Attributes:
        headers: None where the file has no record at all.
        batches: walked once. The records that fit come in their order, and so do those of any
            other width.
    """

    headers: tuple[str, ...] | None
    batches: Iterator[TextBatch | Misfits] = field(default_factory=lambda: iter(()))
