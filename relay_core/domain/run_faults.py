"""The faults of a run, in words: each message ends with its fix."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from relay_core.domain.codes import INVALID_CONFIG, FailureCode, Stage, WarningCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import MAX_LISTED
from relay_core.domain.records import ReportEntry, RunFailure

_TITLES = {
    FailureCode.DECODE_ERROR: "decode error: ",
    FailureCode.INVALID_INPUT: "invalid input: ",
    FailureCode.FEED_TOO_LARGE: "feed too large: ",
}
_MISSING_FEED = (
    "vendor inbound missing: vendor {vendor!r} has no file under {location}; upload its feed "
    "there, or correct inbound.s3_prefix in the config"
)
VENDOR_ROWS = "vendor_rows"
"""The failure of a vendor that lost many rows; its guard has the same name."""
_SENTENCES: dict[str, str] = {
    FailureCode.FEED_TOO_LARGE: "feed too large: vendor {vendor!r} has a {noun} of {size} "
    "bytes, and {limit} are the most; upload a smaller one, without columns and rows that "
    "nobody needs",
    FailureCode.MISSING_SKU_MAP: "missing sku map: vendor {vendor!r} has no file at {location}; "
    "upload the map there, or take sku_map out of the vendor's config",
    FailureCode.STALE_FEED: "stale feed: vendor {vendor!r} uploaded its latest feed {hours} hours "
    "ago, and max_feed_age_hours is {max_hours}; ask the vendor for a new one",
    WarningCode.VENDOR_LEFT_OUT: "vendor {vendor!r} is left out, none of its SKUs is offered: "
    "{failure.error_code}: {failure.error_message}",
    WarningCode.VENDOR_LAST_GOOD: "vendor {vendor!r} offers what its last good feed had, which is "
    "{hours} hours old, and {max_hours} is the most: {failure.error_code}: {failure.error_message}",
    WarningCode.EMPTY_FEED: "vendor {vendor!r} has a feed of no row, so none of its SKUs is "
    "offered; upload a file with rows if that is not meant",
    WarningCode.INVALID_ROWS_WITHIN_THRESHOLD: "{invalid} of {total} rows are invalid and left "
    "out, within the limits",
    WarningCode.MISSING_SKUS_ZEROED: "{skus} SKUs of the published feed are offered no more, and "
    "are kept at a quantity of 0 for {days} days after they were offered last "
    "(output.missing_sku_days)",
    WarningCode.SKUS_QUARANTINED: "{skus} SKUs keep what is published of them, as their new price "
    "is too far from it to be right (guards.quarantine); see quarantine.csv, and accept those that "
    "are right",
    WarningCode.OPTIONAL_VENDOR_MISSING: f"optional {_MISSING_FEED}",
    WarningCode.REQUIRED_VENDOR_MISSING: f"required {_MISSING_FEED}",
    FailureCode.NO_ROWS_PARSED: "no rows parsed: {reason}; upload a file with rows under its "
    "header and see that parser.skip_lines and parser.delimiter fit it",
    VENDOR_ROWS: "vendor {vendor!r} has {now} valid rows, {before} in the published feed's run, "
    "and guards.max_vendor_rows_lost_pct is {limit}; ask for the whole feed",
    WarningCode.GUARD_TRIPPED: "guard {guard} trips{about}: {value}, and {limit} is the most; see "
    "guards in run_summary.json, or set guards.mode to hold to keep such a feed back",
}
"""The sentence of each code that has only one."""
_CODES_OF_FILES = (
    FailureCode.DECODE_ERROR,
    FailureCode.MISSING_REQUIRED_COLUMNS,
    FailureCode.INVALID_INPUT,
)
_OTHER_KIND = re.compile(r": the file is [^;]+; |: the workbook has a password; ")
"""Finds messages about a file of another kind, which no option of a parser can fix."""
_ACTION_FOR_OTHER_KIND = (
    "Do what error_message says of the file of {vendors}, which is another kind"
)
_ACTIONS: dict[str, str] = {
    FailureCode.MISSING_TENANT_CONFIG: "Store a config of the tenant",
    FailureCode.UNSUPPORTED_SCHEMA_VERSION: "Store the tenant's config again, written for "
    "schema_version 1",
    FailureCode.REQUIRED_VENDOR_MISSING: "Upload the feed of {vendors} under the prefix that "
    "error_message names, or correct inbound.s3_prefix",
    FailureCode.STALE_FEED: "Upload a new feed of {vendors}, or raise max_feed_age_hours",
    FailureCode.FEED_TOO_LARGE: "Upload smaller files of {vendors}, without columns and rows that "
    "nobody needs",
    FailureCode.MISSING_SKU_MAP: "Upload the SKU map of {vendors} where error_message says, or "
    "take sku_map out of the config",
    FailureCode.DECODE_ERROR: "Set parser.encoding of {vendors} to that of the file, or upload "
    "the file mended where error_message says",
    FailureCode.MISSING_REQUIRED_COLUMNS: "Map the headers that the file of {vendors} has in "
    "parser.column_map, as a check of the file proposes",
    FailureCode.INVALID_INPUT: "Upload the file of {vendors} mended as error_message says",
    FailureCode.NO_ROWS_PARSED: "Upload a file of {vendors} with rows under its header, or "
    "correct parser.skip_lines and parser.delimiter",
    FailureCode.EMPTY_OUTPUT: "Map a cost or a price column, or set pricing.min_price, in the "
    "tenant's config",
    FailureCode.VALIDATION_ERRORS: "Mend the rows that invalid_rows.csv lists, or raise the "
    "limits that error_message names",
    VENDOR_ROWS: "Upload the whole feed of {vendors}, or raise guards.max_vendor_rows_lost_pct",
}
_ACTIONS_OF_OPERATORS: dict[str, str] = {
    FailureCode.RUN_TIMEOUT: "Start a new run with smaller feeds or fewer "
    "parser.timestamp_formats, or raise RELAY_RUN_TIMEOUT_SECONDS before.",
    FailureCode.POISON_JOB: "Restore what the run_retryable_error lines of this run in the log "
    "name, then start a new run, or send its dead letter again with relay dlq redrive.",
}


def fault_of(code: str, vendor_id: str | None = None, **facts: object) -> ReportEntry:
    """Return the entry of a fault or a warning.

    ``facts`` are the values of the places in the code's sentence.
    """
    message = _SENTENCES[code].format(vendor=vendor_id, **facts)
    return ReportEntry(str(code), message, vendor_id)


def too_large(
    vendor_id: str,
    noun: str,
    size: int,
    limit: int,
) -> ReportEntry:
    """Return the fault of a vendor's feed or SKU map of too many bytes."""
    return fault_of(
        FailureCode.FEED_TOO_LARGE,
        vendor_id,
        noun=noun,
        size=size,
        limit=limit,
    )


