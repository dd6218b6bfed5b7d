"""The words of the audit, and what an entry is outside."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone

from relay_dagster.tenants.audit import (
    AUDIT_ID_PATTERN,
    SYSTEM,
    Action,
    Actor,
    ActorKind,
    AuditEntry,
    Origin,
)
from support.fakes import NOW

OPS = Origin(Actor(ActorKind.ADMIN_KEY, "ops", "ops"), "request-1", "192.0.2.1")


def test_an_entry_says_who_did_what_to_what_and_from_where() -> None:
    entry = OPS.entry(Action.RUN_CANCELLED, "acme", "run-1", NOW, why="late")
    assert entry.to_document() == {
        "audit_id": entry.audit_id,
        "occurred_at": "2026-03-01T12:00:00+00:00",
        "action": "run.cancelled",
        "tenant_id": "acme",
        "actor": {"kind": "admin_key", "id": "ops", "name": "ops"},
        "target": "run-1",
        "details": {"why": "late"},
        "request_id": "request-1",
        "address": "192.0.2.1",
    }


def test_an_entry_comes_back_from_its_document() -> None:
    for entry in (
        OPS.entry(Action.CONFIG_PUT, "acme", "acme", NOW, changed_paths=["a"]),
        nothing(),
    ):
        assert (
            AuditEntry.of_document(json.loads(json.dumps(entry.to_document())))
            == entry
        )


def nothing() -> AuditEntry:
    return SYSTEM.entry(Action.RUNS_PAUSED, None, None, NOW)


def test_ids_sort_by_time_and_no_two_are_alike() -> None:
    zone = timezone(timedelta(hours=5))
    times = [
        NOW,
        NOW + timedelta(microseconds=1),
        (NOW + timedelta(hours=1)).astimezone(zone),
    ]
    ids = [
        OPS.entry(Action.RUN_POSTED, "acme", "r", at).audit_id for at in times
    ]
    assert sorted(ids) == ids
    assert all(re.fullmatch(AUDIT_ID_PATTERN, audit_id) for audit_id in ids)
    assert len({nothing().audit_id for _ in range(100)}) == 100
