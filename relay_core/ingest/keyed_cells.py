"""Records as cells by key, in columns: the form of readers whose records have keys.

Each record may have other keys. Values are texts, numbers in the form of the file (as
bytes), booleans, and None; lists and objects have no text.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowIndex, RowMask
from relay_core.domain.limits import Limits
from relay_core.ingest import feed

MAX_CELLS = 4 << 20
"""The most cells of a batch; each record may have few of many keys."""
NESTED_TYPES = frozenset((list, dict))
"""The types of values that are not cells."""
_TEXT_TYPES = frozenset((str, bytes, type(None)))
"""The types of values that Arrow makes texts of; numbers are bytes here."""
_WORDS = {"True": "true", "False": "false"}


@dataclass(frozen=True, slots=True)
class KeyedColumn:
    """The cells of a block's lines under one key; one entry a line that has the key."""

    lines: RowIndex
    """The indices of the lines in the block."""
    cells: pa.StringArray
    """The texts of the values; a list, an object and null are empty."""
    is_number: RowMask
    """True if each value is a number."""
    nested_lines: RowIndex
    """The indices of the lines whose value is a list or an object."""

    @classmethod
    def of(
        cls, lines: Sequence[int], values: Sequence[object]
    ) -> "KeyedColumn":
        """Return the cells of some records under one key."""
        line_indices = np.asarray(lines, np.int64)
        types = set(map(type, values))
        is_number = np.zeros(len(values), np.bool_)
        if bytes in types:
            is_number[:] = [type(value) is bytes for value in values]
        nested_lines = line_indices[:0]
        if not types.isdisjoint(NESTED_TYPES):
            nested_lines = line_indices[
                [type(value) in NESTED_TYPES for value in values]
            ]
        if not types <= _TEXT_TYPES:
            values = [
                value if type(value) in _TEXT_TYPES else _WORDS.get(str(value))
                for value in values
            ]
        cells = texts.without_nulls(pa.array(values, pa.string()))
        return cls(line_indices, cells, is_number, nested_lines)

    def at(self, lines: RowIndex) -> tuple[pa.StringArray, RowMask]:
        """Return the cells of some lines, empty if they lack the key, and the numbers."""
        bounds = np.searchsorted(self.lines, (lines[0], lines[-1] + 1))
        start, stop = bounds.tolist()
        if np.array_equal(self.lines[start:stop], lines):
            return self.cells.slice(start, stop - start), self.is_number[
                start:stop
            ]
        indices = np.searchsorted(self.lines, lines)
        nearest_lines = self.lines[np.minimum(indices, len(self.lines) - 1)]
        has_key = nearest_lines == lines
        # Arrow reserves the mean size of a cell for each index, even for one that is null.
        present_cells = self.cells.take(pa.array(indices[has_key]))
        bounds = np.zeros(len(lines) + 1, np.int32)
        bounds[1:][has_key] = texts.lengths_of(present_cells)
        np.cumsum(bounds, out=bounds)
        cells = pa.StringArray.from_buffers(
            len(lines),
            pa.py_buffer(bounds),
            pa.py_buffer(texts.bytes_of(present_cells)),
        )
        is_number = np.zeros(len(lines), np.bool_)
        is_number[has_key] = self.is_number[indices[has_key]]
        return cells, is_number


@dataclass(frozen=True, slots=True)
class KeyedBlock:
    """Records that follow one another in a file."""

    first_number: int  # the record number of the first record
    columns: Mapping[str, KeyedColumn]  # the cells by key

    @classmethod
    def of(
        cls,
        records: Sequence[Mapping[str, object] | None],
        first_number: int,
    ) -> "KeyedBlock":
        """Return records as columns; a record that is None has no cells."""
        columns = {
            key: KeyedColumn.of(*cells)
            for key, cells in values_by_key(records).items()
        }
        return cls(first_number, columns)

    def batch(
        self,
        lines: RowIndex,
        headers: Sequence[str],
        limits: Limits,
    ) -> feed.TextBatch:
        """Return some records with a column for each header.

        Raises:
            FeedUnreadableError: ``invalid_input`` for too large a cell.
        """
        columns = []
        number_cells = {}
        for index, key in enumerate(headers):
            if key not in self.columns:
                columns.append(texts.empty_texts(len(lines)))
                continue
            cells, is_number = self.columns[key].at(lines)
            columns.append(cells)
            if is_number.any():
                number_cells[index] = is_number
        record_numbers = lines + self.first_number
        feed.check_cell_sizes(columns, record_numbers, headers, limits)
        return feed.TextBatch(columns, record_numbers, number_cells)


def values_by_key(
    objects: Sequence[Mapping[str, object] | None],
) -> Mapping[str, tuple[Sequence[int], Sequence[object]]]:
    """Return the indices of the objects with each key, and their values, by key."""
    key_lists = {
        None if record is None else tuple(record) for record in objects
    }
    if len(key_lists) == 1:
        (keys,) = key_lists
        if keys is not None:
            all_values = [
                record.values() for record in objects if record is not None
            ]
            all_lines = range(len(objects))
            columns = zip(*all_values, strict=True)
            return {
                key: (all_lines, values)
                for key, values in zip(keys, columns, strict=True)
            }
    cells: dict[str, tuple[list[int], list[object]]] = {}
    for index, record in enumerate(objects):
        for key, value in (record or {}).items():
            lines, values = cells.setdefault(key, ([], []))
            lines.append(index)
            values.append(value)
    return cells


@contextmanager
def paused_garbage_collector() -> Iterator[None]:
    """Keep the collector from JSON's many values, which never form a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
