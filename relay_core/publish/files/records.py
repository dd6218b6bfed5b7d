"""Files of one record after another: the rows that differ are found by their bytes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.publish.files.changes import (
    ChangedRows,
    Content,
    Roles,
    not_in,
)

_LINE_END = ord("\n")
_QUOTE = ord('"')
MAX_BLOCK_BYTES = (1 << 31) - 1
"""The largest block that Arrow's readers take."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a format of lines, which are compared by their bytes."""

    header_count: int  # the number of records before the first row
    has_quotes: bool  # whether a line end in quotes is part of a record
    # The function that returns the cells of records as a table
    table_of: Callable[[pa.LargeBinaryArray, Roles], pa.Table]
    # The function that returns the records of a table
    lines_of: Callable[[pa.Table, Roles], memoryview]

    def changes(
        self,
        older: Content,
        newer: Content,
        roles: Roles,
    ) -> ChangedRows:
        """Return the changes between two files with the same header."""
        newer_records = _records(newer, has_quotes=self.has_quotes)
        header = newer_records[: self.header_count]
        newer_records = newer_records[self.header_count :]
        older_records = _records(older, has_quotes=self.has_quotes)
        older_records = older_records[self.header_count :]
        added = newer_records.filter(not_in(newer_records, older_records))
        dropped = older_records.filter(not_in(older_records, newer_records))
        lines: Content = b""
        gone_count = 0
        if roles.tells_gone_skus and len(dropped):
            added_skus = self.table_of(added, roles)[roles.sku].combine_chunks()
            dropped_rows = self.table_of(dropped, roles)
            is_gone = not_in(dropped_rows[roles.sku], added_skus)
            gone = roles.as_gone(dropped_rows.filter(is_gone)).combine_chunks()
            gone_count = len(gone)
            if gone_count:
                lines = self.lines_of(gone, roles)
        chunks = iter((bytes_of(header), bytes_of(added), lines))
        return ChangedRows(len(added) + gone_count, chunks)


def _records(content: Content, *, has_quotes: bool) -> pa.LargeBinaryArray:
    """Return the records of a file with their line ends; none of them is copied.

    A line end in quotes is part of a record.
    """
    data = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(data == _LINE_END) + 1
    if has_quotes:
        quotes = np.flatnonzero(data == _QUOTE)
        if len(quotes):
            quotes_before = np.searchsorted(quotes, ends)
            ends = ends[quotes_before % 2 == 0]
    bounds = np.zeros(len(ends) + 1, np.int64)
    bounds[1:] = ends
    return pa.Array.from_buffers(
        pa.large_binary(),
        len(ends),
        [None, pa.py_buffer(bounds), pa.py_buffer(content)],
    )


def bytes_of(records: pa.LargeBinaryArray) -> memoryview:
    """Return the bytes of records, one after another."""
    _, offsets, data = records.buffers()
    bounds = np.frombuffer(offsets, np.int64)
    first = bounds[records.offset]
    last = bounds[records.offset + len(records)]
    return memoryview(data if data is not None else b"")[first:last]
