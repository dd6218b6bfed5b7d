"""Guesses of the columns that a product cannot do without: its SKU and its price.

All columns of the file are compared by their cells and their headers, and the likeliest
is taken. A guess says how certain it is, and why.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.config import ParserConfig
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.ingest.column_mapping import expected_headers
from relay_core.onboarding import header_names
from relay_core.onboarding.check_results import (
    Candidate,
    Certainty,
    Guess,
)
from relay_core.onboarding.header_rows import SYMBOL, unique_names

_MAX_TEXTS = 2_000
"""The number of cells, spread over all rows, whose forms are counted."""
_MAX_SAMPLES = 5
_MAX_ALTERNATIVES = 4
_GROUP_MARKS = ".,' \u2019\u00a0\u202f"
_DIGITS = (
    rf"(?:[0-9]{{1,3}}(?:[{_GROUP_MARKS}][0-9]{{3}})+(?:[.,][0-9]+)?"
    r"|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)"
)
_NUMBER = (
    rf"^[(+-]?\s*(?:{SYMBOL})?\s*[+-]?\s*{_DIGITS}\s*-?\s*(?:{SYMBOL})?\s*\)?$"
)
_PRICE = rf"^[(+-]?\s*(?:{SYMBOL}.*|{_DIGITS}\s*{SYMBOL}|[0-9.,'\s]*[.,][0-9]{{1,4}})\)?$"
"""A number with a currency, or with decimals."""
_EN_DASH = "\u2013"
_RANGE = rf"^{SYMBOL}?\s*[0-9][0-9.,]*\s*(?:[-{_EN_DASH}]|to)\s*{SYMBOL}?\s*[0-9][0-9.,]*$"
_PADDED = r"^0[0-9]+$"
_WHOLE = r"^[0-9]+(?:\.0+)?$"
_DAY = r"^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"
_MIN_SCORE = {"sku": 0.0, "cost": 0.4}
_SURE_MARGIN = 0.25
"""The difference of scores from which the best column is clearly better."""
_MAX_CODE_LENGTH = 24
_MIN_UNIQUE = 0.9
"""The share of different cells of a SKU whose header names something else, at least."""
_MAX_RANGES = 0.5
"""The share of ranges in a column of prices, at most."""
_MIN_WHOLE_SHARE = 0.9
"""The share of whole numbers among the cells of a quantity, at least."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file, described by its cells.

    Attributes:
        index: The index of the column in the file.
        header: The header, trimmed, or a name that no other column has.
        is_named: Whether the header is not empty and no other column has it.
        filled: The share of rows with a cell.
        unique: The share of different values among the cells.
        numbers: The share of numbers and amounts among the cells.
        prices: The share of numbers with a currency or decimals.
        whole: The share of whole numbers.
        padded: The share of whole numbers with leading zeros.
        ranges: The share of ranges, such as `$25-$41`.
        days: The share of days.
        spaced: The share of cells of several words.
        length: The mean length of the cells.
        is_count: Whether the cells count the rows.
        samples: The first distinct cells.
    """

    index: int
    header: str
    is_named: bool
    filled: float
    unique: float
    numbers: float
    prices: float
    whole: float
    padded: float
    ranges: float
    days: float
    spaced: float
    length: float
    is_count: bool
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The column that is the likeliest for a canonical column.

    Attributes:
        canonical: The canonical column.
        column: The column of the file.
        guess: The guess, as it is reported.
    """

    canonical: str
    column: Column
    guess: Guess


def describe_columns(
    headers: Sequence[str], cells: Sequence[pa.StringArray]
) -> list[Column]:
    """Return a description of each column.

    Args:
        headers: The headers of the file.
        cells: The trimmed cells of each column, one a record.
    """
    trimmed = [header.strip() for header in headers[: len(cells)]]
    counts = Counter(trimmed)
    names = unique_names(headers)[: len(cells)]
    is_filled = [~text.is_empty(column) for column in cells]
    if len(cells) > 1:
        # Headings and lines of text are not rows.
        is_row = np.sum(is_filled, axis=0) > 1
        cells = [column.filter(pa.array(is_row)) for column in cells]
    return [
        _described(
            index,
            name,
            cells[index],
            is_named=bool(trimmed[index]) and counts[trimmed[index]] == 1,
        )
        for index, name in enumerate(names)
    ]


