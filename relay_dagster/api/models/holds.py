"""What goes in and out where people decide of feeds. Instants are UTC.

Only shapes, as in `runs_tenants`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from relay_dagster.runs.feeds.hold import Hold
from relay_dagster.runs.feeds.pointer import FeedPointer
from relay_dagster.runs.identifiers import ID_PATTERN

Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"\S")
]
"""Why a person did something: trimmed, not blank."""


class HeldFeed(BaseModel):
    """Why a run's feed is held back."""

    sha256: str = Field(description="Of the feed; a release names it.")
    baseline_run_id: str = Field(description="The run whose feed it was compared with.")
    guards: list[dict[str, Any]] = Field(description="Those that tripped; a release names them.")

    @classmethod
    def of(cls, hold: Hold) -> HeldFeed:
        """Return what those outside see of a hold."""
        guards = [dict(result) for result in hold.guards]
        return cls(sha256=hold.sha256, baseline_run_id=hold.baseline_run_id, guards=guards)


class ReleaseOrder(BaseModel):
    """What `POST /v1/runs/{run_id}/release` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    guards: list[Annotated[str, StringConstraints(max_length=64)]] = Field(
        max_length=20, description="The names of the guards that tripped."
    )
    reason: Reason


class RollbackOrder(BaseModel):
    """What `POST /v1/tenants/{tenant_id}/feed/rollback` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    reason: Reason


class PublishedFeed(BaseModel):
    """A tenant's feed that is in force."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme_parts",
                    "run_id": "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11",
                    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                    "finished_at": "2026-03-01T12:06:04Z",
                    "published_at": "2026-03-01T12:21:00Z",
                }
            ]
        }
    )

    tenant_id: str
    run_id: str
    sha256: str
    finished_at: datetime = Field(description="When its run ended.")
    published_at: datetime

    @classmethod
    def of(cls, feed: FeedPointer) -> PublishedFeed:
        """Return what those outside see of a tenant's feed."""
        one = feed.in_force
        return cls(
            tenant_id=feed.tenant_id,
            run_id=one.run_id,
            sha256=one.sha256,
            finished_at=one.finished_at,
            published_at=one.published_at,
        )
