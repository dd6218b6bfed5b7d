"""Typed columns as the lines of a CSV file, written by the kernel if there is one."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.arrays import Bytes, WholeNumbers
from relay_core.columnar.csv_text import TEXT_KINDS, Column
from relay_core.columnar.text import offsets_and_bytes, without_nulls
from relay_core.domain.columns import Kind
from relay_core.kernel import compiled
from relay_core.kernel.written_lines import written_lines

_LINE_BYTES = 128
"""The room for a line."""
_Field: TypeAlias = tuple[int, WholeNumbers, Bytes | None]
"""A column as the kernel's `write_fields` takes it."""


def lines_of(columns: Sequence[Column], delimiter: str) -> memoryview:
    """Return the lines of a CSV file; a field is quoted only if it must be.

    Args:
        columns: The columns, which have the same number of cells.
        delimiter: One character of ASCII.
    """
    if compiled.is_used():
        return _lines_of_kernel(columns, delimiter)
    fields = []
    for column in columns:
        texts = csv_text.cell_texts(column)
        if column.kind in TEXT_KINDS:
            texts = csv_text.quoted(texts, delimiter)
        fields.append(texts)
    return csv_text.lines(fields, delimiter)


def _lines_of_kernel(
    columns: Sequence[Column],
    delimiter: str,
) -> memoryview:
    fields = [_field_of(column) for column in columns]
    row_count = len(columns[0].cells)

    def write(row: int, out: Bytes) -> tuple[int, int]:
        return compiled.scan.write_fields(
            fields,
            row,
            row_count,
            ord(delimiter),
            out,
        )

    return written_lines(write, row_count, _LINE_BYTES)


def _field_of(column: Column) -> _Field:
    if column.kind in TEXT_KINDS:
        return _text_field(without_nulls(column.cells))
    kinds = {
        Kind.WHOLE: compiled.scan.WHOLE_FIELD,
        Kind.MONEY: compiled.scan.CENTS_FIELD,
        Kind.INSTANT: compiled.scan.INSTANT_FIELD,
    }
    numbers, is_null = csv_text.written_numbers(column)
    has_nulls = column.kind is not Kind.INSTANT and is_null.any()
    return (
        kinds[column.kind],
        np.ascontiguousarray(numbers),
        is_null.view(np.uint8) if has_nulls else None,
    )


def _text_field(text: pa.StringArray) -> _Field:
    bounds, data = offsets_and_bytes(text)
    return compiled.scan.TEXT_FIELD, bounds.astype(np.int64), data
