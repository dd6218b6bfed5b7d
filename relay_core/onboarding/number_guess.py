"""The guess of how a vendor writes numbers: separators and currency symbols.

A number style is proposed only if it reads more cells than the config's own style, and
if all styles that read as many cells agree on their values. `1,234` alone could be either
of two numbers, so nothing is proposed for it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.config.values import is_currency
from relay_core.domain import cell_rules
from relay_core.domain.columns import BY_NAME, MONEY_COLUMNS, Kind
from relay_core.domain.errors import CellError

_MAX_TEXTS = 200  # the number of texts that decide whether a column has amounts
_Style = tuple[str, str | None]
"""A decimal separator and a thousands separator."""
_STYLES: tuple[_Style, ...] = (
    (".", None),
    (",", None),
    (".", ","),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
)
_AMOUNT = re.compile(
    r"(?P<front>[^\d+\-.,]{0,6}?)[\s]*[+-]?[\d.,'\u2019\u00a0\u202f ]*\d[\d.,]*[\s]*"
    r"(?P<back>[^\d+\-.,\s][^\d\s]{0,5})?"
)
_SYMBOL_WORDS = frozenset(
    ("kr", "kr.", "zł", "Kč", "Ft", "Fr.", "Rs", "Rs.", "lei", "din")
)
_CURRENCY_CODES = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "zł": "PLN",
    "Kč": "CZK",
    "Ft": "HUF",
}
_GROUPED = re.compile(r"\D*[1-9]\d{0,2}(?:,\d{3})+\D*")
_DIGIT = re.compile(r"\d")
_POINTED_GROUP = re.compile(r"\D*[1-9]\d{0,2}(?:\.\d{3})+\D*")
_GROUP_DIGITS = 3
_MAX_SYMBOLS = 4
_MAX_AMOUNT_LENGTH = 40
_MIN_SYMBOL_SHARE = 0.02
_MIN_AMOUNT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class NumberGuess:
    """The parser changes that read a vendor's numbers.

    Attributes:
        changes: The parser options to change; empty if the parser reads all numbers.
        currencies: The currencies that the amounts name.
        note: The reason why there are no changes although cells are rejected, and the
            next step; empty if unknown.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    currencies: frozenset[str] = frozenset()
    note: str = ""


def guess_numbers(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
) -> NumberGuess:
    """Return the guess of how a vendor writes numbers, from all cells of a file.

    Args:
        cells: The cells of each column, trimmed and without nulls.
        parser: The vendor's parser.
    """
    forms = {
        column: _of_different_forms(texts) for column, texts in cells.items()
    }
    return _guess(forms, _currency_symbols(cells), parser, is_file=True)


def guess_from_samples(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
) -> NumberGuess:
    """Return the guess of how a vendor writes numbers, from a few cells of a file.

    Args:
        cells: The cells of each column, trimmed and without nulls.
        parser: The vendor's parser.
    """
    distinct_cells = {
        column: list(dict.fromkeys(texts)) for column, texts in cells.items()
    }
    symbols = _currency_symbols(distinct_cells)
    return _guess(distinct_cells, symbols, parser, is_file=False)


