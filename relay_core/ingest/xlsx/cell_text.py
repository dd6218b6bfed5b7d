"""The cells of a workbook to the text that a feed's cell has: numbers, dates, booleans."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.text import Bools, Ints, change_rows, flags_of, values_of
from relay_core.ingest.xlsx.cells import Cells, CellType

_PLAIN = r"^(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])$"
_DIGITS = 15
_DAY = 86_400
_LAST_DAY = 2_958_465
"""31 December 9999 in the 1900 system."""
_BETWEEN_SYSTEMS = 1_462
_NO_DAY = 60
"""The 29 February that 1900 has not had, and the 1900 system has."""
_EPOCH = -25_569
"""What a serial from then on counts from, in days of Unix time."""


def cell_texts(
    cells: Cells, shared: pa.StringArray, is_date: Bools, *, from_1904: bool
) -> tuple[pa.StringArray, Bools]:
    """Return the text of each cell, and which cells are numbers.

    Args:
        cells: some cells of a sheet.
        shared: the texts that cells share.
        is_date: by style, whether it shows a number as a date or a time.
        from_1904: whether dates are counted in the 1904 system.
    """
    texts, types = cells.texts, cells.types
    by_type = {kind: np.flatnonzero(types == kind) for kind in np.unique(types).tolist()}
    numbers = types == CellType.NUMBER
    if CellType.NUMBER in by_type:
        styles = np.minimum(cells.styles, len(is_date))
        dated = numbers & np.append(is_date, False)[styles]
        numbers &= ~dated
        texts = change_rows(texts, np.flatnonzero(numbers), number_text)
        texts = change_rows(texts, np.flatnonzero(dated), lambda t: date_text(t, from_1904))
    if CellType.BOOLEAN in by_type:
        texts = change_rows(texts, by_type[CellType.BOOLEAN], _boolean_text)
    if CellType.DATE in by_type:
        texts = change_rows(texts, by_type[CellType.DATE], _iso_text)
    if CellType.SHARED in by_type:
        texts = change_rows(texts, by_type[CellType.SHARED], lambda t: shared_text(t, shared))
    return texts, numbers


def number_text(text: pa.StringArray) -> pa.StringArray:
    """Return numbers to 15 significant digits, without an exponent and zeros at the end."""
    plain = flags_of(pc.match_substring_regex(text, _PLAIN))
    plain &= values_of(pc.binary_length(text)) <= _DIGITS
    return _by_distinct(text, np.flatnonzero(~plain), _number_text)


def shared_text(places: pa.StringArray, shared: pa.StringArray) -> pa.StringArray:
    """Return the texts at these places."""
    return shared.take(shared_places(places, len(shared))).cast(pa.string())


def shared_places(places: pa.StringArray, count: int) -> pa.Int64Array:
    """Return places as numbers.

    Raises:
        ValueError: there is no such place.
    """
    found = pc.utf8_trim_whitespace(places).cast(pa.int64())
    numbers = values_of(found)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
        raise ValueError("a cell names a text that is not there")
    return found


def date_text(text: pa.StringArray, from_1904: bool) -> pa.StringArray:
    """Return serials as dates, as dates with a time, or below 1 as times."""
    serials = np.array([_float(each) for each in text.to_pylist()], np.float64)
    most = _LAST_DAY + 1 - (_BETWEEN_SYSTEMS if from_1904 else 0)
    with np.errstate(invalid="ignore"):
        known = (serials >= 0) & (serials < most)
    written = change_rows(text, np.flatnonzero(~known), number_text)
    return change_rows(
        written, np.flatnonzero(known), lambda _: _moments(serials[known], from_1904)
    )


def _moments(serials: npt.NDArray[np.float64], from_1904: bool) -> pa.StringArray:
    seconds = np.floor(serials * _DAY + 0.5).astype(np.int64)
    days, clock = np.divmod(seconds, _DAY)
    unix = days + _EPOCH + (_BETWEEN_SYSTEMS if from_1904 else days < _NO_DAY)
    whole = pa.array(unix * _DAY + clock).cast(pa.timestamp("s")).cast(pa.string())
    date, time = pc.utf8_slice_codeunits(whole, 0, 10), pc.utf8_slice_codeunits(whole, 11)
    if not from_1904:
        date = pc.if_else(pa.array(days == _NO_DAY), "1900-02-29", date)
    dated = pc.if_else(pa.array(clock == 0), date, join_fields([date, time], " "))
    return pc.if_else(pa.array(serials < 1), time, dated)


def _boolean_text(text: pa.StringArray) -> pa.StringArray:
    words = {"1": "true", "0": "false"}
    return _by_distinct(text, np.arange(len(text)), lambda each: words.get(each, each))


def _iso_text(text: pa.StringArray) -> pa.StringArray:
    return _by_distinct(text, np.arange(len(text)), _iso_moment)


def _iso_moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    shown = moment.strftime("%Y-%m-%d %H:%M:%S")
    return shown.removesuffix(" 00:00:00")


def _number_text(text: str) -> str:
    number = _float(text)
    if not np.isfinite(number):
        return text
    shown = format(Decimal(f"{number:.{_DIGITS}g}"), "f")
    return "0" if shown == "-0" else shown


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _by_distinct(text: pa.StringArray, rows: Ints, write: Callable[[str], str]) -> pa.StringArray:
    """Return a column with some rows written again, each distinct text once."""

    def written(some: pa.StringArray) -> pa.StringArray:
        encoded = some.dictionary_encode()
        texts = pa.array([write(each) for each in encoded.dictionary.to_pylist()], pa.string())
        return texts.take(encoded.indices)

    return change_rows(text, rows, written)
