"""The faults of a run, in words: each message ends with its fix."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from relay_core.domain.codes import (
    CATALOG,
    INVALID_CONFIG,
    FailureCode,
    Stage,
    WarningCode,
)
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import MAX_LISTED
from relay_core.domain.records import CatalogFault, ReportEntry, RunFailure

_TITLES = {
    FailureCode.DECODE_ERROR: "decode error: ",
    FailureCode.INVALID_INPUT: "invalid input: ",
    FailureCode.FEED_TOO_LARGE: "feed too large: ",
}
_MISSING_FEED = (
    "vendor inbound missing: vendor {vendor!r} has no file under {location}. "
    "Upload its file there, or correct inbound.s3_prefix in the config."
)
_VENDOR = "vendor {vendor!r}"
"""The words for a vendor in sentences, which those about a part name the part before."""
_UPLOAD_LESS = (
    "Upload a smaller file with only the columns and rows that are needed."
)
TOO_MANY_DELTAS = "too_many_deltas"
"""The sentence of `STALE_FEED` about too many files of changes."""
STALE_FULL = "stale_full"
"""The sentence of `STALE_FEED` about an old full file, which newer deltas may follow."""
STALE_DELTAS = "stale_deltas"
"""The sentence of `STALE_FEED` about files of changes that stopped coming."""
NOTHING_MATCHES = "nothing_matches"
"""The sentence of `NO_ROWS_PARSED` about a part whose rows match no base row."""
_CODES_OF_SENTENCES = {
    TOO_MANY_DELTAS: FailureCode.STALE_FEED,
    STALE_FULL: FailureCode.STALE_FEED,
    STALE_DELTAS: FailureCode.STALE_FEED,
    NOTHING_MATCHES: FailureCode.NO_ROWS_PARSED,
}
"""The code of each sentence that has a name of its own."""
VENDOR_ROWS = "vendor_rows"
"""The failure of a vendor that lost many rows; its guard has the same name."""
_SENTENCES: dict[str, str] = {
    FailureCode.FEED_TOO_LARGE: (
        "feed too large: the {noun} of vendor {vendor!r} has {size} bytes, but the limit is "
        f"{{limit}}. {_UPLOAD_LESS}"
    ),
    FailureCode.MISSING_SKU_MAP: (
        "missing sku map: vendor {vendor!r} has no SKU map at {location}. "
        "Upload the map there, or remove sku_map from the vendor's config."
    ),
    FailureCode.MISSING_CATALOG: (
        "missing catalog: the catalog has no file under {location}. Upload the list of "
        "products there, or remove catalog from the config."
    ),
    FailureCode.STALE_FEED: (
        "stale feed: the latest file of vendor {vendor!r} is {hours} hours old, but "
        "max_feed_age_hours is {max_hours}. Ask the vendor for a new file."
    ),
    TOO_MANY_DELTAS: (
        "stale feed: vendor {vendor!r} has {count} files of changes after its latest full "
        "file, but max_deltas is {limit}. Ask the vendor for a new full file."
    ),
    STALE_FULL: (
        "stale feed: the latest full file of vendor {vendor!r} is {hours} hours old, but "
        "max_feed_age_hours is {max_hours}. Ask the vendor for a new full file."
    ),
    STALE_DELTAS: (
        "stale feed: the newest file of vendor {vendor!r} is {hours} hours old, but "
        "max_delta_age_hours is {max_hours}. Ask the vendor for its files of changes."
    ),
    NOTHING_MATCHES: (
        "no rows parsed: no row of vendor {vendor!r} matches a base row. Its first sku is "
        "{part_key!r}, and the first {key} of the base is {base_key!r}. Map the columns that "
        "have the same values: sku in the parser of the part, and {key} in that of the base."
    ),
    WarningCode.PART_LEFT_OUT: (
        "vendor {vendor!r} is left out, so the vendor is used without it. "
        "Reason: {failure.error_code}: {failure.error_message}"
    ),
    WarningCode.VENDOR_LEFT_OUT: (
        "vendor {vendor!r} is left out, so none of its SKUs is offered. "
        "Reason: {failure.error_code}: {failure.error_message}"
    ),
    WarningCode.VENDOR_LAST_GOOD: (
        "vendor {vendor!r} uses its last good file, which is {hours} hours old; the limit is "
        "{max_hours} hours. Reason: {failure.error_code}: {failure.error_message}"
    ),
    WarningCode.EMPTY_FEED: (
        "the file of vendor {vendor!r} has no row, so none of its SKUs is offered. "
        "Upload a file with rows unless this is intended."
    ),
    WarningCode.INVALID_ROWS_WITHIN_THRESHOLD: (
        "{invalid} of {total} rows are rejected, which is within the limits of error_policy. "
        "To offer them, fix the rows listed in errors.json."
    ),
    WarningCode.MISSING_SKUS_ZEROED: (
        "{skus} SKUs of the live feed are no longer offered. They stay in the feed with a "
        "quantity of 0 for {days} days after they were last offered "
        "(output.missing_sku_days)."
    ),
    WarningCode.SKUS_QUARANTINED: (
        "{skus} SKUs keep their published values, because their new prices differ too much "
        "(guards.quarantine). Review them in quarantine.csv, and accept the prices that are "
        "right."
    ),
    WarningCode.CHANNEL_UNPRICED: (
        "channel {channel!r} lacks {rows} of the feed whose price comes to 0.00 or less. "
        "Set price.min_price of the channel."
    ),
    WarningCode.CHANNEL_EMPTY: (
        "channel {channel!r} has no rows, so its file has only a header. Check the "
        "conditions in when of the channel."
    ),
    WarningCode.OPTIONAL_VENDOR_MISSING: f"optional {_MISSING_FEED}",
    WarningCode.REQUIRED_VENDOR_MISSING: f"required {_MISSING_FEED}",
    FailureCode.NO_ROWS_PARSED: (
        "no rows parsed: {reason}. Upload a file with rows below its header, and check that "
        "parser.skip_lines and parser.delimiter match the file."
    ),
    VENDOR_ROWS: (
        "vendor {vendor!r} has {now} valid rows, down from {before} in the run of the live "
        "feed, but guards.max_vendor_rows_lost_pct is {limit}. "
        "Ask the vendor for its complete file."
    ),
    WarningCode.GUARD_TRIPPED: (
        "guard {guard} trips{about}: its value is {value}, but the limit is {limit}. "
        "See guards in run_summary.json; to put such feeds on hold, set guards.mode to hold."
    ),
}
"""The sentence of each code that has only one."""
_CODES_OF_FILES = (
    FailureCode.DECODE_ERROR,
    FailureCode.MISSING_REQUIRED_COLUMNS,
    FailureCode.INVALID_INPUT,
)
_OTHER_KIND = re.compile(
    r": the file is (?!not ).+?\. [A-Z]|: the workbook has a password\. "
)
"""Finds messages about a file of another kind, which no option of a parser can fix."""
_ACTION_FOR_OTHER_KIND = (
    "Replace or convert the file of {vendors}, as error_message says"
)
_ACTIONS: dict[str, str] = {
    FailureCode.MISSING_TENANT_CONFIG: "Store a config for the tenant",
    FailureCode.UNSUPPORTED_SCHEMA_VERSION: (
        "Rewrite the tenant's config for schema_version 1, store it"
    ),
    FailureCode.REQUIRED_VENDOR_MISSING: (
        "Upload the file of {vendors} under the prefix in error_message, or correct "
        "inbound.s3_prefix"
    ),
    FailureCode.STALE_FEED: (
        "Upload a new file of {vendors}, or raise max_feed_age_hours"
    ),
    FailureCode.FEED_TOO_LARGE: (
        "Upload smaller files of {vendors}, with only the columns and rows that are needed"
    ),
    FailureCode.MISSING_SKU_MAP: (
        "Upload the SKU map of {vendors} to the location in error_message, or remove "
        "sku_map from the config"
    ),
    FailureCode.MISSING_CATALOG: (
        "Upload the list of products to the location in error_message, or remove catalog "
        "from the config"
    ),
    FailureCode.DECODE_ERROR: (
        "Set parser.encoding of {vendors} to the encoding of the file, or upload a file "
        "without the error in error_message"
    ),
    FailureCode.MISSING_REQUIRED_COLUMNS: (
        "Map the headers in the file of {vendors} in parser.column_map, as a check of the "
        "file proposes"
    ),
    FailureCode.INVALID_INPUT: (
        "Fix the file of {vendors} as error_message says, upload it"
    ),
    FailureCode.NO_ROWS_PARSED: (
        "Upload a file of {vendors} with rows below its header, or correct "
        "parser.skip_lines and parser.delimiter"
    ),
    FailureCode.EMPTY_OUTPUT: (
        "Map a cost or a price column, or set pricing.min_price, in the tenant's config"
    ),
    FailureCode.VALIDATION_ERRORS: (
        "Fix the rows listed in invalid_rows.csv, or raise the limits in error_message"
    ),
    VENDOR_ROWS: (
        "Upload the complete file of {vendors}, or raise guards.max_vendor_rows_lost_pct"
    ),
}
_ACTIONS_OF_OPERATORS: dict[str, str] = {
    FailureCode.RUN_TIMEOUT: (
        "Make the files smaller, use fewer parser.timestamp_formats, or raise "
        "RELAY_RUN_TIMEOUT_SECONDS, then start a new run."
    ),
    FailureCode.POISON_JOB: (
        "Fix the error in the run_retryable_error lines of this run in the log, then start a "
        "new run, or send its dead letter again with relay dlq redrive."
    ),
}


def fault_of(
    code: str,
    vendor_id: str | None = None,
    *,
    part_id: str | None = None,
    **facts: object,
) -> ReportEntry:
    """Return the entry of a fault or a warning.

    Args:
        code: The code, or the name of one of its sentences.
        vendor_id: The vendor that it is about.
        part_id: The part of the vendor's input that it is about; None for the base.
        facts: The values of the places in the sentence.
    """
    sentence = _SENTENCES[code]
    if part_id is not None:
        sentence = sentence.replace(_VENDOR, f"part {{part!r}} of {_VENDOR}")
    message = sentence.format(vendor=vendor_id, part=part_id, **facts)
    error_code = _CODES_OF_SENTENCES.get(code, code)
    return ReportEntry(str(error_code), message, vendor_id)


def too_large(
    vendor_id: str,
    noun: str,
    size: int,
    limit: int,
    *,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the fault of a vendor's feed or SKU map of too many bytes."""
    return fault_of(
        FailureCode.FEED_TOO_LARGE,
        vendor_id,
        part_id=part_id,
        noun=noun,
        size=size,
        limit=limit,
    )


