"""The status of tenants: their feeds, their runs, and their vendors' results.

This is HTTP only. It reads records, the feed's pointer and the lock, and of the files
of runs only the manifest that has the upload of the catalog.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.domain.codes import CATALOG, RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.api.http import request_parsing
from relay_dagster.api.http.request_parsing import Limit, TenantId
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

routes = request_parsing.router("tenants")
_HOUR = timedelta(hours=1)


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
    last_run = _last_ended_run(platform.runs, tenant_id)
    return wire.ListedTenant(
        tenant_id=tenant_id,
        state=tenants.deletion_fields(deletion)["state"],
        config_version=version,
        published_at=None if pointer is None else pointer.in_force.published_at,
        last_run=None if last_run is None else LastRun.of(last_run),
    )


def _last_ended_run(runs: RunStore, tenant_id: str) -> RunRecord | None:
    """Return the latest run of a tenant that has ended, or None if there is none.

    A tenant's runs end in the order in which they were requested.
    """
    for record in runs.newest_runs(tenant_id):
        if record.has_ended:
            return record
    return None


@routes.get("/v1/tenants/{tenant_id}/publications")
def list_publications(tenant_id: TenantId, call: MayRead) -> PublicationList:
    """List the feeds that a rollback can publish, newest first.

    The first one is the live feed.
    """
    tenants.require_tenant(call.platform, tenant_id)
    pointer = call.platform.runs.feed(tenant_id)
    if pointer is None:
        return PublicationList(publications=[])
    feeds = pointer.publications[: call.platform.ledger.feeds.keep]
    return PublicationList(
        publications=[Publication.of(feed) for feed in feeds]
    )


@routes.get("/v1/tenants/{tenant_id}/status")
def get_status(tenant_id: TenantId, call: MayRead) -> wire.TenantStatus:
    """Retrieve a tenant's status.

    It has the live feed, the run that is on hold, the run that is running, and the
    result of each vendor in the latest run.
    """
    platform = call.platform
    stored_config = tenants.find_config(platform, tenant_id)
    pointer = platform.runs.feed(tenant_id)
    feed = None if pointer is None else pointer.in_force
    feed_age_seconds = None
    if feed is not None:
        age = utc_now() - feed.published_at
        feed_age_seconds = max(0, int(age.total_seconds()))
    deletion = platform.deletions.under_way(tenant_id)
    last_run = _last_ended_run(platform.runs, tenant_id)
    results = _vendor_results(platform.runs, tenant_id, last_run, pointer)
    config = tenants.read_stored(platform, stored_config)
    inputs = {} if config is None else inputs_of(config)
    pulls = _pull_statuses(platform, tenant_id, inputs)
    return wire.TenantStatus(
        **tenants.deletion_fields(deletion),
        published_run_id=None if feed is None else feed.run_id,
        published_at=None if feed is None else feed.published_at,
        feed_age_seconds=feed_age_seconds,
        held_run_id=None if pointer is None else pointer.held_run_id,
        active_run_id=platform.runs.lock(tenant_id).active_run_id,
        last_run=None if last_run is None else LastRun.of(last_run),
        next_run_at=tenants.next_run_at(config),
        vendors=_vendor_statuses(inputs, pulls, results),
        catalog=_catalog_status(platform, config, pulls, last_run),
    )


def _catalog_status(
    platform: Platform,
    config: TenantConfig | None,
    pulls: Mapping[str, wire.PullStanding],
    last_run: RunRecord | None,
) -> wire.CatalogStanding | None:
    """Return the status of the catalog; None for a tenant without one."""
    if config is None or config.catalog is None:
        return None
    uploaded_at = None
    age_hours = None
    manifest = None
    if last_run is not None:
        manifest = platform.objects.read_or_none(last_run.keys.input_manifest)
    entry = json.loads(manifest or b"{}").get("catalog") or {}
    if last_run is not None and entry.get("last_modified"):
        uploaded_at = datetime.fromisoformat(entry["last_modified"])
        age_hours = max(0, (last_run.requested_at - uploaded_at) // _HOUR)
    return wire.CatalogStanding(
        uploaded_at=uploaded_at,
        age_hours=age_hours,
        pull=pulls.get(CATALOG),
    )


def _pull_statuses(
    platform: Platform,
    tenant_id: str,
    inputs: Mapping[str, Input],
) -> dict[str, wire.PullStanding]:
    """Return the statuses of the pulls of inputs, by the names of the inputs."""
    pulled_names = [
        name
        for name, tenant_input in inputs.items()
        if tenant_input.pull is not None
    ]
    pull_states = platform.pulls.of_names(tenant_id, pulled_names)
    pulls = {name: wire.PullStanding() for name in pulled_names}
    for name in pulls.keys() & pull_states.keys():
        pulls[name] = wire.PullStanding.of(pull_states[name])
    return pulls


def _vendor_statuses(
    inputs: Mapping[str, Input],
    pulls: Mapping[str, wire.PullStanding],
    results: Sequence[VendorResult],
) -> list[wire.VendorStanding]:
    """Return the statuses of the last run's vendors, then of other pulled vendors."""
    results_by_vendor = {result.vendor_id: result for result in results}
    pulled_vendors = dict.fromkeys(
        inputs[name].vendor_id for name in pulls if not inputs[name].is_catalog
    )
    statuses = []
    for vendor_id in results_by_vendor | pulled_vendors:
        result = results_by_vendor.get(vendor_id)
        fields = {
            "vendor_id": vendor_id,
            "pull": pulls.get(vendor_id),
            "parts": _part_statuses(vendor_id, inputs, pulls, result),
        }
        if result is None:
            statuses.append(wire.VendorStanding(**fields))
        else:
            statuses.append(wire.VendorStanding.of(result, **fields))
    return statuses


def _part_statuses(
    vendor_id: str,
    inputs: Mapping[str, Input],
    pulls: Mapping[str, wire.PullStanding],
    result: VendorResult | None,
) -> list[wire.PartStanding] | None:
    """Return the statuses of a vendor's parts; None for a vendor of one file."""
    files = {}
    if result is not None:
        files = {part.part_id: part for part in result.parts}
    statuses = []
    for name, tenant_input in inputs.items():
        if tenant_input.vendor_id != vendor_id or not tenant_input.names_part:
            continue
        part_id = tenant_input.part.part_id
        file = files.get(part_id)
        statuses.append(
            wire.PartStanding(
                part_id=part_id,
                uploaded_at=None if file is None else file.uploaded_at,
                age_hours=None if file is None else file.age_hours,
                pull=pulls.get(name),
            )
        )
    return statuses or None


def _vendor_results(
    runs: RunStore,
    tenant_id: str,
    last_run: RunRecord | None,
    pointer: FeedPointer | None,
) -> tuple[VendorResult, ...]:
    """Return the vendors' results of the last ended run of all vendors.

    There are none if it failed before it looked at any vendor.
    """
    if (
        last_run is not None
        and last_run.vendors is None
        and last_run.status is RunStatus.FAILED
    ):
        return runs.vendor_results(tenant_id, last_run.run_id)
    results = runs.vendor_results(tenant_id)
    if results or pointer is None:
        return results
    # Before the results had an item of their own, they were stored in the run's record.
    record = runs.get(pointer.held_run_id or pointer.in_force.run_id)
    return () if record is None else record.vendor_results
