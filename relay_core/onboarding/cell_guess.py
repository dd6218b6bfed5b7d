"""The probable form of a vendor's cells: numbers, times, null values, words and symbols.

A style of numbers is proposed where it reads more cells than the config's, and where all styles
that read as many agree on what they read: ``1,234`` alone may be either, and then nothing is
proposed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import product
from operator import ne
from typing import Any

from relay_core.config import ParserConfig
from relay_core.config.values import is_currency
from relay_core.domain.cell_rules import (
    EXCEL,
    read_cell,
    read_money,
    read_timestamp,
    read_whole,
    shorten,
    strip_symbols,
)
from relay_core.domain.columns import BY_NAME, JUDGED_COLUMNS, MONEY_COLUMNS, Kind
from relay_core.domain.errors import CellError

WORDED_COLUMNS = tuple(column for column in JUDGED_COLUMNS if column != "sku")
"""The columns of which not every text is a value."""
_MAX_TEXTS = 200

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
_SYMBOL_WORDS = frozenset(
    ("kr", "kr.", "zł", "Kč", "Ft", "Fr.", "Rs", "Rs.", "lei", "din")
)
_CODES = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "zł": "PLN",
    "Kč": "CZK",
    "Ft": "HUF",
}
_MAX_SYMBOLS = 4
_MAX_LENGTH = 40
_COMMON = 0.02
_MIN_SHARE = 0.9

_DAYS = (
    ("%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d"),
    ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d"),
    ("%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y"),
    ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    ("%Y%m%d",),
)
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", "%H%M%S")
_FORMATS = (
    *(day + time for days in _DAYS for day, time in product(days, _TIMES)),
    EXCEL,
)
_RECENT_SERIALS = range(30_000, 80_000)
"""Serial numbers of the days from 1982 to 2119; others are rather something else."""
_MAX_FORMATS = 3  # no list has more forms of its own
_FIRST = 5  # a form that reads none of so many is not tried on the others

_NOTHING = frozenset(
    (
        "-",
        "--",
        "---",
        "n/a",
        "na",
        "n.a.",
        "#n/a",
        "null",
        "none",
        "nil",
        "nan",
        "k.a.",
        "n.v.",
    )
)
_NUMBER = re.compile(r"[+-]?[\d.,'\s]+")
# What stands before and behind a quantity and leaves its number as it is, or at least that.
_WITH_SYMBOLS = re.compile(r"(?P<front>\D*?)\s*\d[\d.,']*\s*(?P<back>\D*)")
_FRONTS = frozenset((">", ">=", "≥", "~", "≈"))
_UNITS = "pc pcs pce pces piece pieces ea each unit units stk stück stueck szt st ks uds ud pz psc"
_BACKS = frozenset(
    ("+", *(f"{unit}{dot}" for unit in _UNITS.split() for dot in ("", ".")))
)
MAX_WORDS = 200
"""So many words for quantities a parser may have."""


def is_read(column: str, text: str, parser: ParserConfig, zone: tzinfo) -> bool:
    """Return whether a text is a value of a column."""
    texts = {text}
    if BY_NAME[column].takes_words:
        texts.add(strip_symbols(text, parser.quantity_symbols))
    for each in texts:
        with suppress(CellError):
            read_cell(column, each, parser, zone)
            return True
    return False


# --- numbers ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberGuess:
    """What to change in a parser so that it reads a vendor's numbers; nothing where it does.

    ``currencies`` are the currencies that the amounts name. ``note`` says why nothing is proposed
    although cells are rejected, where that is known.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    currencies: frozenset[str] = frozenset()
    note: str = ""


def guess_numbers(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig
) -> NumberGuess:
    """Return how the cells of number columns, trimmed and not null, are written."""
    distinct = {column: list(dict.fromkeys(texts)) for column, texts in cells.items()}
    symbols = _symbols(distinct)
    named = (_CODES.get(each, each if is_currency(each) else None) for each in symbols)
    currencies = frozenset(filter(None, named))
    own = (parser.decimal_separator, parser.thousands_separator)
    refused = _numbers(distinct, parser, own, ()).count(None)
    if not refused:
        return NumberGuess(currencies=currencies)
    if len(currencies) > 1:
        note = f"the amounts are in more than one currency: {', '.join(sorted(currencies))}"
        return NumberGuess(currencies=currencies, note=note)
    new = [symbol for symbol in symbols if symbol not in parser.currency_symbols]
    styles = sorted(
        dict.fromkeys((own, *_STYLES)), key=lambda style: sum(map(ne, style, own))
    )
    tried = [(style, _numbers(distinct, parser, style, new)) for style in styles]
    fewest = min(values.count(None) for _, values in tried)
    if fewest == refused:
        return NumberGuess(currencies=currencies)
    good = [(style, values) for style, values in tried if values.count(None) == fewest]
    style, values = good[0]
    other = next((each for _, each in good if each != values), None)
    if other is not None and style != own:
        texts = [text for texts in distinct.values() for text in texts]
        suspect = next(
            t for t, a, b in zip(texts, values, other, strict=True) if a != b
        )
        note = f'"{suspect[:40]}" may be written with decimals or with thousands; say which'
        return NumberGuess(currencies=currencies, note=note)
    separators = zip(("decimal_separator", "thousands_separator"), style, strict=True)
    changes = {name: mark for name, mark in separators if mark != getattr(parser, name)}
    symbols_added = (
        {"currency_symbols": [*parser.currency_symbols, *new]} if new else {}
    )
    return NumberGuess(changes | symbols_added, currencies)


def are_amounts(texts: Sequence[str]) -> bool:
    """Return whether most of the texts look like amounts, in whatever style."""
    sample = texts[:_MAX_TEXTS]
    amounts = sum(
        len(text) <= _MAX_LENGTH and _AMOUNT.fullmatch(text) is not None
        for text in sample
    )
    return bool(texts) and amounts >= _MIN_SHARE * len(sample)


