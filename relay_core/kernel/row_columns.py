"""Columns of packed rows as Arrow's arrays, whose buffers the kernel writes."""

from collections.abc import Mapping, Sequence
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


def column_sizes(
    reader: "RowReader",
    places: WholeNumbers,
    texts: Sequence[str],
) -> dict[str, int]:
    """Return the size of each column of some rows: 0 if all its cells are null.

    The size of a column of texts is their bytes, and that of another column the number
    of its cells that are not null.

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
    return sizes


def gathered_columns(
    reader: "RowReader",
    places: WholeNumbers,
    fields: Sequence[pa.Field],
    sizes: Mapping[str, int],
    texts: Sequence[str],
) -> dict[str, pa.Array]:
    """Return columns of some rows by name, read in one pass over the rows.

    An empty text is null.

    Args:
        reader: The reader of the rows.
        places: The places of the rows.
        fields: The columns, whose texts must be within the reach of short offsets.
        sizes: The sizes of the columns of these rows, or of more.
        texts: The names of the texts of a row, in order.
    """
    text_places = {name: place for place, name in enumerate(texts)}
    text_places[_CONDITION] = len(texts)
    number_fields = [
        column for column in fields if column.name not in text_places
    ]
    text_fields = sorted(
        (column for column in fields if column.name in text_places),
        key=lambda column: text_places[column.name],
    )
    numbers: list[tuple[int, npt.NDArray[Any], Bytes]] = []
    for column in number_fields:
        index = compiled.scan.NUMBERS.index(column.name)
        values = _values(column, len(places))
        numbers.append((index, values, _no_bits(len(places))))
    text_buffers: list[tuple[int, npt.NDArray[np.int32], Bytes, Bytes]] = []
    for column in text_fields:
        bounds = np.empty(len(places) + 1, np.int32)
        data = _room(sizes[column.name])
        place = text_places[column.name]
        text_buffers.append((place, bounds, data, _no_bits(len(places))))
    null_counts = reader.gather(places, numbers, text_buffers)
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


def _values(column: pa.Field, row_count: int) -> npt.NDArray[Any]:
    """Return room for a column's numbers."""
    is_short = column.type.bit_width == _SHORT_BITS
    return np.empty(row_count, np.int32 if is_short else np.int64)


def _room(size: int) -> Bytes:
    """Return room for the bytes of texts, behind which a word can be read."""
    data = np.empty(size + compiled.scan.SPARE_BYTES, np.uint8)
    data[size:] = 0
    return data


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
