"""The report's texts: numbers, percentages, times, and the verdict in sentences.

The pages of the API use them, too. The module only needs plain values, so a process can
load it without the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

from relay_core.domain.codes import RowFault, RunStatus, Stage, VendorStatus
from relay_core.domain.records import GuardResult
from relay_core.domain.run_faults import counted, listed

if TYPE_CHECKING:
    from relay_core.merge.row_counts import RowCounts
    from relay_core.publish.findings import RunFindings

Tone = Literal["good", "warn", "bad", "idle"]

_ACTIVITIES = {
    Stage.FETCH_INPUTS: "while collecting the vendors' files",
    Stage.NORMALIZE: "while reading the vendors' files",
    Stage.MERGE_PRICE: "while merging offers and calculating prices",
    Stage.WRITE_OUTPUTS: "while writing the feed",
}
NOTHING_PUBLISHED = "Nothing was published, and your shop keeps its live feed."
"""The consequence of a run that publishes no feed."""
REVIEW_ONLY = (
    "A run of some vendors is for review only. It is not published, and your shop keeps "
    "its live feed."
)
"""The consequence of a run of some vendors."""
# The name of each guard and the things that it counts
_GUARD_WORDS = {
    "skus_removed": (
        "SKUs removed",
        "SKUs of the previous feed that the new feed does not have",
    ),
    "out_of_stock": (
        "Out of stock",
        "SKUs that were in stock and are now at 0",
    ),
    "price_drop": (
        "Price drops",
        "Prices that fell by more than the allowed amount",
    ),
    "price_rise": (
        "Price rises",
        "Prices that rose by more than the allowed amount",
    ),
    "price_level low": (
        "Lower price level",
        "Prices that are clearly below those of the previous feed",
    ),
    "price_level high": (
        "Higher price level",
        "Prices that are clearly above those of the previous feed",
    ),
    "quarantined": (
        "Prices to review",
        "New prices that are too far from the published prices",
    ),
    "vendor_rows": ("Vendor rows", "Rows that the vendor no longer sends"),
}

_FAULT_WORDS: dict[str, str] = {
    RowFault.DUPLICATE_SKU: "on more than one row",
    RowFault.INVALID_RECORD: "not a valid record",
    RowFault.COLUMN_COUNT: "more or fewer cells than the header",
    RowFault.MISSING_SKU: "no SKU",
    RowFault.MISSING_QUANTITY: "no quantity",
    RowFault.INVALID_QUANTITY: "not a whole number",
    RowFault.NEGATIVE_QUANTITY: "below 0",
    RowFault.INVALID_DECIMAL: "not a valid amount",
    RowFault.NEGATIVE_AMOUNT: "below 0",
    RowFault.AMOUNT_OUT_OF_RANGE: "amount too large",
    RowFault.INVALID_LEAD_TIME: "not a number of days",
    RowFault.INVALID_CONDITION: "not a known condition",
    RowFault.INVALID_TIMESTAMP: "not a valid date and time",
    RowFault.INVALID_GTIN: "not a valid GTIN",
}

FATE_WORDS: dict[str, tuple[str, Tone]] = {
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
"""The outcomes of rows in the order of the bar, each with its tone."""
UNMATCHED_BY_PARTS = "Taken out, because no row of another file matches"
"""The outcome of unmatched rows of a vendor whose parts give columns."""
_PART_WORDS = {
    "used": "used",
    "unused": "not used, because the vendor's other files do not have their key",
    "duplicates": "not used, because another row has the same key",
    "replaced": "replaced by a later file of changes",
    "refused": "rejected",
    "skipped": "skipped by your settings",
}
USE_WORDS: dict[str, tuple[Tone, str]] = {
    VendorStatus.FOUND: ("good", "Latest file"),
    VendorStatus.LAST_GOOD: ("warn", "Last good file"),
    VendorStatus.LEFT_OUT: ("warn", "Left out"),
    VendorStatus.MISSING: ("idle", "No file"),
}
"""The file of a vendor that a run used, by the vendor's status, each with its tone."""
# If more rows than this, or more than one row in this many, lose to a better row of the
# same SKU, the column of SKUs probably does not identify products.
_MANY_ROWS = 100
_MANY_SHARE = 100
_MAX_NAMED_VENDORS = 10


class Verdict(NamedTuple):
    """The result of the run in a word and in a sentence, and the next steps."""

    tone: Tone
    word: str
    headline: str
    sentence: str
    next_actions: tuple[str, ...]


# --- numbers, shares and times --------------------------------------------------------


