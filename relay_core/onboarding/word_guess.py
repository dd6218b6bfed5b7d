"""The guess of the words and marks that mean null values or quantities."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo

from relay_core.config import ParserConfig
from relay_core.domain import cell_rules
from relay_core.domain.columns import BY_NAME, JUDGED_COLUMNS
from relay_core.domain.errors import CellError

WORDED_COLUMNS = tuple(column for column in JUDGED_COLUMNS if column != "sku")
"""The columns whose cells have to follow a rule, so that some texts are no values."""
MAX_WORDS = 200
"""The maximum number of words for quantities that a parser may have."""
_NULL_WORDS = frozenset(
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
_CURRENCY_MARKS = re.compile(r"[$€£¥\s]")
_NUMBER = re.compile(r"[+-]?[\d.,'\s]+")
_WITH_SYMBOLS = re.compile(r"(?P<front>\D*?)\s*\d[\d.,']*\s*(?P<back>\D*)")
_AT_LEAST_OR_ABOUT = frozenset((">", ">=", "≥", "~", "≈"))
"""Marks in front of a quantity. The number behind them is a safe quantity."""
_PIECE = (
    "pc pcs pce pces piece pieces ea each unit units stk stück stueck szt st ks uds ud "
    "pz psc"
)
_PIECE_WORDS = _PIECE.split()
_UNITS = frozenset(("+", *_PIECE_WORDS, *(f"{word}." for word in _PIECE_WORDS)))
"""Marks behind a quantity that leave its number as it is."""


def is_valid_cell(
    column: str, text: str, parser: ParserConfig, zone: tzinfo
) -> bool:
    """Return whether a text is a valid cell of a column."""
    forms = {text}
    if BY_NAME[column].takes_words:
        forms.add(cell_rules.strip_symbols(text, parser.quantity_symbols))
    for form in forms:
        with suppress(CellError):
            cell_rules.read_cell(column, form, parser, zone)
            return True
    return False


def guess_null_values(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    zone: tzinfo,
) -> tuple[str, ...]:
    """Return the null words that are rejected in columns that may be empty.

    Args:
        cells: The cells of each column, trimmed.
        parser: The vendor's parser.
        zone: The time zone of times without an offset.
    """
    words: dict[str, str] = {}
    for column, texts in cells.items():
        if BY_NAME[column].required:
            continue
        for text in dict.fromkeys(texts):
            folded = text.casefold()
            # A spreadsheet writes an amount of nothing as a symbol and a dash.
            bare = _CURRENCY_MARKS.sub("", folded)
            if bare in _NULL_WORDS and not is_valid_cell(
                column, text, parser, zone
            ):
                words[folded] = text
    return tuple(words.values())


def guess_quantity_symbols(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    zone: tzinfo,
) -> tuple[str, ...]:
    """Return the marks and units at the ends of rejected quantities.

    The marks mean "at least" or "about"; the units are those of one piece.
    """
    symbols: dict[str, str] = {}
    for text in dict.fromkeys(cells.get("quantity_available", ())):
        parts = _WITH_SYMBOLS.fullmatch(text)
        if parts is None or is_valid_cell(
            "quantity_available", text, parser, zone
        ):
            continue
        front = parts["front"].strip()
        back = parts["back"].strip()
        is_front_known = not front or front.lower() in _AT_LEAST_OR_ABOUT
        is_back_known = not back or back.lower() in _UNITS
        if is_front_known and is_back_known:
            for symbol in filter(None, (front, back)):
                symbols.setdefault(symbol.lower(), symbol)
    configured = {symbol.lower() for symbol in parser.quantity_symbols}
    return tuple(
        symbol for folded, symbol in symbols.items() if folded not in configured
    )


def quantity_word_notes(
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    zone: tzinfo,
) -> Iterator[str]:
    """Yield a note for each column that has unknown words for quantities.

    Only people know the numbers that these words mean.
    """
    for column, texts in cells.items():
        if not BY_NAME[column].takes_words:
            continue
        words = Counter(
            text
            for text in texts
            if not _NUMBER.fullmatch(text)
            and not is_valid_cell(column, text, parser, zone)
        )
        if not words:
            continue
        listed_words = ", ".join(
            f"{cell_rules.shorten(word, 40)} ({count})"
            for word, count in words.most_common(MAX_WORDS)
        )
        if len(words) > MAX_WORDS:
            listed_words += f", and {len(words) - MAX_WORDS} more"
        yield (
            f"Some cells of {column} are not numbers: {listed_words}. Give each word a "
            "number in parser.quantity_words, or ask the vendor to correct the cells."
        )