def _guess(
    distinct_cells: Mapping[str, Sequence[str]],
    symbols: Sequence[str],
    parser: ParserConfig,
    *,
    is_file: bool,
) -> NumberGuess:
    """Return the guess for cells and the currency symbols at their ends.

    Only all cells of a file can show that a comma marks thousands.
    """
    currencies = frozenset(filter(None, map(currency_of, symbols)))
    own_style = (parser.decimal_separator, parser.thousands_separator)
    own_unread = _read_numbers(distinct_cells, parser, own_style, ()).count(
        None
    )
    if not own_unread:
        return NumberGuess(currencies=currencies)
    if len(currencies) > 1:
        codes = ", ".join(sorted(currencies))
        note = (
            f"The amounts are in more than one currency: {codes}. Ask the vendor for a "
            "file with one currency."
        )
        return NumberGuess(currencies=currencies, note=note)

    new_symbols = [
        symbol for symbol in symbols if symbol not in parser.currency_symbols
    ]
    best_readings = _best_readings(
        distinct_cells, parser, own_style, new_symbols
    )
    style, numbers = next(iter(best_readings.items()))
    if numbers.count(None) == own_unread:
        return NumberGuess(currencies=currencies)
    if style != own_style:
        ambiguous_text = _ambiguous_text(
            distinct_cells, [*best_readings.values()]
        )
        if ambiguous_text is not None:
            grouped = _grouped_style(distinct_cells, best_readings)
            if grouped is not None and is_file:
                changes = _changes_to(grouped, new_symbols, parser)
                return NumberGuess(changes, currencies)
            note = either_separator(ambiguous_text)
            return NumberGuess(currencies=currencies, note=note)
    return NumberGuess(_changes_to(style, new_symbols, parser), currencies)


def either_separator(text: str) -> str:
    """Return the question about the separator of a text, with the two answers."""
    mark = "," if "," in text else "."
    other_mark = "." if mark == "," else ","
    return (
        f'The separator in "{text[:40]}" could mark decimals or thousands. For thousands, '
        f'set parser.decimal_separator to "{other_mark}" and parser.thousands_separator to '
        f'"{mark}". For decimals, set parser.decimal_separator to "{mark}".'
    )


def are_amounts(texts: Sequence[str]) -> bool:
    """Return whether most of the texts look like amounts in some style."""
    if not texts:
        return False
    sample = texts[:_MAX_TEXTS]
    amounts = sum(_amount_form(text) is not None for text in sample)
    return amounts >= _MIN_AMOUNT_SHARE * len(sample)


def _of_different_forms(texts: Sequence[str]) -> list[str]:
    """Return the first text of each form; a form is a text with its digits alike."""
    texts_by_form: dict[str, str] = {}
    for text in texts:
        texts_by_form.setdefault(_DIGIT.sub("9", text), text)
    return list(texts_by_form.values())


def _changes_to(
    style: _Style,
    new_symbols: Sequence[str],
    parser: ParserConfig,
) -> dict[str, Any]:
    """Return the parser options to change for a style and more currency symbols."""
    changes: dict[str, Any] = {}
    decimal, thousands = style
    if decimal != parser.decimal_separator:
        changes["decimal_separator"] = decimal
    if thousands != parser.thousands_separator:
        changes["thousands_separator"] = thousands
    if new_symbols:
        changes["currency_symbols"] = [*parser.currency_symbols, *new_symbols]
    return changes


def _best_readings(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    own_style: _Style,
    symbols: Sequence[str],
) -> dict[_Style, list[int | None]]:
    """Return the numbers of the cells in each style that reads the most cells.

    The styles with the fewest changes to `own_style` come first.
    """
    numbers_by_style = {
        style: _read_numbers(cells, parser, style, symbols)
        for style in _styles_by_nearness(own_style)
    }
    fewest_unread = min(
        numbers.count(None) for numbers in numbers_by_style.values()
    )
    return {
        style: numbers
        for style, numbers in numbers_by_style.items()
        if numbers.count(None) == fewest_unread
    }


def _styles_by_nearness(own_style: _Style) -> list[_Style]:
    """Return all number styles, those with the fewest changes to `own_style` first."""

    def changed_separators(style: _Style) -> int:
        return sum(
            mark != own_mark
            for mark, own_mark in zip(style, own_style, strict=True)
        )

    styles = dict.fromkeys((own_style, *_STYLES))
    return sorted(styles, key=changed_separators)


