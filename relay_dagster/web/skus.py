"""A SKU's page: the explanation of its row, and the form for its override.

Without a SKU, the page lists the overrides in effect.
"""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Query, Response
from starlette.datastructures import QueryParams

from relay_core.config import Override, TenantConfig
from relay_core.domain.errors import RelayError, SkuNotFoundError
from relay_dagster.http.problems import ProblemError, problem_of
from relay_dagster.runs.ports import utc_now
from relay_dagster.services import overrides, tenants
from relay_dagster.services.explanations import explain_sku
from relay_dagster.services.statuses import get_status
from relay_dagster.web import error_words, frame, visits, words
from relay_dagster.web.override_list import overrides_of
from relay_dagster.web.shop import shop_of
from relay_dagster.wire import skus as wire

routes = frame.page_router()

_TEXT_FIELDS = ("sku", "price", "min_price", "vendor_id", "note")
_MAX_DIGITS = 40
_SKUS = frame.HOME + "/tenants/{tenant_id}/skus"
_NOTICES = {
    "saved": "The override is saved. The next run uses it.",
    "removed": "The override is removed. The next run decides by your settings.",
}
_NO_SKU = words.Verdict(
    "idle",
    "See how a SKU got its price and its vendor, or why it is not in the feed.",
)
_NO_FEED = words.Verdict(
    "idle", "You don't have a feed yet. Start a run first."
)
_NOT_FOUND = words.Verdict(
    "warn",
    "No vendor's file has this SKU. Check the spelling, including upper and lower case.",
)


