"""The texts of errors: of whole pages, of a form's fields, of runs and of files.

Each text names the problem and the next step, without internal names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from relay_core.config.overrides import MAX_NOTE, MAX_SKU_BYTES
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import ConfigFault
from relay_core.domain.run_faults import VENDOR_ROWS
from relay_core.publish.report import wording
from relay_dagster.http.problems import ProblemError

MAX_REASON = 500
"""The maximum length of a reason."""
WHOLE_FORM = "form"
"""The key of an error that belongs to a whole form instead of one field."""


class PageError(NamedTuple):
    """The title and the text of a page that shows an error."""

    title: str
    text: str


class FieldError(NamedTuple):
    """An error of a form's field, and a hint on how to fix it."""

    text: str
    hint: str = ""


# --- pages --------------------------------------------------------------------------

_NOT_FOUND = PageError(
    "Page not found",
    "Check the address, or go to the overview.",
)
_TRY_AGAIN = "Try again in a few seconds."
_PAGE_ERRORS: dict[str, PageError] = {
    "FORBIDDEN": PageError(
        "The form was not accepted",
        "The form is no longer valid, or another site sent it. Open the page again, "
        "and submit the form from there.",
    ),
    "NOT_FOUND": _NOT_FOUND,
    "TENANT_NOT_FOUND": _NOT_FOUND,
    "RUN_NOT_FOUND": _NOT_FOUND,
    "SKU_NOT_QUARANTINED": PageError(
        "Price not found",
        "At least one of the SKUs has no price to review in this run, so no price was "
        "accepted.",
    ),
    "TENANT_ALREADY_RUNNING": PageError(
        "Another run is in progress",
        "Wait until it ends, or cancel it. Then try again.",
    ),
    "NO_VENDORS": PageError(
        "There are no vendors yet",
        "Add a vendor and upload its file. Then start a run.",
    ),
    "TENANT_CLOSING": PageError(
        "Your account is being deleted",
        "You can no longer start runs or save changes. Contact your administrator if "
        "this is a mistake.",
    ),
    "RUN_ALREADY_FINISHED": PageError(
        "The run has already ended", "Open the run again to see its result."
    ),
    "RUN_NOT_HELD": PageError(
        "The feed is no longer on hold",
        "Someone released or discarded it, or a newer feed replaced it. Open the run "
        "again to see its status.",
    ),
    "FEED_NOT_KEPT": PageError(
        "The feed is no longer kept",
        "Nothing was published. Choose another feed under Earlier feeds.",
    ),
    "RUN_NOT_MERGED": PageError(
        "The run has no feed",
        "Choose a run that published a feed or that has a feed on hold.",
    ),
    "ARTIFACTS_EXPIRED": PageError(
        "The file is no longer available",
        "The run did not create this file, or the file was deleted because of its age.",
    ),
    "HOLD_MISMATCH": PageError(
        "The feed on hold has changed",
        "Nothing was published. Open the run again and review the feed before you "
        "release it.",
    ),
    "CONFIG_VERSION_MISMATCH": PageError(
        "Your settings have changed",
        "Someone saved a newer version of the settings, so your changes were not "
        "saved. Check the file again to see the current settings.",
    ),
    "PAYLOAD_TOO_LARGE": PageError(
        "The form is too large", "Enter shorter texts, or select fewer items."
    ),
    "CHECK_TOO_SLOW": PageError(
        "The file could not be checked",
        "The check takes too long or needs too much memory. Upload a smaller file.",
    ),
    "EXPLAIN_TOO_SLOW": PageError(
        "The SKU could not be explained",
        "It has too many rows. Try another SKU.",
    ),
    "OVERRIDE_QUOTA_EXCEEDED": PageError(
        "Too many overrides",
        "Remove overrides that you no longer need, and try again.",
    ),
    "RUN_QUOTA_EXCEEDED": PageError(
        "Too many runs",
        "You have started the maximum number of runs for this hour. Try again in the "
        "next hour.",
    ),
    "CONFIG_QUOTA_EXCEEDED": PageError(
        "Too many changes",
        "You have saved the maximum number of changes for today. Try again tomorrow.",
    ),
    "RATE_LIMITED": PageError(
        "Too many requests", "Wait a moment, and reload the page."
    ),
    "INTERNAL_ERROR": PageError(
        "Something went wrong",
        "Try again. If the error appears again, contact your administrator.",
    ),
    "DEPENDENCY_UNAVAILABLE": PageError("Temporarily unavailable", _TRY_AGAIN),
    "QUEUE_UNAVAILABLE": PageError("The run was not started", _TRY_AGAIN),
    "CHECKS_BUSY": PageError("Another file is being checked", _TRY_AGAIN),
    "EXPLANATIONS_BUSY": PageError(
        "Another SKU is being explained", _TRY_AGAIN
    ),
}
# The titles of errors whose text comes from the API, by code or by status
_TITLES: dict[str | int, str] = {
    "RUN_CREATION_PAUSED": "Runs are paused",
    403: "You don't have permission to do this",
    404: "Page not found",
    409: "This can't be done right now",
    410: "No longer available",
    412: "The page is out of date",
    413: "Too large",
    422: "Check your entries",
    429: "Too many requests",
    503: "Temporarily unavailable",
}
_LINK_ERROR = PageError(
    "The link is no longer valid", "Ask your customer for a new link."
)


