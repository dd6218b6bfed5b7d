"""The probable form of a vendor's numbers: separators and currency symbols, from the cells.

A style is proposed where it reads more cells than the config's, and where all styles that read as
many agree on what they read: ``1,234`` alone may be either, and then nothing is proposed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.config.values import is_currency
from relay_core.domain.cell_rules import read_money, read_whole, strip
from relay_core.domain.columns import BY_NAME, MONEY_COLUMNS, Kind
from relay_core.domain.errors import CellError

_STYLES = (
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
_SYMBOL_WORDS = frozenset(("kr", "kr.", "zł", "Kč", "Ft", "Fr.", "Rs", "Rs.", "lei", "din"))
_CODES = {"€": "EUR", "£": "GBP", "$": "USD", "US$": "USD", "zł": "PLN", "Kč": "CZK", "Ft": "HUF"}
_MAX_SYMBOLS = 4
_MAX_LENGTH = 40
_COMMON = 0.02
_MAX_TEXTS, _MIN_SHARE = 200, 0.9


@dataclass(frozen=True, slots=True)
class NumberGuess:
    """What to change in a parser so that it reads a vendor's numbers; nothing where it does.

    ``currencies`` are the currencies that the amounts name. ``note`` says why nothing is proposed
    although cells are refused, where that is known.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    currencies: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Style:
    decimal_separator: str
    thousands_separator: str | None
    currency_symbols: tuple[str, ...]
    quantity_words: Mapping[str, int]
    timestamp_formats: Sequence[str] = ()


def guess_numbers(cells: Mapping[str, Sequence[str]], parser: ParserConfig) -> NumberGuess:
    """Return how the cells of number columns, trimmed and not null, are written."""
    distinct = {column: list(dict.fromkeys(texts)) for column, texts in cells.items()}
    symbols = _symbols(distinct)
    currencies = frozenset(filter(None, map(currency_of, symbols)))
    own = _style(parser, parser.decimal_separator, parser.thousands_separator, ())
    refused = _read(distinct, own).count(None)
    if not refused:
        return NumberGuess(currencies=currencies)
    new = tuple(symbol for symbol in symbols if symbol not in parser.currency_symbols)
    if len(currencies) > 1:
        return NumberGuess(
            currencies=currencies,
            note=f"the amounts are in more than one currency: {', '.join(sorted(currencies))}",
        )
    return _best(distinct, parser, new, currencies)


def are_amounts(texts: Sequence[str]) -> bool:
    """Return whether most of the texts look like amounts, in whatever style."""
    sample = texts[:_MAX_TEXTS]
    amounts = sum(
        len(text) <= _MAX_LENGTH and _AMOUNT.fullmatch(text) is not None for text in sample
    )
    return bool(texts) and amounts >= _MIN_SHARE * len(sample)


def currency_of(symbol: str) -> str | None:
    """Return the currency that a symbol names, None where it may be several."""
    if symbol in _CODES:
        return _CODES[symbol]
    return symbol if _is_code(symbol) else None


def _best(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    new: tuple[str, ...],
    currencies: frozenset[str],
) -> NumberGuess:
    own = (parser.decimal_separator, parser.thousands_separator)
    styles = sorted({own, *_STYLES}, key=lambda style: _distance(style, own))
    tried = [(style, _read(cells, _style(parser, *style, new))) for style in styles]
    fewest = min(values.count(None) for _, values in tried)
    good = [(style, values) for style, values in tried if values.count(None) == fewest]
    plain = _read(cells, _style(parser, *own, ())).count(None)
    if fewest == plain:
        return NumberGuess(currencies=currencies)
    style, values = good[0]
    other = next((each for _, each in good if each != values), None)
    if other is not None and style != own:
        texts = [text for texts in cells.values() for text in texts]
        suspect = next(t for t, a, b in zip(texts, values, other, strict=True) if a != b)
        note = f'"{suspect[:40]}" may be written with decimals or with thousands; say which'
        return NumberGuess(currencies=currencies, note=note)
    return NumberGuess(_changes(style, own, new, parser), currencies)


def _changes(
    style: tuple[str, str | None],
    own: tuple[str, str | None],
    new: tuple[str, ...],
    parser: ParserConfig,
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if style[0] != own[0]:
        changes["decimal_separator"] = style[0]
    if style[1] != own[1]:
        changes["thousands_separator"] = style[1]
    if new:
        changes["currency_symbols"] = [*parser.currency_symbols, *new]
    return changes


def _distance(style: tuple[str, str | None], own: tuple[str, str | None]) -> tuple[int, int]:
    place = _STYLES.index(style) if style in _STYLES else -1
    return (style[0] != own[0]) + (style[1] != own[1]), place


def _style(
    parser: ParserConfig, decimal: str, thousands: str | None, new: tuple[str, ...]
) -> _Style:
    symbols = (*parser.currency_symbols, *new)
    return _Style(decimal, thousands, symbols, parser.quantity_words)


def _read(cells: Mapping[str, Sequence[str]], style: _Style) -> list[int | None]:
    """Return what each cell is in a style, None where it is refused for its form."""
    return [_value(column, text, style) for column, texts in cells.items() for text in texts]


def _value(column: str, text: str, style: _Style) -> int | None:
    known = BY_NAME[column]
    try:
        return (
            read_money(text, style) if known.kind is Kind.MONEY else read_whole(known, text, style)
        )
    except CellError as error:
        return -1 if "negative" in error.error_code else None


def _symbols(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the currency symbols that stand at the ends of amounts, the most frequent first."""
    texts = [text for column in MONEY_COLUMNS for text in cells.get(column, ())]
    counts: Counter[str] = Counter()
    for text in texts:
        found = _AMOUNT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
        if found is not None:
            counts.update(filter(_is_symbol, map(strip, _ends(found))))
    least = _COMMON * len(texts)
    return [symbol for symbol, count in counts.most_common(_MAX_SYMBOLS) if count >= least]


def _ends(found: re.Match[str]) -> Iterable[str]:
    return (end or "" for end in (found["front"], found["back"]))


def _is_symbol(text: str) -> bool:
    has_sign = any(unicodedata.category(char) == "Sc" for char in text)
    return has_sign or text in _SYMBOL_WORDS or _is_code(text)


def _is_code(text: str) -> bool:
    return is_currency(text)