def number(count: int) -> str:
    """Return a count: ``12,345``."""
    return f"{count:,}"


def rows_of_part(counts: Mapping[str, int]) -> str:
    """Return the outcomes of a part's rows: ``4 rows: 3 used; 1 rejected``."""
    outcomes = [
        f"{number(counts[name])} {words}"
        for name, words in _PART_WORDS.items()
        if counts.get(name)
    ]
    read = counted(counts["read"], "row")
    return f"{read}: {'; '.join(outcomes)}" if outcomes else read


def percent(share: str) -> str:
    """Return a share, written as a decimal, as a percentage: ``50%``, ``0.25%``."""
    percentage = (Decimal(share) * 100).normalize()
    return f"{percentage:,f}%"


def signed_percent(share: str) -> str:
    """Return a signed share as a percentage with one place: ``+12.5%``."""
    percentage = (Decimal(share) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{percentage:+,f}%".replace("-", "\N{MINUS SIGN}")


def part(count: int, total: int) -> str:
    """Return a part of a total as a percentage with one place, rounded half up.

    Only a count of 0 becomes ``0%``; a smaller part than 0.1% becomes ``<0.1%``.
    """
    if not total:
        return "0%"
    tenths = (2 * 1000 * count + total) // (2 * total)
    if count and not tenths:
        return "<0.1%"
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth}%" if tenth else f"{whole}%"


