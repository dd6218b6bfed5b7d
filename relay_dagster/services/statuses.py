"""The status of a tenant: its feed, its runs, and its vendors' results.

Of the files of runs, only the manifest is read, which has the upload of the catalog.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.domain.codes import CATALOG, RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.http.security.auth import Call
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.services import tenants
from relay_dagster.wire import tenants as wire
from relay_dagster.wire.runs import LastRun, Publication, PublicationList
from relay_dagster.wiring import Platform

_HOUR = timedelta(hours=1)


def last_ended_run(runs: RunStore, tenant_id: str) -> RunRecord | None:
    """Return the latest run of a tenant that has ended, or None if there is none.

    A tenant's runs end in the order in which they were requested.
    """
    for record in runs.newest_runs(tenant_id):
        if record.has_ended:
            return record
    return None


def list_publications(tenant_id: str, call: Call) -> PublicationList:
    """Return the feeds that a rollback can publish, newest first; the first is live."""
    tenants.require_tenant(call.platform, tenant_id)
    pointer = call.platform.runs.feed(tenant_id)
    if pointer is None:
        return PublicationList(publications=[])
    feeds = pointer.publications[: call.platform.ledger.feeds.keep]
    return PublicationList(
        publications=[Publication.of(feed) for feed in feeds]
    )


def get_status(tenant_id: str, call: Call) -> wire.TenantStatus:
    """Return a tenant's status: its feed, its current runs, and its vendors' results."""
    platform = call.platform
    stored_config = tenants.find_config(platform, tenant_id)
    pointer = platform.runs.feed(tenant_id)
    feed = None if pointer is None else pointer.in_force
    feed_age_seconds = None
    if feed is not None:
        age = utc_now() - feed.published_at
        feed_age_seconds = max(0, int(age.total_seconds()))
    deletion = platform.deletions.under_way(tenant_id)
    last_run = last_ended_run(platform.runs, tenant_id)
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
