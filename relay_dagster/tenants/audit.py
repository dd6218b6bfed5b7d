"""The audit: its actions and actors, and the entry of each act.

An act's entry is written in the transaction of its change; ``aws/dynamodb/database.py`` stores
entries. An act that is refused, or that changes nothing, leaves none.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

KEPT_FOR = timedelta(days=400)
"""An entry is neither changed nor deleted before that."""

AUDIT_ID_PATTERN = r"^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{16}$"


class Action(StrEnum):
    """The kind of an act."""

    TENANT_CREATED = "tenant.created"
    TENANT_DELETION_ASKED = "tenant.deletion_asked"
    TENANT_RESTORED = "tenant.restored"
    TENANT_DELETED = "tenant.deleted"
    CONFIG_PUT = "config.put"
    KEY_CREATED = "key.created"
    KEY_DELETED = "key.deleted"
    UPLOAD_LINK_CREATED = "upload_link.created"
    FEED_LINK_CREATED = "feed_link.created"
    FEED_LINK_DELETED = "feed_link.deleted"
    SUPPLIER_LINK_CREATED = "supplier_link.created"
    SUPPLIER_LINK_DELETED = "supplier_link.deleted"
    SECRET_PUT = "secret.put"  # noqa: S105 - an act, no secret
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - an act, no secret
    PULL_ASKED = "pull.asked"
    OVERRIDES_PUT = "overrides.put"
    OVERRIDES_REMOVED = "overrides.removed"
    SKUS_ACCEPTED = "skus.accepted"
    RUN_POSTED = "run.posted"
    RUN_CANCELLED = "run.cancelled"
    RUN_RELEASED = "run.released"
    FEED_ROLLED_BACK = "feed.rolled_back"
    RUNS_PAUSED = "runs.paused"
    RUNS_RESUMED = "runs.resumed"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    DEAD_LETTER_REDRIVEN = "dead_letter.redriven"
    DEAD_LETTER_DISCARDED = "dead_letter.discarded"


class ActorKind(StrEnum):
    """The kind of an actor."""

    ADMIN_KEY = "admin_key"
    TENANT_KEY = "tenant_key"
    SESSION = "session"
    SUPPLIER_LINK = "supplier_link"
    CLI = "cli"
    DAGSTER = "dagster"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """The actor: the ``id`` identifies it among its kind, the ``name`` is for people."""

    kind: ActorKind
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act. ``tenant_id`` None is an act on all tenants; ids sort by time."""

    audit_id: str
    occurred_at: datetime
    action: Action
    tenant_id: str | None
    actor: Actor
    target: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    address: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the entry as JSON has it, the instant as ISO text in UTC."""
        return {
            **asdict(self),
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat(),
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "AuditEntry":
        """Return the entry of `to_document`; what another release has added is ignored."""
        actor = document["actor"]
        typed = {
            "occurred_at": datetime.fromisoformat(document["occurred_at"]),
            "action": Action(document["action"]),
            "actor": Actor(ActorKind(actor["kind"]), actor["id"], actor["name"]),
        }
        known = {
            each.name: document[each.name]
            for each in fields(cls)
            if each.name in document
        }
        return cls(**{**known, **typed})


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an act: the actor, the request and its address."""

    actor: Actor
    request_id: str | None = None
    address: str | None = None

    def entry(
        self,
        action: Action,
        tenant_id: str | None,
        target: str | None,
        at: datetime,
        **details: Any,
    ) -> AuditEntry:
        """Return the entry of an act on a target, at an instant."""
        return AuditEntry(
            audit_id=f"{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(8)}",
            occurred_at=at,
            action=action,
            tenant_id=tenant_id,
            actor=self.actor,
            target=target,
            details=details,
            request_id=self.request_id,
            address=self.address,
        )


SYSTEM = Origin(Actor(ActorKind.SYSTEM, "relay", "Relay itself"))
"""The origin of acts that no request asks for: a schedule, an upload, a message in the queue."""


def dagster_origin(dagster_run_id: str) -> Origin:
    """Return the origin of what somebody did with a Dagster run in Dagster's UI."""
    return Origin(Actor(ActorKind.DAGSTER, dagster_run_id, "Dagster's UI"))
