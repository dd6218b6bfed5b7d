"""The overview of a tenant: its live feed, to-do list, vendors and latest runs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastapi import Response

from relay_core.domain.codes import RunStatus, VendorStatus
from relay_core.domain.input_names import name_of
from relay_dagster.services import statuses, tenants
from relay_dagster.services.feeds import live_file
from relay_dagster.services.runs import list_runs, submit_run
from relay_dagster.triggers.pulls import REPORTED_FAILURES
from relay_dagster.web import error_words, frame, visits, words
from relay_dagster.web.quarantine import count_waiting
from relay_dagster.web.settings.steps import steps_left
from relay_dagster.web.shop import shop_of
from relay_dagster.wire.runs import Publication, Run, RunRequest
from relay_dagster.wire.tenants import (
    PullStanding,
    TenantStatus,
    VendorStanding,
)
from relay_dagster.wiring import Platform

routes = frame.page_router()

_MAX_RUNS = 10
_USES = {
    VendorStatus.LAST_GOOD: "used the last good file instead",
    VendorStatus.LEFT_OUT: "left the vendor out",
    VendorStatus.MISSING: "found no file",
}


class Todo(NamedTuple):
    """A task of the merchant, and a link to the page for it."""

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
    status = statuses.get_status(tenant_id, visit)
    stored_config = tenants.find_config(visit.platform, tenant_id)
    config = tenants.config_document(visit.platform, stored_config)
    runs = list_runs(visit, tenant_id, limit=_MAX_RUNS).runs
    publications = statuses.list_publications(tenant_id, visit).publications
    feed = publications[0] if publications else None
    status_by_vendor = {vendor.vendor_id: vendor for vendor in status.vendors}
    vendors = []
    for vendor in config["vendors"]:
        vendor_id = str(vendor["vendor_id"])
        vendors.append(Vendor(vendor_id, status_by_vendor.get(vendor_id)))
    todo = list(todo_of(tenant_id, status, runs, vendors))
    waiting = _waiting_prices(feed, visit.platform)
    if feed is not None and waiting:
        text = f"{words.counted(waiting, 'new price')} to review."
        path = f"{run_path(feed.run_id)}#quarantine"
        todo.append(Todo(text, path, link="Review prices"))
    pause = visit.platform.pauses.of(tenant_id)
    tone: words.Tone = "warn" if todo else "good"
    if feed is None:
        tone = "idle"
    return frame.page(
        "overview.html.jinja",
        visit,
        shop=shop_of(visit.platform, stored_config),
        tone=tone,
        feed=feed,
        tenant_status=status,
        todo=todo,
        steps=steps_left(visit, config, feed_count=len(publications)),
        vendors=vendors,
        runs=runs,
        has_failed=_has_failed(runs),
        pause=pause,
    )


@routes.get(frame.HOME + "/tenants/{tenant_id}/feed")
def open_feed(tenant_id: str, visit: visits.Reading) -> Response:
    """Redirect to the live feed, by a link that expires after an hour."""
    file = live_file(tenant_id, visit.platform)
    headers = {
        "Location": visit.platform.objects.presign(file.key),
        "Cache-Control": "no-store",
    }
    return Response(status_code=302, headers=headers)


def _waiting_prices(feed: Publication | None, platform: Platform) -> int:
    """Return the number of prices of the live feed's run that wait for a review."""
    record = None if feed is None else platform.runs.get(feed.run_id)
    if record is None:
        return 0
    return count_waiting(record.tenant_id, record.artifacts, platform)


def _has_failed(runs: Sequence[Run]) -> bool:
    """Return True if the latest run that has ended was of all vendors, and failed.

    The statuses of the vendors are those of this run then.
    """
    ended_runs = [run for run in runs if run.has_ended]
    if not ended_runs or ended_runs[0].vendors is not None:
        return False
    return ended_runs[0].status == RunStatus.FAILED


def todo_of(
    tenant_id: str,
    status: TenantStatus,
    runs: Sequence[Run],
    vendors: Sequence[Vendor],
) -> Iterator[Todo]:
    """Yield the tasks of the merchant, the most urgent first."""
    if status.held_run_id is not None:
        yield Todo(
            text="A new feed is on hold because too much has changed. Review it, then "
            "release or discard it.",
            path=run_path(status.held_run_id),
            link="Review feed",
        )
    ended_runs = [run for run in runs if run.has_ended]
    if ended_runs and ended_runs[0].status == RunStatus.FAILED:
        last_run = ended_runs[0]
        next_step = error_words.next_step(
            last_run.error_code, last_run.next_action
        )
        yield Todo(
            text=f"The latest run failed. {next_step}",
            path=run_path(last_run.run_id),
            link="View failed run",
        )
    for vendor in vendors:
        text = _todo_of_vendor(vendor.vendor_id, vendor.status)
        if text:
            path = vendor_path(tenant_id, vendor.vendor_id)
            yield Todo(text, path, link="View vendor")


def _todo_of_vendor(vendor_id: str, status: VendorStanding | None) -> str:
    """Return the task that a vendor needs, or "" for none."""
    for name, pull in _pulls_of(vendor_id, status):
        if pull is not None and pull.failures >= REPORTED_FAILURES:
            return (
                f"The file of {name} cannot be fetched from its server: "
                f"{pull.last_error}."
            )
    if status is None or status.status is None:
        return f"{vendor_id} has not been in a run yet. Upload a file, then start a run."
    if status.uploaded_at is None:
        return f"{vendor_id} has no file yet. Upload one."
    use = words.vendor_use(status.status, status.rows)
    if use.tone == "bad":
        return f"The latest run could not read the file of {vendor_id}. Check the file."
    if use.tone != "good":
        action = _USES.get(VendorStatus(status.status), use.text)
        return (
            f"The latest run did not use the latest file of {vendor_id}. "
            f"It {action}. Check the latest file."
        )
    if status.invalid_rows:
        rows = words.counted(status.invalid_rows, "row")
        verb = "was" if status.invalid_rows == 1 else "were"
        return (
            f"{rows} of {vendor_id} {verb} rejected. Check the file to see why."
        )
    return ""


def _pulls_of(
    vendor_id: str, status: VendorStanding | None
) -> Iterator[tuple[str, PullStanding | None]]:
    """Yield the pulls of a vendor, and of its parts, each with the name of its files."""
    if status is not None:
        yield vendor_id, status.pull
        for part in status.parts or ():
            yield name_of(vendor_id, part.part_id), part.pull


@routes.post(frame.HOME + "/tenants/{tenant_id}/runs")
def start(
    tenant_id: str, visit: visits.Running, form: visits.OwnForm
) -> Response:
    """Start a run of all vendors, and open its page."""
    request = visits.request_of(RunRequest, {"tenant_id": tenant_id})
    record = submit_run(visit, request)
    return frame.go_to(run_path(record.run_id))
