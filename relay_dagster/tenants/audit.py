"""The audit: its actions and actors, and the entry of an act.

An act's entry is written in the transaction of its change; ``aws/dynamodb/database.py``
stores entries. An act that is refused, or that changes nothing, has no entry.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

KEPT_FOR = timedelta(days=400)
"""How long an entry is kept; it is neither changed nor deleted before."""

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
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SECRET_PUT = "secret.put"  # noqa: S105 - an act, no secret
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - an act, no secret
    PULL_ASKED = "pull.asked"
    DELIVERY_ASKED = "delivery.asked"
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
    """The person or program that acts."""

    kind: ActorKind
    id: str  # identifies the actor among its kind
    name: str  # names the actor to people


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """The entry of one act."""

    audit_id: str  # ids sort by time
    occurred_at: datetime
    action: Action
    tenant_id: str | None  # None for an act on all tenants
    actor: Actor
    # The id of the run, key, link, ... that the act is about.
    target: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    address: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the entry as a JSON document, with the instant as ISO text in UTC."""
        occurred_at = self.occurred_at.astimezone(UTC)
        return {**asdict(self), "occurred_at": occurred_at.isoformat()}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "AuditEntry":
        """Return the entry of a document; unknown members are ignored."""
        names = [attribute.name for attribute in fields(cls)]
        values = {name: document[name] for name in names if name in document}
        actor = document["actor"]
        values["occurred_at"] = datetime.fromisoformat(document["occurred_at"])
        values["action"] = Action(document["action"])
        values["actor"] = Actor(
            ActorKind(actor["kind"]), actor["id"], actor["name"]
        )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an act: the actor, the request, and the address it came from."""

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
        sort_key = f"{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        return AuditEntry(
            audit_id=f"{sort_key}-{secrets.token_hex(8)}",
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
"""The origin of acts without a request, as of a schedule, an upload or a message."""


def dagster_origin(dagster_run_id: str) -> Origin:
    """Return the origin of an act on a Dagster run in Dagster's UI."""
    return Origin(Actor(ActorKind.DAGSTER, dagster_run_id, "Dagster's UI"))
