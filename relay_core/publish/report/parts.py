"""The parts of pages that show a run: charts, and rows of plain values.

Lists are cut to their first rows here; templates decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import GuardResult
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone

_Item = TypeVar("_Item")
# The counts of changes in the order of their bars, each with its label and tone
_CHANGE_BARS: tuple[tuple[str, str, Tone], ...] = (
    ("added", "New in the feed", "good"),
    ("removed", "Gone from the feed", "bad"),
    ("came_in_stock", "Came into stock", "good"),
    ("went_out_of_stock", "Went out of stock", "bad"),
    ("price_up", "Price went up", "idle"),
    ("price_down", "Price went down", "idle"),
    ("vendor_changed", "From another vendor", "idle"),
)


@dataclass(frozen=True, slots=True)
class Excerpt(Generic[_Item]):
    """The first rows of a list, and the number of the others."""

    rows: tuple[_Item, ...] = ()
    more: int = 0

    @classmethod
    def of(
        cls,
        rows: Iterable[_Item],
        limit: int,
        count: int,
    ) -> Excerpt[_Item]:
        """Return the first of ``count`` rows, ``limit`` of them at most."""
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
    """Bars on one scale, and their summary in a sentence."""

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
        """Return a chart with one bar a row."""
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
    return Chart.of("SKUs by what has changed", rows, wording.changed(counts))


class Fate(NamedTuple):
    """What became of some rows of a vendor: a part of the vendor's bar, in percent."""

    words: str
    tone: Tone
    rows: str
    part: str
    start: str
    length: str


class VendorRows(NamedTuple):
    """What became of a vendor's rows."""

    vendor_id: str
    read: str
    summary: str
    fates: tuple[Fate, ...]

    @classmethod
    def of(cls, vendor_id: str, counts: Mapping[str, int | None]) -> VendorRows:
        """Return a vendor's bar.

        If the run failed before the merge, the remaining rows have a part of their own.
        """
        read_count = counts["read"] or 0
        outcomes = [
            (words, tone, counts[name] or 0)
            for name, (words, tone) in wording.FATE_WORDS.items()
        ]
        if counts["won"] is None:
            remaining_count = read_count - sum(count for _, _, count in outcomes)
            outcomes.append(("not merged: the run failed", "idle", remaining_count))
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
        summary = "; ".join(f"{fate.rows} {fate.words}" for fate in fates)
        return cls(
            vendor_id=vendor_id,
            read=wording.counted(read_count, "row"),
            summary=summary,
            fates=tuple(fates),
        )


class Move(NamedTuple):
    """The figure of a SKU before and now; the move of a price also has its share."""

    sku: str
    before: str
    after: str
    change: str = ""
    title: str = ""


class Guard(NamedTuple):
    """The result of a guard; the result of one that trips has examples."""

    name: str
    meaning: str
    tripped: bool
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
                        after="gone" if after is None else wording.amount(str(after)),
                        title=cut(titles.get(sku, ""), MAX_QUOTED),
                    )
                )
        return cls(
            name=name,
            meaning=meaning,
            tripped=result.tripped,
            share=wording.part(result.count, result.of),
            limit=wording.percent(result.limit),
            counted=f"{wording.number(result.count)} of {wording.number(result.of)}",
            examples=tuple(examples),
        )
