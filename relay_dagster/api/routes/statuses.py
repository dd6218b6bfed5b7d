"""The status of a tenant: its feed, its runs, and each vendor's result in the last of them.

HTTP alone: records, the pointer and the lock are read, and no run's files.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from relay_core.config import TenantConfig
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.api.http.request_parsing import Limit, TenantId, cursor_query, router
from relay_dagster.api.routes import tenants
from relay_dagster.api.security.auth import Admin, MayRead
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.external_errors import UnreadableItemError
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import tenants as wire
from relay_dagster.wire.runs import LastRun, Publication, PublicationList
from relay_dagster.wiring import Platform

routes = router("tenants")


@routes.get("/v1/tenants")
def list_tenants(
    call: Admin,
    limit: Limit = 50,
    cursor: Annotated[str | None, cursor_query(pattern=ID_PATTERN)] = None,
) -> wire.TenantList:
    """List tenants by their ids: the config, since when a feed is in force, the last run.

    The list lags by a moment.
    """
    behind = sorted(
        one for one in call.platform.tenants.all_tenant_ids() if one > (cursor or "")
    )
    page = behind[:limit]
    found: list[wire.ListedTenant | None] = []
    for tenant_id in page:
        with suppress(UnreadableItemError):  # it is in the log; the others are listed
            found.append(_listed(call.platform, tenant_id))
    return wire.TenantList(
        tenants=[each for each in found if each is not None],
        next_cursor=page[-1] if behind[limit:] else None,
    )


def _listed(platform: Platform, tenant_id: str) -> wire.ListedTenant | None:
    """Return a tenant as a list shows it; None where it has just been removed."""
    version = platform.tenants.latest_version(tenant_id)
    if version is None:
        return None
    pointer = platform.runs.feed(tenant_id)
    return wire.ListedTenant(
        tenant_id=tenant_id,
        state=tenants.standing_of(platform.deletions.under_way(tenant_id))["state"],
        config_version=version,
        published_at=None if pointer is None else pointer.in_force.published_at,
        last_run=_shown(_last_ended(platform.runs, tenant_id)),
    )


def _last_ended(runs: RunStore, tenant_id: str) -> RunRecord | None:
    """Return a tenant's last run that has ended, looked for among its newest; None for none.

    A tenant's runs end in the order of their requests.
    """
    return next((run for run in runs.newest_runs(tenant_id) if run.has_ended), None)


def _shown(run: RunRecord | None) -> LastRun | None:
    return None if run is None else LastRun.of(run)


@routes.get("/v1/tenants/{tenant_id}/publications")
def list_publications(tenant_id: TenantId, call: MayRead) -> PublicationList:
    """List the feeds that a rollback may publish, newest first; the first is in force."""
    tenants.require_tenant(call.platform, tenant_id)
    pointer = call.platform.runs.feed(tenant_id)
    kept = (
        ()
        if pointer is None
        else pointer.publications[: call.platform.ledger.feeds.keep]
    )
    return PublicationList(publications=[*map(Publication.of, kept)])


@routes.get("/v1/tenants/{tenant_id}/status")
def get_status(tenant_id: TenantId, call: MayRead) -> wire.TenantStatus:
    """Return a tenant's status: the feed in force, what waits, and each vendor's last result."""
    latest = tenants.find_config(call.platform, tenant_id)
    pointer = call.platform.runs.feed(tenant_id)
    feed = None if pointer is None else pointer.in_force
    age = None if feed is None else utc_now() - feed.published_at
    deletion = call.platform.deletions.under_way(tenant_id)
    last = _last_ended(call.platform.runs, tenant_id)
    results = _results(call.platform.runs, tenant_id, last, pointer)
    config = tenants.read_stored(call.platform, latest)
    return wire.TenantStatus(
        **tenants.standing_of(deletion),
        published_run_id=None if feed is None else feed.run_id,
        published_at=None if feed is None else feed.published_at,
        feed_age_seconds=None if age is None else max(0, int(age.total_seconds())),
        held_run_id=None if pointer is None else pointer.held_run_id,
        active_run_id=call.platform.runs.lock(tenant_id).active_run_id,
        last_run=_shown(last),
        next_run_at=tenants.next_run_at(config),
        vendors=_standings(call.platform, tenant_id, config, results),
    )


def _standings(
    platform: Platform,
    tenant_id: str,
    config: TenantConfig | None,
    results: Sequence[VendorResult],
) -> list[wire.VendorStanding]:
    """Return the status of each vendor: of the last run's, then of others that are pulled."""
    vendors = () if config is None else config.vendors
    pulled = [each.vendor_id for each in vendors if each.inbound.pull is not None]
    known = platform.pulls.of_vendors(tenant_id, pulled)
    pulls = {
        each: wire.PullStanding.of(known[each])
        if each in known
        else wire.PullStanding()
        for each in pulled
    }
    seen = [
        wire.VendorStanding.of(each, pull=pulls.pop(each.vendor_id, None))
        for each in results
    ]
    rest = (
        wire.VendorStanding(vendor_id=name, pull=pull) for name, pull in pulls.items()
    )
    return [*seen, *rest]


def _results(
    runs: RunStore, tenant_id: str, last: RunRecord | None, pointer: FeedPointer | None
) -> tuple[VendorResult, ...]:
    """Return the results of the last run of all vendors that has ended.

    One that failed before it had looked at any has none. A run from before results had an item of
    their own has them in its record.
    """
    if last is not None and last.vendors is None and last.status is RunStatus.FAILED:
        return runs.vendor_results(tenant_id, last.run_id)
    found = runs.vendor_results(tenant_id)
    if found or pointer is None:
        return found
    known = runs.get(pointer.held_run_id or pointer.in_force.run_id)
    return () if known is None else known.vendor_results
