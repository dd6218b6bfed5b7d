"""The report's words: numbers, shares and ages for people, and verdicts as sentences.

Pages that show a run use them, too. They are made from plain values, so that a process
without the engine can load this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

from relay_core.domain.codes import RowFault, RunStatus, Stage, VendorStatus
from relay_core.domain.records import GuardResult
from relay_core.domain.run_faults import listed

if TYPE_CHECKING:
    from relay_core.merge.row_counts import RowCounts
    from relay_core.publish.findings import RunFindings

Tone = Literal["good", "warn", "bad", "idle"]

_ACTIVITIES = {
    Stage.FETCH_INPUTS: "while looking for the vendors' feeds",
    Stage.NORMALIZE: "while reading the vendors' feeds",
    Stage.MERGE_PRICE: "while merging and pricing",
    Stage.WRITE_OUTPUTS: "while writing the feed",
}
_SHOP_KEEPS_FEED = "the shop keeps the feed that it has"
# The name of each guard and the things that it counts
_GUARD_WORDS = {
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

_FAULT_WORDS: dict[str, str] = {
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

FATE_WORDS: dict[str, tuple[str, Tone]] = {
    "won": ("in the feed", "good"),
    "outbid": ("another vendor's offer is better", "idle"),
    "same_sku": ("beside a better row of the same SKU", "warn"),
    "duplicates": ("another row stands for the SKU", "warn"),
    "left_out": ("left out, as the config says", "idle"),
    "unpriced": ("without a price", "bad"),
    "refused": ("refused", "bad"),
    "skipped": ("skipped, as the config says", "idle"),
}
"""What became of rows, and the tone of each outcome, in the order of the bar."""
USE_WORDS: dict[str, tuple[Tone, str]] = {
    VendorStatus.FOUND: ("good", "its upload"),
    VendorStatus.LAST_GOOD: ("warn", "its last good feed"),
    VendorStatus.LEFT_OUT: ("warn", "left out"),
    VendorStatus.MISSING: ("idle", "nothing to use"),
}
"""The tone of each use of a vendor, and the use in words."""
# A column is probably no SKU if more rows than this lost to a better row of the same
# SKU, or more than one row in this many.
_MANY_ROWS = 100
_MANY_SHARE = 100
_MAX_NAMED_VENDORS = 10


class Verdict(NamedTuple):
    """The end of the run in a word and in a sentence, and the next actions."""

    tone: Tone
    word: str
    headline: str
    sentence: str
    next_actions: tuple[str, ...]


# --- numbers, shares and times --------------------------------------------------------


def number(count: int) -> str:
    """Return a count: ``12,345``."""
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """Return a count of things: ``1 row``, ``2 rows``."""
    plural = "" if count == 1 else "s"
    return f"{number(count)} {noun}{plural}"


def percent(share: str) -> str:
    """Return a share, written as a decimal, as a percentage: ``50 %``, ``0.25 %``."""
    percentage = (Decimal(share) * 100).normalize()
    return f"{percentage:,f} %"


def signed_percent(share: str) -> str:
    """Return a signed share as a percentage with one place: ``+12.5 %``."""
    percentage = (Decimal(share) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{percentage:+,f} %".replace("-", "\N{MINUS SIGN}")


def part(count: int, total: int) -> str:
    """Return a part of a total as a percentage with one place, rounded half up.

    Only a count of 0 is written as 0.
    """
    if not total:
        return "0 %"
    tenths = (2 * 1000 * count + total) // (2 * total)
    if count and not tenths:
        return "< 0.1 %"
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth} %" if tenth else f"{whole} %"


def amount(text: str) -> str:
    """Return an amount or a quantity with marks between thousands: ``9,491.99``."""
    return f"{Decimal(text):,}"


def length(count: int, longest: int) -> str:
    """Return a bar's length as a percentage of the longest, with one place."""
    if not longest:
        return "0.0"
    percentage = Fraction(100 * count, longest)
    return f"{float(percentage):.1f}"


