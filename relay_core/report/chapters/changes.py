"""The chapter on what changed since the previous feed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from relay_core.domain.run_faults import counted
from relay_core.report.blocks import (
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Files,
    Sentence,
    Table,
    Tone,
    text_of,
)
from relay_core.report.display import number
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_EXAMPLES, quoted
from relay_core.report.files import file_of
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.publish.changes import PriceMove

# The counts of changes in the order of their bars, each with its label and tone
_BARS: tuple[tuple[str, str, Tone], ...] = (
    ("added", "New in the feed", "good"),
    ("removed", "Removed from the feed", "bad"),
    ("came_in_stock", "Back in stock", "good"),
    ("went_out_of_stock", "Out of stock", "bad"),
    ("price_up", "Price increased", "idle"),
    ("price_down", "Price decreased", "idle"),
    ("vendor_changed", "Vendor changed", "idle"),
)
_COLUMNS = (
    Column("sku", "SKU", "code"),
    Column("price_before", "Before", "money"),
    Column("price_after", "After", "money"),
    Column("share", "Change", "change"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the changes; None for a run that is compared with nothing."""
    changes = run.findings.changes
    if changes is None:
        return None
    rises, falls = changes.greatest_moves(MAX_EXAMPLES)
    titles = run.findings.titles
    tables = [
        _moves("rises", "Largest price increases", rises, titles),
        _moves("falls", "Largest price decreases", falls, titles),
    ]
    facts: dict[str, str | int] = {"baseline_run_id": changes.baseline_run_id}
    for name, count in changes.counts.items():
        facts[f"changes/{name}"] = count
    blocks = [table for table in tables if table.rows]
    return chapter_of(changes.counts, blocks, facts)


def chapter_of(
    counts: Mapping[str, int],
    tables: Iterable[Table] = (),
    facts: Mapping[str, str | int] | None = None,
) -> Chapter:
    """Return the changes for the counts of run_summary.json."""
    bars = tuple(
        Bar(name, label, counts[name], tone) for name, label, tone in _BARS
    )
    blocks: tuple[Block, ...] = (
        Sentence(text_of(counts_in_words(counts))),
        Bars("changes", "SKUs by kind of change", bars),
        *tables,
        Files((file_of("changes", "lists every SKU that changed"),)),
    )
    return Chapter("changes", "What changed", blocks, facts=facts or {})


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Return sentences on the changes since the previous feed."""
    total = counts["unchanged"] + counts["changed"] + counts["removed"]
    return (
        f"Of the {counted(total, 'SKU')} in the previous feed, "
        f"{number(counts['unchanged'])} did not change, "
        f"{number(counts['changed'])} changed, and "
        f"{number(counts['removed'])} left the feed. "
        f"New in the feed: {counted(counts['added'], 'SKU')}."
    )


def _moves(
    name: str,
    caption: str,
    moves: Iterable[PriceMove],
    titles: Mapping[str, str],
) -> Table:
    rows = tuple(
        (
            quoted(move.sku, titles.get(move.sku, "")),
            Cell(move.before),
            Cell(move.after),
            Cell(move.share),
        )
        for move in moves
    )
    # changes.csv has these rows, which the chapter says below.
    return Table(name, caption, _COLUMNS, rows, len(rows))
