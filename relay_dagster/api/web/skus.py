"""A SKU's page: the explanation of its row, and the form for its override."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Response
from starlette.datastructures import QueryParams

from relay_core.domain.errors import RelayError
from relay_dagster.api.routes.overrides import put_overrides, remove_overrides
from relay_dagster.api.routes.skus import explain_sku
from relay_dagster.api.routes.statuses import get_status
from relay_dagster.api.routes.tenants import find_config, read_stored
from relay_dagster.api.web import frame, visits, words
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import skus as wire

routes = frame.page_router()

_TEXT_FIELDS = ("sku", "price", "min_price", "vendor_id", "note")
_SKUS = frame.HOME + "/tenants/{tenant_id}/skus"


@routes.get(_SKUS)
def show_sku(
    visit: visits.Reading,
    sku: Annotated[str, Query(max_length=1024)] = "",
    run: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Explain a SKU of the live feed, or of the run that the query names."""
    status = get_status(visit.tenant_id, visit)
    run_id = run or status.published_run_id or status.held_run_id
    config = read_stored(visit.platform, find_config(visit.platform, visit.tenant_id))
    sku = sku.strip()
    document = visit.platform.overrides.document(visit.tenant_id)
    override = document.overrides.get(sku)
    override_in_effect = override and override.in_effect_at(utc_now())
    explanation: wire.Explanation | None = None
    verdict = words.Verdict(
        "idle", "Ask why it is in the feed as it is, or why it is not."
    )
    if run_id is None:
        text = "There is no feed yet, so there is nothing to look up."
        verdict = words.Verdict("idle", text)
    elif sku:
        try:
            explanation = explain_sku(run_id, visit, sku)
            verdict = verdict_of(explanation)
        except RelayError as error:
            # The page still shows the override, if there is one.
            if override_in_effect is None:
                raise
            verdict = words.Verdict("warn", f"It is not explained: {error}.")
    return frame.page(
        "sku.html.jinja",
        visit,
        sku=sku,
        explanation=explanation,
        verdict=verdict,
        override=override_in_effect.as_dict() if override_in_effect else {},
        vendors=[vendor.vendor_id for vendor in config.vendors] if config else [],
    )


def verdict_of(explanation: wire.Explanation) -> words.Verdict:
    """Return a sentence on why a SKU is in the feed, or why it is not."""
    if explanation.reason is not None:
        unknown_reason = words.Verdict("warn", explanation.reason)
        return words.REASONS.get(explanation.reason, unknown_reason)
    winner = explanation.winner
    if winner is None:
        return words.Verdict("warn", "It is not in the feed: no offer competed.")
    other_offers = explanation.offers_count - 1
    if not other_offers:
        return words.Verdict("good", f"{winner.vendor_id} alone offers it.")
    losers = words.counted(other_offers, "other offer")
    return words.Verdict("good", f"{winner.vendor_id} wins over {losers}.")


@routes.post(_SKUS + "/override")
def put_override(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Store the override of the form for a SKU. The next run uses it."""
    fields = {"overrides": [_override_of(form)]}
    request = visits.request_of(wire.OverridesRequest, fields)
    put_overrides(visit.tenant_id, visit, request)
    return _go_to_sku(visit, form)


@routes.post(_SKUS + "/override/remove")
def remove_override(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Remove the override of a SKU."""
    fields = {"skus": [form.get("sku", "")]}
    request = visits.request_of(wire.OverrideRemovalRequest, fields)
    remove_overrides(visit.tenant_id, visit, request)
    return _go_to_sku(visit, form)


def _go_to_sku(visit: visits.Visit, form: QueryParams) -> Response:
    query = urlencode({"sku": form.get("sku", "")})
    return frame.go_to(f"{frame.HOME}/tenants/{visit.tenant_id}/skus?{query}")


def _override_of(form: QueryParams) -> dict[str, Any]:
    """Return the override of a form's fields. Empty fields are left out."""
    override: dict[str, Any] = {}
    for name in _TEXT_FIELDS:
        if form.get(name):
            override[name] = form[name].strip()
    if form.get("leave_out"):
        override["leave_out"] = True
    quantity = form.get("max_quantity", "").strip()
    if quantity:
        # Anything else than digits stays a text, which is then an error of the field.
        is_number = quantity.isascii() and quantity.isdigit()
        override["max_quantity"] = int(quantity) if is_number else quantity
    last_day = form.get("expires_on", "").strip()
    if last_day:
        override["expires_at"] = f"{last_day}T23:59:59Z"
    return override