@routes.get(_SKUS)
def show_sku(
    visit: visits.Reading,
    sku: Annotated[str, Query(max_length=1024)] = "",
    run: Annotated[str | None, Query(max_length=64)] = None,
    override: Annotated[str, Query(max_length=10)] = "",
    after: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """Explain a SKU of the live feed, or of the run that the query names.

    ``override`` is the change of the SKU's override that was just made. Without a SKU,
    the page lists the overrides of the SKUs that follow ``after``.
    """
    notice = _NOTICES.get(override, "")
    return _sku_page(visit, sku.strip(), run, notice=notice, after=after)


def _sku_page(
    visit: visits.Visit,
    sku: str,
    run: str | None = None,
    rejected_form: visits.RejectedForm | None = None,
    notice: str = "",
    after: str = "",
) -> Response:
    """Return the page of a SKU, with the values and the errors of a rejected form.

    ``notice`` is a sentence about the change that was just made. Without a SKU, the page
    lists the overrides whose SKUs follow ``after``.
    """
    status = get_status(visit.tenant_id, visit)
    run_id = run or status.published_run_id or status.held_run_id
    stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    config = tenants.read_stored(visit.platform, stored_config)
    shop = shop_of(visit.platform, stored_config)
    document = visit.platform.overrides.document(visit.tenant_id)
    stored_override = document.overrides.get(sku)
    override = stored_override and stored_override.in_effect_at(utc_now())
    lookup = _look_up(run_id, visit, sku, has_override=override is not None)
    http_status = 200
    if rejected_form is not None:
        http_status = 422
    elif not lookup.is_found and override is None:
        http_status = 404
    form = rejected_form or _form_of(override, shop.zone)
    return frame.page(
        "sku.html.jinja",
        visit,
        status=http_status,
        shop=shop,
        sku=sku,
        explanation=lookup.explanation,
        near_sku=lookup.near_sku,
        notice=notice,
        next_run_at=status.next_run_at,
        verdict=lookup.verdict,
        override=_override_lines(override, shop.zone),
        overrides=None if sku else overrides_of(visit, shop.zone, after),
        values=form.values,
        errors=form.errors,
        vendors=_vendor_ids(config),
    )


class _Lookup(NamedTuple):
    """The explanation of a SKU, or the reason why there is none."""

    verdict: words.Verdict
    explanation: wire.Explanation | None = None
    near_sku: str = ""  # the SKU in other letter case, if only that one exists
    is_found: bool = True  # False if no vendor's file has the SKU


def _look_up(
    run_id: str | None,
    visit: visits.Visit,
    sku: str,
    *,
    has_override: bool,
) -> _Lookup:
    """Return the explanation of a SKU in a run.

    Raises:
        RelayError: The SKU cannot be explained, and has no override to show instead.
    """
    if run_id is None:
        return _Lookup(_NO_FEED)
    if not sku:
        return _Lookup(_NO_SKU)
    try:
        explanation = explain_sku(run_id, visit, sku)
    except SkuNotFoundError:
        near_sku = _near_sku(run_id, visit, sku)
        return _Lookup(_NOT_FOUND, near_sku=near_sku, is_found=False)
    except RelayError as error:
        # The page still shows the override, if there is one.
        if not has_override:
            raise
        problem = error_words.page_error(problem_of(error))
        text = f"{problem.title}. {problem.text}"
        return _Lookup(words.Verdict("warn", text))
    return _Lookup(verdict_of(explanation), explanation)


def _near_sku(run_id: str, visit: visits.Visit, sku: str) -> str:
    """Return the SKU in other letter case, if the run has it, or an empty text."""
    for variant in dict.fromkeys((sku.upper(), sku.lower())):
        if variant == sku:
            continue
        try:
            explain_sku(run_id, visit, variant)
        except SkuNotFoundError:
            continue
        except (RelayError, ProblemError):
            # Other SKUs are being explained, or the files were deleted meanwhile.
            return ""
        return variant
    return ""


def _form_of(override: Override | None, zone: tzinfo) -> visits.RejectedForm:
    """Return the form with an override's values, and without errors."""
    values = QueryParams(_form_values(override, zone))
    return visits.RejectedForm(action="", values=values, errors={})


def _vendor_ids(config: TenantConfig | None) -> list[str]:
    if config is None:
        return []
    return [vendor.vendor_id for vendor in config.vendors]


def verdict_of(explanation: wire.Explanation) -> words.Verdict:
    """Return the reason why a SKU is in the feed, or why it is not, as a sentence."""
    if explanation.reason is not None:
        unknown_reason = words.Verdict("warn", explanation.reason)
        return words.REASONS.get(explanation.reason, unknown_reason)
    winner = explanation.winner
    if winner is None:
        text = "This SKU is not in the feed, because no offer could be used."
        return words.Verdict("warn", text)
    if explanation.offers_count == 1:
        return words.Verdict("good", f"{winner.vendor_id} has the only offer.")
    offers = words.counted(explanation.offers_count, "offer")
    return words.Verdict(
        "good", f"{winner.vendor_id} has the best of {offers}."
    )


def _override_lines(
    override: Override | None, zone: tzinfo
) -> list[tuple[str, str]]:
    """Return the labels and the values of an override, as the page lists them."""
    if override is None:
        return []
    lines = []
    for name, value in override.as_dict().items():
        if name == "sku":
            continue
        text = "Yes" if value is True else str(value)
        if name in ("expires_at", "accept_until"):
            text = words.moment(getattr(override, name), zone)
        lines.append((words.OVERRIDES.get(name, name), text))
    return lines


def _form_values(override: Override | None, zone: tzinfo) -> dict[str, str]:
    """Return the values of the form's fields for an override."""
    if override is None:
        return {}
    values = {name: str(value) for name, value in override.as_dict().items()}
    if override.expires_at is not None:
        # An override that ends at midnight has the day before as its last day.
        last_moment = override.expires_at - timedelta(microseconds=1)
        values["expires_on"] = last_moment.astimezone(zone).date().isoformat()
    return values


# --- the form -----------------------------------------------------------------------


@routes.post(_SKUS + "/override")
def put_override(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Store the override of the form for a SKU. The next run uses it."""
    stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    zone = shop_of(visit.platform, stored_config).zone
    override = _override_of(form, zone)
    try:
        fields = {"overrides": [override]}
        request = visits.request_of(wire.OverridesRequest, fields)
        overrides.put_overrides(visit.tenant_id, visit, request)
    except ProblemError as error:
        errors = error_words.override_errors(error.errors, override)
        if not errors:
            raise
        rejected_form = visits.RejectedForm("override", form, errors)
        return _sku_page(
            visit, form.get("sku", ""), rejected_form=rejected_form
        )
    return _go_to_sku(visit, form, "saved")


@routes.post(_SKUS + "/override/remove")
def remove_override(
    visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Remove the override of a SKU."""
    fields = {"skus": [form.get("sku", "")]}
    request = visits.request_of(wire.OverrideRemovalRequest, fields)
    overrides.remove_overrides(visit.tenant_id, visit, request)
    return _go_to_sku(visit, form, "removed")


def _go_to_sku(visit: visits.Visit, form: QueryParams, change: str) -> Response:
    query = urlencode({"sku": form.get("sku", ""), "override": change})
    return frame.go_to(f"{frame.HOME}/tenants/{visit.tenant_id}/skus?{query}")


def _override_of(form: QueryParams, zone: tzinfo) -> dict[str, Any]:
    """Return the override of a form's fields. Empty fields are left out.

    The last day ends at midnight in the tenant's time zone.
    """
    override: dict[str, Any] = {}
    for name in _TEXT_FIELDS:
        if form.get(name):
            override[name] = form[name].strip()
    if form.get("leave_out"):
        override["leave_out"] = True
    quantity = form.get("max_quantity", "").strip()
    if quantity:
        # Other texts than digits, and too many digits, are errors of the field.
        is_number = (
            quantity.isascii()
            and quantity.isdigit()
            and len(quantity) <= _MAX_DIGITS
        )
        override["max_quantity"] = int(quantity) if is_number else quantity
    last_day = form.get("expires_on", "").strip()
    if last_day:
        override["expires_at"] = _end_of_day(last_day, zone)
    return override


def _end_of_day(text: str, zone: tzinfo) -> str:
    """Return the last second of a day in a zone; other texts are returned as is."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return datetime.combine(day, time(23, 59, 59), zone).isoformat()
