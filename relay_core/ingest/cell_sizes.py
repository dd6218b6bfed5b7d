"""How many columns and how large a cell a feed may have, whatever its format."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Ints, offsets_and_bytes
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


def moderate_runs(sizes: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Yield where runs of rows start and end that come to at most so many bytes, or are one row."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield start, stop
        start = stop


def refuse_too_many_columns(headers: Sequence[str], limits: Limits) -> None:
    """Refuse a header of too many columns; those without a name at its end do not count.

    Raises:
        FeedUnreadableError: ``invalid_input``.
    """
    width = max((place for place, name in enumerate(headers, 1) if strip(name)), default=0)
    if width > limits.columns:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the header has {width:,} columns, and {limits.columns:,} are the most; see that "
            "parser.delimiter and parser.skip_lines fit the file, or leave columns out of it",
        )


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
