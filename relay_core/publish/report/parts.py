"""Parts of pages that show a run, made of plain values: a process needs no engine for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import GuardResult
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone

Row = TypeVar("Row")

_CHANGES: tuple[tuple[str, str, Tone], ...] = (
    ("added", "New in the feed", "good"),
    ("removed", "Gone from the feed", "bad"),
    ("came_in_stock", "Came into stock", "good"),
    ("went_out_of_stock", "Went out of stock", "bad"),
    ("price_up", "Price went up", "idle"),
    ("price_down", "Price went down", "idle"),
    ("vendor_changed", "From another vendor", "idle"),
)


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """The first rows of a list, and how many more there are."""

    rows: tuple[Row, ...] = ()
    more: int = 0

    @classmethod
    def of(cls, rows: Iterable[Row], limit: int, count: int) -> Listed[Row]:
        """Return the first of ``count`` rows, at most ``limit``."""
        first = tuple(islice(rows, limit))
        return cls(first, count - len(first))

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.rows)


class Figure(NamedTuple):
    """A number that people ask for."""

    label: str
    value: str
    note: str = ""


class Bar(NamedTuple):
    """A bar of a chart; its length is in percent of the longest."""

    label: str
    value: str
    length: str
    tone: str = ""


class Chart(NamedTuple):
    """Bars on one scale, and their summary in a sentence."""

    title: str
    summary: str
    bars: tuple[Bar, ...]


class Fate(NamedTuple):
    """What became of some of a vendor's rows: a part of its bar, in percent of it."""

    words: str
    tone: Tone
    rows: str
    part: str
    start: str
    length: str


class VendorRows(NamedTuple):
    """Where a vendor's rows went."""

    vendor_id: str
    read: str
    summary: str
    fates: tuple[Fate, ...]

    @classmethod
    def of(cls, vendor_id: str, counts: Mapping[str, int | None]) -> VendorRows:
        """Return a vendor's bar; of rows that were not merged it is known which are refused."""
        read = counts["read"] or 0
        known = [(*wording.FATES[name], counts[name] or 0) for name in wording.FATES]
        if counts["won"] is None:
            rest = read - sum(count for _, _, count in known)
            known += [("not merged: the run failed", "idle", rest)]
        fates, start = [], 0
        for words, tone, count in known:
            if count:
                place, long = wording.length(start, read), wording.length(count, read)
                number, part = wording.number(count), wording.part(count, read)
                fates.append(Fate(words, tone, number, part, place, long))
                start += count
        summary = "; ".join(f"{each.rows} {each.words}" for each in fates)
        return cls(vendor_id, wording.counted(read, "row"), summary, tuple(fates))


def changes_chart(counts: Mapping[str, int]) -> Chart:
    """Return the bars of what a feed changes against the published one, as the summary counts."""
    shown = [counts[name] for name, _, _ in _CHANGES]
    bars = (
        Bar(label, wording.number(count), wording.length(count, max(shown)), tone)
        for count, (_, label, tone) in zip(shown, _CHANGES, strict=True)
    )
    return Chart("SKUs by what has changed", wording.changed(counts), tuple(bars))


class Move(NamedTuple):
    """A SKU's figure, before and now; a price move also has its share."""

    sku: str
    before: str
    after: str
    change: str = ""
    title: str = ""


class Guard(NamedTuple):
    """The result of a guard; one that trips has examples."""

    name: str
    meaning: str
    tripped: bool
    share: str
    limit: str
    counted: str
    examples: tuple[Move, ...] = ()

    @classmethod
    def of(cls, result: GuardResult, titles: Mapping[str, str]) -> Guard:
        """Return a guard's row."""
        examples = (
            Move(
                cut(each["sku"], MAX_QUOTED),
                wording.amount(str(each["before"])),
                "gone" if each["after"] is None else wording.amount(str(each["after"])),
                title=cut(titles.get(each["sku"], ""), MAX_QUOTED),
            )
            for each in result.examples
        )
        return cls(
            *wording.guard_words(result),
            result.tripped,
            wording.part(result.count, result.of),
            wording.percent(result.limit),
            f"{wording.number(result.count)} of {wording.number(result.of)}",
            tuple(examples) if result.tripped else (),
        )
