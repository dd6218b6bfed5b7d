"""Kernels over whole columns of cells: trimming, words, numbers, money, timestamps.

A text column is a ``pa.StringArray`` without Arrow nulls; the empty text is its null. The common
forms are read by Arrow; the rare ones once per distinct text by the scalar rules of ``cells``,
which these kernels always agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.digits import ShortRead, read_short_money, read_short_wholes
from relay_core.columnar.text_words import offsets_and_bytes
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT, MONEY_UNIT
from relay_core.domain.errors import CellError
from relay_core.domain.models import RowFault

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

UNREADABLE = np.iinfo(np.int64).min
"""What a typed column holds where the cell could not be read; no rule of a schema admits it."""

FAULTS: tuple[RowFault, ...] = tuple(RowFault)
_FAULT_CODE = {fault: np.uint8(index + 1) for index, fault in enumerate(FAULTS)}

_STAND_INS: dict[str, int] = {
    RowFault.NEGATIVE_QUANTITY: -1,
    RowFault.NEGATIVE_AMOUNT: -1,
    RowFault.AMOUNT_OUT_OF_RANGE: np.iinfo(np.int64).max,
}

_WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
_FIRST_MARK = np.uint8(ord("!"))
"""What is less is white space or a control."""
_PLAIN_WHOLE = r"^\+?0*(?P<whole>[0-9]{1,10})(?:\.0*)?$"
_PLAIN_MONEY = r"^\+?0*(?P<whole>[0-9]{1,9})(?:\.(?P<kept>[0-9]{0,4})(?P<next>[0-9]?)[0-9]*)?$"


class NumberOptions(Protocol):
    """The parser's options that change how a number is written."""

    @property
    def decimal_separator(self) -> str:
        """``.`` or ``,``."""

    @property
    def thousands_separator(self) -> str | None:
        """The mark between groups of three digits."""

    @property
    def currency_symbols(self) -> Sequence[str]:
        """Text that may stand at either end of an amount."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A column after reading: values, which of them are null, and each one's fault code.

    ``values`` is 0 where null and ``UNREADABLE`` (or the value that breaks the rule) where
    ``faults`` is not 0; fault code ``n`` is ``FAULTS[n - 1]``. ``text`` are the cells; in the rows
    of ``written`` they stand as normalized.csv writes the value, or are faulty.
    """

    values: Ints
    nulls: Bools
    faults: npt.NDArray[np.uint8]
    text: pa.StringArray
    written: Bools


def fault_code(fault: str) -> np.uint8:
    """Return the small integer that stands for a row fault in ``Typed.faults``."""
    return _FAULT_CODE[RowFault(fault)]


def is_empty(text: pa.StringArray) -> Bools:
    """Return which cells are empty."""
    bounds, _ = offsets_and_bytes(text)
    return np.asarray(bounds[1:] == bounds[:-1])


def trim(text: pa.StringArray) -> pa.StringArray:
    """Trim each cell as Python's ``str.strip`` does."""
    bounds, data = offsets_and_bytes(text)
    starts, lasts = bounds[:-1], bounds[1:] - 1
    filled = starts <= lasts
    some = slice(None) if filled.all() else np.flatnonzero(filled)
    first, last = data[starts[some]], data[lasts[some]]
    odd = np.flatnonzero(_is_no_mark(first, 0xC2) | _is_no_mark(last, 0x80))
    rows = odd if isinstance(some, slice) else some[odd]
    return change_rows(text, rows, lambda some: pc.utf8_trim(some, characters=_WHITE_SPACE))


def may_be_blank(text: pa.StringArray) -> npt.NDArray[np.intp]:
    """Return rows of which each that is empty when trimmed is one."""
    bounds, data = offsets_and_bytes(text)
    if not len(data):
        return np.arange(len(text))
    starts = bounds[:-1]
    first = data[np.minimum(starts, len(data) - 1)]
    return np.flatnonzero((starts == bounds[1:]) | _is_no_mark(first, 0xC2))


def _is_no_mark(byte: npt.NDArray[np.uint8], bound: int) -> Bools:
    """Return which bytes are white space, controls or ``bound`` and more."""
    # unsigned: what is less than the first mark becomes large
    return np.asarray(byte - _FIRST_MARK >= bound - _FIRST_MARK)


