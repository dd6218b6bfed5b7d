"""The remedy of a failed run: one sentence for each error code."""

import re

from relay_core.domain.codes import INVALID_CONFIG, FailureCode
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import VENDOR_ROWS, listed


def next_action(failure: RunFailure) -> str:
    """Return the next action as a sentence, which names the vendors behind the failure."""
    if failure.attempt_code == INVALID_CONFIG:
        what = "Correct what error_message lists in the tenant's config, store it"
    elif failure.remedy:
        what = f"Mend the most frequent cause, {failure.remedy}"
    elif failure.error_code in _BY_OPERATORS:
        return _BY_OPERATORS[failure.error_code]
    else:
        action = _ACTIONS.get(failure.error_code, "Do what error_message says")
        if failure.error_code in _OF_FILES and _OTHER_KIND.search(failure.error_message):
            action = "Do what error_message says of the file of {vendors}, which is another kind"
        names = listed(failure.vendors, ", ", len(failure.vendors))
        noun = "vendor" if len(failure.vendors) == 1 else "vendors"
        what = action.format(vendors=f"{noun} {names}" if names else "the vendors")
    return f"{what}, then start a new run."


_OF_FILES = (
    FailureCode.DECODE_ERROR,
    FailureCode.MISSING_REQUIRED_COLUMNS,
    FailureCode.INVALID_INPUT,
)
_OTHER_KIND = re.compile(r": the file is [^;]+; |: the workbook has a password; ")
"""Of a message that names the kind of a file, which no option of its parser mends."""
_ACTIONS: dict[str, str] = {
    FailureCode.MISSING_TENANT_CONFIG: "Store a config of the tenant",
    FailureCode.UNSUPPORTED_SCHEMA_VERSION: (
        "Store the tenant's config again, written for schema_version 1"
    ),
    FailureCode.REQUIRED_VENDOR_MISSING: (
        "Upload the feed of {vendors} under the prefix that error_message names, or correct "
        "inbound.s3_prefix"
    ),
    FailureCode.STALE_FEED: "Upload a new feed of {vendors}, or raise max_feed_age_hours",
    FailureCode.FEED_TOO_LARGE: (
        "Upload smaller files of {vendors}, without columns and rows that nobody needs"
    ),
    FailureCode.MISSING_SKU_MAP: (
        "Upload the SKU map of {vendors} where error_message says, or take sku_map out of "
        "the config"
    ),
    FailureCode.DECODE_ERROR: (
        "Set parser.encoding of {vendors} to that of the file, or upload the file mended where "
        "error_message says"
    ),
    FailureCode.MISSING_REQUIRED_COLUMNS: (
        "Map the headers that the file of {vendors} has in parser.column_map, as a check of the "
        "file proposes"
    ),
    FailureCode.INVALID_INPUT: "Upload the file of {vendors} mended as error_message says",
    FailureCode.NO_ROWS_PARSED: (
        "Upload a file of {vendors} with rows under its header, or correct parser.skip_lines and "
        "parser.delimiter"
    ),
    FailureCode.EMPTY_OUTPUT: (
        "Map a cost or a price column, or set pricing.min_price, in the tenant's config"
    ),
    FailureCode.VALIDATION_ERRORS: (
        "Mend the rows that invalid_rows.csv lists, or raise the limits that error_message names"
    ),
    VENDOR_ROWS: ("Upload the whole feed of {vendors}, or raise guards.max_vendor_rows_lost_pct"),
}
_BY_OPERATORS: dict[str, str] = {
    FailureCode.RUN_TIMEOUT: (
        "Start a new run with smaller feeds or fewer parser.timestamp_formats, or raise "
        "RELAY_RUN_TIMEOUT_SECONDS before."
    ),
    FailureCode.POISON_JOB: (
        "Restore what the run_retryable_error lines of this run in the log name, then start a new "
        "run, or send its dead letter again with relay dlq redrive."
    ),
}
