"""The table of a run's codes: each code's class, and its words for each reader.

Records, reports, commands, webhooks, and pages take a code's words from here.
The stage of a failure is not in the table: it is the stage that the run was in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from relay_core.domain.codes import (
    INVALID_CONFIG,
    FailureClass,
    FailureCode,
    WarningCode,
)

VENDOR_ROWS = "vendor_rows"
"""The failure of a vendor that lost many rows; its guard has the same name."""
TOO_MANY_DELTAS = "too_many_deltas"
"""The sentence of `STALE_FEED` about too many files of changes."""
STALE_FULL = "stale_full"
"""The sentence of `STALE_FEED` about an old full file, which newer deltas may follow."""
STALE_DELTAS = "stale_deltas"
"""The sentence of `STALE_FEED` about files of changes that stopped coming."""
NOTHING_MATCHES = "nothing_matches"
"""The sentence of `NO_ROWS_PARSED` about a part whose rows match no base row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCode:
    """A code of a failed run, of a warning, or of both."""

    # The party that can fix the failure; None for a code that only warnings have
    failure_class: FailureClass | None = None
    # The beginning of messages about a file that cannot be used.
    title: str = ""
    # The message, with places for its facts; "" if each cause has a message of its own
    sentence: str = ""
    # What to do about the failure, before ", then start a new run."; the whole sentence
    # if the operators have to do it
    next_action: str = ""
    next_step: str = ""  # what a merchant does about the failure
    file_error: str = ""  # why a run cannot use a file, as a clause
    # Whether the file may be of another kind than the config says, so that the message
    # names the kind
    kind_tells: bool = False


class NamedSentence(NamedTuple):
    """A further sentence of a code, which has a name of its own."""

    code: FailureCode
    sentence: str


_MISSING_FEED = (
    "vendor inbound missing: vendor {vendor!r} has no file under {location}. "
    "Upload its file there, or correct inbound.s3_prefix in the config."
)
_UPLOAD_LESS = (
    "Upload a smaller file with only the columns and rows that are needed."
)
_NEW_RUN = "Then start a new run."
_CHECK_FILE = (
    "Check the vendor's latest file. The check shows its errors, and it can propose "
    f"settings that fix them. {_NEW_RUN}"
)

