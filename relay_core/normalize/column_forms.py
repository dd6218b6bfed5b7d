"""Columns that the objects of ``column_map`` make of parts: trimmed cells, null ones empty."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.text import (
    Bools,
    Ints,
    change_rows,
    fill,
    flags_of,
    is_empty,
    trim,
    values_of,
    word_index,
)
from relay_core.config.column_forms import Changed, First, Join, MappedSource
from relay_core.domain.cell_rules import LARGEST_FACTOR

_FACTOR = "^[0-9]{1,7}$"


@dataclass(frozen=True, slots=True)
class HeaderCells:
    """The cells under a header, or what is made of those under several."""

    text: pa.StringArray  # trimmed; empty where null
    places: Ints | int  # which column of the feed each stands in
    # Which of them the file holds as numbers; None where it holds none so
    numbers: Bools | None = None


def _joined(form: Join, parts: Sequence[HeaderCells]) -> HeaderCells:
    between: list[pa.StringArray | str] = []
    for part in parts:
        between += [form.separator, part.text] if between else [part.text]
    text = join_fields(between, "")
    null = np.logical_or.reduce([is_empty(part.text) for part in parts])
    return HeaderCells(fill(text, null, ""), parts[0].places)


def _first(_: First, parts: Sequence[HeaderCells]) -> HeaderCells:
    text, places = parts[0].text, np.full(len(parts[0].text), parts[0].places)
    numbers = np.zeros(len(text), np.bool_) if parts[0].numbers is None else parts[0].numbers
    for part in parts[1:]:
        take = is_empty(text) & ~is_empty(part.text)
        if take.any():
            text = pc.if_else(pa.array(take), part.text, text)
            places[take] = part.places
            numbers = np.where(take, False if part.numbers is None else part.numbers, numbers)
    return HeaderCells(text, places, numbers)


def _changed(form: Changed, parts: Sequence[HeaderCells]) -> HeaderCells:
    text, numbers = parts[0].text, parts[0].numbers
    if form.strip_prefix:
        size, cut = len(form.strip_prefix), flags_of(pc.starts_with(text, form.strip_prefix))
        text = _cut(text, cut, size, None)
    if form.strip_suffix:
        size, cut = len(form.strip_suffix), flags_of(pc.ends_with(text, form.strip_suffix))
        text = _cut(text, cut, 0, -size)
    if form.values:
        found = word_index(text, form.values)
        new = pa.array([*form.values.values()], text.type)
        replaced = (found >= 0) & ~is_empty(text)
        text = pc.if_else(pa.array(replaced), new.take(pa.array(np.maximum(found, 0))), text)
        numbers = None if numbers is None else numbers & ~replaced
    return HeaderCells(text, parts[0].places, numbers)


def _cut(text: pa.StringArray, where: Bools, start: int, stop: int | None) -> pa.StringArray:
    return change_rows(
        text,
        np.flatnonzero(where),
        lambda some: trim(pc.utf8_slice_codeunits(some, start=start, stop=stop)),
    )


_Reader: TypeAlias = Callable[[Any, Sequence[HeaderCells]], HeaderCells]
_READERS: Mapping[type, _Reader] = {Join: _joined, First: _first, Changed: _changed}


def made_of(source: MappedSource, parts: Sequence[HeaderCells]) -> HeaderCells:
    """Return the texts that an entry of ``column_map`` makes of its parts; none of a sum."""
    read = _READERS.get(type(source))
    return parts[0] if read is None else read(source, parts)


def read_factors(text: pa.StringArray) -> tuple[Ints, Bools]:
    """Return the factors that trimmed cells hold, and which cells hold one; 1 where none does."""
    is_number = flags_of(pc.match_substring_regex(text, _FACTOR))
    factors = np.array(values_of(pc.cast(fill(text, ~is_number, "0"), pa.int64())))
    holds = (factors >= 1) & (factors <= LARGEST_FACTOR)
    factors[~holds] = 1
    return factors, holds
