"""Lines that the kernel writes to buffers, whose sizes are not known before."""

from collections.abc import Callable

import numpy as np

from relay_core.columnar.arrays import Bytes


def written_lines(
    write: Callable[[int, Bytes], tuple[int, int]],
    row_count: int,
    line_bytes: int,
) -> memoryview:
    """Return the lines of some rows.

    Args:
        write: Writes lines from a row on to a buffer, while they fit. It returns the
            row behind the last one of them, and the number of bytes.
        row_count: The number of rows.
        line_bytes: The room for a line; lines that need more get more.
    """
    room = line_bytes * row_count
    pieces = [np.zeros(0, np.uint8)]
    row = 0
    while row < row_count:
        out = np.empty(room, np.uint8)
        next_row, size = write(row, out)
        pieces.append(out[:size])
        if next_row == row:
            room *= 4  # one line needs more
        row = next_row
    if len(pieces) == 2:
        return memoryview(pieces[1].data)
    return memoryview(np.concatenate(pieces).data)