def age(since: timedelta) -> str:
    """Return an age in whole hours or days."""
    hours = max(0, since // timedelta(hours=1))
    if not hours:
        return "under an hour"
    return counted(hours, "hour") if hours < 48 else counted(hours // 24, "day")


def moment(instant: datetime) -> str:
    """Return an aware moment to the minute: ``2026-03-01 12:00 UTC``."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# --- faults, guards and changes -------------------------------------------------------


def sentence(clause: str) -> str:
    """Return a clause as a sentence; an empty clause stays empty."""
    return f"{clause[:1].upper()}{clause[1:]}." if clause else ""


def fault_title(error_code: str, column: str | None) -> str:
    """Return the fault of rejected cells of a column, or of whole records."""
    fault = _FAULT_WORDS.get(error_code, error_code)
    return f"{column}: {fault}" if column else fault.capitalize()


def guard_words(result: GuardResult) -> tuple[str, str]:
    """Return a guard's name, with its vendor, and the things that it counts."""
    key = result.guard if result.side is None else f"{result.guard} {result.side}"
    # A later release may have guards that this one does not know.
    name, meaning = _GUARD_WORDS.get(key, (result.guard, ""))
    if result.vendor_id is not None:
        name = f"{name} of {result.vendor_id}"
    return name, meaning


def changed(counts: Mapping[str, int]) -> str:
    """Return a sentence on how much of the published feed is as it was."""
    total = counts["unchanged"] + counts["changed"] + counts["removed"]
    return (
        f"Of the {counted(total, 'SKU')} of the published feed "
        f"{number(counts['unchanged'])} stayed as they were, "
        f"{number(counts['changed'])} changed and {number(counts['removed'])} left it; "
        f"{number(counts['added'])} joined it."
    )


def merged_many(rows: RowCounts) -> bool:
    """Return True if so many rows share an SKU that the column is probably no SKU."""
    lost_rows = rows.same_sku or 0
    return lost_rows > _MANY_ROWS or lost_rows * _MANY_SHARE > rows.read


# --- verdicts -------------------------------------------------------------------------


def verdict(
    status: RunStatus,
    findings: RunFindings,
    failed_vendors: Sequence[str],
    next_action: str,
    run_id: str = "RUN_ID",
) -> Verdict:
    """Return the end of a run and the next actions.

    ``failed_vendors`` are the vendors whose feeds were not used; ``next_action`` is the
    fix of a failed run.
    """
    if status is RunStatus.FAILED:
        return _failed(findings, next_action)
    if status is RunStatus.CANCELLED:
        return Verdict(
            tone="idle",
            word="Cancelled",
            headline="The run was cancelled",
            sentence="It was ended on request. Nothing is published: "
            f"{_SHOP_KEEPS_FEED}.",
            next_actions=("Start another run when the feed is to be made anew.",),
        )
    if status is RunStatus.SUCCEEDED:
        return _succeeded(findings, failed_vendors)
    return _held(findings, run_id)


def _failed(findings: RunFindings, next_action: str) -> Verdict:
    stage = findings.failure.stage if findings.failure else Stage.QUEUE
    activity = _ACTIVITIES.get(stage, "before it had begun")
    return Verdict(
        tone="bad",
        word="Failed",
        headline="No new feed was made",
        sentence=f"The run failed {activity}. Nothing is published: "
        f"{_SHOP_KEEPS_FEED}.",
        next_actions=(next_action,),
    )


def _held(findings: RunFindings, run_id: str) -> Verdict:
    names = [guard_words(result)[0] for result in findings.tripped]
    guards = counted(len(findings.guards or ()), "guard")
    skus = counted(findings.record_count, "SKU")
    return Verdict(
        tone="warn",
        word="Held",
        headline="The new feed is held back",
        sentence=f"{len(names)} of {guards} found more changed since the published feed "
        f"than the config allows: {_listed(names)}. The new feed, with {skus}, waits, "
        f"and {_SHOP_KEEPS_FEED}.",
        next_actions=(
            "Look below at what has changed.",
            f"If it is meant, release the feed: relay release {run_id} shows it again, "
            "and asks.",
            "If it is not, have the vendor's feed or the config put right and start "
            "another run; its feed takes the place of this one.",
        ),
    )


def _succeeded(findings: RunFindings, failed_vendors: Sequence[str]) -> Verdict:
    skus = counted(findings.record_count, "SKU")
    headline = f"The new feed has {skus}"
    sentence = "It takes the place of the one before."
    if findings.changes is None:
        sentence = "There is no feed to compare it with."
    if not findings.of_all_vendors:
        headline = f"A feed of some vendors has {skus}"
        sentence = (
            f"It is there to be looked at, and is not published: {_SHOP_KEEPS_FEED}."
        )
    doubtful_rows = {
        vendor_id: rows
        for vendor_id, rows in findings.rows.items()
        if merged_many(rows)
    }
    is_doubtful = bool(
        failed_vendors or findings.tripped or doubtful_rows or findings.quarantined
    )
    return Verdict(
        tone="warn" if is_doubtful else "good",
        word="Succeeded, with warnings" if is_doubtful else "Succeeded",
        headline=headline,
        sentence=sentence,
        next_actions=(
            *_sku_actions(doubtful_rows),
            *_actions(findings, failed_vendors),
        ),
    )


def _sku_actions(doubtful_rows: Mapping[str, RowCounts]) -> list[str]:
    """Return an action for each of the first vendors whose rows share too many SKUs."""
    actions = []
    for vendor_id, rows in doubtful_rows.items():
        lost_rows = number(rows.same_sku or 0)
        actions.append(
            f"See which column of {vendor_id} tells its products apart: {lost_rows} of "
            f"{counted(rows.read, 'row')} share an SKU with a better row, and are not in "
            "the feed."
        )
    return actions[:_MAX_NAMED_VENDORS]


def _actions(findings: RunFindings, failed_vendors: Sequence[str]) -> list[str]:
    """Return the next actions of a run that succeeded, the most important first."""
    quarantined = findings.quarantined
    rejected_rows = findings.counts()["invalid_rows"]
    unpriced_skus = findings.unpriced_skus
    actions = []
    if failed_vendors:
        actions.append(
            f"Ask for a feed that can be used from {_listed(failed_vendors)}."
        )
    if findings.tripped:
        actions.append("See whether the changes are meant: guards tripped.")
    if quarantined:
        effect = "keep their published prices"
        if quarantined == 1:
            effect = "keeps its published price"
        actions.append(
            "Look below at the new prices that are kept back: "
            f"{counted(quarantined, 'SKU')} {effect}."
        )
    if rejected_rows:
        actions.append(
            f"Have {counted(rejected_rows, 'refused row')} put right: what they offer "
            "is absent."
        )
    if unpriced_skus:
        actions.append(
            f"Ask for a cost of {counted(unpriced_skus, 'SKU')} that cannot be priced."
        )
    return actions


def _listed(names: Sequence[str]) -> str:
    return listed(names, ", ", len(names))
