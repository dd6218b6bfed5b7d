"""A SKU's page: the explanation of its row, and the form for its override."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Response
from starlette.datastructures import QueryParams

from relay_core.domain.errors import RelayError
from relay_core.publish.report.wording import Tone
from relay_dagster.api.routes.skus import explain_sku, put_overrides, remove_overrides
from relay_dagster.api.routes.statuses import get_status
from relay_dagster.api.routes.tenants import find_config, read_stored
from relay_dagster.api.web import frame, words
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire.skus import (
    Explanation,
    OverrideRemovalRequest,
    OverridesRequest,
)

routes = frame.page_router()

_TEXTS = ("sku", "price", "min_price", "vendor_id", "note")
_SKUS = frame.HOME + "/tenants/{tenant_id}/skus"


@routes.get(_SKUS)
def show_sku(
    visit: frame.Reading,
    sku: Annotated[str, Query(max_length=1024)] = "",
    run: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Explain a SKU of the feed in force, or of a run that is named."""
    status = get_status(visit.tenant_id, visit)
    run_id = run or status.published_run_id or status.held_run_id
    config = read_stored(visit.platform, find_config(visit.platform, visit.tenant_id))
    sku = sku.strip()
    document = visit.platform.overrides.document(visit.tenant_id)
    standing = document.overrides.get(sku)
    now = standing and standing.in_effect_at(utc_now())
    of: Explanation | None = None
    tone: Tone = "idle"
    headline = "Ask why it is in the feed as it is, or why it is not."
    if sku and run_id:
        try:
            of = explain_sku(run_id, visit, sku)
            tone, headline = verdict(of)
        except RelayError as error:
            if now is None:
                raise
            # What was said of it is shown all the same.
            tone, headline = "warn", f"It is not explained: {error}."
    elif run_id is None:
        headline = "There is no feed yet, so there is nothing to look up."
    return frame.page(
        "sku.html.jinja",
        visit,
        sku=sku,
        of=of,
        tone=tone,
        headline=headline,
        override=now.as_dict() if now else {},
        vendors=[each.vendor_id for each in config.vendors] if config else [],
    )


@routes.post(_SKUS + "/override")
def put_override(visit: frame.Configuring, form: frame.OwnForm) -> Response:
    """Put what the form says in place of the SKU's override; the next run uses it."""
    order = frame.request_of(OverridesRequest, {"overrides": [_override_of(form)]})
    put_overrides(visit.tenant_id, visit, order)
    return _back_to(visit, form)


@routes.post(_SKUS + "/override/remove")
def remove_override(visit: frame.Configuring, form: frame.OwnForm) -> Response:
    """Remove the SKU's override."""
    order = frame.request_of(OverrideRemovalRequest, {"skus": [form.get("sku", "")]})
    remove_overrides(visit.tenant_id, visit, order)
    return _back_to(visit, form)


def _back_to(visit: frame.Visit, form: QueryParams) -> Response:
    query = urlencode({"sku": form.get("sku", "")})
    return frame.go_to(f"{frame.HOME}/tenants/{visit.tenant_id}/skus?{query}")


def _override_of(form: QueryParams) -> dict[str, Any]:
    """Return the override of a form's fields; empty ones are left out."""
    said: dict[str, Any] = {
        name: form[name].strip() for name in _TEXTS if form.get(name)
    }
    if form.get("leave_out"):
        said["leave_out"] = True
    if quantity := form.get("max_quantity", "").strip():
        is_number = quantity.isascii() and quantity.isdigit()
        said["max_quantity"] = int(quantity) if is_number else quantity
    if day := form.get("expires_on", "").strip():
        said["expires_at"] = f"{day}T23:59:59Z"
    return said


def verdict(of: Explanation) -> tuple[Tone, str]:
    """Return in a sentence why a SKU is in the feed as it is."""
    if of.reason is not None:
        return words.REASONS.get(of.reason, ("warn", of.reason))
    if of.winner is None:
        return "warn", "It is not in the feed: no offer competed."
    others = of.offers_count - 1
    if not others:
        return "good", f"{of.winner.vendor_id} alone offers it."
    rest = words.counted(others, "other offer")
    return "good", f"{of.winner.vendor_id} wins over {rest}."
