"""The words of the pages: the names and sentences that merchants and suppliers read.

The texts of errors are in ``error_words.py``.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from relay_core.domain.codes import RunStatus, Stage, VendorStatus
from relay_core.domain.run_faults import counted
from relay_core.publish.artifacts import in_order, title_of
from relay_core.report import display
from relay_core.report.blocks import Tone
from relay_core.report.chapters.causes import fault_title
from relay_core.report.chapters.vendors import USED_FILES
from relay_core.report.display import (
    clock,
    local_time,
    moment,
    number,
    part,
    sentence,
)
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.web import error_words
from relay_dagster.wire.config_checks import HeadReading

# The templates get this module as `words`, with these functions of the report.
__all__ = [
    "clock",
    "counted",
    "local_time",
    "moment",
    "number",
    "part",
    "sentence",
]


class Verdict(NamedTuple):
    """A result in words, and its tone, which is the color of the page's header."""

    tone: Tone
    text: str


class FileLabel(NamedTuple):
    """A file of a run, and the label of its link."""

    name: str
    label: str


_RUN_STATES: dict[str, Verdict] = {
    RunStatus.QUEUED: Verdict("idle", "Waiting"),
    RunStatus.RUNNING: Verdict("idle", "Running"),
    RunStatus.SUCCEEDED: Verdict("good", "Succeeded"),
    RunStatus.FAILED: Verdict("bad", "Failed"),
    RunStatus.CANCELLED: Verdict("idle", "Canceled"),
    RunStatus.HELD: Verdict("warn", "On hold"),
}
STAGES: dict[str, str] = {
    Stage.QUEUE: "Waiting to start.",
    Stage.FETCH_INPUTS: "Collecting the vendors' files.",
    Stage.NORMALIZE: "Reading the vendors' files.",
    Stage.MERGE_PRICE: "Merging offers and calculating prices.",
    Stage.WRITE_OUTPUTS: "Writing the feed.",
    Stage.COMPLETE: "Finishing.",
}
TRIGGERS: dict[str, str] = {
    Trigger.API: "Manual",
    Trigger.QUEUE: "Program",
    Trigger.UPLOAD: "Upload",
    Trigger.SCHEDULE: "Schedule",
    Trigger.DAGSTER: "Administrator",
}
_VENDOR_VERDICTS: dict[str, str] = {
    VendorStatus.FOUND: "The latest run used the latest file",
    VendorStatus.LAST_GOOD: "The latest run used the last good file instead",
    VendorStatus.LEFT_OUT: "The latest run left this vendor out",
    VendorStatus.MISSING: "The latest run found no file",
}
COLUMNS: dict[str, str] = {
    "sku": "SKU",
    "vendor_sku": "vendor's SKU",
    "quantity_available": "quantity",
    "cost": "cost",
    "price": "price",
    "title": "title",
    "map_price": "minimum advertised price (MAP)",
    "lead_time_days": "lead time in days",
    "msrp": "list price (MSRP)",
    "condition": "condition",
    "brand": "brand",
    "updated_at": "last update",
}
_FEED_HEADERS: dict[str, str] = {
    **COLUMNS,
    "vendor_id": "vendor",
    "availability": "availability",
    "currency": "currency",
    "list_price": "list price",
    "price_with_currency": "price",
}
STEPS: dict[str, str] = {
    "cost": "Vendor's cost",
    "shipping_handling": "Shipping and handling",
    "margin": "Margin",
    "markup": "Markup",
    "fixed_price": "Fixed price",
    "own_price": "Vendor's price",
    "min_price": "Minimum price",
    "rounding": "Rounding",
    "min_price_again": "Minimum price, after rounding",
    "map_price": "Minimum advertised price (MAP)",
    "cents": "Rounding to cents",
    "ending": "Price ending",
    "override": "Override",
}
LOST_ON: dict[str, str] = {
    "has_price": "No price",
    "vendor_id": "Equal offer; the order of vendor names decides",
    "row_order": "Equal offer; the first row wins",
    "duplicate_skus": "Another row is used for this SKU",
    "left_out": "Left out by your settings",
    "override": "Your override selects another vendor",
    "lowest_landed_cost": "Higher cost",
    "in_stock_desc": "Out of stock",
    "vendor_priority": "Lower vendor priority",
    "shortest_lead_time": "Longer lead time",
    "most_recent": "Older data",
    "highest_quantity": "Lower quantity",
}
REASONS: dict[str, Verdict] = {
    "kept_at_0": Verdict(
        "warn",
        "No vendor offers this SKU anymore. It stays in the feed with quantity 0.",
    ),
    "quarantined": Verdict(
        "warn",
        "The new price is far from the published price. The feed keeps the published "
        "price until you accept the new one.",
    ),
    "unpriced": Verdict(
        "warn",
        "This SKU is not in the feed, because it has no cost and no price, or its "
        "price is 0.00.",
    ),
    "left_out": Verdict(
        "warn",
        "This SKU is not in the feed, because your settings or an override leave it "
        "out.",
    ),
    "refused": Verdict(
        "bad",
        "This SKU is not in the feed, because all of its rows were rejected.",
    ),
}
OVERRIDES: dict[str, str] = {
    "leave_out": "Left out of the feed",
    "price": "Price",
    "min_price": "Minimum price",
    "max_quantity": "Maximum quantity",
    "vendor_id": "Vendor",
    "expires_at": "In effect until",
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


def vendor_use(
    status: str, rows: int | None, *, has_failed: bool = False
) -> Verdict:
    """Return the file of a vendor that a run used.

    ``rows`` is the file's number of rows, or None if the run could not read the file.
    If the run has failed, it has used no file.
    """
    if status == VendorStatus.FOUND and rows is None:
        return Verdict("bad", "Could not be read")
    if status == VendorStatus.FOUND and has_failed:
        return Verdict("idle", "Not used, because the run failed")
    if status not in USED_FILES:
        return Verdict("idle", status.replace("_", " ").capitalize())
    return Verdict(*USED_FILES[status])


def vendor_verdict(status: str, rows: int | None) -> Verdict:
    """Return a sentence on the file of a vendor that the latest run used."""
    use = vendor_use(status, rows)
    if use.tone == "bad":
        return Verdict("bad", "The latest run could not read the latest file")
    return Verdict(use.tone, _VENDOR_VERDICTS.get(status, use.text))


def files_of(names: Iterable[str]) -> list[FileLabel]:
    """Return the files of a run with their labels, the most important first."""
    return [
        FileLabel(name, title_of(name) or name.replace("_", " ").capitalize())
        for name in in_order(names)
    ]


# --- columns and checks -------------------------------------------------------------


def named(column: str) -> str:
    """Return a column's name with a capital letter, for the start of a line."""
    name = COLUMNS.get(column, column)
    return f"{name[:1].upper()}{name[1:]}"


def feed_header(header: str) -> str:
    """Return the name of a feed's column: a known one in words, others as they are."""
    name = _FEED_HEADERS.get(header, header)
    return f"{name[:1].upper()}{name[1:]}"


def cell_error(error_code: str, column: str | None) -> str:
    """Return the error of a column's cells, or of whole rows."""
    return fault_title(error_code, column and named(column))


def row_errors(error_codes: str) -> str:
    """Return the errors of a row, whose codes are joined as in invalid_rows.csv."""
    codes = re.split(r"[^a-z_]+", error_codes)
    return "; ".join(fault_title(code, None) for code in codes)


def operand(step: str, value: str | None) -> str:
    """Return the value that a price step applied, for people; "" for none."""
    if value is None:
        return ""
    if step == "margin":
        return display.percent(value)
    if step == "rounding":
        # The value is the direction and the increment: "up 0.05".
        direction, _, increment = value.partition(" ")
        return f"{direction.capitalize()} in steps of {increment}"
    return value


def reading_verdict(
    reading: HeadReading,
    whole: bool | None,
    *,
    is_doubtful: bool = False,
    subject: str = "A run",
) -> Verdict:
    """Return whether a run can use a file; the page shows the warnings below it."""
    if not reading.usable:
        cause = error_words.file_error(reading.error_code)
        return Verdict("bad", f"{subject} cannot use this file: {cause}.")
    if not reading.rows:
        return Verdict("warn", "This file has no rows.")
    rows = rows_read(reading.rows, is_whole=bool(whole))
    if reading.refused_rows:
        rejected = number(reading.refused_rows)
        return Verdict(
            "warn",
            f"{subject} can use this file, but would reject {rejected} of {rows}.",
        )
    if is_doubtful:
        return Verdict(
            "warn", f"{subject} can read {rows}. Check the warnings below."
        )
    verdict = all_valid(reading.rows, is_whole=bool(whole))
    return Verdict("good", f"{subject} can use this file. {verdict}")


def rows_read(count: int, *, is_whole: bool) -> str:
    """Return a number of rows: all rows of a file, or its first rows."""
    rows = counted(count, "row")
    return rows if is_whole else f"the first {rows}"


def all_valid(count: int, *, is_whole: bool = True) -> str:
    """Return a sentence that says that the rows of a file, or its first, are valid."""
    if count == 1:
        return (
            "Its only row is valid." if is_whole else "Its first row is valid."
        )
    if is_whole:
        return f"All {counted(count, 'row')} are valid."
    return f"All of the first {counted(count, 'row')} are valid."


# --- amounts and times --------------------------------------------------------------


def size(count: int) -> str:
    """Return a number of bytes for people: ``12 MB``, ``1.4 kB``."""
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
    return f"{display.age(since)} ago"
