"""The report's words: numbers, shares and ages as people write them, verdicts as sentences.

Parts of pages that show a run are made of them, and of plain values: a process needs no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RowFault, RunStatus, Stage, VendorStatus
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import GuardResult
from relay_core.domain.run_faults import listed

if TYPE_CHECKING:
    from relay_core.merge.row_counts import RowCounts
    from relay_core.publish.findings import RunFindings

Tone = Literal["good", "warn", "bad", "idle"]

_DOING = {
    Stage.FETCH_INPUTS: "while looking for the vendors' feeds",
    Stage.NORMALIZE: "while reading the vendors' feeds",
    Stage.MERGE_PRICE: "while merging and pricing",
    Stage.WRITE_OUTPUTS: "while writing the feed",
}
_KEPT = "the shop keeps the feed that it has"
_GUARDS = {
    "skus_removed": ("SKUs removed", "SKUs of the published feed that are gone"),
    "out_of_stock": ("Out of stock", "SKUs that were in stock and have none now"),
    "price_drop": (
        "Price drops",
        "prices that fell too far at once; a few are let through",
    ),
    "price_rise": (
        "Price rises",
        "prices that rose too far at once; a few are let through",
    ),
    "price_level low": (
        "Price level, low side",
        "prices below the level of the published feed",
    ),
    "price_level high": (
        "Price level, high side",
        "prices above the level of the published feed",
    ),
    "quarantined": (
        "Quarantined",
        "prices too far from the published ones to be right; a few are kept as they were",
    ),
    "vendor_rows": ("Vendor rows", "rows that the vendor had, and has not sent"),
}

_FAULTS: dict[str, str] = {
    RowFault.DUPLICATE_SKU: "on more than one row",
    RowFault.INVALID_RECORD: "not a record",
    RowFault.COLUMN_COUNT: "more or fewer fields than the header",
    RowFault.MISSING_SKU: "no SKU",
    RowFault.MISSING_QUANTITY: "no quantity",
    RowFault.INVALID_QUANTITY: "not a whole number",
    RowFault.NEGATIVE_QUANTITY: "less than 0",
    RowFault.INVALID_DECIMAL: "not an amount",
    RowFault.NEGATIVE_AMOUNT: "less than 0",
    RowFault.AMOUNT_OUT_OF_RANGE: "too large an amount",
    RowFault.INVALID_LEAD_TIME: "not a number of days",
    RowFault.INVALID_CONDITION: "not a known condition",
    RowFault.INVALID_TIMESTAMP: "not a date and time",
}


FATES: dict[str, tuple[str, Tone]] = {
    "won": ("in the feed", "good"),
    "outbid": ("another vendor's offer is better", "idle"),
    "same_sku": ("beside a better row of the same SKU", "warn"),
    "duplicates": ("another row stands for the SKU", "warn"),
    "left_out": ("left out, as the config says", "idle"),
    "unpriced": ("without a price", "bad"),
    "refused": ("refused", "bad"),
    "skipped": ("skipped, as the config says", "idle"),
}
"""Where rows went, in the order of their bar; the tone of each."""
USES: dict[str, tuple[Tone, str]] = {
    VendorStatus.FOUND: ("good", "its upload"),
    VendorStatus.LAST_GOOD: ("warn", "its last good feed"),
    VendorStatus.LEFT_OUT: ("warn", "left out"),
    VendorStatus.MISSING: ("idle", "nothing to use"),
}
"""What was used of a vendor, and the tone of it."""
_MANY_ROWS, _MANY_SHARE, _MAX_NAMED = 100, 100, 10


class Verdict(NamedTuple):
    """The end of the run, in a word and in a sentence, and the next actions."""

    tone: Tone
    word: str
    headline: str
    sentence: str
    next_actions: tuple[str, ...]


def sentence(clause: str) -> str:
    """Return a clause as a sentence of its own."""
    return f"{clause[:1].upper()}{clause[1:]}." if clause else ""


def fault_title(error_code: str, column: str | None) -> str:
    """Return the fault of rejected cells of a column, or of whole records."""
    fault = _FAULTS.get(error_code, error_code)
    return f"{column}: {fault}" if column else fault.capitalize()


def number(count: int) -> str:
    """Return a count: ``12,345``."""
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """Return a count of things: ``1 row``, ``2 rows``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def percent(share: str) -> str:
    """Return a share, written as a decimal, in percent: ``50 %``, ``0.25 %``."""
    return f"{(Decimal(share) * 100).normalize():,f} %"