def failure_of(
    faults: Sequence[ReportEntry], stage: Stage
) -> RunFailure | None:
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
    return RunFailure(
        code,
        message,
        stage,
        tuple(vendor_ids),
        of_catalog=isinstance(faults[0], CatalogFault),
    )


def of_catalog(fault: ReportEntry) -> CatalogFault:
    """Return a fault of the catalog, which was judged as a vendor, as its own."""
    catalog = f"vendor {fault.vendor_id!r}"
    message = fault.error_message.replace(catalog, "the catalog", 1)
    return CatalogFault(fault.error_code, message, fault.vendor_id)


def missing_catalog(vendor_id: str, location: str) -> CatalogFault:
    """Return the fault of a run whose catalog has no file."""
    fault = fault_of(
        FailureCode.MISSING_CATALOG,
        vendor_id,
        location=location,
    )
    return of_catalog(fault)


def no_earlier_catalog() -> CatalogFault:
    """Return the fault of a run that uses the rows of a run without a catalog."""
    return CatalogFault(
        str(FailureCode.MISSING_CATALOG),
        "missing catalog: the earlier run whose rows are used again had no catalog. Start "
        "a run of all assets, or remove catalog from the config.",
        CATALOG,
    )


def no_catalog_rows(total: int) -> CatalogFault:
    """Return the fault of a catalog without a valid row."""
    reason = "the file of the catalog has no row"
    fix = "Upload a file with rows below its header."
    if total:
        reason = "the only row of the catalog is not valid"
        if total > 1:
            reason = f"none of the {total} rows of the catalog is valid"
        fix = "Fix the rows listed in errors.json."
    return CatalogFault(
        str(FailureCode.NO_ROWS_PARSED),
        f"no rows parsed: {reason}. {fix}",
        CATALOG,
    )


