"""The words of the pages, in which merchants and suppliers speak of their feeds."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from relay_core.domain.codes import FailureCode, RunStatus, Stage, VendorStatus
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone, counted, moment, number, part
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire.config_checks import HeadReading

# The templates get this module as `words`, with these functions of the report.
__all__ = ["counted", "moment", "number", "part"]


class Verdict(NamedTuple):
    """A result in words, and its tone, which is the color of the page's header."""

    tone: Tone
    text: str


_RUN_STATES: dict[str, Verdict] = {
    RunStatus.QUEUED: Verdict("idle", "Waiting"),
    RunStatus.RUNNING: Verdict("idle", "Under way"),
    RunStatus.SUCCEEDED: Verdict("good", "Succeeded"),
    RunStatus.FAILED: Verdict("bad", "Failed"),
    RunStatus.CANCELLED: Verdict("idle", "Cancelled"),
    RunStatus.HELD: Verdict("warn", "Held back"),
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
_PROBLEM_TITLES = {
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
REASONS: dict[str, Verdict] = {
    "kept_at_0": Verdict(
        "warn",
        "It cannot be offered any more: it stays in the feed with quantity 0.",
    ),
    "quarantined": Verdict(
        "warn",
        "Its new price moved too far: it keeps the price that it had.",
    ),
    "unpriced": Verdict(
        "warn",
        "It is not in the feed: it has no cost or price, or comes to 0.00.",
    ),
    "left_out": Verdict(
        "warn",
        "It is not in the feed: left out, with its vendor or by your rules.",
    ),
    "refused": Verdict("bad", "It is not in the feed: every row of it was refused."),
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


# --- runs and vendors ---------------------------------------------------------------


def run_state(status: str) -> Verdict:
    """Return the status of a run."""
    unknown_status = Verdict("idle", status.capitalize())
    return _RUN_STATES.get(status, unknown_status)


def vendor_use(status: str, rows: int | None) -> Verdict:
    """Return which file of a vendor a run used; ``rows`` is None if it was not read."""
    if status == VendorStatus.FOUND and rows is None:
        return Verdict("bad", "could not be read")
    if status not in wording.USE_WORDS:
        return Verdict("idle", status.replace("_", " "))
    return Verdict(*wording.USE_WORDS[status])


# --- errors and checks --------------------------------------------------------------


def problem_title(status: int) -> str:
    """Return the title of the page of an error, by the status of the response."""
    return _PROBLEM_TITLES.get(status, "Something went wrong")


def fault(error_code: str, column: str | None) -> str:
    """Return the error of a column's cells, or of whole rows."""
    return wording.fault_title(error_code, column and named(column))


def named(column: str) -> str:
    """Return a column's name with a capital letter, as the start of a line."""
    name = COLUMNS.get(column, column)
    return f"{name[:1].upper()}{name[1:]}"


def faults(error_codes: str) -> str:
    """Return the errors of a row, whose codes are joined as in invalid_rows.csv."""
    codes = re.split(r"[^a-z_]+", error_codes)
    return "; ".join(wording.fault_title(code, None) for code in codes)


def reading_verdict(
    reading: HeadReading, whole: bool | None, *, is_doubtful: bool = False
) -> Verdict:
    """Return what a run would do with a list; the page shows the doubts below it."""
    if not reading.usable:
        cause = FAILURES.get(str(reading.error_code), reading.error_code)
        return Verdict("bad", f"A run cannot use it: {cause}.")
    if not reading.rows:
        return Verdict("warn", "It has no rows.")
    first = "" if whole else "the first "
    rows = f"{first}{counted(reading.rows, 'row')}"
    if reading.refused_rows:
        refused = number(reading.refused_rows)
        return Verdict(
            "warn", f"A run can use it, but would refuse {refused} of {rows}."
        )
    if is_doubtful:
        return Verdict("warn", f"A run can read {rows}; look at what is doubtful.")
    return Verdict("good", f"A run can use it: {all_good(reading.rows, first)}.")


def all_good(rows: int, first: str = "") -> str:
    """Return that all rows can be used; ``first`` is "the first " if there are more."""
    if rows == 1:
        return "its one row is good"
    return f"all {first}{counted(rows, 'row')} are good"


# --- amounts and times --------------------------------------------------------------


def size(count: int) -> str:
    """Return a number of bytes as people write it: ``12 MB``, ``1.4 kB``."""
    amount = float(count)
    unit_index = 0
    while amount >= 1000 and unit_index < len(_UNITS) - 1:
        amount /= 1000
        unit_index += 1
    places = 0 if amount >= 10 or unit_index == 0 else 1
    return f"{amount:.{places}f} {_UNITS[unit_index]}"


def ago(instant: datetime | None) -> str:
    """Return the time since an instant: ``12 minutes ago``; ``never`` for None."""
    if instant is None:
        return "never"
    since = utc_now() - instant
    if since < timedelta(minutes=1):
        return "just now"
    if since < timedelta(hours=1):
        minutes = since // timedelta(minutes=1)
        return f"{counted(minutes, 'minute')} ago"
    return f"{wording.age(since)} ago"