def amount(text: str) -> str:
    """Return an amount or a quantity with thousands separators: ``9,491.99``."""
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
        return "less than 1 hour"
    return counted(hours, "hour") if hours < 48 else counted(hours // 24, "day")


def moment(instant: datetime, zone: tzinfo = UTC) -> str:
    """Return an aware time with its zone: ``Mar 1, 2026, 1:00 PM (Europe/Berlin)``."""
    return f"{local_time(instant, zone)} ({zone})"


def local_time(instant: datetime, zone: tzinfo) -> str:
    """Return an aware time in a zone, to the minute: ``Mar 1, 2026, 1:00 PM``."""
    local = instant.astimezone(zone)
    return f"{day(local)}, {clock(local)}"


def day(moment: datetime) -> str:
    """Return the date of a moment: ``Mar 1, 2026``."""
    return f"{moment:%b} {moment.day}, {moment.year}"


def clock(moment: datetime) -> str:
    """Return the time of day of a moment: ``1:00 PM``."""
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    return f"{hour}:{moment:%M} {half}"


# --- errors, guards and changes -------------------------------------------------------


def sentence(text: str) -> str:
    """Return a text of the engine as a sentence; an empty text stays empty."""
    if not text:
        return ""
    capitalized = f"{text[0].upper()}{text[1:]}"
    return (
        capitalized
        if capitalized.endswith((".", "!", "?"))
        else f"{capitalized}."
    )


def fault_title(error_code: str, column: str | None) -> str:
    """Return the error of rejected cells of a column, or of whole records."""
    fault = _FAULT_WORDS.get(error_code, error_code)
    return f"{column}: {fault}" if column else fault.capitalize()


def guard_words(result: GuardResult) -> tuple[str, str]:
    """Return a guard's name, with its vendor, and the things that it counts."""
    key = (
        result.guard if result.side is None else f"{result.guard} {result.side}"
    )
    # A later release may have guards that this one does not know.
    name, meaning = _GUARD_WORDS.get(key, (result.guard, ""))
    if result.vendor_id is not None:
        name = f"{name} of {result.vendor_id}"
    return name, meaning


def guard_verdict(result: GuardResult) -> str:
    """Return whether a guard tripped.

    Some guards need a minimum number of SKUs to trip, however large their share is.
    """
    if result.tripped:
        return "Tripped"
    is_over_limit = result.count > result.of * Fraction(result.limit)
    return "Passed (too few SKUs)" if is_over_limit else "Passed"


def changed(counts: Mapping[str, int]) -> str:
    """Return sentences on the changes since the previous feed."""
    total = counts["unchanged"] + counts["changed"] + counts["removed"]
    return (
        f"Of the {counted(total, 'SKU')} in the previous feed, "
        f"{number(counts['unchanged'])} did not change, "
        f"{number(counts['changed'])} changed, and "
        f"{number(counts['removed'])} left the feed. "
        f"New in the feed: {counted(counts['added'], 'SKU')}."
    )


def merged_many(rows: RowCounts) -> bool:
    """Return True if the column of SKUs probably does not identify products."""
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
    """Return the result of a run and the next steps.

    ``failed_vendors`` are the vendors whose files were not used; ``next_action`` is the
    next step after a failed run.
    """
    if status is RunStatus.FAILED:
        return _failed(findings, next_action)
    if status is RunStatus.CANCELLED:
        return Verdict(
            tone="idle",
            word="Canceled",
            headline="The run was cancelled",
            sentence=NOTHING_PUBLISHED,
            next_actions=("Start another run when you need a new feed.",),
        )
    if status is RunStatus.SUCCEEDED:
        return _succeeded(findings, failed_vendors)
    return _held(findings, run_id)


def _failed(findings: RunFindings, next_action: str) -> Verdict:
    stage = findings.failure.stage if findings.failure else Stage.QUEUE
    activity = _ACTIVITIES.get(stage, "before it began")
    return Verdict(
        tone="bad",
        word="Failed",
        headline="No new feed was made",
        sentence=f"The run failed {activity}. {NOTHING_PUBLISHED}",
        next_actions=(next_action,),
    )


def _held(findings: RunFindings, run_id: str) -> Verdict:
    names = [guard_words(result)[0] for result in findings.tripped]
    guards = counted(len(findings.guards or ()), "guard")
    skus = counted(findings.record_count, "SKU")
    return Verdict(
        tone="warn",
        word="On hold",
        headline="The new feed is on hold",
        sentence=f"More changed since the previous feed than your settings allow: "
        f"{len(names)} of {guards} tripped ({_listed(names)}). "
        f"The new feed has {skus} and is not published. Your shop keeps its live feed.",
        next_actions=(
            "Review the changes below.",
            "If they are correct, release the feed on the run's page or with "
            f"relay release {run_id}.",
            "If they are not, correct the vendor's file or your settings, and start "
            "another run. Its feed replaces this one.",
        ),
    )


def _succeeded(findings: RunFindings, failed_vendors: Sequence[str]) -> Verdict:
    skus = counted(findings.record_count, "SKU")
    headline = f"The new feed has {skus}"
    sentence = "It replaces the previous feed."
    if findings.changes is None:
        sentence = "There is no previous feed to compare it with."
    if not findings.of_all_vendors:
        headline = f"A feed of some vendors has {skus}"
        sentence = REVIEW_ONLY
    doubtful_rows = {
        vendor_id: rows
        for vendor_id, rows in findings.rows.items()
        if merged_many(rows)
    }
    is_doubtful = bool(
        failed_vendors
        or findings.tripped
        or doubtful_rows
        or findings.quarantined
    )
    return Verdict(
        tone="warn" if is_doubtful else "good",
        word="Succeeded, with warnings" if is_doubtful else "Succeeded",
        headline=headline,
        sentence=sentence,
        next_actions=tuple(_actions(findings, failed_vendors, doubtful_rows)),
    )


def _actions(
    findings: RunFindings,
    failed_vendors: Sequence[str],
    doubtful_rows: Mapping[str, RowCounts],
) -> list[str]:
    """Return the next steps after a run that succeeded, the most important first.

    ``doubtful_rows`` are the outcomes of the vendors whose rows share many SKUs.
    """
    quarantined = findings.quarantined
    rejected_rows = findings.counts()["invalid_rows"]
    unpriced_skus = findings.unpriced_skus
    actions = []
    for vendor_id in list(doubtful_rows)[:_MAX_NAMED_VENDORS]:
        rows = doubtful_rows[vendor_id]
        lost_rows = number(rows.same_sku or 0)
        actions.append(
            f"Check which column of {vendor_id} identifies its products: {lost_rows} "
            f"of {counted(rows.read, 'row')} have the same SKU as a better row and are "
            "not in the feed."
        )
    if failed_vendors:
        actions.append(
            f"Get a file that can be used from {_listed(failed_vendors)}."
        )
    if findings.tripped:
        names = [guard_words(result)[0] for result in findings.tripped]
        actions.append(
            f"Check that the changes are correct. Guards that tripped: {_listed(names)}."
        )
    if quarantined:
        actions.append(
            f"Review {counted(quarantined, 'new price')} below. Until you accept a new "
            "price, the feed keeps the published one."
        )
    if rejected_rows:
        actions.append(
            f"Correct {counted(rejected_rows, 'rejected row')}. A rejected row is not "
            "offered in the feed."
        )
    if unpriced_skus:
        actions.append(
            f"Get the cost of {counted(unpriced_skus, 'SKU')}. A SKU without a cost "
            "or a price is not in the feed."
        )
    return actions


def _listed(names: Sequence[str]) -> str:
    return listed(names, ", ", len(names))
