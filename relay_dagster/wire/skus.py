"""Single SKUs: explanations of a feed's rows, overrides, and prices of a quarantine.

A row is explained as ``relay_core.publish.explanation`` says.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from relay_dagster.wire import runs
from relay_dagster.wire.base import NextCursor, Open, Page, RequestBody, ResponseBody

MAX_AT_ONCE, MAX_ACCEPTED = 1_000, 10_000
_Skus = Annotated[
    list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]],
    Field(min_length=1, description="As the feed has them."),
]


class OverridesRequest(RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/overrides:put`."""

    overrides: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_AT_ONCE,
        description="Each of a SKU of its own: `sku`, at least one of `leave_out`, `price`, "
        "`min_price`, `max_quantity` and `vendor_id`, and as wanted `expires_at` and `note`.",
    )


class OverrideRemovalRequest(RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/overrides:remove`."""

    skus: _Skus = Field(max_length=MAX_AT_ONCE)


class ChangedOverrides(ResponseBody):
    """A tenant's overrides, changed."""

    version: int = Field(
        description="Of the document; a call that changes nothing makes none."
    )
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


class AcceptRequest(RequestBody):
    """The body of `POST /v1/runs/{run_id}/accept`: some SKUs of the run's quarantine, or all."""

    skus: _Skus | None = Field(None, max_length=MAX_ACCEPTED)
    all: Literal[True] | None = Field(None, validate_default=True)
    reason: runs.Reason

    @field_validator("all")
    @classmethod
    def _stands_in_for_skus(
        cls, value: Literal[True] | None, info: ValidationInfo
    ) -> Literal[True] | None:
        if "skus" in info.data and (value is None) is (info.data["skus"] is None):
            raise ValueError("one of skus and all: true is wanted")
        return value


class AcceptedSkus(ResponseBody):
    """Prices of a quarantine that the next run publishes."""

    accepted: int = Field(description="Of how many SKUs.")


# --- explanations ---------------------------------------------------------------------------------


class Winner(ResponseBody):
    """The best of the offers that competed."""

    vendor_id: str
    row_number: int = Field(description="In the vendor's upload.")


class PriceStep(ResponseBody):
    """A step of the price, also one that changed nothing; amounts are exact."""

    step: str
    operand: str | None = Field(
        description="What was applied; None where nothing was to be."
    )
    before: str | None = Field(description="None for the first step.")
    after: str


class ExplainedOffer(ResponseBody):
    """One vendor's offer of the SKU."""

    vendor_id: str
    vendor_sku: str | None
    row_number: int
    quantity_available: int
    stock_quantity: int | None = Field(description="None where it did not compete.")
    cost: str | None
    price: str | None = Field(description="The vendor's own.")
    landed_cost: str | None
    lead_time_days: int | None = Field(description="Its own.")
    updated_at: datetime
    rule: int | None = Field(
        description="Which price rule applied, from 0; None for none."
    )
    lost_on: str | None = Field(
        description="The first criterion in which it differs from the winner; None for the winner."
    )


class RefusedRow(ResponseBody):
    """A row of the SKU that was refused."""

    vendor_id: str
    row_number: int
    error_codes: str = Field(description="As in `invalid_rows.csv`.")


class Quarantined(ResponseBody):
    """The quarantine of the SKU's new price."""

    action: str = Field(description="`keep` or `zero`.")
    price_published: str
    price_computed: str
    suspect_since: datetime


Reason = Literal["kept_at_0", "quarantined", "unpriced", "left_out", "refused"]


class Explanation(ResponseBody):
    """The explanation of a SKU in a run's feed."""

    run_id: str
    sku: str
    winner: Winner | None = Field(description="None where no offer competed.")
    feed_row: dict[str, str] | None = Field(
        description="Header to cell, as in a CSV feed."
    )
    reason: Annotated[Reason, Open()] | None = Field(
        description="Why there is no `feed_row`, or one that is not what was computed."
    )
    override: dict[str, Any] | None = Field(
        default=None,
        description="As in `overrides.json`; None where the run used none.",
    )
    quarantine: Quarantined | None = Field(
        default=None, description="None where the price is the one that was computed."
    )
    price_steps: list[PriceStep] | None = Field(
        description="None without a winner, and where it has no price."
    )
    offers_count: int
    offers: list[ExplainedOffer] = Field(
        description="Those that competed, by rank, then the others; at most 100."
    )
    refused_count: int
    refused: list[RefusedRow] = Field(description="By vendor and row; at most 100.")
