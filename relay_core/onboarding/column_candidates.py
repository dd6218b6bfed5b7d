"""The candidates for a column without a sure header: by their cells, ordered by their names.

Nothing is mapped by this: people choose.
"""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from decimal import Decimal
from itertools import islice
from statistics import median_low

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import MONEY_UNIT, read_money
from relay_core.domain.columns import JUDGED_COLUMNS, MONEY_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.onboarding.cell_words import is_read
from relay_core.onboarding.check_results import Candidate
from relay_core.onboarding.header_guess import common_names, plain_words

_MAX_TEXTS = 200
_FIT = 0.9
"""So great a share of a header's cells must be what the column holds; the others may be slips."""
_MAX_CANDIDATES, _MAX_SAMPLES = 5, 3


def candidates(
    column: str, cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[Candidate, ...]:
    """Return the headers whose cells a column could hold, those with near names first.

    Cells are trimmed and not null, of each header that nothing is read from.
    """
    fitting = [
        header
        for header, texts in cells.items()
        if texts and _fits(column, texts[:_MAX_TEXTS], parser, zone)
    ]
    scores = {header: _nearness(column, header) for header in fitting}
    nearest = sorted(fitting, key=lambda header: -scores[header])
    return tuple(
        Candidate(
            header,
            round(scores[header], 2),
            tuple(islice(dict.fromkeys(cells[header]), _MAX_SAMPLES)),
            _median(column, cells[header], parser),
        )
        for header in nearest[:_MAX_CANDIDATES]
    )


def _median(column: str, texts: Sequence[str], parser: ParserConfig) -> str:
    """Return the middle amount under a header, of a column of money."""
    if column not in MONEY_COLUMNS:
        return ""
    amounts = []
    for text in texts[:_MAX_TEXTS]:
        with suppress(CellError):
            amounts.append(read_money(text, parser))
    return f"{Decimal(median_low(amounts)) / MONEY_UNIT:.2f}" if amounts else ""


def _fits(column: str, texts: Sequence[str], parser: ParserConfig, zone: tzinfo) -> bool:
    if column == "sku":
        return len(set(texts)) >= _FIT * len(texts)
    if column not in JUDGED_COLUMNS:
        return True
    return sum(is_read(column, text, parser, zone) for text in texts) >= _FIT * len(texts)


def _nearness(column: str, header: str) -> float:
    """Return how like a header is to the name of the column, or to one that price lists give it."""
    own = "".join(plain_words(header))
    return max(
        difflib.SequenceMatcher(None, own, name).ratio() for name in (column, *common_names(column))
    )