_UNKNOWN = RunCode()
RUN_CODES: Mapping[str, RunCode] = {
    # --- failures; a warning can have the same code ---
    FailureCode.MISSING_TENANT_CONFIG: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        next_action="Store a config for the tenant",
        next_step=(
            f"Ask your administrator to save your settings again. {_NEW_RUN}"
        ),
    ),
    FailureCode.UNSUPPORTED_SCHEMA_VERSION: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        next_action="Rewrite the tenant's config for schema_version 1, store it",
        next_step=(
            f"Ask your administrator to update your settings. {_NEW_RUN}"
        ),
    ),
    FailureCode.REQUIRED_VENDOR_MISSING: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        sentence=f"required {_MISSING_FEED}",
        next_action=(
            "Upload the file of {vendors} under the prefix in error_message, or correct "
            "inbound.s3_prefix"
        ),
        next_step=(
            f"Upload the missing file of each required vendor. {_NEW_RUN}"
        ),
    ),
    FailureCode.STALE_FEED: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        sentence=(
            "stale feed: the latest file of vendor {vendor!r} is {hours} hours old, but "
            "max_feed_age_hours is {max_hours}. Ask the vendor for a new file."
        ),
        next_action="Upload a new file of {vendors}, or raise max_feed_age_hours",
        next_step=f"Upload a newer file of the vendor. {_NEW_RUN}",
        file_error="it is too old",
    ),
    FailureCode.FEED_TOO_LARGE: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        title="feed too large: ",
        sentence=(
            "feed too large: the {noun} of vendor {vendor!r} has {size} bytes, but the limit "
            f"is {{limit}}. {_UPLOAD_LESS}"
        ),
        next_action=(
            "Upload smaller files of {vendors}, with only the columns and rows that are "
            "needed"
        ),
        next_step=(
            "Upload a smaller file, without columns and rows that you do not need. "
            f"{_NEW_RUN}"
        ),
        file_error="it is too large",
    ),
    FailureCode.MISSING_SKU_MAP: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        sentence=(
            "missing sku map: vendor {vendor!r} has no SKU map at {location}. Upload the map "
            "there, or remove sku_map from the vendor's config."
        ),
        next_action=(
            "Upload the SKU map of {vendors} to the location in error_message, or remove "
            "sku_map from the config"
        ),
        next_step=(
            f"Ask your administrator to upload the missing SKU map. {_NEW_RUN}"
        ),
    ),
    FailureCode.MISSING_CATALOG: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        sentence=(
            "missing catalog: the catalog has no file under {location}. Upload the list of "
            "products there, or remove catalog from the config."
        ),
        next_action=(
            "Upload the list of products to the location in error_message, or remove catalog "
            "from the config"
        ),
        next_step=(
            f"Upload the list of your products, the catalog. {_NEW_RUN}"
        ),
    ),
    FailureCode.DECODE_ERROR: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        title="decode error: ",
        next_action=(
            "Set parser.encoding of {vendors} to the encoding of the file, or upload a file "
            "without the error in error_message"
        ),
        next_step=_CHECK_FILE,
        file_error="its text cannot be read",
        kind_tells=True,
    ),
    FailureCode.MISSING_REQUIRED_COLUMNS: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        next_action=(
            "Map the headers in the file of {vendors} in parser.column_map, as a check of "
            "the file proposes"
        ),
        next_step=_CHECK_FILE,
        file_error="a required column is missing",
        kind_tells=True,
    ),
    FailureCode.INVALID_INPUT: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        title="invalid input: ",
        next_action="Fix the file of {vendors} as error_message says, upload it",
        next_step=_CHECK_FILE,
        file_error="it cannot be read",
        kind_tells=True,
    ),
    FailureCode.NO_ROWS_PARSED: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        sentence=(
            "no rows parsed: {reason}. Upload a file with rows below its header, and check "
            "that parser.skip_lines and parser.delimiter match the file."
        ),
        next_action=(
            "Upload a file of {vendors} with rows below its header, or correct "
            "parser.skip_lines and parser.delimiter"
        ),
        next_step=(
            f"Upload a file that has valid rows below its header. {_NEW_RUN}"
        ),
        file_error="it has no rows",
    ),
    FailureCode.EMPTY_OUTPUT: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        next_action=(
            "Map a cost or a price column, or set pricing.min_price, in the tenant's config"
        ),
        next_step=(
            f"Check that the vendors' files have a cost or a price. {_NEW_RUN}"
        ),
    ),
    FailureCode.VALIDATION_ERRORS: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        next_action=(
            "Fix the rows listed in invalid_rows.csv, or raise the limits in error_message"
        ),
        next_step=(
            "Correct the rejected rows in the vendor's file, or allow more rejected rows in "
            f"your settings. {_NEW_RUN}"
        ),
        file_error="too many of its rows were rejected",
    ),
    FailureCode.RUN_TIMEOUT: RunCode(
        failure_class=FailureClass.PLATFORM,
        next_action=(
            "Make the files smaller, use fewer parser.timestamp_formats, or raise "
            "RELAY_RUN_TIMEOUT_SECONDS, then start a new run."
        ),
        next_step=(
            "Upload smaller files, or ask your administrator to allow more time for runs. "
            f"{_NEW_RUN}"
        ),
    ),
    FailureCode.POISON_JOB: RunCode(
        failure_class=FailureClass.PLATFORM,
        next_action=(
            "Fix the error in the run_retryable_error lines of this run in the log, then "
            "start a new run, or send its dead letter again with relay dlq redrive."
        ),
        next_step="Ask your administrator to find the cause of this failure.",
    ),
    VENDOR_ROWS: RunCode(
        failure_class=FailureClass.VENDOR_DATA,
        sentence=(
            "vendor {vendor!r} has {now} valid rows, down from {before} in the run of the "
            "live feed, but guards.max_vendor_rows_lost_pct is {limit}. Ask the vendor for "
            "its complete file."
        ),
        next_action=(
            "Upload the complete file of {vendors}, or raise guards.max_vendor_rows_lost_pct"
        ),
        next_step=f"Upload the vendor's complete file. {_NEW_RUN}",
        file_error="it has far fewer rows than before",
    ),
    # --- the code of a last attempt ---
    INVALID_CONFIG: RunCode(
        failure_class=FailureClass.TENANT_CONFIG,
        next_action=(
            "Fix the errors of the tenant's config in error_message, store it"
        ),
    ),
    # --- warnings ---
    WarningCode.OPTIONAL_VENDOR_MISSING: RunCode(
        sentence=f"optional {_MISSING_FEED}",
    ),
    WarningCode.EMPTY_FEED: RunCode(
        sentence=(
            "the file of vendor {vendor!r} has no row, so none of its SKUs is offered. "
            "Upload a file with rows unless this is intended."
        ),
    ),
    WarningCode.UNPRICED_SKU: RunCode(),
    WarningCode.INVALID_ROWS_WITHIN_THRESHOLD: RunCode(
        sentence=(
            "{invalid} of {total} rows are rejected, which is within the limits of "
            "error_policy. To offer them, fix the rows listed in errors.json."
        ),
    ),
    WarningCode.PART_LEFT_OUT: RunCode(
        sentence=(
            "vendor {vendor!r} is left out, so the vendor is used without it. Reason: "
            "{failure.error_code}: {failure.error_message}"
        ),
    ),
    WarningCode.VENDOR_LEFT_OUT: RunCode(
        sentence=(
            "vendor {vendor!r} is left out, so none of its SKUs is offered. Reason: "
            "{failure.error_code}: {failure.error_message}"
        ),
    ),
    WarningCode.VENDOR_LAST_GOOD: RunCode(
        sentence=(
            "vendor {vendor!r} uses its last good file, which is {hours} hours old; the "
            "limit is {max_hours} hours. Reason: {failure.error_code}: "
            "{failure.error_message}"
        ),
    ),
    WarningCode.GUARD_TRIPPED: RunCode(
        sentence=(
            "guard {guard} trips{about}: its value is {value}, but the limit is {limit}. See "
            "guards in run_summary.json; to put such feeds on hold, set guards.mode to hold."
        ),
    ),
    WarningCode.MISSING_SKUS_ZEROED: RunCode(
        sentence=(
            "{skus} SKUs of the live feed are no longer offered. They stay in the feed with "
            "a quantity of 0 for {days} days after they were last offered "
            "(output.missing_sku_days)."
        ),
    ),
    WarningCode.SKUS_QUARANTINED: RunCode(
        sentence=(
            "{skus} SKUs keep their published values, because their new prices differ too "
            "much (guards.quarantine). Review them in quarantine.csv, and accept the prices "
            "that are right."
        ),
    ),
    WarningCode.CHANNEL_UNPRICED: RunCode(
        sentence=(
            "channel {channel!r} lacks {rows} of the feed whose price comes to 0.00 or less. "
            "Set price.min_price of the channel."
        ),
    ),
    WarningCode.CHANNEL_EMPTY: RunCode(
        sentence=(
            "channel {channel!r} has no rows, so its file has only a header. Check the "
            "conditions in when of the channel."
        ),
    ),
}
"""The facts and the words of each code, keyed by the code."""
NAMED_SENTENCES: Mapping[str, NamedSentence] = {
    TOO_MANY_DELTAS: NamedSentence(
        FailureCode.STALE_FEED,
        (
            "stale feed: vendor {vendor!r} has {count} files of changes after its latest "
            "full file, but max_deltas is {limit}. Ask the vendor for a new full file."
        ),
    ),
    STALE_FULL: NamedSentence(
        FailureCode.STALE_FEED,
        (
            "stale feed: the latest full file of vendor {vendor!r} is {hours} hours old, but "
            "max_feed_age_hours is {max_hours}. Ask the vendor for a new full file."
        ),
    ),
    STALE_DELTAS: NamedSentence(
        FailureCode.STALE_FEED,
        (
            "stale feed: the newest file of vendor {vendor!r} is {hours} hours old, but "
            "max_delta_age_hours is {max_hours}. Ask the vendor for its files of changes."
        ),
    ),
    NOTHING_MATCHES: NamedSentence(
        FailureCode.NO_ROWS_PARSED,
        (
            "no rows parsed: no row of vendor {vendor!r} matches a base row. Its first sku "
            "is {part_key!r}, and the first {key} of the base is {base_key!r}. Map the "
            "columns that have the same values: sku in the parser of the part, and {key} in "
            "that of the base."
        ),
    ),
}
"""The sentences of codes that have several, keyed by the name of the sentence."""


def class_of(error_code: str, attempt_code: str | None = None) -> FailureClass:
    """Return who can fix a failure.

    ``attempt_code`` is the code of the last attempt, if the run used up its attempts.
    """
    code = INVALID_CONFIG if attempt_code == INVALID_CONFIG else error_code
    return code_of(code).failure_class or FailureClass.VENDOR_DATA


def code_of(error_code: str | None) -> RunCode:
    """Return the entry of a code; an empty one if this release does not know the code."""
    return RUN_CODES.get(error_code or "", _UNKNOWN)
