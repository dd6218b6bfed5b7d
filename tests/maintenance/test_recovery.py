"""A rehearsal: tables put aside, work that goes on, the tables restored, and recovered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from explorer.settling import settle
from explorer.world import TENANT, World, new_world
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.api_key_store import ApiKeyStore, TenantKey
from relay_dagster.aws.dynamodb.audit_store import AuditStore
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.maintenance.doctor import Extent, examine
from relay_dagster.maintenance.recovery import Recovery, recover
from relay_dagster.runs.errors import RunCreationPausedError
from relay_dagster.tenants.audit import SYSTEM, Action
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.webhooks.changes import added, removed
from support.webhooks_world import webhook

LEAVER = "leaver"
OLD_AUDIT = "audit-as-it-was"
Items = dict[str, list[dict[str, Any]]]


class Restoring:
    """A world whose tables can be put aside and restored, as of that instant."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process = world.process()
        self.platform = self.process.platform
        self.clock = world.clock
        self.tables = (
            world.settings.runs_table,
            world.settings.tenants_table,
            world.settings.audit_table,
        )
        database = replace(self.platform.database, clock=world.clock)
        self.keys = ApiKeyStore(database)
        self.links = LinkStore(database)

    def items(self) -> Items:
        scan = self.platform.clients.dynamodb.scan
        return {name: scan(TableName=name)["Items"] for name in self.tables}

    def restore(self, kept: Items) -> AuditStore:
        """Let the tables be as they were; return the audit as it is, in a table of its own."""
        client = self.platform.clients.dynamodb
        client.create_table(**schema.audit_table(OLD_AUDIT))
        audit = self.tables[2]
        for item in self.items()[audit]:
            client.put_item(TableName=OLD_AUDIT, Item=item)
        for name, items in self.items().items():
            for item in items:
                client.delete_item(TableName=name, Key={"pk": item["pk"]})
            for item in kept[name]:
                client.put_item(TableName=name, Item=item)
        old = Table(self.platform.clients, OLD_AUDIT)
        return AuditStore(replace(self.platform.database, audit=old))

    def end_run(self, ending: str = "published") -> str:
        run_id = self.process.submit(ending=ending)
        settle(self.world)
        return run_id

    def key(self, name: str) -> TenantKey:
        tenant_key = TenantKey(
            key_id=name,
            tenant_id=TENANT,
            digest="d",
            name=name,
            created_at=self.clock(),
        )
        self.keys.add(tenant_key)
        return tenant_key

    def link(self, name: str, kind: LinkKind) -> Link:
        new_link = Link(
            link_id=name,
            tenant_id=TENANT,
            kind=kind,
            digest="d",
            name=name,
            created_at=self.clock(),
            created_by="admin:ops",
        )
        self.links.add(new_link)
        return new_link


@pytest.fixture
def restoring() -> Iterator[Restoring]:
    with new_world() as world:
        restored_world = Restoring(world)
        restored_world.process.store_config()
        restored_world.platform.tenants.put(LEAVER, "{}")
        yield restored_world


def kept_and_gone_on(restoring: Restoring) -> tuple[Items, Any]:
    """Put tables aside with a run that executes and one that waits; then let much happen."""
    world = restoring.world
    platform = restoring.platform
    process = restoring.process
    first = restoring.end_run()
    restoring.key("revoked"), restoring.key("kept")
    (
        restoring.link("revoked", LinkKind.FEED),
        restoring.link("ended", LinkKind.SUPPLIER),
    )
    hook = webhook(created_at=restoring.clock())
    platform.webhooks.change(TENANT, added(hook))
    process.submit()
    process.intake()  # Dagster is asked for it, and nobody has claimed it
    since = restoring.clock()
    items = restoring.items()
    restoring.clock.advance(60)

    settle(world)
    restoring.end_run()
    record = platform.runs.get(first)
    assert record is not None
    platform.objects.delete(str(record.feed_key))
    assert restoring.keys.remove(TENANT, "revoked")
    assert restoring.links.remove(TENANT, "revoked", LinkKind.FEED)
    assert restoring.links.remove(TENANT, "ended", LinkKind.SUPPLIER)
    restoring.key("made since")
    gone = SYSTEM.entry(
        Action.WEBHOOK_DELETED, TENANT, hook.webhook_id, restoring.clock()
    )
    platform.webhooks.change(TENANT, removed(TENANT, hook.webhook_id), gone)
    platform.deletions.ask(LEAVER, timedelta(0))
    process.delete_due()
    deletion = platform.deletions.get(LEAVER)
    assert deletion is not None
    assert deletion.state is TenantState.DELETED
    return items, since


def recovered(restoring: Restoring) -> tuple[Recovery, AuditStore, Any]:
    items, since = kept_and_gone_on(restoring)
    audit = restoring.restore(items)
    restoring.process.begin()
    return recover(restoring.platform, since, audit, SYSTEM), audit, since


def test_what_was_deleted_since_is_deleted_again_and_what_was_under_way_ends(
    restoring: Restoring,
) -> None:
    platform = restoring.platform
    process = restoring.process
    world = restoring.world
    report, audit, _ = recovered(restoring)
    assert sorted(entry.action for entry in report.deleted_again) == [
        Action.FEED_LINK_DELETED,
        Action.KEY_DELETED,
        Action.SUPPLIER_LINK_DELETED,
        Action.TENANT_DELETED,
        Action.WEBHOOK_DELETED,
    ]
    assert len(report.cancelled) == len(report.brought_back) == 1
    assert report.lost[Action.KEY_CREATED] == 1
    assert restoring.keys.get("revoked") is None
    assert restoring.keys.get("kept") is not None
    assert [restoring.links.of_tenant(TENANT, kind) for kind in LinkKind] == [
        (),
        (),
    ]
    assert platform.webhooks.of_tenant(TENANT) == ()

    with pytest.raises(RunCreationPausedError):
        process.submit()
    process.delete_due()
    settle(world)
    restoring.clock.advance(2 * 3600)
    assert (
        list(examine(platform, restoring.clock(), Extent(reads_bytes=True)))
        == []
    )
    assert platform.tenants.latest_version(LEAVER) is None

    platform.pauses.end(None)
    restoring.end_run()
    assert [run["status"] for run in world.runs()].count("SUCCEEDED") == 2
    ids = {entry.audit_id for entry in audit.list_entries(limit=100).items}
    assert ids <= {entry["audit_id"] for entry in world.audit()}


def test_without_the_recovery_the_deleted_come_back_and_the_doctor_finds_the_rest(
    restoring: Restoring,
) -> None:
    items, _ = kept_and_gone_on(restoring)
    restoring.restore(items)
    assert restoring.keys.get("revoked") is not None
    assert restoring.platform.tenants.latest_version(LEAVER) == 1
    findings = list(examine(restoring.platform, restoring.clock(), Extent()))
    assert {finding.invariant for finding in findings} == {"feed_gone"}


def test_a_recovery_may_be_made_again(restoring: Restoring) -> None:
    report, audit, since = recovered(restoring)
    again = recover(restoring.platform, since, audit, SYSTEM)
    assert [entry.action for entry in again.deleted_again] == [
        Action.TENANT_DELETED
    ]
    # Dagster still has the run that was brought back.
    assert (again.cancelled, again.brought_back) == (
        report.cancelled,
        [],
    )