def choose_columns(
    columns: Sequence[Column],
    parser: ParserConfig,
    missing: Collection[str],
    matches: Mapping[str, Any],
) -> list[Choice]:
    """Return the likeliest columns of the SKU, the price and the quantity.

    Args:
        columns: The columns of the file.
        parser: The vendor's parser.
        missing: The canonical columns to choose, of these three.
        matches: The headers that are certain by their names.
    """
    by_header = {column.header: column for column in columns}
    names = [column.header for column in columns]
    expected = expected_headers(names, parser)
    taken_headers = {
        header for headers in expected.values() for header in headers
    }
    taken_headers.update(
        header for header in matches.values() if isinstance(header, str)
    )
    choices: list[Choice] = []
    for canonical, choose in _CHOOSERS.items():
        if canonical not in missing:
            continue
        matched = matches.get(canonical)
        matched_column = None
        if isinstance(matched, str):
            matched_column = by_header.get(matched)
        choice = None
        if not _is_settled(canonical, parser, matches):
            shared_headers = _shared(canonical, matches)
            if canonical == "sku":
                shared_headers.update(expected.get("title", ()))
            choice = choose(columns, taken_headers - shared_headers)
        # Ranges of amounts are not a price, whatever the header says.
        if (
            choice is None
            and matched_column is not None
            and matched_column.ranges <= _MAX_RANGES
        ):
            choice = _certain(canonical, matched_column)
        if choice is not None:
            choices.append(choice)
            taken_headers.add(choice.column.header)
    return choices


def _is_settled(
    canonical: str, parser: ParserConfig, matches: Mapping[str, Any]
) -> bool:
    """Return True if the name of a header is all that a column needs."""
    is_configured = canonical in parser.column_map
    is_quantity = canonical == "quantity_available"
    return canonical in matches and (is_configured or is_quantity)


def _shared(canonical: str, matches: Mapping[str, Any]) -> set[str]:
    """Return the matched headers that a column may share, with its own match."""
    columns = {canonical}
    if canonical == "sku":
        # A title may identify products, too.
        columns |= matches.keys() - set(NUMBER_COLUMNS)
    headers = [matches[column] for column in columns if column in matches]
    return {header for header in headers if isinstance(header, str)}


def default_quantity(columns: Sequence[Column]) -> Guess:
    """Return the guess that each product is in stock once, for a file without a quantity.

    Its alternatives are the columns that may be quantities all the same.
    """
    alternatives = [
        column.header
        for column in columns
        if column.whole >= _MIN_WHOLE_SHARE
        and not header_names.STOCK_WORDS.isdisjoint(
            header_names.plain_words(column.header)
        )
    ]
    return Guess(
        option="defaults.quantity_available",
        value="1",
        certainty=Certainty.UNSURE if alternatives else Certainty.LIKELY,
        reason="no column is clearly the quantity in stock",
        alternatives=tuple(alternatives[:_MAX_ALTERNATIVES]),
    )


def range_notes(columns: Sequence[Column]) -> list[str]:
    """Return a note for each column whose cells are ranges of amounts."""
    return [
        f'Most values of "{column.header}" are ranges, such as "{column.samples[0]}", '
        "and a product needs one price. Ask the vendor for a list with one price for each "
        "product."
        for column in columns
        if column.ranges > _MAX_RANGES
        and header_names.likeness_to_price(column.header) > 0
    ]


def choose_sku(
    columns: Sequence[Column], taken_headers: Collection[str]
) -> Choice | None:
    """Return the column whose cells identify products best, or None without one."""
    title_index = _title_index(columns)

    def score(column: Column) -> float:
        return _sku_score(column, title_index)

    free = [column for column in columns if column.header not in taken_headers]
    return _choice("sku", free, score, _sku_certainty, _sku_reason)