def page_error(
    problem: ProblemError, *, is_supplier: bool = False
) -> PageError:
    """Return the title and the text of an error's page."""
    if is_supplier and problem.status == 404:
        return _LINK_ERROR
    if problem.error_code == "SCOPE_MISSING":
        scopes = ", ".join(problem.members.get("scopes", ()))
        text = f"This needs a key with the scope {scopes}. Ask your administrator for one."
        return PageError(_TITLES[403], text)
    if problem.error_code in _PAGE_ERRORS:
        return _PAGE_ERRORS[problem.error_code]
    title_of_status = _TITLES.get(problem.status, "Something went wrong")
    title = _TITLES.get(problem.error_code, title_of_status)
    return PageError(title, wording.sentence(problem.detail))


# --- fields -------------------------------------------------------------------------

_PRICE_ERROR = FieldError(
    "Enter a valid price.",
    "Use a period as the decimal separator, for example 12.50.",
)
_OVERRIDE_ERRORS: dict[str, FieldError] = {
    "price": _PRICE_ERROR,
    "min_price": _PRICE_ERROR,
    "max_quantity": FieldError(
        "Enter a whole number.",
        "The lowest quantity is 0, for example 0 or 25.",
    ),
    "vendor_id": FieldError("Choose a vendor from the list."),
    "expires_at": FieldError("Enter today's date or a later date."),
    "note": FieldError(f"Enter at most {MAX_NOTE} characters."),
}
_SKU_ERROR = FieldError(
    "The SKU is too long.", f"A SKU has at most {MAX_SKU_BYTES:,} characters."
)


def override_errors(
    faults: Sequence[ConfigFault], override: Mapping[str, Any]
) -> dict[str, FieldError]:
    """Return the errors of an override's form, keyed by field.

    The result is empty if no fault belongs to the form.
    """
    errors: dict[str, FieldError] = {}
    for fault in faults:
        path = fault.path.split(".")
        field = path[2] if len(path) > 2 else ""
        if path[0] != "overrides":
            continue
        if field in _OVERRIDE_ERRORS:
            errors[field] = _OVERRIDE_ERRORS[field]
        elif field == "sku":
            errors[WHOLE_FORM] = _SKU_ERROR
        else:
            errors[WHOLE_FORM] = _combination_error(override)
    return errors


def _combination_error(override: Mapping[str, Any]) -> FieldError:
    """Return the error of fields that do not go together."""
    if "leave_out" in override:
        return FieldError(
            "Leave the SKU out, or set its values.",
            "An override cannot do both.",
        )
    if "price" in override and "min_price" in override:
        return FieldError(
            "Enter a price or a minimum price.", "An override cannot have both."
        )
    return FieldError(
        "The override is empty.",
        "Set a price, a quantity or a vendor, or leave the SKU out of the feed.",
    )


