"""A run's page, its files, and the forms by which people decide on the run."""

from typing import Annotated, Any

from fastapi import Query, Response
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse

from relay_core.report.blocks import Action
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import runs as api_runs
from relay_dagster.services.feeds import release_run
from relay_dagster.services.overrides import accept_skus
from relay_dagster.web import error_words, frame, visits
from relay_dagster.web.overview import run_path
from relay_dagster.web.quarantine import accept_form
from relay_dagster.web.run_forms import ActionForm, ShownRun
from relay_dagster.web.run_page import run_page
from relay_dagster.wire import runs as wire
from relay_dagster.wire.base import RequestBody
from relay_dagster.wire.skus import AcceptRequest

routes = frame.page_router()


class _ReasonRequest(RequestBody):
    """The fields of a form that has only a reason."""

    reason: wire.Reason


# --- the forms of actions -----------------------------------------------------------


def _release_form(action: Action, shown: ShownRun) -> ActionForm | None:
    """Return the form that publishes exactly the feed on hold."""
    hold = shown.run.hold
    if hold is None or not shown.run.is_held or not shown.visit.may("release"):
        return None
    guards = (("guard", name) for name in hold.guard_names)
    return ActionForm(
        action,
        shown.path("release"),
        hidden=(("sha256", hold.sha256), *guards),
        help="You publish exactly the feed that this page describes.",
    )


def _discard_form(action: Action, shown: ShownRun) -> ActionForm | None:
    if not shown.run.is_held or not shown.visit.may("run"):
        return None
    return ActionForm(action, shown.path("cancel"))


_FORMS = {
    "release": _release_form,
    "discard": _discard_form,
    "accept_prices": accept_form,
}


# --- the page -----------------------------------------------------------------------


@routes.get(frame.HOME + "/runs/{run_id}")
def show_run(
    run_id: str,
    visit: visits.Reading,
    accepted: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """Show a run."""
    return run_page(run_id, visit, _FORMS, changed=accepted)


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


# --- sent forms ---------------------------------------------------------------------


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
    return run_page(run_id, visit, _FORMS, rejected_form=rejected_form)
