"""Words in cells: null values, words and symbols of quantities, totals."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import read_cell, shorten, strip, strip_symbols
from relay_core.domain.columns import BY_NAME, JUDGED_COLUMNS
from relay_core.domain.errors import CellError

WORDED_COLUMNS = tuple(column for column in JUDGED_COLUMNS if column != "sku")
"""The columns of which not every text is a value."""
_NOTHING = frozenset(
    ("-", "--", "---", "n/a", "na", "n.a.", "#n/a", "null", "none", "nil", "nan", "k.a.", "n.v.")
)
_NUMBER = re.compile(r"[+-]?[\d.,'\s]+")
# What stands before and behind a quantity and leaves its number as it is, or at least that.
_WITH_SYMBOLS = re.compile(r"(?P<front>\D*?)\s*\d[\d.,']*\s*(?P<back>\D*)")
_FRONTS = frozenset((">", ">=", "≥", "~", "≈"))
_UNITS = "pc pcs pce pces piece pieces ea each unit units stk stück stueck szt st ks uds ud pz psc"
_BACKS = frozenset(("+", *(f"{unit}{dot}" for unit in _UNITS.split() for dot in ("", "."))))
_TOTALS = frozenset(
    ("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "totale")
)
MAX_WORDS = 200
"""So many words for quantities a parser may have."""


def guess_null_values(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[str, ...]:
    """Return words for nothing that are refused in columns that may be empty, as they stand.

    Cells are trimmed and not null.
    """
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
    """Return what must be taken from the ends of quantities that are refused, to have them read.

    Only marks that say "at least" or "about", and units of one.
    """
    found: dict[str, str] = {}
    for text in dict.fromkeys(cells.get("quantity_available", ())):
        parts = _WITH_SYMBOLS.fullmatch(text)
        if parts is None or is_read("quantity_available", text, parser, zone):
            continue
        ends = {_FRONTS: strip(parts["front"]), _BACKS: strip(parts["back"])}
        if all(not end or end.lower() in known for known, end in ends.items()):
            for end in filter(None, ends.values()):
                found.setdefault(end.lower(), end)
    own = {symbol.lower() for symbol in parser.quantity_symbols}
    return tuple(end for folded, end in found.items() if folded not in own)


def is_totals(text: str) -> bool:
    """Return whether a text is the name of a line of totals."""
    return text.casefold().removesuffix(":").strip() in _TOTALS


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
            more = f", and {len(words) - MAX_WORDS} more" if len(words) > MAX_WORDS else ""
            yield (
                f"{column} holds {named}{more}: give each a number in parser.quantity_words, "
                "or have the cells corrected"
            )


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
