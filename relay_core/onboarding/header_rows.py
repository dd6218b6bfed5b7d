"""The header among the first records of a table, told by the columns below it.

A header has words where the rows have figures. So the columns are judged first, over all
records at hand, and a record is a header or a row by how it differs from them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from relay_core.onboarding.feed_sample import SampleRecord
from relay_core.onboarding.header_names import MAX_HEADERS, count_known

_CODES = (
    "USD|EUR|GBP|CHF|CAD|AUD|NZD|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|ZAR|"
    "BRL|MXN|SGD|HKD"
)
SYMBOL = (
    r"(?:(?:US|CA|AU|NZ|HK|C|A|R)?[$€£¥₹₽₺₩₪₫฿]|"
    rf"{_CODES}|kr\.?|zł|Kč|Ft|Fr\.|Rs\.?|lei|din)"
)
"""A pattern of the currency symbols and codes that amounts have. RE2 reads it too."""
_FIGURE = re.compile(
    rf"\W*{SYMBOL}?\W*\d(?:[\d\W_]|[TZ](?=\W|\d|$))*{SYMBOL}?\W*"
)
_YEAR = re.compile(r"(?:19|20|21)\d\d")
_HEADER_RECORDS = 60
"""The header is one of this many first records."""
_MIN_FIGURES = 0.5
"""The share of a column's cells that are figures, at least, in a column of figures."""
_MIN_COVERAGE = 0.5
"""The share of the commonly filled columns that a header names, at least."""
_MIN_FILLED_SHARE = 0.6
_MAX_ROWS_BEFORE = 2
"""The number of records like rows before a header with known names, at most."""
_MIN_ROWS = 2
"""The number of rows that show that a table has no header."""
NO_VALUES = frozenset(("n/a", "na", "#n/a", "none", "null", "nan", "tbd", "-"))
"""The words of cells without a value, which no header has."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header among the records of a file.

    Attributes:
        index: The index of the header among the records, or of the first row.
        record: The record at the index.
        known_names: The number of its cells that are known names.
        columns: Names for the fields, if the record is a row like the others.
    """

    index: int
    record: SampleRecord
    known_names: int
    columns: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a table.

    Attributes:
        common: The indexes of the columns that half of the records fill.
        figures: The indexes of the columns whose cells are figures.
        coded: The indexes of the columns whose cells have a digit.
    """

    common: frozenset[int]
    figures: frozenset[int]
    coded: frozenset[int]


def find_header(
    records: Sequence[SampleRecord], names: frozenset[str]
) -> Header | None:
    """Return the header of some records without blank ones, or None without a table.

    Args:
        records: The first records of a file.
        names: The joined names that headers commonly have.
    """
    if not any(filled_cells(record) > 1 for record in records) and not any(
        len(record.cells) > 1 for record in records
    ):
        return None
    columns = _columns_of(records)
    if not columns.figures:
        return _first_full(records, names)
    header_indexes = [
        index
        for index, record in enumerate(records[:_HEADER_RECORDS])
        if _is_header(record, columns, names)
    ]
    row_indexes = [
        index
        for index, record in enumerate(records)
        if index not in header_indexes and is_row(record, columns.figures)
    ]
    index = _best_index(header_indexes, row_indexes, records, names)
    if index is not None:
        record = records[index]
        return Header(index, record, count_known(record.cells, names), None)
    if len(row_indexes) < _MIN_ROWS:
        return _first_full(records, names)
    return _without_header(records, row_indexes[0])


def is_row(record: SampleRecord, figures: frozenset[int]) -> bool:
    """Return True if a record has figures in half of the columns of figures."""
    cells = record.cells
    count = sum(
        index < len(cells) and is_figure(cells[index]) for index in figures
    )
    return count * 2 >= len(figures)


def is_figure(cell: str) -> bool:
    """Return True if a cell is a number, an amount, a range of them, or a day."""
    return _FIGURE.fullmatch(cell.strip()) is not None


def filled_cells(record: SampleRecord) -> int:
    """Return the number of cells that are not blank."""
    return sum(bool(cell.strip()) for cell in record.cells)


def _columns_of(records: Sequence[SampleRecord]) -> _Columns:
    body = [record for record in records if filled_cells(record) > 1]
    body = body or list(records)
    filled: Counter[int] = Counter()
    figures: Counter[int] = Counter()
    coded: Counter[int] = Counter()
    for record in body:
        for index, cell in enumerate(record.cells[:MAX_HEADERS]):
            text = cell.strip()
            if text:
                filled[index] += 1
                figures[index] += is_figure(text)
                coded[index] += any(map(str.isdigit, text))
    return _Columns(
        frozenset(index for index in filled if filled[index] * 2 >= len(body)),
        frozenset(
            index
            for index in filled
            if figures[index] >= _MIN_FIGURES * filled[index]
        ),
        frozenset(
            index for index in filled if coded[index] > 0.8 * filled[index]
        ),
    )


def _is_header(
    record: SampleRecord, columns: _Columns, names: frozenset[str]
) -> bool:
    """Return True if a record may be the header of columns with figures."""
    texts = {
        index: cell.strip()
        for index, cell in enumerate(record.cells[:MAX_HEADERS])
        if cell.strip()
    }
    if len(texts) < min(2, len(columns.common)):
        return False
    covered = len(columns.common & texts.keys())
    if covered < _MIN_COVERAGE * len(columns.common):
        return False
    labels = [texts[index] for index in columns.figures if index in texts]
    numbers = [text for text in labels if is_figure(text)]
    if any(_YEAR.fullmatch(text) is None for text in numbers):
        return False
    if not NO_VALUES.isdisjoint(text.casefold() for text in texts.values()):
        return False
    if count_known(record.cells, names):
        return True
    codes = [texts[index] for index in columns.coded if index in texts]
    with_digits = sum(any(map(str.isdigit, text)) for text in codes)
    return len(labels) > len(numbers) and with_digits * 2 <= len(codes)


def _best_index(
    header_indexes: Sequence[int],
    row_indexes: Sequence[int],
    records: Sequence[SampleRecord],
    names: frozenset[str],
) -> int | None:
    """Return the index of the best header, or None if there is none.

    Of the records before the first row, it is the last of those with the most known
    names. A later one is better only if it skips hardly any record like a row.
    """
    first_row = row_indexes[0] if row_indexes else len(records)
    known_counts = {
        index: count_known(records[index].cells, names)
        for index in header_indexes
    }
    before = [index for index in header_indexes if index < first_row]
    best = max(
        before, key=lambda index: (known_counts[index], index), default=None
    )
    least_known = 1 if best is None else max(1, known_counts[best])
    for index in header_indexes:
        rows_before = sum(row_index < index for row_index in row_indexes)
        if not rows_before or known_counts[index] <= least_known:
            continue
        if rows_before <= _MAX_ROWS_BEFORE:
            best = index
            least_known = known_counts[index]
    return best


def _first_full(
    records: Sequence[SampleRecord], names: frozenset[str]
) -> Header | None:
    """Return the first full record as the header, or one with more known names."""
    widths = Counter(
        len(record.cells) for record in records if len(record.cells) > 1
    )
    if not widths:
        return None
    width = max(widths, key=lambda width: (widths[width], width))
    indexes = [
        index
        for index, record in enumerate(records)
        if len(record.cells) == width
    ]
    first_indexes = [index for index in indexes if index < _HEADER_RECORDS]
    header_indexes = first_indexes or indexes
    filled = {index: filled_cells(records[index]) for index in header_indexes}
    min_filled = _MIN_FILLED_SHARE * max(filled.values())
    first_full = next(
        index for index in header_indexes if filled[index] >= min_filled
    )
    known_counts = {
        index: count_known(records[index].cells, names)
        for index in header_indexes
    }
    best = max(known_counts, key=lambda index: (known_counts[index], -index))
    # One known name alone may be a cell of a row.
    index = first_full
    if known_counts[best] > max(1, known_counts[first_full]):
        index = best
    return Header(index, records[index], known_counts[index], None)


def _without_header(records: Sequence[SampleRecord], index: int) -> Header:
    """Return the first row of a table without a header, with names for its columns."""
    widths = Counter(len(record.cells) for record in records[index:])
    width = max(widths, key=lambda width: (widths[width], width))
    columns = [f"column {number}" for number in range(1, width + 1)]
    return Header(index, records[index], 0, tuple(columns))


def unique_names(headers: Sequence[str]) -> list[str]:
    """Return names for columns: their headers, numbered if blank or repeated."""
    names: list[str] = []
    taken_names = {header.strip() for header in headers}
    for number, header in enumerate(headers, 1):
        base_name = header.strip() or f"column {number}"
        name = base_name
        suffix = 2
        while name in names or (name != header.strip() and name in taken_names):
            name = f"{base_name} ({suffix})"
            suffix += 1
        names.append(name)
    return names