def choose_cost(
    columns: Sequence[Column], taken_headers: Collection[str]
) -> Choice | None:
    """Return the column of amounts that is the price, or None without one."""
    free = [column for column in columns if column.header not in taken_headers]
    return _choice("cost", free, _cost_score, _cost_certainty, _cost_reason)


def choose_quantity(
    columns: Sequence[Column], taken_headers: Collection[str]
) -> Choice | None:
    """Return the first column of whole numbers that is named after stock, or None."""

    def score(column: Column) -> float:
        words = frozenset(header_names.plain_words(column.header))
        is_stock = not words.isdisjoint(header_names.STOCK_WORDS)
        is_other = not words.isdisjoint(header_names.NO_STOCK_WORDS)
        # A number beside a quantity may be a step of prices.
        is_step = any(map(str.isdigit, column.header))
        is_whole = column.whole >= _MIN_WHOLE_SHARE
        is_quantity = is_stock and is_whole and not is_other and not is_step
        return 1.0 if is_quantity else -1.0

    free = [
        column
        for column in columns
        if column.is_named and column.header not in taken_headers
    ]
    return _choice(
        "quantity_available",
        free,
        score,
        lambda _column, margin: (
            Certainty.LIKELY if margin > _SURE_MARGIN else Certainty.UNSURE
        ),
        lambda column: (
            f"{_percent(column.whole)} of its values are whole numbers"
        ),
    )


_CHOOSERS: Mapping[
    str, Callable[[Sequence[Column], Collection[str]], Choice | None]
] = {
    "sku": choose_sku,
    "cost": choose_cost,
    "quantity_available": choose_quantity,
}


# --- choices --------------------------------------------------------------------------


def _choice(
    name: str,
    columns: Sequence[Column],
    score: Callable[[Column], float],
    certainty: Callable[[Column, float], Certainty],
    reason: Callable[[Column], str],
) -> Choice | None:
    """Return the column with the highest score; of equal ones, the first."""
    scores = {column.index: score(column) for column in columns}
    min_score = _MIN_SCORE.get(name, 0.0)
    ranked = sorted(
        (column for column in columns if scores[column.index] >= min_score),
        key=lambda column: (-scores[column.index], column.index),
    )
    if not ranked:
        return None
    best = ranked[0]
    margin = 1.0
    if len(ranked) > 1:
        margin = scores[best.index] - scores[ranked[1].index]
    candidates = [
        _candidate(name, column) for column in ranked[: _MAX_ALTERNATIVES + 1]
    ]
    guess = Guess(
        option=f"column_map.{name}",
        value=best.header,
        certainty=certainty(best, margin),
        reason=reason(best),
        samples=best.samples,
        alternatives=tuple(candidate.header for candidate in candidates[1:]),
        candidates=tuple(candidates),
    )
    return Choice(name, best, guess)


def _candidate(name: str, column: Column) -> Candidate:
    """Return a column as a candidate for a canonical column."""
    joined = header_names.joined_words(column.header)
    names = (name, *header_names.ranks_of(name))
    score = max(
        header_names.similarity(joined, common_name) for common_name in names
    )
    return Candidate(column.header, round(score, 2), column.samples)


def _certain(name: str, column: Column) -> Choice:
    """Return the choice of a column whose header is certain."""
    guess = Guess(
        option=f"column_map.{name}",
        value=column.header,
        certainty=Certainty.CERTAIN,
        reason="its header says so",
        samples=column.samples,
    )
    return Choice(name, column, guess)


def _sku_score(column: Column, title_index: int | None) -> float:
    """Return how well a column identifies products."""
    if column.filled < 0.5 or column.unique < 0.3:
        return -1.0
    likeness = header_names.likeness_to_code(column.header)
    # A code such as 978-0641723445 has the form of a range of amounts.
    is_range = column.ranges > 0.3 and likeness <= 0
    is_name = likeness < 0 and column.unique < _MIN_UNIQUE
    if column.prices > 0.3 or column.days > 0.5 or is_range or is_name:
        return -1.0
    score = 2 * (column.unique - 0.5) * column.filled + likeness
    is_short = column.length <= _MAX_CODE_LENGTH
    if is_short and column.spaced < 0.2:
        score += 0.5
    elif column.spaced > 0.5 or column.length > 2 * _MAX_CODE_LENGTH:
        score -= 0.3
    if column.is_count:
        score -= 0.8
    if title_index is not None and column.index < title_index:
        score += 0.15
    if not column.is_named:
        score -= 0.1
    return score


