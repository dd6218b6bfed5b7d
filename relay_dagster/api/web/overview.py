"""The first page: the feed in force, what needs doing, each vendor, the last runs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastapi import Response

from relay_core.domain.codes import RunStatus
from relay_dagster.api.routes.runs import list_runs, submit_run
from relay_dagster.api.routes.statuses import get_status, list_publications
from relay_dagster.api.routes.tenants import config_document, find_config
from relay_dagster.api.web import frame, words
from relay_dagster.triggers.pulls import REPORTED_FAILURES
from relay_dagster.wire.runs import Run, RunRequest
from relay_dagster.wire.tenants import TenantStatus, VendorStanding

routes = frame.page_router()

_SHOWN_RUNS = 10


class Todo(NamedTuple):
    """Something to do, and the page where it is done."""

    text: str
    path: str
    link: str


def run_path(run_id: str) -> str:
    """Return where a run's page is."""
    return f"{frame.HOME}/runs/{run_id}"


def vendor_path(tenant_id: str, vendor_id: str) -> str:
    """Return where a vendor's page is."""
    return f"{frame.HOME}/tenants/{tenant_id}/vendors/{vendor_id}"


@routes.get(frame.HOME + "/tenants/{tenant_id}")
def show_overview(tenant_id: str, visit: frame.Reading) -> Response:
    """Show how a tenant stands."""
    status = get_status(tenant_id, visit)
    stored_config = find_config(visit.platform, tenant_id)
    config = config_document(visit.platform, stored_config)
    runs = list_runs(visit, tenant_id, limit=_SHOWN_RUNS).runs
    kept = list_publications(tenant_id, visit).publications
    feed = kept[0] if kept else None
    states = {each.vendor_id: each for each in status.vendors}
    named = [str(each["vendor_id"]) for each in config["vendors"]]
    vendors = [(name, states.get(name)) for name in named]
    todo = [*todo_of(tenant_id, status, runs, vendors)]
    return frame.page(
        "overview.html.jinja",
        visit,
        tone="idle" if feed is None else "warn" if todo else "good",
        feed=feed,
        stands=status,
        todo=todo,
        vendors=vendors,
        runs=runs,
    )


def todo_of(
    tenant_id: str,
    status: TenantStatus,
    runs: Sequence[Run],
    vendors: Sequence[tuple[str, VendorStanding | None]],
) -> Iterator[Todo]:
    """Yield what needs doing, the most urgent first."""
    if status.held_run_id is not None:
        text = "A new feed is held back: too much has changed in it. Look at it and decide."
        yield Todo(text, run_path(status.held_run_id), "Decide on the held feed")
    last = next((run for run in runs if run.has_ended), None)
    if last is not None and last.status == RunStatus.FAILED:
        yield Todo(
            last.next_action or "The last run failed.",
            run_path(last.run_id),
            "Failed run",
        )
    for name, standing in vendors:
        text = _todo_of_vendor(name, standing)
        if text:
            yield Todo(text, vendor_path(tenant_id, name), "Open the vendor")


def _todo_of_vendor(name: str, standing: VendorStanding | None) -> str:
    pull = None if standing is None else standing.pull
    if pull is not None and pull.failures >= REPORTED_FAILURES:
        return (
            f"The list of {name} cannot be fetched from its server: {pull.last_error}."
        )
    if standing is None or standing.status is None:
        return f"{name} has not been in a run yet. Upload its list, and start a run."
    if standing.uploaded_at is None:
        return f"{name} has sent nothing yet. Upload its list."
    tone, use = words.vendor_use(standing.status, standing.rows)
    if tone != "good":
        return f"The last list of {name} was not used ({use}). Look at what is wrong with it."
    if standing.invalid_rows:
        return f"{words.counted(standing.invalid_rows, 'row')} of {name} could not be used."
    return ""


@routes.post(frame.HOME + "/tenants/{tenant_id}/runs")
def start(tenant_id: str, visit: frame.Running, form: frame.OwnForm) -> Response:
    """Start a run of all vendors, and lead to its page."""
    request = frame.request_of(
        RunRequest, {"tenant_id": tenant_id, "run_type": "inventory_sync"}
    )
    return frame.go_to(run_path(submit_run(visit, request).run_id))
