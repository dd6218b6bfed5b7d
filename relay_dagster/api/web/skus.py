"""A SKU's page: why it is in the feed as it is, and what its merchant says of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from relay_core.publish.report.wording import Tone
from relay_dagster.api.http.dependencies import ExplainerDep, PlatformDep
from relay_dagster.api.routes.skus import explain_sku
from relay_dagster.api.routes.statuses import get_status
from relay_dagster.api.web import words
from relay_dagster.api.web.frame import HOME, Reading, page, page_router
from relay_dagster.wire.explanations import Explanation

routes = page_router()

_SKUS = HOME + "/tenants/{tenant_id}/skus"


@routes.get(_SKUS)
def show_sku(
    tenant_id: str,
    visit: Reading,
    platform: PlatformDep,
    explainer: ExplainerDep,
    sku: Annotated[str, Query(max_length=1024)] = "",
    run: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Explain a SKU of the feed in force, or of a run that is named."""
    status = get_status(tenant_id, visit.caller, platform)
    run_id = run or status.published_run_id or status.held_run_id
    sku = sku.strip()
    of = explain_sku(run_id, visit.caller, platform, explainer, sku) if sku and run_id else None
    tone: Tone = "idle"
    headline = "Ask why it is in the feed as it is, or why it is not."
    if of is not None:
        tone, headline = verdict(of)
    elif run_id is None:
        headline = "There is no feed yet, so there is nothing to look up."
    return page("sku.html.jinja", visit, sku=sku, of=of, tone=tone, headline=headline)


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
