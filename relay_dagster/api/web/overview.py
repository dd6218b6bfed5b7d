"""The overview of a tenant: its live feed, to-do list, vendors and latest runs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastapi import Response

from relay_core.domain.codes import RunStatus
from relay_dagster.api.routes.runs import list_runs, submit_run
from relay_dagster.api.routes.statuses import get_status, list_publications
from relay_dagster.api.routes.tenants import config_document, find_config
from relay_dagster.api.web import frame, visits, words
from relay_dagster.triggers.pulls import REPORTED_FAILURES
from relay_dagster.wire.runs import Run, RunRequest
from relay_dagster.wire.tenants import TenantStatus, VendorStanding

routes = frame.page_router()

_MAX_RUNS = 10


class Todo(NamedTuple):
    """Something for the merchant to do, and the page to do it on."""

    text: str
    path: str
    link: str  # the text of the link to the page


class Vendor(NamedTuple):
    """A vendor of the config, and its status; None if the vendor has no status yet."""

    vendor_id: str
    status: VendorStanding | None


def run_path(run_id: str) -> str:
    """Return the path of a run's page."""
    return f"{frame.HOME}/runs/{run_id}"


def vendor_path(tenant_id: str, vendor_id: str) -> str:
    """Return the path of a vendor's page."""
    return f"{frame.HOME}/tenants/{tenant_id}/vendors/{vendor_id}"


@routes.get(frame.HOME + "/tenants/{tenant_id}")
def show_overview(tenant_id: str, visit: visits.Reading) -> Response:
    """Show the overview of a tenant."""
    status = get_status(tenant_id, visit)
    stored_config = find_config(visit.platform, tenant_id)
    config = config_document(visit.platform, stored_config)
    runs = list_runs(visit, tenant_id, limit=_MAX_RUNS).runs
    publications = list_publications(tenant_id, visit).publications
    feed = publications[0] if publications else None
    statuses = {vendor.vendor_id: vendor for vendor in status.vendors}
    vendor_ids = [str(vendor["vendor_id"]) for vendor in config["vendors"]]
    vendors = [Vendor(vendor_id, statuses.get(vendor_id)) for vendor_id in vendor_ids]
    todo = list(todo_of(tenant_id, status, runs, vendors))
    tone: words.Tone = "warn" if todo else "good"
    if feed is None:
        tone = "idle"
    return frame.page(
        "overview.html.jinja",
        visit,
        tone=tone,
        feed=feed,
        tenant_status=status,
        todo=todo,
        vendors=vendors,
        runs=runs,
    )


def todo_of(
    tenant_id: str,
    status: TenantStatus,
    runs: Sequence[Run],
    vendors: Sequence[Vendor],
) -> Iterator[Todo]:
    """Yield what the merchant has to do, the most urgent first."""
    if status.held_run_id is not None:
        yield Todo(
            text="A new feed is held back: too much has changed in it. "
            "Look at it and decide.",
            path=run_path(status.held_run_id),
            link="Decide on the held feed",
        )
    ended_runs = [run for run in runs if run.has_ended]
    if ended_runs and ended_runs[0].status == RunStatus.FAILED:
        last_run = ended_runs[0]
        yield Todo(
            text=last_run.next_action or "The last run failed.",
            path=run_path(last_run.run_id),
            link="Failed run",
        )
    for vendor in vendors:
        text = _todo_of_vendor(vendor.vendor_id, vendor.status)
        if text:
            path = vendor_path(tenant_id, vendor.vendor_id)
            yield Todo(text, path, link="Open the vendor")


def _todo_of_vendor(vendor_id: str, status: VendorStanding | None) -> str:
    """Return what there is to do about a vendor, or "" for nothing."""
    pull = None if status is None else status.pull
    if pull is not None and pull.failures >= REPORTED_FAILURES:
        return (
            f"The list of {vendor_id} cannot be fetched from its server: "
            f"{pull.last_error}."
        )
    if status is None or status.status is None:
        return (
            f"{vendor_id} has not been in a run yet. Upload its list, and start a run."
        )
    if status.uploaded_at is None:
        return f"{vendor_id} has sent nothing yet. Upload its list."
    use = words.vendor_use(status.status, status.rows)
    if use.tone != "good":
        return (
            f"The last list of {vendor_id} was not used ({use.text}). "
            "Look at what is wrong with it."
        )
    if status.invalid_rows:
        rows = words.counted(status.invalid_rows, "row")
        return f"{rows} of {vendor_id} could not be used."
    return ""


@routes.post(frame.HOME + "/tenants/{tenant_id}/runs")
def start(tenant_id: str, visit: visits.Running, form: visits.OwnForm) -> Response:
    """Start a run of all vendors, and go to its page."""
    request = visits.request_of(RunRequest, {"tenant_id": tenant_id})
    record = submit_run(visit, request)
    return frame.go_to(run_path(record.run_id))