def failure_of(faults: Sequence[ReportEntry], stage: Stage) -> RunFailure | None:
    """Return the failure for some faults, or None if there are none.

    It has the code of the first fault, the vendors of all faults with that code, and
    all messages.
    """
    if not faults:
        return None
    code = faults[0].error_code
    vendor_ids: dict[str, None] = {}
    for fault in faults:
        if fault.error_code == code and fault.vendor_id:
            vendor_ids[fault.vendor_id] = None
    messages = [fault.error_message for fault in faults]
    message = listed(messages, " | ", len(messages))
    return RunFailure(code, message, stage, tuple(vendor_ids))


def listed(items: Iterable[str], separator: str, count: int) -> str:
    """Return the first of ``count`` items as a text, with the number of the others."""
    first_items = list(islice(items, MAX_LISTED))
    if count > MAX_LISTED:
        first_items.append(f"and {count - MAX_LISTED} more")
    return separator.join(first_items)


def too_little_memory(megabytes: int, stage: Stage) -> RunFailure:
    """Return the failure of a run whose feeds need more memory than it may use."""
    return RunFailure(
        str(FailureCode.FEED_TOO_LARGE),
        f"feed too large: the run needs more memory than {megabytes} MiB, which are the most; "
        "upload smaller feeds, without columns and rows that nobody needs",
        stage,
    )


