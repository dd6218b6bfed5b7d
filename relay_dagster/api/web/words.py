"""The pages' words: states, times and amounts as a merchant or a supplier says them."""

import re
from datetime import datetime, timedelta

from relay_core.domain.codes import FailureCode, RunStatus, Stage, VendorStatus
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone, counted, moment, number, part
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire.config_checks import HeadReading

__all__ = ["counted", "moment", "number", "part"]

_RUNS: dict[str, tuple[Tone, str]] = {
    RunStatus.QUEUED: ("idle", "Waiting"),
    RunStatus.RUNNING: ("idle", "Under way"),
    RunStatus.SUCCEEDED: ("good", "Succeeded"),
    RunStatus.FAILED: ("bad", "Failed"),
    RunStatus.CANCELLED: ("idle", "Cancelled"),
    RunStatus.HELD: ("warn", "Held back"),
}
STAGES: dict[str, str] = {
    Stage.QUEUE: "waiting for its turn",
    Stage.FETCH_INPUTS: "collecting the vendors' lists",
    Stage.NORMALIZE: "reading the vendors' lists",
    Stage.MERGE_PRICE: "choosing offers and making prices",
    Stage.WRITE_OUTPUTS: "writing the feed",
    Stage.COMPLETE: "finished",
}
TRIGGERS: dict[str, str] = {
    Trigger.API: "asked for",
    Trigger.QUEUE: "asked for by a program",
    Trigger.UPLOAD: "started by an upload",
    Trigger.SCHEDULE: "started by the schedule",
    Trigger.DAGSTER: "started by an operator",
}
_PROBLEMS = {
    403: "That is not allowed",
    404: "There is nothing here",
    409: "That cannot be done just now",
    410: "That is no longer kept",
    412: "Somebody else was faster",
    413: "That is too large",
    422: "Something is not as it must be",
    429: "Too many requests",
    503: "Try again in a moment",
}


COLUMNS: dict[str, str] = {
    "sku": "the product's number (SKU)",
    "quantity_available": "the quantity",
    "cost": "the cost",
    "price": "the price",
    "title": "the title",
    "map_price": "the lowest advertised price",
    "lead_time_days": "the days to ship",
    "msrp": "the list price",
    "condition": "the condition",
    "brand": "the brand",
    "updated_at": "the date",
}
STEPS: dict[str, str] = {
    "cost": "The vendor's cost",
    "shipping_handling": "Shipping and handling",
    "margin": "Your margin",
    "markup": "Your markup",
    "fixed_price": "A fixed price",
    "own_price": "The vendor's own price",
    "min_price": "Your lowest price",
    "rounding": "Rounding",
    "min_price_again": "Your lowest price, after rounding",
    "map_price": "Lowest advertised price",
    "cents": "To whole cents",
    "ending": "Your price ending",
    "override": "Your price for this SKU",
}
LOST_ON: dict[str, str] = {
    "has_price": "has no price",
    "vendor_id": "the same; the vendor's name decides",
    "row_order": "the same; an earlier row decides",
    "duplicate_skus": "another row stands for the SKU",
    "left_out": "left out, with its vendor or by your rules",
    "override": "you chose another vendor",
    "lowest_landed_cost": "costs more",
    "in_stock_desc": "not in stock",
    "vendor_priority": "you prefer another vendor",
    "shortest_lead_time": "takes longer",
    "most_recent": "is older",
    "highest_quantity": "has fewer",
}
REASONS: dict[str, tuple[Tone, str]] = {
    "kept_at_0": (
        "warn",
        "It cannot be offered any more: it stays in the feed with quantity 0.",
    ),
    "quarantined": (
        "warn",
        "Its new price moved too far: it keeps the price that it had.",
    ),
    "unpriced": (
        "warn",
        "It is not in the feed: it has no cost or price, or comes to 0.00.",
    ),
    "left_out": (
        "warn",
        "It is not in the feed: left out, with its vendor or by your rules.",
    ),
    "refused": ("bad", "It is not in the feed: every row of it was refused."),
}
FAILURES: dict[str, str] = {
    FailureCode.DECODE_ERROR: "it could not be read as text",
    FailureCode.MISSING_REQUIRED_COLUMNS: "a column that is needed is missing",
    FailureCode.INVALID_INPUT: "it could not be read",
    FailureCode.FEED_TOO_LARGE: "it is too large",
    FailureCode.NO_ROWS_PARSED: "it has no rows",
    FailureCode.STALE_FEED: "it was too old",
    FailureCode.VALIDATION_ERRORS: "too many of its rows were refused",
}
OVERRIDES: dict[str, str] = {
    "leave_out": "Left out of the feed",
    "price": "Its price",
    "min_price": "Its lowest price",
    "max_quantity": "Its highest quantity",
    "vendor_id": "From this vendor alone",
    "expires_at": "Until",
    "note": "Note",
    "accept_price": "Accepted price",
    "accept_until": "Accepted until",
}
_UNITS = ("bytes", "kB", "MB", "GB")


