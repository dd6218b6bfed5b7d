"""Entries of ``errors.json``: each one line of JSON, most of them written by columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import bytes_of, change_rows, offsets_and_bytes, rows_that_hold
from relay_core.domain.records import ReportEntry

_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ReportEntries(Sequence[ReportEntry]):
    """Entries as ``errors.json`` has them, a line each; read as objects where they are asked for.

    ``lines`` are of ``pa.large_string``: ten thousand records can be long.
    """

    lines: pa.LargeStringArray = field(default_factory=lambda: pa.array([], pa.large_string()))

    @classmethod
    def of(cls, entries: Iterable[ReportEntry]) -> ReportEntries:
        """Write entries; those that are written already stay as they are."""
        if isinstance(entries, ReportEntries):
            return entries
        lines = [_ENCODER.encode(entry.as_dict()) for entry in entries]
        return cls(pa.array(lines, pa.large_string()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.lines)

    @overload
    def __getitem__(self, place: int) -> ReportEntry: ...

    @overload
    def __getitem__(self, place: slice) -> ReportEntries: ...

    def __getitem__(self, place: int | slice) -> ReportEntry | ReportEntries:
        """Return one entry, or some."""
        if isinstance(place, slice):
            return ReportEntries(self.lines[place])
        return ReportEntry(**json.loads(self.lines[place].as_py()))

    def __iter__(self) -> Iterator[ReportEntry]:
        """Yield each entry."""
        return (ReportEntry(**json.loads(line)) for line in self.lines.to_pylist())

    def within(self, size: int, separator: str = "") -> ReportEntries:
        """Return the first entries, as many as take so many bytes with a separator between them."""
        bounds, _ = offsets_and_bytes(self.lines)
        ends = bounds[1:] - bounds[0] + len(separator.encode()) * np.arange(len(self))
        return self[: int(np.searchsorted(ends, size, side="right"))]

    def joined(self, separator: str) -> memoryview:
        """Return the bytes of the lines, with a separator between them."""
        ended = bytes_of(joined_parts(self.lines, separator))
        return ended[: len(ended) - len(separator.encode())]


def joined_entries(parts: Iterable[Iterable[ReportEntry]]) -> ReportEntries:
    """Return the entries of all parts, one after another."""
    lines = [ReportEntries.of(part).lines for part in parts]
    return ReportEntries(pa.concat_arrays(lines)) if lines else ReportEntries()


def as_json(content: object) -> str:
    """Return a value as a part of a line."""
    return _ENCODER.encode(content)


def joined_parts(*parts: pa.Array | str, separator: str = "") -> pa.LargeStringArray:
    """Join texts row by row."""
    large = [
        pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.cast("large_string")
        for part in (*parts, separator)
    ]
    return pc.binary_join_element_wise(*large)


def json_texts(text: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return each text as JSON, in its quotes."""
    escaped = change_rows(text, rows_that_hold(text, _must_be_escaped), _escape)
    return joined_parts('"', escaped, '"')


def python_texts(text: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return each text as Python's ``repr`` shows it."""
    rows = rows_that_hold(text, _may_be_shown_otherwise)
    odd = pa.array([repr(one) for one in text.take(pa.array(rows)).to_pylist()], text.type)
    plain = joined_parts("'", text, "'")
    return change_rows(plain, rows, lambda _: odd)


def _may_be_shown_otherwise(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    shown = (data >= ord(" ")) & (data <= ord("~"))
    return np.asarray(~shown | (data == ord("'")) | (data == ord("\\")))


def _must_be_escaped(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.asarray((data < ord(" ")) | (data == ord('"')) | (data == ord("\\")))


def _escape(text: pa.LargeStringArray) -> pa.LargeStringArray:
    marks = ["\\", '"', *map(chr, range(ord(" ")))]
    held = [mark for mark in marks if pc.any(pc.match_substring(text, mark)).as_py()]
    return reduce(_with_escapes, held, text)


def _with_escapes(text: pa.LargeStringArray, mark: str) -> pa.LargeStringArray:
    return pc.replace_substring(text, mark, as_json(mark)[1:-1])
