"""The audit as callers see it. Instants are UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from relay_dagster.audit import Action, ActorKind, AuditEntry

_ENTRY: dict[str, Any] = {
    "audit_id": "20260301T120000.123456Z-8c1d6f0a2b3e4c5d",
    "occurred_at": "2026-03-01T12:00:00.123456Z",
    "action": "config.put",
    "tenant_id": "acme_parts",
    "actor": {"kind": "admin_key", "id": "ops", "name": "ops"},
    "target": "acme_parts",
    "details": {
        "config_version_before": 2,
        "config_version_after": 3,
        "changed_count": 1,
        "changed_paths": ["pricing.base_margin_pct"],
    },
    "request_id": "0f8f7d0e-58a1-4a8e-8f5b-3f1c2f1f7c55",
    "address": "198.51.100.7",
}


class AuditActor(BaseModel):
    """Who acted; `id` is the key's id, an admin key's name, or who ran the command."""

    kind: ActorKind
    id: str
    name: str


class AuditItem(BaseModel):
    """One act."""

    audit_id: str = Field(description="Ids sort by time.")
    occurred_at: datetime
    action: Action
    tenant_id: str | None = Field(description="Null of an act on all tenants.")
    actor: AuditActor
    target: str | None = Field(description="What was acted on: the id of a run, a key, a tenant.")
    details: dict[str, Any]
    request_id: str | None = Field(description="Null of what no request has asked for.")
    address: str | None = Field(description="Where the request came from.")

    @classmethod
    def of(cls, entry: AuditEntry, *, for_admin: bool) -> AuditItem:
        """Return what a caller sees of an entry; why runs are paused is for admins alone."""
        document = entry.to_document()
        if not for_admin and entry.action in (Action.RUNS_PAUSED, Action.RUNS_RESUMED):
            del document["details"]["reason"]
        return cls.model_validate(document)


class AuditList(BaseModel):
    """A page of the audit, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"audit": [_ENTRY], "next_cursor": None}]}
    )

    audit: list[AuditItem]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")
