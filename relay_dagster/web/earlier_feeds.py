"""The earlier feeds of a tenant, and the form that makes one of them live again."""

from collections.abc import Mapping

from fastapi import Response

from relay_dagster.http.problems import ProblemError, problem_of
from relay_dagster.runs.errors import (
    FeedNotKeptError,
    TenantBusyError,
    TenantClosingError,
)
from relay_dagster.services import statuses, tenants
from relay_dagster.services.feeds import roll_back_feed
from relay_dagster.web import error_words, frame, visits
from relay_dagster.web.shop import shop_of
from relay_dagster.wire.runs import RollbackRequest

routes = frame.page_router()

_FEEDS = frame.HOME + "/tenants/{tenant_id}/feeds"
_REFUSALS = (FeedNotKeptError, TenantBusyError, TenantClosingError)


@routes.get(_FEEDS)
def show_feeds(tenant_id: str, visit: visits.Reading) -> Response:
    """Show the feeds that are kept, newest first."""
    stored_config = tenants.find_config(visit.platform, tenant_id)
    feeds = statuses.list_publications(tenant_id, visit).publications
    return frame.page(
        "feeds.html.jinja",
        visit,
        shop=shop_of(visit.platform, stored_config),
        feeds=feeds,
    )


@routes.get(_FEEDS + "/{run_id}")
def ask(tenant_id: str, run_id: str, visit: visits.Releasing) -> Response:
    """Show what a rollback to a run's feed does, and ask for its reason."""
    return _rollback_page(tenant_id, run_id, visit)


@routes.post(_FEEDS + "/{run_id}")
def roll_back(
    tenant_id: str,
    run_id: str,
    visit: visits.Releasing,
    form: visits.OwnForm,
) -> Response:
    """Make a run's feed live again, and open the overview."""
    fields = {"run_id": run_id, "reason": form.get("reason")}
    try:
        request = visits.request_of(RollbackRequest, fields)
        roll_back_feed(tenant_id, visit, request)
    except (ProblemError, *_REFUSALS) as error:
        problem = problem_of(error)
        rejected_form = visits.RejectedForm(
            "rollback", form, _errors_of(problem, form.get("reason", ""))
        )
        return _rollback_page(
            tenant_id, run_id, visit, rejected_form, problem.status
        )
    return frame.go_to(f"{frame.HOME}/tenants/{tenant_id}")


def _errors_of(
    problem: ProblemError, reason: str
) -> Mapping[str, error_words.FieldError]:
    """Return the errors of the form: of its reason, or of the rollback as a whole."""
    errors = error_words.reason_errors(problem.errors, reason)
    if errors:
        return errors
    title, text = error_words.page_error(problem)
    error = error_words.FieldError(f"{title}.", text)
    return {error_words.WHOLE_FORM: error}


def _rollback_page(
    tenant_id: str,
    run_id: str,
    visit: visits.Visit,
    rejected_form: visits.RejectedForm | None = None,
    status: int = 200,
) -> Response:
    """Return the page that confirms a rollback, with the errors of a rejected form.

    Raises:
        FeedNotKeptError: The run has no feed that is kept.
    """
    stored_config = tenants.find_config(visit.platform, tenant_id)
    feeds = statuses.list_publications(tenant_id, visit).publications
    feed = next((feed for feed in feeds if feed.run_id == run_id), None)
    if feed is None:
        raise FeedNotKeptError(tenant_id, run_id)
    pointer = visit.platform.runs.feed(tenant_id)
    return frame.page(
        "rollback.html.jinja",
        visit,
        status=status,
        shop=shop_of(visit.platform, stored_config),
        feed=feed,
        is_live=feed is feeds[0],
        has_held_feed=pointer is not None and pointer.held_run_id is not None,
        rejected=rejected_form,
    )