def _numbers(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    style: tuple[str, str | None],
    symbols: Sequence[str],
) -> list[int | None]:
    """Return the number of each cell in a style, None where it is refused for its form."""
    decimal, thousands = style
    marks = {"decimal_separator": decimal, "thousands_separator": thousands}
    own = {**marks, "currency_symbols": (*parser.currency_symbols, *symbols)}
    styled = parser.model_copy(update=own)
    found: list[int | None] = []
    for known, text in (
        (BY_NAME[column], text) for column in cells for text in cells[column]
    ):
        try:
            is_money = known.kind is Kind.MONEY
            found.append(
                read_money(text, styled)
                if is_money
                else read_whole(known, text, styled)
            )
        except CellError as error:
            found.append(-1 if "negative" in error.error_code else None)
    return found


def _symbols(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the currency symbols that stand at the ends of amounts, the most frequent first."""
    texts = [text for column in MONEY_COLUMNS for text in cells.get(column, ())]
    counts: Counter[str] = Counter()
    for text in texts:
        found = _AMOUNT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
        for end in () if found is None else map(str.strip, found.groups(default="")):
            has_sign = any(unicodedata.category(char) == "Sc" for char in end)
            if has_sign or end in _SYMBOL_WORDS or is_currency(end):
                counts[end] += 1
    least = _COMMON * len(texts)
    return [
        symbol for symbol, count in counts.most_common(_MAX_SYMBOLS) if count >= least
    ]


# --- days and times -----------------------------------------------------------------------------


def guess_timestamps(
    cells: Sequence[str], parser: ParserConfig, zone: tzinfo
) -> tuple[list[str], str]:
    """Return the formats that a parser lacks for the cells, trimmed, not null, of ``updated_at``.

    A note beside them says why none is proposed although one is needed, where that is known.
    """
    left = [
        text for text in dict.fromkeys(cells) if _moment(text, parser, zone) is None
    ]
    left, formats = left[:_MAX_TEXTS], list[str]()
    while left and len(formats) < _MAX_FORMATS:
        readings = {
            form: _readings(form, left, parser, zone)
            for form in _FORMATS
            if _count(_readings(form, left[:_FIRST], parser, zone))
        }
        if not readings:
            break
        best = max(readings, key=lambda form: _count(readings[form]))
        other = best.replace("%d", "%-").replace("%m", "%d").replace("%-", "%m")
        rival = readings.get(other, ())
        if other != best and _count(rival) == _count(readings[best]):
            read = zip(left, readings[best], strict=True)
            text = next(text for text, moment in read if moment is not None)
            note = f'updated_at: "{text[:40]}" may begin with the day or with the month; set '
            return [], f'{note}parser.timestamp_formats to ["{best}"] or ["{other}"]'
        formats.append(best)
        left = [
            t for t, moment in zip(left, readings[best], strict=True) if moment is None
        ]
    return formats, ""


def _readings(
    form: str, texts: Sequence[str], parser: ParserConfig, zone: tzinfo
) -> list[int | None]:
    if form == EXCEL:
        days = [text.partition(".")[0] for text in texts]
        recent = [
            len(d) == 5 and d.isdecimal() and int(d) in _RECENT_SERIALS for d in days
        ]
        texts = [
            text if is_one else "" for text, is_one in zip(texts, recent, strict=True)
        ]
    alone = parser.model_copy(update={"timestamp_formats": (form,)})
    return [_moment(text, alone, zone) for text in texts]


def _moment(text: str, parser: ParserConfig, zone: tzinfo) -> int | None:
    try:
        return read_timestamp(text, parser, zone)
    except CellError:
        return None


def _count(moments: Sequence[int | None]) -> int:
    return len(moments) - moments.count(None)


# --- words --------------------------------------------------------------------------------------


def guess_null_values(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[str, ...]:
    """Return words for nothing that are refused in columns that may be empty; cells are trimmed."""
    optional = [column for column in cells if not BY_NAME[column].required]
    words = (
        text
        for column in optional
        for text in dict.fromkeys(cells[column])
        if text.casefold() in _NOTHING and not is_read(column, text, parser, zone)
    )
    return tuple({text.casefold(): text for text in words}.values())


def guess_quantity_symbols(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[str, ...]:
    """Return marks of "at least" or "about", and units of one, at ends of refused quantities."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(cells.get("quantity_available", ())):
        parts = _WITH_SYMBOLS.fullmatch(text)
        if parts is None or is_read("quantity_available", text, parser, zone):
            continue
        ends = {_FRONTS: parts["front"].strip(), _BACKS: parts["back"].strip()}
        if all(not end or end.lower() in known for known, end in ends.items()):
            for end in filter(None, ends.values()):
                found.setdefault(end.lower(), end)
    own = {symbol.lower() for symbol in parser.quantity_symbols}
    return tuple(end for folded, end in found.items() if folded not in own)


def quantity_word_notes(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> Iterator[str]:
    """Yield a note for each column with unknown words for quantities: people know their numbers."""
    for column, texts in cells.items():
        if not BY_NAME[column].takes_words:
            continue
        words = Counter(
            text
            for text in texts
            if not _NUMBER.fullmatch(text) and not is_read(column, text, parser, zone)
        )
        if words:
            shown = words.most_common(MAX_WORDS)
            named = ", ".join(f"{shorten(word, 40)} ({n})" for word, n in shown)
            more = (
                f", and {len(words) - MAX_WORDS} more" if len(words) > MAX_WORDS else ""
            )
            yield (
                f"{column} holds {named}{more}: give each a number in parser.quantity_words, "
                "or have the cells corrected"
            )
