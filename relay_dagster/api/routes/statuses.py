"""How a tenant stands: its feed, its runs, and what each vendor gave to the last of them.

HTTP alone: it is told from the record, the pointer and the lock; no run's files are read.
"""

from __future__ import annotations

from relay_core.domain.records import VendorResult
from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import answers
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.routes.tenants import find_config, next_run_at, read_stored, standing_of
from relay_dagster.api.security.auth import MayRead
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire.tenants import TenantStatus, VendorStanding

routes = router("tenants")


@routes.get("/v1/tenants/{tenant_id}/status", responses=answers("TENANT_NOT_FOUND"))
def get_status(tenant_id: TenantId, caller: MayRead, platform: PlatformDep) -> TenantStatus:
    """Tell how a tenant stands: the feed in force, what waits, and each vendor's last result."""
    latest = find_config(platform.tenants, tenant_id)
    pointer = platform.runs.feed(tenant_id)
    feed = None if pointer is None else pointer.in_force
    age = None if feed is None else utc_now() - feed.published_at
    deletion = platform.deletions.under_way(tenant_id)
    return TenantStatus(
        **standing_of(deletion),
        published_run_id=None if feed is None else feed.run_id,
        published_at=None if feed is None else feed.published_at,
        feed_age_seconds=None if age is None else max(0, int(age.total_seconds())),
        held_run_id=None if pointer is None else pointer.held_run_id,
        active_run_id=platform.runs.lock(tenant_id).active_run_id,
        next_run_at=next_run_at(read_stored(platform.tenants, latest)),
        vendors=[*map(VendorStanding.of, _last_results(platform.runs, tenant_id, pointer))],
    )


def _last_results(
    runs: RunStore, tenant_id: str, pointer: FeedPointer | None
) -> tuple[VendorResult, ...]:
    """Return what the last run of all vendors that has ended came to with each.

    A run from before these had an item of their own has them in its record.
    """
    found = runs.vendor_results(tenant_id)
    if found or pointer is None:
        return found
    known = runs.get(pointer.held_run_id or pointer.in_force.run_id)
    return () if known is None else known.vendor_results