def signed_percent(share: str) -> str:
    """Return by how much something has moved, in percent with a place: ``+12.5 %``."""
    rounded = (Decimal(share) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{rounded:+,f} %".replace("-", "\N{MINUS SIGN}")


def part(count: int, of: int) -> str:
    """Return a part of a whole in percent with a place, half up; only 0 is written as 0."""
    if not of:
        return "0 %"
    tenths = (2 * 1000 * count + of) // (2 * of)
    if count and not tenths:
        return "< 0.1 %"
    return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"


def amount(written: str) -> str:
    """Return an amount or a quantity with its thousands: ``9,491.99``."""
    return f"{Decimal(written):,}"


def merged_many(rows: RowCounts) -> bool:
    """Return whether so many rows share an SKU with a better one that it is probably no SKU."""
    lost = rows.same_sku or 0
    return lost > _MANY_ROWS or lost * _MANY_SHARE > rows.read


def length(count: int, longest: int) -> str:
    """Return a bar's length in percent of the longest, with a place."""
    return f"{float(Fraction(100 * count, longest)):.1f}" if longest else "0.0"


def age(since: timedelta) -> str:
    """Return how old something is, in whole hours or days."""
    hours = max(0, since // timedelta(hours=1))
    if not hours:
        return "under an hour"
    return counted(hours, "hour") if hours < 48 else counted(hours // 24, "day")


def moment(instant: datetime) -> str:
    """Return an aware moment to the minute: ``2026-03-01 12:00 UTC``."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def changed(counts: Mapping[str, int]) -> str:
    """Say in a sentence how much of the published feed is as it was."""
    of = sum(counts[name] for name in ("unchanged", "changed", "removed"))
    stayed, moved, left, joined = (
        number(counts[name]) for name in ("unchanged", "changed", "removed", "added")
    )
    return (
        f"Of the {counted(of, 'SKU')} of the published feed {stayed} stayed as they were, {moved} "
        f"changed and {left} left it; {joined} joined it."
    )


def guard_words(result: GuardResult) -> tuple[str, str]:
    """Return a guard's name, with the vendor that it is about, and the things that it counts."""
    side = "" if result.side is None else f" {result.side}"
    name, meaning = _GUARDS.get(
        f"{result.guard}{side}", (result.guard, "")
    )  # of a later release
    return (
        name if result.vendor_id is None else f"{name} of {result.vendor_id}",
        meaning,
    )


def verdict(
    status: RunStatus,
    findings: RunFindings,
    failed: Sequence[str],
    next_action: str,
    run_id: str = "RUN_ID",
) -> Verdict:
    """Return the end of a run, and the next actions; ``failed`` are vendors with unused feeds."""
    if status is RunStatus.FAILED:
        stage = findings.failure.stage if findings.failure else Stage.QUEUE
        when = _DOING.get(stage, "before it had begun")
        sentence = f"The run failed {when}. Nothing is published: {_KEPT}."
        return Verdict(
            "bad", "Failed", "No new feed was made", sentence, (next_action,)
        )
    if status is RunStatus.CANCELLED:
        sentence = f"It was ended on request. Nothing is published: {_KEPT}."
        again = "Start another run when the feed is to be made anew."
        return Verdict("idle", "Cancelled", "The run was cancelled", sentence, (again,))
    if status is RunStatus.SUCCEEDED:
        return _succeeded(findings, failed)
    names = [guard_words(result)[0] for result in findings.tripped]
    guards = counted(len(findings.guards or ()), "guard")
    return Verdict(
        "warn",
        "Held",
        "The new feed is held back",
        f"{len(names)} of {guards} found more changed since the published feed than the config "
        f"allows: {_some(names)}. The new feed, with {counted(findings.record_count, 'SKU')}, "
        f"waits, and {_KEPT}.",
        (
            "Look below at what has changed.",
            f"If it is meant, release the feed: relay release {run_id} shows it again, and asks.",
            "If it is not, have the vendor's feed or the config put right and start another run; "
            "its feed takes the place of this one.",
        ),
    )


def _succeeded(findings: RunFindings, failed: Sequence[str]) -> Verdict:
    skus, invalid = (
        counted(findings.record_count, "SKU"),
        findings.counts()["invalid_rows"],
    )
    headline, sentence = (
        f"The new feed has {skus}",
        "It takes the place of the one before.",
    )
    if findings.changes is None:
        sentence = "There is no feed to compare it with."
    if not findings.of_all_vendors:
        headline = f"A feed of some vendors has {skus}"
        sentence = f"It is there to be looked at, and is not published: {_KEPT}."
    merged = {name: rows for name, rows in findings.rows.items() if merged_many(rows)}
    is_odd = bool(failed or findings.tripped or merged or findings.quarantined)
    todo = [
        f"See which column of {name} tells its products apart: {number(rows.same_sku or 0)} of "
        f"{counted(rows.read, 'row')} share an SKU with a better row, and are not in the feed."
        for name, rows in merged.items()
    ][:_MAX_NAMED]
    if failed:
        todo.append(f"Ask for a feed that can be used from {_some(failed)}.")
    if findings.tripped:
        todo.append("See whether the changes are meant: guards tripped.")
    if count := findings.quarantined:
        kept = (
            "keeps its published price" if count == 1 else "keep their published prices"
        )
        todo.append(
            f"Look below at the new prices that are kept back: {counted(count, 'SKU')} {kept}."
        )
    if invalid:
        todo.append(
            f"Have {counted(invalid, 'refused row')} put right: what they offer is absent."
        )
    if count := findings.unpriced_skus:
        todo.append(f"Ask for a cost of {counted(count, 'SKU')} that cannot be priced.")
    word = "Succeeded, with warnings" if is_odd else "Succeeded"
    return Verdict("warn" if is_odd else "good", word, headline, sentence, tuple(todo))


def _some(names: Sequence[str]) -> str:
    return listed(names, ", ", len(names))


# --- parts of pages that show a run ---------------------------------------------------------------


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

    @classmethod
    def of(
        cls, title: str, rows: Sequence[tuple[str, str, int, str]], summary: str
    ) -> Chart:
        """Return a bar for each row: its label, its value in words and as a count, its tone."""
        most = max(count for _, _, count, _ in rows)
        bars = (
            Bar(label, value, length(count, most), tone)
            for label, value, count, tone in rows
        )
        return cls(title, summary, tuple(bars))


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
        known = [(*FATES[name], counts[name] or 0) for name in FATES]
        if counts["won"] is None:
            rest = read - sum(count for _, _, count in known)
            known += [("not merged: the run failed", "idle", rest)]
        fates, start = [], 0
        for words, tone, count in known:
            if count:
                place = length(start, read), length(count, read)
                fates.append(
                    Fate(words, tone, number(count), part(count, read), *place)
                )
                start += count
        summary = "; ".join(f"{each.rows} {each.words}" for each in fates)
        return cls(vendor_id, counted(read, "row"), summary, tuple(fates))


def changes_chart(counts: Mapping[str, int]) -> Chart:
    """Return the bars of what a feed changes against the published one, as the summary counts."""
    rows = [
        (label, number(counts[name]), counts[name], tone)
        for name, label, tone in _CHANGES
    ]
    return Chart.of("SKUs by what has changed", rows, changed(counts))


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
                amount(str(each["before"])),
                "gone" if each["after"] is None else amount(str(each["after"])),
                title=cut(titles.get(each["sku"], ""), MAX_QUOTED),
            )
            for each in result.examples
        )
        return cls(
            *guard_words(result),
            result.tripped,
            part(result.count, result.of),
            percent(result.limit),
            f"{number(result.count)} of {number(result.of)}",
            tuple(examples) if result.tripped else (),
        )
