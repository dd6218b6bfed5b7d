"""Columns of packed rows as Arrow's arrays, whose buffers the kernel writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.arrays import Bytes, WholeNumbers
from relay_core.kernel import compiled

if TYPE_CHECKING:  # the kernel may be missing
    from relay_core.kernel.scan import RowReader

_CONDITION = "condition"
"""The column whose texts the kernel makes of codes; it follows the other texts."""
_SHORT_BITS = 32
SPARE_ROOM = 1 << 10
"""The bytes of texts for which there is room beside those that are expected."""


@dataclass(frozen=True, slots=True)
class ColumnSizes:
    """The sizes of the columns of some rows: 0 if all cells of a column are null.

    The size of a column of texts is their bytes, and that of another column the number
    of its cells that are not null.
    """

    rows: int  # the number of rows
    by_name: Mapping[str, int]

    @classmethod
    def measured(
        cls,
        reader: "RowReader",
        places: WholeNumbers,
        texts: Sequence[str],
    ) -> "ColumnSizes":
        """Return the sizes of the columns of some rows.

        Args:
            reader: The reader of the rows.
            places: The places of the rows.
            texts: The names of the texts of a row, in order.
        """
        names = compiled.scan.NUMBERS
        text_bytes = np.zeros(len(texts) + 1, np.int64)
        number_counts = np.zeros(len(names), np.int64)
        reader.measure(places, text_bytes, number_counts)
        sizes = dict(zip(names, number_counts.tolist(), strict=True))
        sizes |= zip((*texts, _CONDITION), text_bytes.tolist(), strict=True)
        return cls(len(places), sizes)

    def largest_text(self, fields: Sequence[pa.Field]) -> int:
        """Return the most bytes that a column of texts among some columns has."""
        return max(
            (
                self.by_name.get(column.name, 0)
                for column in fields
                if column.type == pa.string()
            ),
            default=0,
        )

    def of_some(self, rows: int) -> "ColumnSizes":
        """Return room for the columns of some of the rows.

        It is enough unless the texts of these rows are longer than those of others.
        """
        if rows >= self.rows:
            return self
        sizes = {}
        for name, size in self.by_name.items():
            expected = -(-size * rows // self.rows)
            sizes[name] = min(size, expected * 9 // 8 + SPARE_ROOM)
        return ColumnSizes(rows, sizes)


def gathered_columns(
    reader: "RowReader",
    places: WholeNumbers,
    fields: Sequence[pa.Field],
    sizes: ColumnSizes,
    texts: Sequence[str],
) -> dict[str, pa.Array] | None:
    """Return columns of some rows by name, read in one pass over the rows.

    An empty text is null. Return None if the sizes are not enough for the texts.

    Args:
        reader: The reader of the rows.
        places: The places of the rows.
        fields: The columns, whose texts must be within the reach of short offsets.
            Those that are empty, and those that packed rows lack, are left out.
        sizes: The sizes of the columns.
        texts: The names of the texts of a row, in order.
    """
    fields = [column for column in fields if sizes.by_name.get(column.name)]
    text_places = {name: place for place, name in enumerate(texts)}
    text_places[_CONDITION] = len(texts)
    number_fields = [
        column for column in fields if column.name not in text_places
    ]
    text_fields = sorted(
        (column for column in fields if column.name in text_places),
        key=lambda column: text_places[column.name],
    )
    numbers = [_number_buffers(column, len(places)) for column in number_fields]
    text_buffers = [
        (
            text_places[column.name],
            *_text_buffers(sizes.by_name[column.name], len(places)),
        )
        for column in text_fields
    ]
    null_counts = reader.gather(places, numbers, text_buffers)
    if null_counts is None:
        return None
    columns = zip(
        [*number_fields, *text_fields],
        [*numbers, *text_buffers],
        null_counts,
        strict=True,
    )
    return {
        column.name: _array(column, len(places), buffers, null_count)
        for column, buffers, null_count in columns
    }


def with_empty_texts(text: pa.StringArray) -> pa.StringArray:
    """Return a gathered column with empty texts in place of nulls, without a copy."""
    _, bounds, data = text.buffers()
    return pa.Array.from_buffers(text.type, len(text), [None, bounds, data])


def _number_buffers(
    column: pa.Field,
    row_count: int,
) -> tuple[int, npt.NDArray[Any], Bytes]:
    """Return a column's index in `NUMBERS`, and room for its values and validity."""
    is_short = column.type.bit_width == _SHORT_BITS
    values: npt.NDArray[Any]
    values = np.empty(row_count, np.int32 if is_short else np.int64)
    index = compiled.scan.NUMBERS.index(column.name)
    return index, values, _no_bits(row_count)


def _text_buffers(
    size: int,
    row_count: int,
) -> tuple[npt.NDArray[np.int32], Bytes, Bytes]:
    """Return room for offsets of texts, for their bytes, and for their validity.

    A word can be read behind the bytes.
    """
    data = np.empty(size + compiled.scan.SPARE_BYTES, np.uint8)
    data[size:] = 0
    return np.empty(row_count + 1, np.int32), data, _no_bits(row_count)


def _no_bits(row_count: int) -> Bytes:
    """Return the validity bits of rows that are all null."""
    return np.zeros((row_count + 7) // 8, np.uint8)


def _array(
    column: pa.Field,
    row_count: int,
    buffers: tuple[Any, ...],
    null_count: int,
) -> pa.Array:
    """Return the array of the buffers that the kernel was given for a column."""
    _, *values, validity = buffers
    in_order = [validity if null_count else None, *values]
    return pa.Array.from_buffers(
        column.type,
        row_count,
        [array if array is None else pa.py_buffer(array) for array in in_order],
        null_count,
    )
