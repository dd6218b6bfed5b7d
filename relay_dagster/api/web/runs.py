"""A run's page: its result, its changes, and the forms to decide on it."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import Query, Response
from starlette.responses import RedirectResponse

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.publish.report import parts as report_parts
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.routes import runs as api_runs
from relay_dagster.api.routes.feeds import release_run
from relay_dagster.api.routes.overrides import accept_skus
from relay_dagster.api.web import frame, visits, words
from relay_dagster.api.web.overview import run_path
from relay_dagster.wire import runs as wire
from relay_dagster.wire.base import RequestBody
from relay_dagster.wire.skus import AcceptRequest
from relay_dagster.wiring import Platform

routes = frame.page_router()

_MAX_ROWS = 200
_MAX_QUARANTINED = 100
_QUARANTINE_BYTES = 1 << 20
_COUNTS = tuple(
    name for name in wire.FeedChanges.model_fields if name != "baseline_run_id"
)
_SHOP_KEEPS_FEED = "the shop keeps the feed that it has"


class Verdict(NamedTuple):
    """A run's result: its tone, a headline, and its consequence for the shop."""

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
    record = api_runs.find_run(run_id, visit)
    run = api_runs.run_response(record, visit)
    summary = api_runs.summary_of(record, visit.platform)
    return frame.page(
        "run.html.jinja",
        visit,
        has_script=not run.has_ended,
        run=run,
        verdict=verdict(run, summary),
        report=_report_parts(run, summary),
        quarantined=summary.get("quarantined") or 0,
        quarantine=_quarantine(run, visit.platform),
        accepted=accepted,
    )


def verdict(run: wire.Run, summary: Mapping[str, Any]) -> Verdict:
    """Return the result of a run, or its progress if it has not ended."""
    tone = words.run_state(run.status).tone
    if run.status == RunStatus.FAILED:
        lead = f"Nothing is published: {_SHOP_KEEPS_FEED}."
        return Verdict(tone, "No new feed was made", lead)
    if run.status == RunStatus.CANCELLED:
        lead = f"Nothing is published: {_SHOP_KEEPS_FEED}."
        return Verdict(tone, "The run was cancelled", lead)
    record_count = summary.get("record_count")
    skus = ""
    if record_count is not None:
        skus = f" with {words.counted(record_count, 'SKU')}"
    if run.status == RunStatus.HELD:
        lead = (
            "More has changed than you allow without a look. "
            f"It waits, and {_SHOP_KEEPS_FEED}."
        )
        return Verdict(tone, f"A new feed{skus} is held back", lead)
    if run.status != RunStatus.SUCCEEDED:
        activity = words.STAGES.get(run.stage, run.stage)
        return Verdict(tone, "The run is under way", f"It is {activity}.")
    if run.vendors is not None:
        lead = f"It is there to be seen: {_SHOP_KEEPS_FEED}."
        return Verdict(tone, f"A feed of some vendors{skus}", lead)
    if run.released_at is not None:
        lead = f"It was released: {run.release_reason}"
    elif run.changes is None:
        lead = "It is the first."
    else:
        lead = "It took the place of the one before."
    return Verdict(tone, f"A new feed{skus}", lead)


def _report_parts(run: wire.Run, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the report's templates that the page includes."""
    vendor_rows = [
        report_parts.VendorRows.of(vendor_id, counts)
        for vendor_id, counts in (summary.get("rows") or {}).items()
        if counts["read"]
    ]
    results = summary.get("guards") or (run.hold.guards if run.hold else [])
    guards = [
        report_parts.Guard.of(GuardResult.of_dict(result), {}) for result in results
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
    }


def _quarantine(run: wire.Run, platform: Platform) -> Sequence[Mapping[str, str]]:
    """Return the first rows of quarantine.csv; there are none without a quarantine."""
    key = run.artifacts.get("quarantine")
    if key is None:
        return []
    data = platform.objects.read_range(key, 0, _QUARANTINE_BYTES) or b""
    lines = io.StringIO(data.decode(errors="replace"), newline="")
    # A SKU can be as long as a cell may be, more than the csv module's default.
    csv.field_size_limit(sys.maxsize)
    rows: list[Mapping[str, str]] = []
    for row in csv.DictReader(lines):
        # The last row may be cut off, before its last column.
        if row["suspect_since"]:
            rows.append(row)
        if len(rows) == _MAX_QUARANTINED:
            break
    return rows


@routes.get(frame.HOME + "/runs/{run_id}/files/{name}")
def open_file(run_id: str, name: str, visit: visits.Reading) -> Response:
    """Redirect to a file of a run, by a link that expires after an hour."""
    record = api_runs.find_run(run_id, visit)
    links, _ = api_runs.artifact_links(record, visit.platform, [name])
    if name not in links:
        message = "the run has no such file, or no longer"
        raise ProblemError("ARTIFACTS_EXPIRED", message)
    return RedirectResponse(links[name], status_code=302, headers=frame.NO_STORE)


@routes.get(frame.HOME + "/progress.js")
def progress() -> Response:
    """Return the script that shows the progress of a run."""
    return frame.script("progress.js")


# --- the forms ----------------------------------------------------------------------


@routes.post(frame.HOME + "/runs/{run_id}/release")
def release(run_id: str, visit: visits.Releasing, form: visits.OwnForm) -> Response:
    """Publish the feed that was shown, which the form names."""
    fields = {
        "sha256": form.get("sha256"),
        "guards": form.getlist("guard"),
        "reason": form.get("reason"),
    }
    request = visits.request_of(wire.ReleaseRequest, fields)
    release_run(run_id, visit, request)
    return frame.go_to(run_path(run_id))


@routes.post(frame.HOME + "/runs/{run_id}/accept")
def accept(run_id: str, visit: visits.Releasing, form: visits.OwnForm) -> Response:
    """Accept the chosen prices of the quarantine, or all. The next run has them."""
    fields: dict[str, Any] = {"reason": form.get("reason")}
    if form.get("all"):
        fields["all"] = True
    else:
        fields["skus"] = form.getlist("sku")
    request = visits.request_of(AcceptRequest, fields)
    result = accept_skus(run_id, visit, request)
    return frame.go_to(f"{run_path(run_id)}?accepted={result.accepted}")


@routes.post(frame.HOME + "/runs/{run_id}/cancel")
def cancel(run_id: str, visit: visits.Running, form: visits.OwnForm) -> Response:
    """Cancel a run, or discard its feed that is on hold."""
    request = visits.request_of(_ReasonRequest, {"reason": form.get("reason")})
    record = api_runs.find_run(run_id, visit)
    visit.platform.ledger.request_cancel(
        record.run_id, origin=visit.origin, reason=request.reason
    )
    return frame.go_to(run_path(run_id))