def _sku_certainty(column: Column, margin: float) -> Certainty:
    is_code = header_names.likeness_to_code(column.header) >= 0.5
    is_unique = column.unique >= 0.98 and column.filled >= 0.98
    if is_code and is_unique and margin >= _SURE_MARGIN:
        return Certainty.CERTAIN
    if column.unique >= 0.9 and margin >= _SURE_MARGIN:
        return Certainty.LIKELY
    return Certainty.UNSURE


def _sku_reason(column: Column) -> str:
    return f"{_percent(column.unique)} of its values are different"


def _cost_score(column: Column) -> float:
    """Return how well a column's cells are what a product costs."""
    likeness = header_names.likeness_to_price(column.header)
    min_numbers = 0.2 if likeness >= 0.5 else 0.5
    if column.numbers < min_numbers or column.days > 0.5:
        return -1.0
    score = likeness + 0.4 * column.filled + 0.3 * column.numbers
    score += 0.6 * column.prices
    if column.padded > 0.05:
        score -= 1.0
    if column.unique < 0.02 and column.filled > 0 and len(column.samples) == 1:
        score -= 0.5
    if column.is_count:
        score -= 0.8
    if not column.is_named:
        score -= 0.1
    return score


def _cost_certainty(column: Column, margin: float) -> Certainty:
    likeness = header_names.likeness_to_price(column.header)
    if likeness >= 0.7 and column.numbers >= 0.9 and margin >= _SURE_MARGIN:
        return Certainty.CERTAIN
    has_prices = likeness > 0 or column.prices >= 0.5
    if has_prices and margin >= _SURE_MARGIN:
        return Certainty.LIKELY
    return Certainty.UNSURE


def _cost_reason(column: Column) -> str:
    return f"{_percent(column.numbers)} of its values are amounts"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")


def _title_index(columns: Sequence[Column]) -> int | None:
    """Return the index of the column with the longest texts of several words."""
    spaced = [column for column in columns if column.spaced > 0.5]
    longest = max(spaced, key=lambda column: column.length, default=None)
    return None if longest is None else longest.index


# --- columns --------------------------------------------------------------------------


def _described(
    index: int, header: str, cells: pa.StringArray, *, is_named: bool
) -> Column:
    rows = len(cells)
    filled_cells = cells.filter(pa.array(~text.is_empty(cells)))
    count = len(filled_cells)
    distinct = pc.unique(filled_cells)
    step = max(1, count // _MAX_TEXTS)
    texts = filled_cells.take(pa.array(np.arange(0, count, step)))

    def share(pattern: str) -> float:
        if not len(texts):
            return 0.0
        matches = text.flags_of(pc.match_substring_regex(texts, pattern))
        return float(matches.mean())

    numbers = share(_NUMBER)
    whole = share(_WHOLE) if numbers else 0.0
    lengths = text.lengths_of(texts)
    return Column(
        index=index,
        header=header,
        is_named=is_named,
        filled=count / rows if rows else 0.0,
        unique=len(distinct) / count if count else 0.0,
        numbers=numbers,
        prices=share(_PRICE) if numbers else 0.0,
        whole=whole,
        padded=share(_PADDED) if whole else 0.0,
        ranges=share(_RANGE),
        days=share(_DAY),
        spaced=share(r"\S\s+\S"),
        length=float(lengths.mean()) if len(texts) else 0.0,
        is_count=whole == 1
        and len(distinct) == count
        and _counts(filled_cells),
        samples=tuple(islice(distinct.to_pylist(), _MAX_SAMPLES)),
    )


def _counts(cells: pa.StringArray) -> bool:
    """Return True if whole numbers count from 1 to their number."""
    count = len(cells)
    if count < 3:
        return False
    counted = pa.array([str(number) for number in range(1, count + 1)])
    return bool(pc.equal(cells, counted).to_numpy(zero_copy_only=False).all())