def counted(count: int, noun: str) -> str:
    """Return a count of things: ``1 row``, ``2,000 rows``."""
    plural = "" if count == 1 else "s"
    return f"{count:,} {noun}{plural}"


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
        f"feed too large: the run needs more memory than {megabytes} MiB, which is its limit. "
        "Upload smaller files with only the columns and rows that are needed.",
        stage,
    )


def out_of_time(seconds: float, stage: Stage) -> RunFailure:
    """Return the failure of a run that took too long."""
    return RunFailure(
        str(FailureCode.RUN_TIMEOUT),
        f"run timeout: the attempt was stopped after {seconds:g} seconds, which is the limit. "
        "Upload smaller files, or use fewer parser.timestamp_formats.",
        stage,
    )


def unreadable_feed(
    vendor_id: str,
    file_name: str,
    error: FeedUnreadableError,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the entry of a file that cannot be used; a part's file names the part."""
    title = _TITLES.get(FailureCode(error.error_code), "")
    part = "" if part_id is None else f", part {part_id!r}"
    message = f"{title}vendor {vendor_id!r}{part}, file {file_name!r}: {error}"
    return ReportEntry(str(error.error_code), message, vendor_id)


def no_rows(
    vendor_id: str | None,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the entry of a feed, or of all feeds, without a row."""
    reason = "no file has a row"
    if vendor_id is not None:
        part = "" if part_id is None else f"part {part_id!r} of "
        reason = f"the file of {part}vendor {vendor_id!r} has no row"
    return fault_of(FailureCode.NO_ROWS_PARSED, vendor_id, reason=reason)


def part_left_out(failure: ReportEntry, part_id: str) -> ReportEntry:
    """Return the warning about a part that a vendor is used without."""
    return fault_of(
        WarningCode.PART_LEFT_OUT,
        failure.vendor_id,
        part_id=part_id,
        failure=failure,
    )


def no_vendors() -> ReportEntry:
    """Return the entry of a run whose config has no vendors."""
    return ReportEntry(
        str(FailureCode.NO_ROWS_PARSED),
        "no rows parsed: the config has no vendors. Add a vendor to the config.",
    )


def no_valid_rows(total: int) -> ReportEntry:
    """Return the entry of rows that are all rejected, although within the limits."""
    reason = "the only row is not valid"
    if total > 1:
        reason = f"none of the {total} rows is valid"
    return ReportEntry(
        str(FailureCode.NO_ROWS_PARSED),
        f"no rows parsed: {reason}. Fix the rows listed in errors.json.",
    )


def nothing_priced(skus: int, free: int, unmatched: int) -> ReportEntry:
    """Return the entry of a run without a priced SKU.

    ``free`` of the ``skus`` have a price of 0.00; the others have no amount.
    ``unmatched`` is the number of rows that are taken out, because nothing matches them.
    """
    reason = f"none of the {skus} SKUs can be priced"
    if not skus and unmatched:
        rows = f"the {unmatched} rows that match nothing"
        if unmatched == 1:
            rows = "the row that matches nothing"
        reason = f"no offer is left without {rows}"
        fix = (
            "Check that the files have the same SKUs or other keys, or keep "
            "unmatched rows."
        )
    elif not skus:
        reason = "price rules or overrides leave out every offer"
        fix = (
            "Narrow when in pricing.rules, or remove overrides with leave_out."
        )
    elif not free:
        fix = "Map a cost or a price column."
    elif free < skus:
        fix = "Map a cost or a price column, or set pricing.min_price."
    else:
        fix = "Set pricing.min_price."
    message = (
        f"empty output: {reason}, and an empty feed is never published. {fix}"
    )
    return ReportEntry(str(FailureCode.EMPTY_OUTPUT), message)


def next_action(failure: RunFailure) -> str:
    """Return the next action for a failure as a sentence that names the vendors."""
    if failure.attempt_code == INVALID_CONFIG:
        action = (
            "Fix the errors of the tenant's config in error_message, store it"
        )
    elif failure.remedy:
        action = f"Fix the most frequent cause, {failure.remedy}"
    elif failure.error_code in _ACTIONS_OF_OPERATORS:
        return _ACTIONS_OF_OPERATORS[failure.error_code]
    else:
        template = _ACTIONS.get(failure.error_code, "Follow error_message")
        if _names_other_kind(failure):
            template = _ACTION_FOR_OTHER_KIND
        action = template.format(vendors=_at_fault(failure))
    return f"{action}, then start a new run."


def _names_other_kind(failure: RunFailure) -> bool:
    """Return whether a failure's message names another kind of file than configured."""
    is_of_file = failure.error_code in _CODES_OF_FILES
    return is_of_file and bool(_OTHER_KIND.search(failure.error_message))


def _at_fault(failure: RunFailure) -> str:
    """Return the catalog or the vendors that caused a failure."""
    return (
        "the catalog"
        if failure.of_catalog
        else _vendors_in_words(failure.vendors)
    )


def _vendors_in_words(vendor_ids: Sequence[str]) -> str:
    if not vendor_ids:
        return "the vendors"
    noun = "vendor" if len(vendor_ids) == 1 else "vendors"
    names = listed(vendor_ids, ", ", len(vendor_ids))
    return f"{noun} {names}"
