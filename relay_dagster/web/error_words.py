"""The texts of errors: of whole pages, of a form's fields, of runs and of files.

Each text names the problem and the next step, without internal names. The tables of
error codes have the texts of whole pages and of runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from relay_core.config.overrides import MAX_NOTE, MAX_SKU_BYTES
from relay_core.domain.errors import ConfigFault
from relay_core.domain.run_codes import code_of
from relay_core.report import display
from relay_dagster.http.error_codes import CODES, PageText
from relay_dagster.http.problems import ProblemError

MAX_REASON = 500
"""The maximum length of a reason."""
WHOLE_FORM = "form"
"""The key of an error that belongs to a whole form instead of one field."""


class FieldError(NamedTuple):
    """An error of a form's field, and a hint on how to fix it."""

    text: str
    hint: str = ""


# --- pages --------------------------------------------------------------------------

# The titles of errors whose code has none, by status
_TITLES: dict[int, str] = {
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
_LINK_ERROR = PageText(
    "The link is no longer valid", "Ask your customer for a new link."
)


def page_error(problem: ProblemError, *, is_supplier: bool = False) -> PageText:
    """Return the title and the text of an error's page."""
    if is_supplier and problem.status == 404:
        return _LINK_ERROR
    if problem.error_code == "SCOPE_MISSING":
        scopes = ", ".join(problem.members.get("scopes", ()))
        text = f"This needs a key with the scope {scopes}. Ask your administrator for one."
        return PageText(_TITLES[403], text)
    title_of_status = _TITLES.get(problem.status, "Something went wrong")
    title, text = CODES[problem.error_code].page or PageText(title_of_status)
    return PageText(title, text or display.sentence(problem.detail))


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


def next_step(error_code: str | None, otherwise: str | None) -> str:
    """Return the next step after a failed run; ``otherwise`` for an unknown code."""
    return code_of(error_code).next_step or otherwise or ""


def file_error(error_code: str | None) -> str:
    """Return the reason why a run cannot use a file, as a clause."""
    return code_of(error_code).file_error or "it cannot be read"