def _ambiguous_text(
    cells: Mapping[str, Sequence[str]],
    readings: Sequence[Sequence[int | None]],
) -> str | None:
    """Return a text that two readings take for different numbers, or None."""
    first = readings[0]
    rival = next((reading for reading in readings if reading != first), None)
    if rival is None:
        return None
    texts = [text for column_texts in cells.values() for text in column_texts]
    values = zip(texts, first, rival, strict=True)
    return next(
        text for text, value, other_value in values if value != other_value
    )


def _grouped_style(
    cells: Mapping[str, Sequence[str]],
    readings: Mapping[_Style, Sequence[int | None]],
) -> _Style | None:
    """Return the style with a comma between thousands, if the other cells show it.

    A dollar or a pound shows it, and so do whole numbers up to 999 without a comma.
    """
    style = (".", ",")
    if style not in readings:
        return None
    for texts in cells.values():
        grouped = [text for text in texts if _GROUPED.fullmatch(text)]
        plain = [text for text in texts if text.isdecimal()]
        has_symbol = any(symbol in text for text in texts for symbol in "$£")
        longest = max(map(len, plain), default=0)
        are_all = len(plain) + len(grouped) == len(texts)
        is_clear = are_all and longest == _GROUP_DIGITS
        if grouped and not has_symbol and not is_clear:
            return None
    return style


def ambiguous_decimals(texts: Sequence[str]) -> str | None:
    """Return a text whose point could mark thousands, if no other text says otherwise.

    So it is if each text has exactly three digits behind its point, or none.
    """
    forms = _of_different_forms(texts)
    pointed = [text for text in forms if "." in text]
    if not pointed or not all(map(_POINTED_GROUP.fullmatch, pointed)):
        return None
    plain_forms = [text for text in forms if "." not in text]
    is_long = any(
        len(_DIGIT.findall(text)) > _GROUP_DIGITS for text in plain_forms
    )
    return None if is_long else pointed[0]


def _read_numbers(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    style: _Style,
    symbols: Sequence[str],
) -> list[int | None]:
    """Return the number of each cell in a style, or None for a cell of another form.

    A negative number has the right form and is returned as -1.
    """
    decimal, thousands = style
    styled_parser = parser.model_copy(
        update={
            "decimal_separator": decimal,
            "thousands_separator": thousands,
            "currency_symbols": (*parser.currency_symbols, *symbols),
        }
    )
    numbers: list[int | None] = []
    for name, texts in cells.items():
        column = BY_NAME[name]
        for text in texts:
            number: int | None
            try:
                if column.kind is Kind.MONEY:
                    number = cell_rules.read_money(text, styled_parser)
                else:
                    number = cell_rules.read_whole(column, text, styled_parser)
            except CellError as error:
                number = -1 if "negative" in error.error_code else None
            numbers.append(number)
    return numbers


def _amount_form(text: str) -> re.Match[str] | None:
    if len(text) > _MAX_AMOUNT_LENGTH:
        return None
    return _AMOUNT.fullmatch(text)


def _currency_symbols(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the currency symbols at the ends of amounts, the most frequent first."""
    texts = [text for column in MONEY_COLUMNS for text in cells.get(column, ())]
    counts: Counter[str] = Counter()
    for text in texts:
        amount = _amount_form(text)
        if amount is None:
            continue
        for end in amount.groups(default=""):
            symbol = end.strip()
            if _is_currency_symbol(symbol):
                counts[symbol] += 1
    min_count = _MIN_SYMBOL_SHARE * len(texts)
    most_frequent = counts.most_common(_MAX_SYMBOLS)
    return [symbol for symbol, count in most_frequent if count >= min_count]


def _is_currency_symbol(text: str) -> bool:
    has_currency_sign = any(unicodedata.category(char) == "Sc" for char in text)
    return has_currency_sign or text in _SYMBOL_WORDS or is_currency(text)


def currency_of(symbol: str) -> str | None:
    """Return the code of the currency that a symbol names, or None if it is unknown."""
    if symbol in _CURRENCY_CODES:
        return _CURRENCY_CODES[symbol]
    return symbol if is_currency(symbol) else None
