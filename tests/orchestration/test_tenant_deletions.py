"""A tenant with all that a tenant can have, deleted: tombstone and audit are left, no more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from alarms import AlarmPlan, set_up_alarms
from relay_dagster.aws.dynamodb.api_key_store import BrowserSession
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.drain import Deadline
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.housekeeping import scheduled_feeds
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import (
    DagsterExecutions,
    DagsterOccasion,
)
from relay_dagster.orchestration.feed_events import (
    judge_freshness,
    report_publications,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import Idempotency, NewRun
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.tenants.deletion import SWEPT_AFTER, TenantState
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.builders import feed, part_document, vendor_document
from support.config_documents import DELIVERY
from support.dagster_storages import STORAGES
from support.fakes import embedded_platform
from support.run_world import World
from support.tenant_leftovers import kept_by_aws, naming

GONE = "gone-tenant"
KEPT = "kept-tenant"


@dataclass
class Estate:
    """An installation with two tenants that have all that a tenant can have."""

    platform: Platform
    instance: dg.DagsterInstance
    dagster_keeps: Callable[[], dict[str, str]]
    run_ids: dict[str, list[str]] = field(default_factory=dict)

    def everything(self) -> dict[str, str]:
        return {**kept_by_aws(self.platform), **self.dagster_keeps()}

    def names_of(self, tenant_id: str) -> set[str]:
        """Return what tells of a tenant: its id, its runs' and Dagster's ids of them."""
        return {tenant_id, *self.run_ids[tenant_id]}

    def tick(self, **changes: Any) -> str:
        return DeletionTick(
            self.platform, DagsterHistory(self.instance), **changes
        ).run()

    def settle(self) -> None:
        """Let the reconciler settle what has ended."""
        ReconcileTick(self.platform, DagsterExecutions(self.instance)).run()

    def state(self, tenant_id: str = GONE) -> TenantState | None:
        deletion = self.platform.deletions.get(tenant_id)
        return None if deletion is None else deletion.state


@pytest.fixture(params=STORAGES)
def estate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Estate]:
    """An estate whose tenants have had runs that ended in each way, and are settled."""
    with (
        embedded_platform(deletion_grace_hours=0) as platform,
        request.param(tmp_path) as (instance, dagster_keeps),
    ):
        estate = Estate(platform, instance, dagster_keeps)
        for tenant_id in (KEPT, GONE):
            furnish(estate, tenant_id)
        estate.settle()
        UploadTick(platform).run(poll_seconds=0)
        yield estate


def furnish(estate: Estate, tenant_id: str) -> None:
    """Give a tenant all that one can have."""
    platform = estate.platform
    world = World(estate.platform, estate.instance, tenant_id)
    store_configs(world)
    api = ApiWorld(platform)
    api.issue_key(tenant_id)
    sign_in(platform, tenant_id)
    platform.links.count_upload(tenant_id, "0" * 16, "event", utc_now())
    order_everything(api, tenant_id)
    run_ids = estate.run_ids.setdefault(tenant_id, [])
    run_ids += execute_runs(world)
    # A delivery waits, and so does the plan of another.
    path = f"/v1/tenants/{tenant_id}/deliveries/marketplace/send"
    assert api.client.post(path).status_code == 202
    withdrawn = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant_id)
    )
    run_ids.append(platform.ledger.tombstone(withdrawn.record.run_id).run_id)
    for run_id in (run_ids[0], str(uuid.uuid4())):
        body = Job(run_id, tenant_id).body()
        platform.queue.send_dead(body, cause="a cause", run_id=run_id)
    platform.pauses.begin(tenant_id, "nothing more")
    watch(platform, tenant_id)
    tell_of_ticks(estate.instance, run_ids)
    on = DagsterOccasion(
        platform, utc_now(), Deadline.after(60), lambda: estate.instance
    )
    report_publications(on)
    judge_freshness(on, scheduled_feeds(platform))


def store_configs(world: World) -> None:
    """Store three versions of a config with a pull, a part, triggers, and a delivery."""
    tenant_id = world.tenant_id
    pull = {"url": "https://files.example.com/stock.csv"}
    names = {"type": "s3", "s3_prefix": f"tenants/{tenant_id}/names/"}
    part = part_document(
        "names",
        ["title"],
        inbound={**names, "pull": pull},
        required=False,
        unmatched=None,
    )
    prefix = f"tenants/{tenant_id}/inbound/"
    vendor = vendor_document(
        inbound={"type": "s3", "s3_prefix": prefix, "pull": pull},
        parts=[part],
    )
    triggers = {
        "schedule": {"cron": "0 6 * * *"},
        "on_upload": {"quiet_seconds": 0},
    }
    for currency in ("USD", "EUR", "USD"):
        world.store_config(
            vendor,
            tenant_id=tenant_id,
            default_currency=currency,
            triggers=triggers,
            deliveries=[DELIVERY],
        )
    world.platform.objects.put(
        f"{names['s3_prefix']}a.csv", b"sku,title\nA-1,Lamp\n"
    )


def order_everything(api: ApiWorld, tenant_id: str) -> None:
    """Make a webhook, request pulls and an upload, and put an override."""
    tenant = f"/v1/tenants/{tenant_id}"
    hook = {"url": "https://shop.example.com/hooks", "events": ["run.failed"]}
    created = api.client.post(f"{tenant}/webhooks", json=hook)
    assert created.status_code == 201
    for query in ("", "?part_id=names"):
        response = api.client.post(f"{tenant}/vendors/vendor_1/pull{query}")
        assert response.status_code == 202
    order = {"vendor_id": "vendor_1", "file_name": "stock.csv"}
    upload = api.client.post(f"{tenant}/uploads", json=order)
    assert upload.status_code == 201
    overrides = {"overrides": [{"sku": "A-1", "price": "9.99"}]}
    put = api.client.post(f"{tenant}/overrides:put", json=overrides)
    assert put.status_code == 200


def execute_runs(world: World) -> list[str]:
    """Execute a good run, a bad one, and one by hand; return the IDs of all of them."""
    platform = world.platform
    tenant_id = world.tenant_id
    run_ids = []
    upload(platform, tenant_id)
    for file in (feed("A-1,5,10.00"), b"\xff"):
        platform.objects.put(f"tenants/{tenant_id}/inbound/feed.csv", file)
        run_id = str(uuid.uuid4())
        run_ids.append(run_id)
        key = Idempotency(f"{tenant_id}-{run_id}", "body")
        platform.ledger.reserve(
            NewRun(run_id=run_id, tenant_id=tenant_id), key, 100
        )
        platform.runs.beat(run_id, 1)
        world.dispatch(run_id=run_id)
        run_ids.append(world.execute(run_id=run_id).run_id)
    # A run by hand has no ID of ours before it executes.
    run_ids.append(world.execute(None).run_id)
    return run_ids


def sign_in(platform: Platform, tenant_id: str) -> None:
    """Leave a session of the pages."""
    session = BrowserSession(
        digest=digest_of(tenant_id),
        tenant_id=tenant_id,
        key_id=digest_of(tenant_id)[:16],
        created_at=utc_now(),
        ends_at=utc_now() + timedelta(hours=12),
    )
    platform.sessions.add(session)


def upload(platform: Platform, tenant_id: str) -> None:
    """Leave old versions, a delete marker and unfinished uploads."""
    s3 = platform.clients.s3
    bucket = platform.settings.artifact_bucket
    platform.objects.put(f"tenants/{tenant_id}/inbound/old.csv", b"x")
    platform.objects.delete(f"tenants/{tenant_id}/inbound/old.csv")
    for key in (
        f"tenants/{tenant_id}/inbound/big.csv",
        f"published/{tenant_id}/big.csv",
    ):
        s3.create_multipart_upload(Bucket=bucket, Key=key)


def watch(platform: Platform, tenant_id: str) -> None:
    settings = platform.settings
    plan = AlarmPlan(
        environment=settings.environment,
        namespace=settings.metrics_namespace,
        queue_name="jobs",
        dlq_name="dead",
        tenants=(tenant_id,),
        name_prefix="shop",
    )
    set_up_alarms(plan, platform.clients)


def tell_of_ticks(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Write what the daemon writes of a sensor's tick that asks for runs."""
    keys = [f"{run_id}:1" for run_id in run_ids]
    storage: Any = instance.schedule_storage
    ticks = sa.table(
        "job_ticks", *map(sa.column, ("job_origin_id", "status", "tick_body"))
    )
    states = sa.table(
        "instigators", *map(sa.column, ("selector_id", "instigator_body"))
    )
    body = {"run_ids": run_ids, "run_keys": keys, "cursor": "queue"}
    state = {"cursor": "turns", "last_run_key": keys[0]}
    with storage.connect() as connection:
        connection.execute(
            ticks.insert().values(
                job_origin_id="o", status="SUCCESS", tick_body=json.dumps(body)
            )
        )
        connection.execute(
            states.insert().values(
                selector_id=uuid.uuid4().hex, instigator_body=json.dumps(state)
            )
        )