def reason_errors(
    faults: Sequence[ConfigFault], reason: str
) -> dict[str, FieldError]:
    """Return the errors of a form with a reason, keyed by field.

    The result is empty if no fault belongs to a field that people fill in.
    """
    errors: dict[str, FieldError] = {}
    for fault in faults:
        if fault.path == "reason":
            errors["reason"] = FieldError("Enter a reason.")
            if len(reason) > MAX_REASON:
                text = f"Enter at most {MAX_REASON} characters."
                errors["reason"] = FieldError(text)
        elif fault.path in ("skus", "all"):
            errors["sku"] = FieldError("Select at least one price.")
    return errors


# --- runs and files -----------------------------------------------------------------

_NEW_RUN = "Then start a new run."
_CHECK_FILE = (
    "Check the vendor's latest file. The check shows its errors, and it can propose "
    f"settings that fix them. {_NEW_RUN}"
)
_NEXT_STEPS: dict[str, str] = {
    FailureCode.MISSING_TENANT_CONFIG: "Ask your administrator to save your settings "
    f"again. {_NEW_RUN}",
    FailureCode.UNSUPPORTED_SCHEMA_VERSION: "Ask your administrator to update your "
    f"settings. {_NEW_RUN}",
    FailureCode.REQUIRED_VENDOR_MISSING: "Upload the missing file of each required "
    f"vendor. {_NEW_RUN}",
    FailureCode.STALE_FEED: f"Upload a newer file of the vendor. {_NEW_RUN}",
    FailureCode.FEED_TOO_LARGE: "Upload a smaller file, without columns and rows that "
    f"you do not need. {_NEW_RUN}",
    FailureCode.MISSING_SKU_MAP: "Ask your administrator to upload the missing SKU "
    f"map. {_NEW_RUN}",
    FailureCode.MISSING_CATALOG: "Upload the list of your products, the catalog. "
    f"{_NEW_RUN}",
    FailureCode.DECODE_ERROR: _CHECK_FILE,
    FailureCode.MISSING_REQUIRED_COLUMNS: _CHECK_FILE,
    FailureCode.INVALID_INPUT: _CHECK_FILE,
    FailureCode.NO_ROWS_PARSED: "Upload a file that has valid rows below its header. "
    f"{_NEW_RUN}",
    FailureCode.EMPTY_OUTPUT: "Check that the vendors' files have a cost or a price. "
    f"{_NEW_RUN}",
    FailureCode.VALIDATION_ERRORS: "Correct the rejected rows in the vendor's file, or "
    f"allow more rejected rows in your settings. {_NEW_RUN}",
    FailureCode.RUN_TIMEOUT: "Upload smaller files, or ask your administrator to allow "
    f"more time for runs. {_NEW_RUN}",
    FailureCode.POISON_JOB: "Ask your administrator to find the cause of this failure.",
    VENDOR_ROWS: f"Upload the vendor's complete file. {_NEW_RUN}",
}
_FILE_ERRORS: dict[str, str] = {
    FailureCode.DECODE_ERROR: "its text cannot be read",
    FailureCode.MISSING_REQUIRED_COLUMNS: "a required column is missing",
    FailureCode.INVALID_INPUT: "it cannot be read",
    FailureCode.FEED_TOO_LARGE: "it is too large",
    FailureCode.NO_ROWS_PARSED: "it has no rows",
    FailureCode.STALE_FEED: "it is too old",
    FailureCode.VALIDATION_ERRORS: "too many of its rows were rejected",
    VENDOR_ROWS: "it has far fewer rows than before",
}


def next_step(error_code: str | None, otherwise: str | None) -> str:
    """Return the next step after a failed run; ``otherwise`` for an unknown code."""
    return _NEXT_STEPS.get(error_code or "", otherwise or "")


def file_error(error_code: str | None) -> str:
    """Return the reason why a run cannot use a file, as a clause."""
    return _FILE_ERRORS.get(error_code or "", "it cannot be read")
