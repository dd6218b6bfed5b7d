"""A run's page: its verdict, its changes with their causes, and the forms to decide on it."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import Query, Response
from starlette.responses import RedirectResponse

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.publish.report.parts import Excerpt, Guard, VendorRows, changes_chart
from relay_core.publish.report.wording import Tone
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.routes.feeds import release_run
from relay_dagster.api.routes.runs import (
    artifact_links,
    find_run,
    run_response,
    summary_of,
)
from relay_dagster.api.routes.skus import accept_skus
from relay_dagster.api.web import frame, words
from relay_dagster.api.web.overview import run_path
from relay_dagster.wire.base import RequestBody
from relay_dagster.wire.runs import FeedChanges, Reason, ReleaseRequest, Run
from relay_dagster.wire.skus import AcceptRequest
from relay_dagster.wiring import Platform

routes = frame.page_router()

_MAX_ROWS = 200
_MAX_QUARANTINED = 100
_QUARANTINE_BYTES = 1 << 20
_COUNTS = tuple(name for name in FeedChanges.model_fields if name != "baseline_run_id")


class _Reasoned(RequestBody):
    """A form that gives nothing but a reason."""

    reason: Reason


@routes.get(frame.HOME + "/runs/{run_id}")
def show_run(
    run_id: str,
    visit: frame.Reading,
    accepted: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """Show a run as it stands."""
    record = find_run(run_id, visit)
    run = run_response(record, visit)
    summary = summary_of(record, visit.platform)
    return frame.page(
        "run.html.jinja",
        visit,
        has_script=not run.has_ended,
        run=run,
        of=verdict(run, summary),
        report=_parts(run, summary),
        quarantined=summary.get("quarantined") or 0,
        quarantine=_quarantine(run, visit.platform),
        accepted=accepted,
    )


def verdict(run: Run, summary: Mapping[str, Any]) -> tuple[Tone, str, str]:
    """Return a run's tone, a headline and what it means for the shop."""
    count = summary.get("record_count")
    skus = "" if count is None else f" with {words.counted(count, 'SKU')}"
    tone, _ = words.run_state(run.status)
    kept = "the shop keeps the feed that it has"
    if run.status == RunStatus.HELD:
        lead = f"More has changed than you allow without a look. It waits, and {kept}."
        return tone, f"A new feed{skus} is held back", lead
    if run.status == RunStatus.FAILED:
        return tone, "No new feed was made", f"Nothing is published: {kept}."
    if run.status == RunStatus.CANCELLED:
        return tone, "The run was cancelled", f"Nothing is published: {kept}."
    if run.status != RunStatus.SUCCEEDED:
        return (
            tone,
            "The run is under way",
            f"It is {words.STAGES.get(run.stage, run.stage)}.",
        )
    if run.vendors is not None:
        return tone, f"A feed of some vendors{skus}", f"It is there to be seen: {kept}."
    if run.released_at is not None:
        return tone, f"A new feed{skus}", f"It was released: {run.release_reason}"
    before = (
        "It is the first."
        if run.changes is None
        else "It took the place of the one before."
    )
    return tone, f"A new feed{skus}", before


def _parts(run: Run, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report's parts show of a run."""
    rows = summary.get("rows") or {}
    read = [
        VendorRows.of(name, counts) for name, counts in rows.items() if counts["read"]
    ]
    results = summary.get("guards") or (run.hold.guards if run.hold else [])
    guards = [Guard.of(GuardResult.of_dict(each), {}) for each in results]
    guards.sort(key=lambda guard: not guard.tripped)
    counts = (
        {name: getattr(run.changes, name) for name in _COUNTS} if run.changes else None
    )
    chart = (
        {"chart": changes_chart(counts), "rises": (), "falls": ()} if counts else None
    )
    return {
        "rows": Excerpt.of(read, _MAX_ROWS, len(read)),
        "guards": Excerpt.of(guards, _MAX_ROWS, len(guards)),
        "changes": chart,
    }


def _quarantine(run: Run, platform: Platform) -> Sequence[Mapping[str, str]]:
    """Return the first rows of quarantine.csv; none where there is none."""
    key = run.artifacts.get("quarantine")
    data = platform.objects.read_range(key, 0, _QUARANTINE_BYTES) if key else None
    lines = io.StringIO((data or b"").decode(errors="replace"), newline="")
    csv.field_size_limit(sys.maxsize)  # a SKU is as long as a cell may be
    whole = (
        row for row in csv.DictReader(lines) if row["suspect_since"]
    )  # the last may be cut
    return [*islice(whole, _MAX_QUARANTINED)]


@routes.get(frame.HOME + "/runs/{run_id}/files/{name}")
def open_file(run_id: str, name: str, visit: frame.Reading) -> Response:
    """Lead to a file of a run, by a link that is good for an hour."""
    record = find_run(run_id, visit)
    links, _ = artifact_links(record, visit.platform, [name])
    if name not in links:
        raise ProblemError(
            "ARTIFACTS_EXPIRED", "the run has no such file, or no longer"
        )
    return RedirectResponse(links[name], 302, headers={"Cache-Control": "no-store"})


@routes.post(frame.HOME + "/runs/{run_id}/release")
def release(run_id: str, visit: frame.Releasing, form: frame.OwnForm) -> Response:
    """Publish the feed that was shown, as the form names it."""
    fields = {"sha256": form.get("sha256"), "guards": form.getlist("guard")}
    order = frame.request_of(ReleaseRequest, {**fields, "reason": form.get("reason")})
    release_run(run_id, visit, order)
    return frame.go_to(run_path(run_id))


@routes.post(frame.HOME + "/runs/{run_id}/accept")
def accept(run_id: str, visit: frame.Releasing, form: frame.OwnForm) -> Response:
    """Accept prices that are held back, those that were chosen or all; the next run has them."""
    skus = {"all": True} if form.get("all") else {"skus": form.getlist("sku")}
    order = frame.request_of(AcceptRequest, {**skus, "reason": form.get("reason")})
    done = accept_skus(run_id, visit, order)
    return frame.go_to(f"{run_path(run_id)}?accepted={done.accepted}")


@routes.post(frame.HOME + "/runs/{run_id}/cancel")
def cancel(run_id: str, visit: frame.Running, form: frame.OwnForm) -> Response:
    """Cancel a run, or discard the feed that it holds back."""
    reason = frame.request_of(_Reasoned, {"reason": form.get("reason")}).reason
    record = find_run(run_id, visit)
    visit.platform.ledger.request_cancel(
        record.run_id, origin=visit.origin, reason=reason
    )
    return frame.go_to(run_path(run_id))


@routes.get(frame.HOME + "/progress.js")
def progress() -> Response:
    """Return the script that shows how far a run is."""
    return frame.script("progress.js")