def out_of_time(seconds: float, stage: Stage) -> RunFailure:
    """Return the failure of a run that took too long."""
    return RunFailure(
        str(FailureCode.RUN_TIMEOUT),
        f"run timeout: the attempt took longer than {seconds:g} seconds, which are the most, and "
        "was ended; upload smaller feeds, or use fewer parser.timestamp_formats",
        stage,
    )


def unreadable_feed(
    vendor_id: str,
    file_name: str,
    error: FeedUnreadableError,
) -> ReportEntry:
    """Return the entry of a feed that cannot be used."""
    title = _TITLES.get(FailureCode(error.error_code), "")
    message = f"{title}vendor {vendor_id!r}, file {file_name!r}: {error}"
    return ReportEntry(str(error.error_code), message, vendor_id)


def no_rows(vendor_id: str | None) -> ReportEntry:
    """Return the entry of a feed, or of all feeds, without a row."""
    reason = "no feed has a row"
    if vendor_id is not None:
        reason = f"vendor {vendor_id!r} has a feed of no row"
    return fault_of(FailureCode.NO_ROWS_PARSED, vendor_id, reason=reason)


def no_valid_rows(total: int) -> ReportEntry:
    """Return the entry of rows that are all rejected, although within the limits."""
    return ReportEntry(
        str(FailureCode.NO_ROWS_PARSED),
        f"no rows parsed: each of the {total} rows is invalid; mend the rows listed in errors.json",
    )


def nothing_priced(skus: int, free: int) -> ReportEntry:
    """Return the entry of a run without a priced SKU.

    ``free`` of the ``skus`` have a price of 0.00; the others have no amount.
    """
    reason = f"none of the {skus} SKUs can be priced"
    if not skus:
        reason = "price rules or overrides leave out every offer"
        fix = "narrow when in pricing.rules, or remove overrides with leave_out"
    elif not free:
        fix = "map a cost or a price column"
    elif free < skus:
        fix = "map a cost or a price column, or set pricing.min_price"
    else:
        fix = "set pricing.min_price"
    message = f"empty output: {reason}, and an empty feed is never published; {fix}"
    return ReportEntry(str(FailureCode.EMPTY_OUTPUT), message)


def next_action(failure: RunFailure) -> str:
    """Return the next action for a failure as a sentence that names the vendors."""
    if failure.attempt_code == INVALID_CONFIG:
        action = "Correct what error_message lists in the tenant's config, store it"
    elif failure.remedy:
        action = f"Mend the most frequent cause, {failure.remedy}"
    elif failure.error_code in _ACTIONS_OF_OPERATORS:
        return _ACTIONS_OF_OPERATORS[failure.error_code]
    else:
        template = _ACTIONS.get(failure.error_code, "Do what error_message says")
        if _names_other_kind(failure):
            template = _ACTION_FOR_OTHER_KIND
        action = template.format(vendors=_vendors_in_words(failure.vendors))
    return f"{action}, then start a new run."


def _names_other_kind(failure: RunFailure) -> bool:
    """Return whether a failure's message names another kind of file than configured."""
    is_of_file = failure.error_code in _CODES_OF_FILES
    return is_of_file and bool(_OTHER_KIND.search(failure.error_message))


def _vendors_in_words(vendor_ids: Sequence[str]) -> str:
    if not vendor_ids:
        return "the vendors"
    noun = "vendor" if len(vendor_ids) == 1 else "vendors"
    names = listed(vendor_ids, ", ", len(vendor_ids))
    return f"{noun} {names}"