def change_rows(
    text: pa.StringArray, rows: npt.NDArray[Any], change: Callable[[pa.StringArray], pa.Array]
) -> pa.StringArray:
    """Return ``text`` with ``change`` applied to the given rows alone."""
    if not len(rows):
        return text
    if len(rows) == len(text):
        return change(text)
    changed = change(text.take(pa.array(rows)))
    places = np.arange(len(text))
    places[rows] = np.arange(len(text), len(text) + len(rows))
    # one take of both takes half as long as Arrow's replace_with_mask
    return pa.concat_arrays([text, changed]).take(pa.array(places))


def fill(text: pa.StringArray, where: Bools, value: str) -> pa.StringArray:
    """Return ``text`` with ``value`` in the rows of ``where``."""
    if not where.any():
        return text
    return pc.if_else(pa.array(where), value, text)


def word_index(
    text: pa.StringArray, words: Iterable[str], fold: Callable[[str], str] = str.casefold
) -> Ints:
    """Return which of ``words`` each cell is, in any case, or -1; the first of equal ones wins."""
    folded: dict[str, int] = {}
    for position, word in enumerate(words):
        folded.setdefault(fold(word), position)
    found = pc.index_in(pc.ascii_lower(text), value_set=pa.array(list(folded), pa.string()))
    positions = np.array([*folded.values(), -1], np.int64)
    index = positions[_numpy(pc.fill_null(found, len(folded)))]
    wide = np.flatnonzero(~_flags(pc.string_is_ascii(text)))
    if len(wide):
        encoded = text.take(pa.array(wide)).dictionary_encode()
        cells = encoded.dictionary.to_pylist()
        read = np.array([folded.get(fold(cell), -1) for cell in cells], np.int64)
        index[wide] = read[_indices(encoded)]
    return np.asarray(index)


def plain_numbers(text: pa.StringArray, options: NumberOptions) -> pa.StringArray:
    """Rewrite numbers with the vendor's separators to digits with ``.``; a misfit becomes ``?``."""
    decimal, thousands = options.decimal_separator, options.thousands_separator
    if thousands is not None:
        text = _without_thousands(text, decimal, thousands)
    if decimal == ",":
        wrong = np.flatnonzero(_flags(pc.match_substring(text, ".")))
        text = change_rows(text, wrong, _question_marks)
        text = pc.replace_substring(text, ",", ".")
    return text


def without_symbols(text: pa.StringArray, symbols: Sequence[str]) -> pa.StringArray:
    """Take at most one currency symbol from each end, with the white space beside it.

    A cell that is nothing but symbols becomes ``?``, which no number is.
    """
    if not symbols:
        return text
    ordered = sorted(symbols, key=len, reverse=True)
    empty = is_empty(text)
    text = trim(_strip_one(text, ordered, pc.starts_with, lambda size: (size, None)))
    text = trim(_strip_one(text, ordered, pc.ends_with, lambda size: (0, -size)))
    return fill(text, is_empty(text) & ~empty, "?")


def read_whole(text: pa.StringArray, options: NumberOptions, scalar: Callable[[str], int]) -> Typed:
    """Read whole numbers; ``scalar`` reads, or refuses, what is not plain digits."""
    plain = plain_numbers(text, options)
    read = read_short_wholes(plain)
    rest = _unread(text, read)
    if len(rest):
        groups = pc.extract_regex(plain.take(pa.array(rest)), _PLAIN_WHOLE)
        fits = _flags(groups.is_valid())
        numbers = _numpy(pc.cast(pc.struct_field(groups.filter(pa.array(fits)), [0]), pa.int64()))
        small = numbers <= LARGEST_WHOLE
        rows = rest[fits][small]
        read.values[rows] = numbers[small]
        read.done[rows] = True
    return _finish(text, plain, read, scalar)


def read_money(text: pa.StringArray, options: NumberOptions, scalar: Callable[[str], int]) -> Typed:
    """Read amounts as ten-thousandths, half up; ``scalar`` reads, or refuses, the rare forms."""
    plain = plain_numbers(without_symbols(text, options.currency_symbols), options)
    read = read_short_money(plain)
    rest = _unread(text, read)
    if len(rest):
        groups = pc.extract_regex(plain.take(pa.array(rest)), _PLAIN_MONEY)
        fits = _flags(groups.is_valid())
        read.values[rest[fits]] = _rounded(groups.filter(pa.array(fits)))
        read.done[rest[fits]] = read.values[rest[fits]] < MONEY_LIMIT * MONEY_UNIT
    return _finish(text, plain, read, scalar)


