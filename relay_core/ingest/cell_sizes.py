"""How large a cell may be, whatever the format: which one is larger, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import offsets_and_bytes
from relay_core.domain.cell_rules import shorten, strip
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits


def refuse_large_cells(
    columns: Sequence[pa.StringArray],
    numbers: Sequence[int] | npt.NDArray[np.int64],
    headers: Sequence[str],
    limits: Limits,
) -> None:
    """Refuse columns of text as they stand in the feed if a cell of them is too large.

    A column that has no more bytes than one cell may have is not looked at cell by cell.

    Raises:
        FeedUnreadableError: ``invalid_input``, of the first record with such a cell.
    """
    found: list[tuple[int, int]] = []
    for place, column in enumerate(columns):
        bounds, _ = offsets_and_bytes(column)
        if bounds[-1] - bounds[0] > limits.cell_bytes:
            large = np.flatnonzero(np.diff(bounds) > limits.cell_bytes)
            found.extend((int(numbers[row]), place + 1) for row in large[:1])
    if found:
        record, column = min(found)
        raise large_cell(record, column, headers, limits)


def refuse_large_header(headers: Sequence[str], limits: Limits) -> None:
    """Refuse a header of which a cell is too large; it is record 1.

    Raises:
        FeedUnreadableError: ``invalid_input``.
    """
    for column, cell in enumerate(headers, 1):
        if 4 * len(cell) > limits.cell_bytes < len(cell.encode()):
            raise large_cell(1, column, headers, limits)


def large_cell(
    record: int, column: int, headers: Sequence[str], limits: Limits, why: str = ""
) -> FeedUnreadableError:
    """Return what is wrong with a feed of which a cell, both counted from 1, is too large."""
    name = strip(headers[column - 1]) if column <= len(headers) else ""
    shown = f" ({shorten(name)})" if name else ""
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"record {record}, column {column}{shown}: the cell has more than {limits.cell_bytes} "
        f"bytes, which are the most; {why or 'shorten it, or leave the column out of the file'}",
    )
