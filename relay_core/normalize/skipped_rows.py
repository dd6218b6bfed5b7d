"""Records that ``parser.skip_rows`` makes no rows: section headings, totals, images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, is_empty, trim, without_nulls, word_index
from relay_core.config.parser import SkipRule


def skipped_records(
    rules: Sequence[SkipRule],
    places: Sequence[int | None],
    columns: Sequence[pa.StringArray],
    size: int,
) -> Bools:
    """Return which records rules skip: a rule's place is None where the feed has no such header."""
    skipped = np.zeros(size, np.bool_)
    for rule, place in zip(rules, places, strict=True):
        if place is None:
            continue
        if place >= len(columns):
            skipped |= rule.texts == "empty"
            continue
        text = trim(without_nulls(columns[place]))
        found = is_empty(text) if rule.texts == "empty" else word_index(text, rule.texts) >= 0
        skipped |= found
    return skipped
