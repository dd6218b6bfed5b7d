"""The parts of pages that show a run: charts, and rows of plain values.

This module cuts lists to their first rows, so templates do not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import MATCH_KEYS
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import GuardResult
from relay_core.domain.run_faults import counted
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone

_Item = TypeVar("_Item")
_MAX_MATCHED_VENDORS = 50
# The counts of changes in the order of their bars, each with its label and tone
_CHANGE_BARS: tuple[tuple[str, str, Tone], ...] = (
    ("added", "New in the feed", "good"),
    ("removed", "Removed from the feed", "bad"),
    ("came_in_stock", "Back in stock", "good"),
    ("went_out_of_stock", "Out of stock", "bad"),
    ("price_up", "Price increased", "idle"),
    ("price_down", "Price decreased", "idle"),
    ("vendor_changed", "Vendor changed", "idle"),
)


@dataclass(frozen=True, slots=True)
class Excerpt(Generic[_Item]):
    """The first rows of a list, and the number of rows that were left out."""

    rows: tuple[_Item, ...] = ()
    more: int = 0

    @classmethod
    def of(
        cls,
        rows: Iterable[_Item],
        limit: int,
        count: int,
    ) -> Excerpt[_Item]:
        """Return the first rows of ``count``, at most ``limit``."""
        first_rows = tuple(islice(rows, limit))
        return cls(first_rows, count - len(first_rows))

    def __bool__(self) -> bool:
        """Return True if there is a row."""
        return bool(self.rows)


class Figure(NamedTuple):
    """A number with its label."""

    label: str
    value: str
    note: str = ""


class Bar(NamedTuple):
    """A bar of a chart; its length is a percentage of the longest bar."""

    label: str
    value: str
    length: str
    tone: str = ""


class ChartRow(NamedTuple):
    """The row of a chart that becomes a bar."""

    label: str
    value: str
    number: int
    tone: str


class Chart(NamedTuple):
    """Bars on one scale, and a summary of them in a sentence."""

    title: str
    summary: str
    bars: tuple[Bar, ...]

    @classmethod
    def of(
        cls,
        title: str,
        rows: Sequence[ChartRow],
        summary: str,
    ) -> Chart:
        """Return a chart with one bar per row."""
        largest = max(row.number for row in rows)
        bars = [
            Bar(
                label=row.label,
                value=row.value,
                length=wording.length(row.number, largest),
                tone=row.tone,
            )
            for row in rows
        ]
        return cls(title, summary, tuple(bars))


def changes_chart(counts: Mapping[str, int]) -> Chart:
    """Return the bars of a feed's changes from the counts of the run's summary."""
    rows = [
        ChartRow(
            label,
            wording.number(counts[name]),
            counts[name],
            tone,
        )
        for name, label, tone in _CHANGE_BARS
    ]
    return Chart.of("SKUs by kind of change", rows, wording.changed(counts))


class Fate(NamedTuple):
    """Rows of a vendor with the same outcome: a part of the bar, in percent."""

    words: str
    tone: Tone
    rows: str
    part: str
    start: str
    length: str


class PartRows(NamedTuple):
    """The outcomes of the rows of a vendor's part, in words."""

    part_id: str
    outcomes: str


class VendorRows(NamedTuple):
    """The outcomes of a vendor's rows."""

    vendor_id: str
    read: str
    summary: str
    fates: tuple[Fate, ...]
    parts: tuple[PartRows, ...]

    @classmethod
    def of(cls, vendor_id: str, counts: Mapping[str, Any]) -> VendorRows:
        """Return a vendor's bar.

        If the run failed before the merge, the bar has a part for the remaining rows.
        """
        read_count = counts["read"] or 0
        parts = counts.get("parts") or {}
        fate_words = dict(wording.FATE_WORDS)
        if any("used" in part_counts for part_counts in parts.values()):
            fate_words["unmatched"] = (wording.UNMATCHED_BY_PARTS, "warn")
        outcomes: list[tuple[str, Tone, int]] = [
            (words, tone, counts.get(name) or 0)
            for name, (words, tone) in fate_words.items()
        ]
        if counts["won"] is None:
            remaining_count = read_count - sum(
                count for _, _, count in outcomes
            )
            outcomes.append(
                ("Not merged, because the run failed", "idle", remaining_count)
            )
        fates = []
        start = 0
        for words, tone, count in outcomes:
            if not count:
                continue
            fates.append(
                Fate(
                    words=words,
                    tone=tone,
                    rows=wording.number(count),
                    part=wording.part(count, read_count),
                    start=wording.length(start, read_count),
                    length=wording.length(count, read_count),
                )
            )
            start += count
        summary = "; ".join(f"{fate.words}: {fate.rows}" for fate in fates)
        return cls(
            vendor_id=vendor_id,
            read=counted(read_count, "row"),
            summary=summary,
            fates=tuple(fates),
            parts=tuple(
                PartRows(part_id, wording.rows_of_part(part_counts))
                for part_id, part_counts in parts.items()
            ),
        )


class Move(NamedTuple):
    """A SKU's value before and after; a change of price also has a percentage."""

    sku: str
    before: str
    after: str
    change: str = ""
    title: str = ""


class Guard(NamedTuple):
    """The result of a guard. A guard that tripped has examples."""

    name: str
    meaning: str
    tripped: bool
    verdict: str
    share: str
    limit: str
    counted: str
    examples: tuple[Move, ...] = ()

    @classmethod
    def of(cls, result: GuardResult, titles: Mapping[str, str]) -> Guard:
        """Return the row of a guard; ``titles`` are titles by SKU."""
        name, meaning = wording.guard_words(result)
        examples: list[Move] = []
        if result.tripped:
            for example in result.examples:
                sku = example["sku"]
                after = example["after"]
                examples.append(
                    Move(
                        sku=cut(sku, MAX_QUOTED),
                        before=wording.amount(str(example["before"])),
                        after="removed"
                        if after is None
                        else wording.amount(str(after)),
                        title=cut(titles.get(sku, ""), MAX_QUOTED),
                    )
                )
        return cls(
            name=name,
            meaning=meaning,
            tripped=result.tripped,
            verdict=wording.guard_verdict(result),
            share=wording.part(result.count, result.of),
            limit=wording.percent(result.limit),
            counted=f"{wording.number(result.count)} of {wording.number(result.of)}",
            examples=tuple(examples),
        )


class MatchedVendor(NamedTuple):
    """The number of a vendor's rows that each key matched."""

    vendor_id: str
    counts: tuple[str, ...]


def matched_vendors(
    matched_by: Mapping[str, Mapping[str, int]],
) -> Excerpt[MatchedVendor]:
    """Return the number of each vendor's rows that each key matched."""
    rows = [
        MatchedVendor(
            vendor_id,
            tuple(wording.number(counts[key]) for key in MATCH_KEYS),
        )
        for vendor_id, counts in matched_by.items()
    ]
    return Excerpt.of(rows, _MAX_MATCHED_VENDORS, len(rows))
