"""Words in place of numbers and times: null values, and words for quantities."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import read_cell, shorten
from relay_core.domain.columns import BY_NAME, JUDGED_COLUMNS
from relay_core.domain.errors import CellError

WORDED_COLUMNS = tuple(column for column in JUDGED_COLUMNS if column != "sku")
"""The columns of which not every text is a value."""
_NOTHING = frozenset(
    ("-", "--", "---", "n/a", "na", "n.a.", "#n/a", "null", "none", "nil", "nan", "k.a.", "n.v.")
)
_NUMBER = re.compile(r"[+-]?[\d.,'\s]+")
MAX_WORDS = 200
"""So many words for quantities a parser may have."""


def guess_null_values(
    cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[str, ...]:
    """Return words for nothing that are refused in columns that may be empty, as they stand.

    Args:
        cells: of columns, trimmed and not null.
        parser: how the feed is written.
        zone: the tenant's.
    """
    optional = [column for column in cells if not BY_NAME[column].required]
    words = (
        text
        for column in optional
        for text in dict.fromkeys(cells[column])
        if text.casefold() in _NOTHING and not is_read(column, text, parser, zone)
    )
    return tuple({text.casefold(): text for text in words}.values())


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
    try:
        read_cell(column, text, parser, zone)
    except CellError:
        return False
    return True
