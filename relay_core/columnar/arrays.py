"""Names for the numpy arrays that the engine passes around: one alias for each meaning.

The type checker treats aliases of one element type alike. They tell a reader the shape
and the unit of an array: `RowMask` has one flag a row, `Cents` are amounts in cents.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RowMask: TypeAlias = npt.NDArray[np.bool_]
"""One flag for each row of a column."""

RowIndex: TypeAlias = npt.NDArray[np.int64]
"""Row numbers of a column or a table, counted from 0; any number of them."""


@dataclass(frozen=True, slots=True)
class AllRows:
    """All rows of a column in order, as a `RowIndex` that takes no memory."""

    count: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.count

    def __getitem__(self, rows: slice | RowIndex | RowMask) -> RowIndex:
        """Return some of the rows."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(self.count))
        if rows.dtype == np.bool_:
            return np.flatnonzero(rows)
        return np.asarray(rows, np.int64)


RowOrder: TypeAlias = RowIndex | AllRows
"""Row numbers of a column in an order."""

RecordNumbers: TypeAlias = npt.NDArray[np.int64]
"""Numbers of the records of a vendor's file, counted from 1; one for each row."""

ShortNumbers: TypeAlias = npt.NDArray[np.uint32]
"""Numbers of the records of a vendor's file in 32 bits; one for each row."""

WholeNumbers: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers without a unit, such as quantities, days or counts."""

Cents: TypeAlias = npt.NDArray[np.int64]
"""Amounts of money in hundredths."""

TenThousandths: TypeAlias = npt.NDArray[np.int64]
"""Amounts of money, or factors, in ten-thousandths."""

Seconds: TypeAlias = npt.NDArray[np.int64]
"""Seconds since the epoch, or durations; the name of the array says which."""

Microseconds: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since the epoch, in UTC unless the name of the array says otherwise."""

FaultCodes: TypeAlias = npt.NDArray[np.uint8]
"""One code for each row: 0 for a valid cell, or the index in `FAULTS` plus 1."""

Bytes: TypeAlias = npt.NDArray[np.uint8]
"""The UTF-8 bytes of texts, one after another."""

ByteMask: TypeAlias = npt.NDArray[np.bool_]
"""One flag for each byte of some texts."""

Words: TypeAlias = npt.NDArray[np.uint64]
"""Eight bytes of a text as one big-endian number; one for each text."""
