"""A column after reading: the value of each cell and its fault, 0 where valid, of `FAULTS`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, values_of
from relay_core.domain.codes import RowFault
from relay_core.domain.errors import CellError

Faults = npt.NDArray[np.uint8]

FAULTS: tuple[RowFault, ...] = tuple(RowFault)
_CODES = {fault: np.uint8(index + 1) for index, fault in enumerate(FAULTS)}

REFUSED = -1
"""The number in place of a cell that cannot be read. The contract of rows rejects it, as it does a
negative number of the feed; the cell's fault code then says why."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A column of numbers."""

    values: Ints  # 0 where null; a value that no contract admits where ``faults`` is not 0
    nulls: Bools  # which cells are null
    faults: Faults  # each cell's fault code
    text: pa.StringArray  # the cells, with the vendor's way of writing numbers taken off
    is_canonical: Bools  # the cells whose text is as normalized.csv writes the value


def fault_code(fault: RowFault | str | None) -> np.uint8:
    """Return the small integer that stands for a row fault; 0 for None."""
    return np.uint8(0) if fault is None else _CODES[RowFault(fault)]


def read_distinct(text: pa.StringArray, read: Callable[[str], int]) -> tuple[Ints, Faults]:
    """Read each distinct text once with a scalar rule that may raise ``CellError``."""
    encoded = text.dictionary_encode()
    values, faults = [], []
    for cell in encoded.dictionary.to_pylist():
        try:
            value, fault = read(cell), fault_code(None)
        except CellError as error:
            value, fault = REFUSED, fault_code(error.error_code)
        values.append(value)
        faults.append(fault)
    where = values_of(encoded.indices)
    return np.array(values, np.int64)[where], np.array(faults, np.uint8)[where]