def delete(estate: Estate) -> None:
    estate.platform.closing.ask(GONE)
    for _ in range(10):
        estate.tick()
        if estate.state() is TenantState.DELETED:
            return
        estate.settle()
    raise AssertionError(f"still {estate.platform.deletions.get(GONE)}")


def left(estate: Estate) -> dict[str, str]:
    """Return what is left of the tenant beside tombstone and audit."""
    settings = estate.platform.settings
    places = naming(estate.everything(), estate.names_of(GONE))
    tombstone = f"{settings.tenants_table}/DELETION#{GONE}"
    assert tombstone in places
    return {
        place: text
        for place, text in places.items()
        if place != tombstone
        and not place.startswith(f"{settings.audit_table}/")
    }


# --- what is left ---------------------------------------------------------------------------------


def test_nothing_is_left_of_a_deleted_tenant_and_nothing_is_taken_from_another(
    estate: Estate,
) -> None:
    before = estate.everything()
    gone = naming(before, estate.names_of(GONE))
    assert {place.split("/")[0].split("@")[0] for place in gone} >= {
        "relay-inventory-runs",
        "relay-inventory-tenants",
        "relay-inventory-audit",
        "s3",
        "s3-upload",
        "alarm",
    }
    items = {
        place.split("/")[-1].split("#")[0] for place in gone if "#" in place
    }
    assert items >= {
        "RUN",
        "LOCK",
        "FEED",
        "IDEMP",
        "BEAT",
        "RUNS",
        "TRIGGER",
        "EVENT",
    }
    assert items >= {"TENANT", "CONFIG", "WEBHOOKS", "PAUSE"}
    assert items >= {"SESSION", "SESSIONS", "SENT"}
    assert {
        "asset_keys",
        "job_ticks",
        "instigators",
        "run_tags",
        "event_logs",
    } <= {place.split("/")[-2] for place in gone}
    delete(estate)
    assert left(estate) == {}
    had = in_places(naming(before, estate.names_of(KEPT)))
    places = in_places(naming(estate.everything(), estate.names_of(KEPT)))
    assert had - places == set()
    # Of each asset the last materialization is the other tenant's now.
    assert [place.split("/")[-1] for place, _ in places - had] == [
        "asset_keys"
    ] * 4
    assert_it_is_told(estate.platform)


