"""The audit's table: entries listed by tenant, by action, all of them; kept for 400 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay_dagster.aws.dynamodb.audit_store import AuditStore
from relay_dagster.aws.dynamodb.codec import marshal, unmarshal
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry
from relay_dagster.wiring import Platform
from support.fakes import NOW

ACTIONS = (Action.RUN_POSTED, Action.RUN_CANCELLED, Action.CONFIG_PUT)


@pytest.fixture
def audit(platform: Platform) -> AuditStore:
    return platform.audit


@pytest.fixture
def entries(audit: AuditStore) -> list[AuditEntry]:
    """Entries of two tenants and of all, the newest first."""
    entries = [
        SYSTEM.entry(
            ACTIONS[n % 3],
            (None, "acme", "other")[n // 3],
            "t",
            NOW + timedelta(n),
        )
        for n in range(9)
    ]
    for entry in entries:
        audit.add(entry)
    return entries[::-1]


def test_an_entry_that_is_there_is_never_written_over(
    platform: Platform, audit: AuditStore
) -> None:
    entry = SYSTEM.entry(Action.KEY_DELETED, "acme", "key", NOW)
    audit.add(entry)
    forged = replace(
        entry, target="another", occurred_at=NOW - timedelta(days=399)
    )
    audit.add(forged)
    assert audit.list_entries().items == (entry,)
    # What such an entry is about goes through: it may be told of again after a restore.
    pause = platform.database.tenants.new(
        "pause", marshal({"pk": "PAUSE#acme"})
    )
    platform.database.transact(pause, platform.database.audit_write(forged))
    assert platform.database.tenants.item("PAUSE#acme") is not None
    assert audit.list_entries().items == (entry,)


@pytest.mark.parametrize("action", [None, *ACTIONS])
@pytest.mark.parametrize("tenant_id", [None, "acme", "other", "nobody"])
def test_a_listing_has_what_is_asked_for_newest_first(
    audit: AuditStore,
    entries: list[AuditEntry],
    tenant_id: str | None,
    action: Action | None,
) -> None:
    expected = [
        entry
        for entry in entries
        if tenant_id in (None, entry.tenant_id)
        and action in (None, entry.action)
    ]
    page = audit.list_entries(tenant_id, action)
    assert (list(page.items), page.next_cursor) == (expected, None)


@pytest.mark.parametrize(
    ("tenant_id", "action"),
    [
        (None, None),
        ("acme", None),
        (None, Action.RUN_POSTED),
        ("acme", Action.RUN_POSTED),
    ],
)
def test_a_listing_goes_on_where_a_page_ends(
    audit: AuditStore,
    entries: list[AuditEntry],
    tenant_id: str | None,
    action: Action | None,
) -> None:
    listed = []
    after = None
    for _ in range(len(entries) + 1):
        page = audit.list_entries(tenant_id, action, limit=1, after=after)
        listed += page.items
        after = page.next_cursor
        if after is None:
            break
    assert after is None
    assert tuple(listed) == audit.list_entries(tenant_id, action).items


def test_an_entry_expires_after_400_days(
    audit: AuditStore, platform: Platform
) -> None:
    audit.add(SYSTEM.entry(Action.RUN_POSTED, "acme", "r", NOW))
    table = platform.settings.audit_table
    (item,) = platform.clients.dynamodb.scan(TableName=table)["Items"]
    assert (
        unmarshal(item)["expires_at"] == (NOW + timedelta(days=400)).timestamp()
    )
    described = platform.clients.dynamodb.describe_time_to_live(TableName=table)
    assert described["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }


def test_an_entry_that_is_written_again_is_one(audit: AuditStore) -> None:
    entry = SYSTEM.entry(Action.RUN_POSTED, "acme", "r", NOW)
    audit.add(entry)
    audit.add(entry)
    assert audit.list_entries().items == (entry,)
