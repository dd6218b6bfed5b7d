"""How a tenant stands, as the OpenAPI document shows it. Instants are UTC.

Only shapes, as in `runs_tenants`.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from relay_core.domain.records import VendorResult
from relay_dagster.api.models.deletions import DeleteAfter, State


class VendorStanding(BaseModel):
    """What the last ended run of all vendors has come to with one of them."""

    vendor_id: str
    status: str = Field(
        description="What was used of it: `found` (its upload), `last_good`, `left_out`, `missing`."
    )
    uploaded_at: datetime | None = Field(description="When its latest upload came.")
    age_hours: int | None = Field(
        description="How old what was used was when the run was asked for; or else the upload."
    )
    rows: int | None = Field(description="Of its upload; null where that was not read.")
    invalid_rows: int | None = Field(description="Those of them that were refused.")
    skus_won: int | None = Field(description="Rows of the feed; null where there came none.")

    @classmethod
    def of(cls, result: VendorResult) -> VendorStanding:
        """Return what those outside see of a vendor's result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class TenantStatus(BaseModel):
    """How a tenant stands now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state": "ACTIVE",
                    "delete_after": None,
                    "published_run_id": "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11",
                    "published_at": "2026-03-01T12:06:04Z",
                    "feed_age_seconds": 3236,
                    "held_run_id": None,
                    "active_run_id": None,
                    "next_run_at": "2026-03-01T14:00:00Z",
                    "vendors": [
                        {
                            "vendor_id": "granite_supply",
                            "status": "found",
                            "uploaded_at": "2026-03-01T11:58:00Z",
                            "age_hours": 0,
                            "rows": 2000,
                            "invalid_rows": 12,
                            "skus_won": 1370,
                        }
                    ],
                }
            ]
        }
    )

    state: State
    delete_after: DeleteAfter
    published_run_id: str | None = Field(description="The run whose feed is in force.")
    published_at: datetime | None = Field(description="Since when it is.")
    feed_age_seconds: int | None = Field(description="For how long it is, by now.")
    held_run_id: str | None = Field(description="The run whose feed waits for a decision.")
    active_run_id: str | None = Field(description="The run that is QUEUED or RUNNING.")
    next_run_at: datetime | None = Field(description="When the schedule is due next.")
    vendors: list[VendorStanding] = Field(
        description="Of the last run of all vendors that has ended and had looked at any."
    )
