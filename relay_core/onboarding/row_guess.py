"""The records of a feed that are no rows, and how records end: quotes, blank fields at the end."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, is_empty
from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.parser import MAX_SKIP_ROWS
from relay_core.domain.cell_rules import strip
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import MONEY_COLUMNS
from relay_core.ingest.column_mapping import ColumnPlan, plan_columns
from relay_core.onboarding.cell_guess import is_totals
from relay_core.onboarding.check_results import Reading
from relay_core.onboarding.dry_run import changed_parser, header_cells, read_rows, record_columns
from relay_core.onboarding.feed_sample import FeedSample

_RECORD_ENDS: tuple[dict[str, Any], ...] = (
    {"blank_extra_fields": "drop"},
    {"quoting": False},
    {"quoting": False, "blank_extra_fields": "drop"},
)
_SKIPPING = ("cost", "price", "quantity_available", "title", "sku")
"""The columns whose headers tell records that are no rows, the clearest first."""
_FEW = 3
"""A record with at most one filled cell in so many says too little to be a product."""


def guess_record_ends(
    feed: FeedSample, parser: ParserConfig, config: TenantConfig
) -> Mapping[str, Any]:
    """Return what to change in a parser of CSV so that more records have the header's width.

    Quotes are made ordinary characters only where none encloses a cell: then they hide no rows.
    """
    if parser.format != "csv":
        return {}
    best = _records(read_rows(feed, parser, config))
    changes: dict[str, Any] = {}
    has_quotes = b'"' in feed.data and parser.quoting
    for each in _RECORD_ENDS if has_quotes or best[0] < 1 else ():
        changed = changed_parser(parser, each)
        if changed is None or (not has_quotes and "quoting" in each):
            continue
        reading = read_rows(feed, changed, config)
        found = _records(reading)
        if found > best and (changed.quoting or not _encloses(feed, changed, reading.headers)):
            best, changes = found, each
    return changes


def guess_skip_rows(feed: FeedSample, parser: ParserConfig) -> list[dict[str, Any]]:
    """Return the entries of ``skip_rows`` that leave out headings, images, footers and totals.

    A record without a quantity and without an amount is no product. A header tells such records
    where no other record lacks its cell. Totals are told by their words, where the SKU is empty.
    """
    headers, columns = record_columns(feed, parser)
    names = [strip(header) for header in headers[: len(columns)]]
    counts = Counter(names)
    plan = plan_columns(headers, parser)
    first = (plan.positions[name] for name in _SKIPPING if name in plan.positions)
    ordered = [at for at in first if at < len(columns)]
    ordered = [at for at in dict.fromkeys((*ordered, *range(len(names)))) if counts[names[at]] == 1]
    empty = {at: is_empty(column) for at, column in enumerate(columns)}
    no_product = _no_products(plan, empty)
    telling = [at for at in ordered if names[at] and not (empty[at] & ~no_product).any()]
    left, rules = no_product & ~np.all(no_product), list[dict[str, Any]]()
    while left.any() and telling:
        best = max(telling, key=lambda at: int((empty[at] & left).sum()))
        if not (empty[best] & left).any():
            break
        rules.append({"column": names[best], "is": "empty"})
        left = left & ~empty[best]
    sku = plan.positions.get("sku", -1)
    unnamed = empty[sku] & ~no_product if sku in empty else no_product & False
    for at in ordered if unnamed.any() else ():
        texts = filter(is_totals, dict.fromkeys(columns[at].filter(pa.array(unnamed)).to_pylist()))
        if names[at] and (found := list(texts)):
            rules.append({"column": names[at], "is": found})
    return rules[: MAX_SKIP_ROWS - len(parser.skip_rows)]


def _records(reading: Reading) -> tuple[float, int]:
    """Return which share of the records has the header's width, and how many there are."""
    if not reading.rows:
        return 0.0, 0
    wrong = (c.count for c in reading.refusals if c.error_code == RowFault.COLUMN_COUNT)
    return 1 - sum(wrong) / reading.rows, reading.rows


def _encloses(feed: FeedSample, parser: ParserConfig, headers: Iterable[str]) -> bool:
    """Tell whether quotes stand at both ends of a cell."""
    names = list(filter(None, dict.fromkeys(headers)))
    cells = header_cells(feed, parser, names, with_numbers=True)
    texts = (text for found in (names, *cells.values()) for text in found)
    return any(len(text) > 1 and text[0] == text[-1] == '"' for text in texts)


def _no_products(plan: ColumnPlan, empty: Mapping[int, Bools]) -> Bools:
    """Return which records have neither a quantity nor an amount, nor much else where in doubt."""
    quantity = _places(plan, ["quantity_available"])
    amounts = _places(plan, MONEY_COLUMNS)
    known = [empty[at] for at in (*quantity, *amounts) if at in empty]
    cells = np.stack([~each for each in empty.values()]) if empty else np.zeros((0, 0), np.bool_)
    if not known:
        return np.zeros(cells.shape[1], np.bool_)
    nothing = np.asarray(np.logical_and.reduce(known))
    if quantity and amounts:
        return nothing
    return np.asarray(nothing & (cells.sum(axis=0) * _FEW <= len(cells)))


def _places(plan: ColumnPlan, columns: Sequence[str]) -> list[int]:
    """Return the places of all headers of some columns."""
    parts = (place for name in columns for place in plan.parts.get(name, {}).values())
    return [*(plan.positions[name] for name in columns if name in plan.positions), *parts]