def run_state(status: str) -> tuple[Tone, str]:
    """Return a run's status, with its tone."""
    return _RUNS.get(status, ("idle", status.capitalize()))


def vendor_use(status: str, rows: int | None) -> tuple[Tone, str]:
    """Return what a run has used of a vendor, with its tone; without rows its list was not read."""
    if status == VendorStatus.FOUND and rows is None:
        return "bad", "could not be read"
    return wording.USE_WORDS.get(status, ("idle", status.replace("_", " ")))


def fault(error_code: str, column: str | None) -> str:
    """Return what is wrong with cells of a column, or with whole rows."""
    return wording.fault_title(error_code, column and named(column))


def named(column: str) -> str:
    """Return a column's name at the beginning of a line."""
    words = COLUMNS.get(column, column)
    return f"{words[:1].upper()}{words[1:]}"


def faults(error_codes: str) -> str:
    """Return the faults of a row, whose codes are joined as in invalid_rows.csv."""
    return "; ".join(
        wording.fault_title(each, None) for each in re.split(r"[^a-z_]+", error_codes)
    )


def reading_verdict(
    of: HeadReading, whole: bool | None, *, is_doubtful: bool = False
) -> tuple[Tone, str]:
    """Return in a sentence what a run would make of a list; what is doubtful stands below it."""
    if not of.usable:
        return (
            "bad",
            f"A run cannot use it: {FAILURES.get(str(of.error_code), of.error_code)}.",
        )
    if not of.rows:
        return "warn", "It has no rows."
    first = "" if whole else "the first "
    if of.refused_rows:
        rows = f"{number(of.refused_rows)} of {first}{counted(of.rows, 'row')}"
        return "warn", f"A run can use it, but would refuse {rows}."
    if is_doubtful:
        return (
            "warn",
            f"A run can read {first}{counted(of.rows, 'row')}; look at what is doubtful.",
        )
    return "good", f"A run can use it: {all_good(of.rows, first)}."


def all_good(rows: int, first: str = "") -> str:
    """Return that all rows, or all of the first ones, can be used."""
    return (
        f"all {first}{counted(rows, 'row')} are good"
        if rows != 1
        else "its one row is good"
    )


def size(count: int) -> str:
    """Return a number of bytes as people write it: ``12 MB``, ``1.4 kB``."""
    amount, unit = float(count), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    places = 0 if amount >= 10 or not unit else 1
    return f"{amount:.{places}f} {_UNITS[unit]}"


def ago(instant: datetime | None) -> str:
    """Return how long ago something was: ``12 minutes ago``; of nothing ``never``."""
    if instant is None:
        return "never"
    since = utc_now() - instant
    if since < timedelta(minutes=1):
        return "just now"
    if since < timedelta(hours=1):
        return f"{counted(since // timedelta(minutes=1), 'minute')} ago"
    return f"{wording.age(since)} ago"


def problem_title(status: int) -> str:
    """Return a problem in a few words."""
    return _PROBLEMS.get(status, "Something went wrong")
