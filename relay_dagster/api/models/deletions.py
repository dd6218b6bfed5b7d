"""A tenant's deletion, as the OpenAPI document shows it. Instants are UTC.

Only shapes, as in `runs_tenants`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from relay_dagster.runs.tenants.deletion import Deletion, TenantState

State = Annotated[TenantState, Field(description="Whether it is there to stay, or being deleted.")]
DeleteAfter = Annotated[
    datetime | None,
    Field(description="Until when it can be restored; null where nobody deletes it."),
]


def standing_of(deletion: Deletion | None) -> dict[str, Any]:
    """Return `State` and `DeleteAfter` of a tenant; None where nobody deletes it."""
    if deletion is None:
        return {"state": TenantState.ACTIVE, "delete_after": None}
    return {"state": deletion.state, "delete_after": deletion.delete_after}


class TenantStanding(BaseModel):
    """Whether a tenant is there to stay."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tenant_id": "acme_parts", "state": "ACTIVE"}]}
    )

    tenant_id: str
    state: TenantState


class TenantDeletion(TenantStanding):
    """How far a tenant's deletion is; of one that is over, what is left of the tenant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme_parts",
                    "state": "CLOSING",
                    "asked_at": "2026-03-01T12:00:00Z",
                    "asked_by": "operations",
                    "delete_after": "2026-03-08T12:00:00Z",
                    "deleting_since": None,
                    "deleted_at": None,
                    "step": None,
                    "removed": {},
                }
            ]
        }
    )

    asked_at: datetime
    asked_by: str | None = Field(description="The admin key; null once the tenant is gone.")
    delete_after: datetime = Field(description="Until then it can be restored.")
    deleting_since: datetime | None
    deleted_at: datetime | None
    step: str | None = Field(description="What is being removed.")
    removed: dict[str, int] = Field(description="How much each step has removed.")

    @classmethod
    def of(cls, deletion: Deletion) -> TenantDeletion:
        """Return what those outside see of a deletion."""
        return cls(**{name: getattr(deletion, name) for name in cls.model_fields})
