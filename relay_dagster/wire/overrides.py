"""Overrides of single SKUs: put, listed, removed; prices of a quarantine, accepted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from relay_dagster.wire.base import Answer, NextCursor, Order, Page
from relay_dagster.wire.runs import Reason

MAX_AT_ONCE, MAX_ACCEPTED = 1_000, 10_000
_Skus = Annotated[
    list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]],
    Field(min_length=1, description="As the feed has them."),
]


class OverridesOrder(Order):
    """What `POST /v1/tenants/{tenant_id}/overrides:put` takes."""

    overrides: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_AT_ONCE,
        description="Each of a SKU of its own: `sku`, at least one of `leave_out`, `price`, "
        "`min_price`, `max_quantity` and `vendor_id`, and as wanted `expires_at` and `note`.",
    )


class OverrideRemoval(Order):
    """What `POST /v1/tenants/{tenant_id}/overrides:remove` takes."""

    skus: _Skus = Field(max_length=MAX_AT_ONCE)


class ChangedOverrides(Answer):
    """A tenant's overrides, changed."""

    version: int = Field(description="Of the document; a call that changes nothing makes none.")
    count: int = Field(description="How many overrides the tenant has.")
    changed: int = Field(description="How many are other than before.")


class OverrideList(Page):
    """A page of a tenant's overrides, by SKU."""

    version: int = Field(description="Of the document; 0 before the first.")
    count: int = Field(description="How many overrides the tenant has, on all pages.")
    unused: int | None = Field(
        description="Of how many no vendor offered the SKU in the run of the feed in force; null "
        "where that used none, or its files are gone."
    )
    overrides: list[dict[str, Any]] = Field(description="As in `overrides.json`.")
    next_cursor: NextCursor


class AcceptOrder(Order):
    """What `POST /v1/runs/{run_id}/accept` takes: some SKUs of the run's quarantine, or all."""

    skus: _Skus | None = Field(None, max_length=MAX_ACCEPTED)
    all: Literal[True] | None = Field(None, validate_default=True)
    reason: Reason

    @field_validator("all")
    @classmethod
    def _stands_in_for_skus(
        cls, value: Literal[True] | None, info: ValidationInfo
    ) -> Literal[True] | None:
        if "skus" in info.data and (value is None) is (info.data["skus"] is None):
            raise ValueError("one of skus and all: true is wanted")
        return value


class AcceptedSkus(Answer):
    """Prices of a quarantine that the next run publishes."""

    accepted: int = Field(description="Of how many SKUs.")
