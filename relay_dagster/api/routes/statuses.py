"""The status of tenants: their feeds, their runs, and their vendors' results.

This is HTTP only. It reads records, the feed's pointer and the lock, and of the files
of runs only the manifest that has the upload of the catalog.
"""

from contextlib import suppress
from typing import Annotated

from relay_dagster.api import request_parsing
from relay_dagster.api.request_parsing import Limit, TenantId
from relay_dagster.external_errors import UnreadableItemError
from relay_dagster.http.security.auth import Admin, MayRead
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.services import statuses
from relay_dagster.services.tenants import deletion_fields
from relay_dagster.wire import tenants as wire
from relay_dagster.wire.runs import LastRun, PublicationList
from relay_dagster.wiring import Platform

routes = request_parsing.router("tenants")


@routes.get("/v1/tenants")
def list_tenants(
    call: Admin,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(pattern=ID_PATTERN)
    ] = None,
) -> wire.TenantList:
    """List all tenants, sorted by ID.

    Each entry has the latest config version, the live feed's publication time and the
    last run that ended. A tenant that was created or deleted a moment ago may not be
    reflected yet.
    """
    remaining_ids = sorted(
        tenant_id
        for tenant_id in call.platform.tenants.all_tenant_ids()
        if tenant_id > (cursor or "")
    )
    page_ids = remaining_ids[:limit]
    entries: list[wire.ListedTenant] = []
    for tenant_id in page_ids:
        # The store logs an item that it cannot read; the other tenants are still
        # listed.
        with suppress(UnreadableItemError):
            entry = _list_entry(call.platform, tenant_id)
            if entry is not None:
                entries.append(entry)
    has_next_page = len(remaining_ids) > limit
    return wire.TenantList(
        tenants=entries, next_cursor=page_ids[-1] if has_next_page else None
    )


def _list_entry(platform: Platform, tenant_id: str) -> wire.ListedTenant | None:
    """Return a tenant's entry of the list, or None if it has just been deleted."""
    version = platform.tenants.latest_version(tenant_id)
    if version is None:
        return None
    pointer = platform.runs.feed(tenant_id)
    deletion = platform.deletions.under_way(tenant_id)
    last_run = statuses.last_ended_run(platform.runs, tenant_id)
    return wire.ListedTenant(
        tenant_id=tenant_id,
        state=deletion_fields(deletion)["state"],
        config_version=version,
        published_at=None if pointer is None else pointer.in_force.published_at,
        last_run=None if last_run is None else LastRun.of(last_run),
    )


@routes.get("/v1/tenants/{tenant_id}/publications")
def list_publications(tenant_id: TenantId, call: MayRead) -> PublicationList:
    """List the feeds that a rollback can publish, newest first.

    The first one is the live feed.
    """
    return statuses.list_publications(tenant_id, call)


@routes.get("/v1/tenants/{tenant_id}/status")
def get_status(tenant_id: TenantId, call: MayRead) -> wire.TenantStatus:
    """Retrieve a tenant's status.

    It has the live feed, the run that is on hold, the run that is running, and the
    result of each vendor in the latest run.
    """
    return statuses.get_status(tenant_id, call)
