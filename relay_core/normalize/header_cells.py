"""Cells under headers, and the texts that ``column_map`` makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowMask, WholeNumbers
from relay_core.columnar.csv_text import join_fields
from relay_core.config.column_forms import Changed, First, Join, MappedSource


@dataclass(frozen=True, slots=True)
class HeaderCells:
    """The cells under a header, or the cells made of those under several; one a row."""

    text: pa.StringArray  # trimmed; empty if null
    # The index of the feed's column that each cell is read from: one for all, or one a
    # row.
    source_columns: WholeNumbers | int
    # The mask of the cells that the file stores as numbers; None if it stores none so.
    numbers: RowMask | None = None


def made_of(source: MappedSource, parts: Sequence[HeaderCells]) -> HeaderCells:
    """Return the texts that an entry of ``column_map`` makes of its headers' cells.

    Args:
        source: The entry; any but a sum, which makes numbers.
        parts: The cells of each header, in the order of the entry.
    """
    if isinstance(source, Join):
        return _joined(source, parts)
    if isinstance(source, First):
        return _first(parts)
    if isinstance(source, Changed):
        return _changed(source, parts[0])
    return parts[0]


def _joined(form: Join, parts: Sequence[HeaderCells]) -> HeaderCells:
    """Return the texts joined by the separator; null if a part is."""
    fields: list[pa.StringArray | str] = []
    for part in parts:
        if fields:
            fields.append(form.separator)
        fields.append(part.text)
    text = join_fields(fields, "")
    nulls = np.logical_or.reduce([texts.is_empty(part.text) for part in parts])
    return HeaderCells(texts.fill(text, nulls, ""), parts[0].source_columns)


def _first(parts: Sequence[HeaderCells]) -> HeaderCells:
    """Return the first cell of each row that is not null."""
    first_part = parts[0]
    text = first_part.text
    source_columns = np.full(len(text), first_part.source_columns)
    numbers = first_part.numbers
    if numbers is None:
        numbers = np.zeros(len(text), np.bool_)
    for part in parts[1:]:
        is_taken = texts.is_empty(text) & ~texts.is_empty(part.text)
        if not is_taken.any():
            continue
        text = pc.if_else(pa.array(is_taken), part.text, text)
        source_columns[is_taken] = part.source_columns
        part_numbers = False if part.numbers is None else part.numbers
        numbers = np.where(is_taken, part_numbers, numbers)
    return HeaderCells(text, source_columns, numbers)


def _changed(form: Changed, part: HeaderCells) -> HeaderCells:
    """Return the cells with prefixes and suffixes removed, then values replaced."""
    text = part.text
    numbers = part.numbers
    if form.strip_prefix:
        has_prefix = texts.flags_of(pc.starts_with(text, form.strip_prefix))
        text = _cut(text, has_prefix, len(form.strip_prefix), None)
        numbers = None if numbers is None else numbers & ~has_prefix
    if form.strip_suffix:
        has_suffix = texts.flags_of(pc.ends_with(text, form.strip_suffix))
        text = _cut(text, has_suffix, 0, -len(form.strip_suffix))
        numbers = None if numbers is None else numbers & ~has_suffix
    if form.values:
        value_index = texts.word_index(text, form.values)
        is_replaced = (value_index >= 0) & ~texts.is_empty(text)
        values = pa.array(list(form.values.values()), text.type)
        new_cells = values.take(pa.array(np.maximum(value_index, 0)))
        text = pc.if_else(pa.array(is_replaced), new_cells, text)
        if numbers is not None:
            numbers = numbers & ~is_replaced
    return HeaderCells(text, part.source_columns, numbers)


def _cut(
    text: pa.StringArray,
    mask: RowMask,
    start: int,
    stop: int | None,
) -> pa.StringArray:
    """Return texts in which the rows of a mask are cut, then trimmed."""
    cut = partial(_sliced, start=start, stop=stop)
    return texts.change_rows(text, np.flatnonzero(mask), cut)


def _sliced(
    text: pa.StringArray,
    start: int,
    stop: int | None,
) -> pa.StringArray:
    return texts.trim(pc.utf8_slice_codeunits(text, start=start, stop=stop))
