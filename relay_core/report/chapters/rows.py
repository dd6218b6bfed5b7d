"""The chapter on where vendors' rows went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from relay_core.domain.run_faults import counted
from relay_core.report.blocks import (
    Bar,
    Bars,
    Block,
    Heading,
    Item,
    Items,
    Omitted,
    Sentence,
    Span,
    Tone,
    text_of,
)
from relay_core.report.display import number, share_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.merge.row_counts import RowCounts

MAX_VENDORS = 12
"""The number of vendors whose rows a report shows."""
# The outcomes of rows in the order of the bar, each with its words and its tone
_OUTCOMES: dict[str, tuple[str, Tone]] = {
    "won": ("In the feed", "good"),
    "outbid": ("Another vendor has a better offer", "idle"),
    "same_sku": ("A better row has the same SKU", "warn"),
    "duplicates": ("Another row is used for the SKU", "warn"),
    "left_out": ("Left out by your settings", "idle"),
    "unpriced": ("No price", "bad"),
    "unmatched": ("Taken out, because no product matches", "warn"),
    "replaced": ("Replaced by a later file of changes", "idle"),
    "refused": ("Rejected", "bad"),
    "skipped": ("Skipped by your settings", "idle"),
}
_UNMATCHED_BY_PARTS = "Taken out, because no row of another file matches"
_NOT_MERGED = "Not merged, because the run failed"
_OUTCOMES_OF_PARTS = {
    "used": "used",
    "unused": "not used, because the vendor's other files do not have their key",
    "duplicates": "not used, because another row has the same key",
    "replaced": "replaced by a later file of changes",
    "refused": "rejected",
    "skipped": "skipped by your settings",
}
# If more rows than this, or more than one row in this many, lose to a better row of the
# same SKU, the column of SKUs probably does not identify products.
_MANY_ROWS = 100
_MANY_SHARE = 100


def chapter(run: EndedRun) -> Chapter | None:
    """Return the outcomes of rows, with the vendors that lost many rows first."""
    counts = [
        (name, rows) for name, rows in run.findings.rows.items() if rows.read
    ]
    counts.sort(key=lambda pair: not share_many_skus(pair[1]))
    return chapter_of({name: rows.as_dict() for name, rows in counts})


def chapter_of(
    counts_by_vendor: Mapping[str, Mapping[str, Any]],
) -> Chapter | None:
    """Return the outcomes of vendors' rows, as run_summary.json counts them."""
    vendors = {
        vendor_id: counts
        for vendor_id, counts in counts_by_vendor.items()
        if counts["read"]
    }
    blocks: list[Block] = []
    for vendor_id in list(vendors)[:MAX_VENDORS]:
        blocks += _blocks_of(vendor_id, vendors[vendor_id])
    if not blocks:
        return None
    if len(vendors) > MAX_VENDORS:
        blocks.append(Omitted(len(vendors) - MAX_VENDORS, "run_summary"))
    return Chapter(
        "rows",
        "Where the rows went",
        tuple(blocks),
        facts=_facts(counts_by_vendor),
    )


def share_many_skus(rows: RowCounts) -> bool:
    """Return True if the column of SKUs probably does not identify products."""
    lost_rows = rows.same_sku or 0
    return lost_rows > _MANY_ROWS or lost_rows * _MANY_SHARE > rows.read


def _blocks_of(vendor_id: str, counts: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the blocks on one vendor's rows."""
    read_count = counts["read"]
    parts = counts.get("parts") or {}
    yield Heading(vendor_id, total=read_count, unit="row")
    yield Bars(
        name="rows",
        title=f"Where the rows of {vendor_id} went",
        bars=tuple(_bars_of(counts, parts)),
        about=vendor_id,
        parts_of=read_count,
    )
    if parts:
        yield Sentence(text_of("Rows of the vendor's other files:"))
        items = [
            Item(
                text_of(
                    Span(part_id, "strong"),
                    f": {part_in_words(part_counts)}",
                )
            )
            for part_id, part_counts in parts.items()
        ]
        yield Items(tuple(items), len(items))


def _bars_of(
    counts: Mapping[str, Any], parts: Mapping[str, Any]
) -> Iterator[Bar]:
    """Yield a part of the bar for each outcome that rows have.

    If the run failed before the merge, the remaining rows have a part of their own.
    """
    read_count = counts["read"]
    outcomes = dict(_OUTCOMES)
    if any("used" in part_counts for part_counts in parts.values()):
        outcomes["unmatched"] = (_UNMATCHED_BY_PARTS, "warn")
    remaining_count = read_count
    for name, (words, tone) in outcomes.items():
        count = counts.get(name) or 0
        remaining_count -= count
        if count:
            yield Bar(name, words, count, tone, share_of(count, read_count))
    if counts["won"] is None and remaining_count:
        share = share_of(remaining_count, read_count)
        yield Bar("not_merged", _NOT_MERGED, remaining_count, "idle", share)


def part_in_words(counts: Mapping[str, int]) -> str:
    """Return the outcomes of a part's rows: ``4 rows: 3 used; 1 rejected``."""
    outcomes = [
        f"{number(counts[name])} {words}"
        for name, words in _OUTCOMES_OF_PARTS.items()
        if counts.get(name)
    ]
    read = counted(counts["read"], "row")
    return f"{read}: {'; '.join(outcomes)}" if outcomes else read


def _facts(counts_by_vendor: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over all vendors, by outcome."""
    sums: Counter[str] = Counter()
    for counts in counts_by_vendor.values():
        sums.update(
            {
                f"rows/{name}": count or 0
                for name, count in counts.items()
                if name != "parts"
            }
        )
    return dict(sums)