def read_plain_first(
    text: pa.StringArray,
    short: Callable[[pa.StringArray], ShortRead],
    rest_of: Callable[[pa.StringArray], Typed],
) -> Typed:
    """Read the short plain numbers of untrimmed cells, and only the others in full.

    Right where nothing but white space and the rules of numbers stands between cell and value.
    """
    values, done, written = short(text)
    nulls = is_empty(text)
    written |= nulls
    faults = np.zeros(len(text), np.uint8)
    rest = np.flatnonzero(~(done | nulls))
    if len(rest):
        others = rest_of(text.take(pa.array(rest)))
        values[rest], nulls[rest], faults[rest] = others.values, others.nulls, others.faults
        written[rest] = others.faults != 0
    return Typed(values, nulls, faults, text, written)


def distinct_values(
    text: pa.StringArray, read: Callable[[str], int]
) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Read each distinct cell once with a scalar rule; return values and fault codes."""
    encoded = text.dictionary_encode()
    values, faults = [], []
    for cell in encoded.dictionary.to_pylist():
        try:
            value, fault = read(cell), np.uint8(0)
        except CellError as error:
            fault = fault_code(error.error_code)
            value = _STAND_INS.get(error.error_code, int(UNREADABLE))
        values.append(value)
        faults.append(fault)
    where = _indices(encoded)
    return np.array(values, np.int64)[where], np.array(faults, np.uint8)[where]


def _without_thousands(text: pa.StringArray, decimal: str, thousands: str) -> pa.StringArray:
    for twin in {" ": ("\u00a0", "\u202f"), "'": ("\u2019",)}.get(thousands, ()):
        text = pc.replace_substring(text, twin, thousands)
    point = "\\" + decimal
    mark = "\\" + thousands if thousands == "." else thousands
    grouped = rf"^[+-]?[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+(?:{point}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
    holding = _flags(pc.match_substring(text, thousands))
    wrong = holding & ~_flags(pc.match_substring_regex(text, grouped))
    text = change_rows(text, np.flatnonzero(wrong), _question_marks)
    if not holding.any():
        return text
    return pc.replace_substring(text, thousands, "")


def _question_marks(text: pa.StringArray) -> pa.StringArray:
    return pa.array(["?"], pa.string()).take(pa.array(np.zeros(len(text), np.int64)))


def _strip_one(
    text: pa.StringArray,
    symbols: list[str],
    holds: Callable[..., pa.BooleanArray],
    keep: Callable[[int], tuple[int, int | None]],
) -> pa.StringArray:
    left = np.ones(len(text), np.bool_)
    for symbol in symbols:
        hit = _flags(holds(text, pattern=symbol)) & left
        left &= ~hit
        start, stop = keep(len(symbol))
        cut = partial(pc.utf8_slice_codeunits, start=start, stop=stop)
        text = change_rows(text, np.flatnonzero(hit), cut)
    return text


def _rounded(groups: pa.StructArray) -> Ints:
    """Return ten-thousandths, half up, of amounts with any number of decimal places."""
    whole, kept, following = (pc.struct_field(groups, [index]) for index in range(3))
    whole = _numpy(pc.cast(whole, pa.int64()))
    kept = _numpy(pc.cast(pc.utf8_rpad(kept, 4, padding="0"), pa.int64()))
    up = _flags(pc.greater_equal(following, "5"))
    return np.asarray(whole * 10_000 + kept + up)


def _unread(text: pa.StringArray, read: ShortRead) -> npt.NDArray[np.intp]:
    """Count nulls as read, and return the rows that are not."""
    nulls = is_empty(text)
    np.logical_or(read.done, nulls, out=read.done)
    np.logical_or(read.written, nulls, out=read.written)
    return np.flatnonzero(~read.done)


def _finish(
    text: pa.StringArray, plain: pa.StringArray, read: ShortRead, scalar: Callable[[str], int]
) -> Typed:
    faults = np.zeros(len(text), np.uint8)
    rest = np.flatnonzero(~read.done)
    if len(rest):
        read.values[rest], faults[rest] = distinct_values(text.take(pa.array(rest)), scalar)
        read.written[rest] = faults[rest] != 0
    return Typed(read.values, is_empty(text), faults, plain, read.written)


def _indices(encoded: pa.DictionaryArray) -> npt.NDArray[Any]:
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False))


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _flags(array: pa.BooleanArray) -> Bools:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)
