"""A run's page: its result, its changes, and the forms to decide on it."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Query, Response
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.publish.report import parts as report_parts
from relay_core.publish.report import wording
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import runs as api_runs
from relay_dagster.services.feeds import release_run
from relay_dagster.services.overrides import accept_skus
from relay_dagster.web import error_words, frame, visits, words
from relay_dagster.web.channels import channel_tables
from relay_dagster.web.overview import run_path
from relay_dagster.web.quarantine import quarantined_prices
from relay_dagster.web.shop import Shop, shop_of_run
from relay_dagster.wire import runs as wire
from relay_dagster.wire.base import RequestBody
from relay_dagster.wire.skus import AcceptRequest
from relay_dagster.wiring import Platform

routes = frame.page_router()

_MAX_ROWS = 200
_MAX_VENDORS = 10
_COUNTS = tuple(
    name for name in wire.FeedChanges.model_fields if name != "baseline_run_id"
)


class Verdict(NamedTuple):
    """A run's result: its tone, a headline, and the consequence for the shop."""

    tone: words.Tone
    headline: str
    lead: str


class _ReasonRequest(RequestBody):
    """The fields of a form that has only a reason."""

    reason: wire.Reason


# --- the page -----------------------------------------------------------------------


@routes.get(frame.HOME + "/runs/{run_id}")
def show_run(
    run_id: str,
    visit: visits.Reading,
    accepted: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """Show a run."""
    return _run_page(run_id, visit, accepted=accepted)


def _run_page(
    run_id: str,
    visit: visits.Visit,
    *,
    accepted: int | None = None,
    rejected_form: visits.RejectedForm | None = None,
) -> Response:
    """Return the page of a run, with the values and the errors of a rejected form."""
    record = api_runs.find_run(run_id, visit)
    run = api_runs.run_response(record, visit)
    summary = api_runs.summary_of(record, visit.platform)
    shop = shop_of_run(visit, run.config_version)
    # The script reloads the page, which would send a rejected form again.
    has_script = not run.has_ended and rejected_form is None
    return frame.page(
        "run.html.jinja",
        visit,
        status=200 if rejected_form is None else 422,
        shop=shop,
        has_script=has_script,
        follows_progress=has_script,
        run=run,
        verdict=verdict(run, summary),
        next_step=error_words.next_step(run.error_code, run.next_action),
        vendors_to_check=_vendors_to_check(run, visit.platform),
        report=_report_parts(run, summary, shop),
        quarantined=summary.get("quarantined") or 0,
        quarantine=quarantined_prices(
            run.tenant_id, record.artifacts, visit.platform, shop.zone
        ),
        channels=channel_tables(
            record.artifacts, summary, visit.platform.objects
        ),
        files=words.files_of(run.artifacts),
        accepted=accepted,
        rejected=rejected_form,
    )


def _vendors_to_check(run: wire.Run, platform: Platform) -> list[str]:
    """Return the vendors whose files a failed run could not use, or rejected in part."""
    if run.status != RunStatus.FAILED:
        return []
    vendor_ids = []
    for result in platform.runs.vendor_results(run.tenant_id, run.run_id):
        use = words.vendor_use(result.status, result.rows)
        if use.tone != "good" or result.invalid_rows:
            vendor_ids.append(result.vendor_id)
    return vendor_ids[:_MAX_VENDORS]


def verdict(run: wire.Run, summary: Mapping[str, Any]) -> Verdict:
    """Return the result of a run, or its progress if it has not ended."""
    tone = words.run_state(run.status).tone
    if run.status == RunStatus.FAILED:
        return Verdict(tone, "No new feed was made", wording.NOTHING_PUBLISHED)
    if run.status == RunStatus.CANCELLED:
        return Verdict(tone, "The run was cancelled", wording.NOTHING_PUBLISHED)
    record_count = summary.get("record_count")
    skus = ""
    if record_count is not None:
        skus = f" with {words.counted(record_count, 'SKU')}"
    if run.status == RunStatus.HELD:
        lead = (
            "More has changed than your settings allow. Review the changes, and "
            "release or discard the feed. Until then, your shop keeps its live feed."
        )
        return Verdict(tone, f"A new feed{skus} is on hold", lead)
    if run.status != RunStatus.SUCCEEDED:
        activity = words.STAGES.get(run.stage, run.stage)
        return Verdict(tone, "The run is in progress", activity)
    if run.vendors is not None:
        return Verdict(
            tone, f"A feed of some vendors{skus}", wording.REVIEW_ONLY
        )
    if run.released_at is not None:
        lead = f"The feed was released from hold. Reason: {run.release_reason}"
    elif run.changes is None:
        lead = "This is your first feed."
    else:
        lead = "It replaced the previous feed."
    return Verdict(tone, f"A new feed{skus}", lead)


def _report_parts(
    run: wire.Run, summary: Mapping[str, Any], shop: Shop
) -> dict[str, Any]:
    """Return the variables of the report's templates that the page includes."""
    vendor_rows = [
        report_parts.VendorRows.of(vendor_id, counts)
        for vendor_id, counts in (summary.get("rows") or {}).items()
        if counts["read"]
    ]
    results = summary.get("guards") or (run.hold.guards if run.hold else [])
    guards = [
        report_parts.Guard.of(GuardResult.of_dict(result), {})
        for result in results
    ]
    guards.sort(key=lambda guard: not guard.tripped)
    changes = None
    if run.changes is not None:
        counts = {name: getattr(run.changes, name) for name in _COUNTS}
        chart = report_parts.changes_chart(counts)
        changes = {"chart": chart, "rises": (), "falls": ()}
    excerpt = report_parts.Excerpt
    return {
        "rows": excerpt.of(vendor_rows, _MAX_ROWS, len(vendor_rows)),
        "guards": excerpt.of(guards, _MAX_ROWS, len(guards)),
        "changes": changes,
        "catalog": _catalog_part(summary),
        "currency": shop.currency,
    }


def _catalog_part(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the rows that match the catalog, and the numbers of the others."""
    catalog = summary.get("catalog")
    if catalog is None:
        return None
    uncovered = catalog["uncovered"]
    return {
        "vendors": report_parts.matched_vendors(catalog["matched_by"]),
        "unmatched": words.counted(catalog["unmatched"], "row"),
        "uncovered": words.counted(uncovered or 0, "product"),
    }


@routes.get(frame.HOME + "/runs/{run_id}/files/{name}")
def open_file(run_id: str, name: str, visit: visits.Reading) -> Response:
    """Redirect to a file of a run, by a link that expires after an hour."""
    record = api_runs.find_run(run_id, visit)
    links, _ = api_runs.artifact_links(record, visit.platform, [name])
    if name not in links:
        message = "the run has no such file, or the file was deleted"
        raise ProblemError("ARTIFACTS_EXPIRED", message)
    return RedirectResponse(
        links[name], status_code=302, headers=frame.NO_STORE
    )


@routes.get(frame.HOME + "/progress.js")
def progress() -> Response:
    """Return the script that shows the progress of a run."""
    return frame.script("progress.js")


# --- the forms ----------------------------------------------------------------------


@routes.post(frame.HOME + "/runs/{run_id}/release")
def release(
    run_id: str, visit: visits.Releasing, form: visits.OwnForm
) -> Response:
    """Publish the feed that the page showed, which the form names."""
    fields = {
        "sha256": form.get("sha256"),
        "guards": form.getlist("guard"),
        "reason": form.get("reason"),
    }
    try:
        request = visits.request_of(wire.ReleaseRequest, fields)
    except ProblemError as error:
        return _rejected(error, run_id, visit, "release", form)
    release_run(run_id, visit, request)
    return frame.go_to(run_path(run_id))


@routes.post(frame.HOME + "/runs/{run_id}/accept")
def accept(
    run_id: str, visit: visits.Releasing, form: visits.LargeForm
) -> Response:
    """Accept the selected prices of the quarantine, or all. The next run uses them."""
    fields: dict[str, Any] = {"reason": form.get("reason")}
    if form.get("all"):
        fields["all"] = True
    else:
        fields["skus"] = form.getlist("sku")
    try:
        request = visits.request_of(AcceptRequest, fields)
    except ProblemError as error:
        return _rejected(error, run_id, visit, "accept", form)
    result = accept_skus(run_id, visit, request)
    return frame.go_to(f"{run_path(run_id)}?accepted={result.accepted}")


@routes.post(frame.HOME + "/runs/{run_id}/cancel")
def cancel(
    run_id: str, visit: visits.Running, form: visits.OwnForm
) -> Response:
    """Cancel a run, or discard its feed that is on hold."""
    try:
        request = visits.request_of(
            _ReasonRequest, {"reason": form.get("reason")}
        )
    except ProblemError as error:
        return _rejected(error, run_id, visit, "cancel", form)
    record = api_runs.find_run(run_id, visit)
    visit.platform.ledger.request_cancel(
        record.run_id, origin=visit.origin, reason=request.reason
    )
    return frame.go_to(run_path(run_id))


def _rejected(
    error: ProblemError,
    run_id: str,
    visit: visits.Visit,
    action: str,
    form: QueryParams,
) -> Response:
    """Return the page of the run with the errors of a form.

    Raises:
        ProblemError: The errors are not of fields that people fill in.
    """
    errors = error_words.reason_errors(error.errors, form.get("reason", ""))
    if not errors:
        raise error
    rejected_form = visits.RejectedForm(action, form, errors)
    return _run_page(run_id, visit, rejected_form=rejected_form)