def in_places(kept: dict[str, str]) -> set[tuple[str, str]]:
    """Return tables and folders with what lies there: rows move up where others have gone."""
    return {(place.rpartition("/")[0], text) for place, text in kept.items()}


def assert_it_is_told(platform: Platform) -> None:
    entries = platform.audit.list_entries(GONE).items
    assert {str(entry.action) for entry in entries} >= {
        "tenant.created",
        "tenant.deletion_asked",
    }
    (entry,) = platform.audit.list_entries(GONE, Action.TENANT_DELETED).items
    tombstone = platform.deletions.get(GONE)
    assert tombstone is not None
    assert entry.details["removed"] == tombstone.removed
    assert tombstone.removed["runs"] > 5
    assert tombstone.asked_by is None
    assert (tombstone.deleted_at, tombstone.due_at) == (
        entry.occurred_at,
        entry.occurred_at + SWEPT_AFTER,
    )


def test_the_id_can_be_used_anew(estate: Estate) -> None:
    api = ApiWorld(estate.platform)
    key = api.issue_key(GONE)
    delete(estate)
    vendor = vendor_document(
        inbound={"type": "s3", "s3_prefix": f"tenants/{GONE}/inbound/"}
    )
    response = api.store_config(vendor, tenant_id=GONE)
    assert (response.status_code, response.json()["config_version"]) == (201, 1)
    assert api.client.get(f"/v1/tenants/{GONE}").json()["state"] == "ACTIVE"
    assert api.with_key(key).get(f"/v1/tenants/{GONE}").status_code == 401
    assert api.client.get(f"/v1/runs?tenant_id={GONE}").json()["runs"] == []
    assert api.post_run(tenant_id=GONE).status_code == 202
    estate.tick(clock=lambda: utc_now() + 2 * SWEPT_AFTER)
    assert api.client.get(f"/v1/tenants/{GONE}").status_code == 200
    assert api.client.get(f"/v1/runs?tenant_id={GONE}").json()["runs"] != []
