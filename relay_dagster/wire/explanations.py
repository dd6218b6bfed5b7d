"""Why a SKU's row of a feed is what it is, as ``relay_core.publish.explanation`` explains it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from relay_dagster.wire.base import Answer, Open


class Winner(Answer):
    """The best of the offers that competed."""

    vendor_id: str
    row_number: int = Field(description="In the vendor's upload.")


class PriceStep(Answer):
    """A step of the price, also one that changed nothing; amounts are exact."""

    step: str
    operand: str | None = Field(description="What was applied; None where nothing was to be.")
    before: str | None = Field(description="None for the first step.")
    after: str


class ExplainedOffer(Answer):
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
    rule: int | None = Field(description="Which price rule applied, from 0; None for none.")
    lost_on: str | None = Field(
        description="The first criterion in which it differs from the winner; None for the winner."
    )


class RefusedRow(Answer):
    """A row of the SKU that was refused."""

    vendor_id: str
    row_number: int
    error_codes: str = Field(description="As in `invalid_rows.csv`.")


class Quarantined(Answer):
    """What holds the SKU's new price back."""

    action: str = Field(description="`keep` or `zero`.")
    price_published: str
    price_computed: str
    suspect_since: datetime


Reason = Literal["kept_at_0", "quarantined", "unpriced", "left_out", "refused"]


class Explanation(Answer):
    """What a run has made of a SKU."""

    run_id: str
    sku: str
    winner: Winner | None = Field(description="None where no offer competed.")
    feed_row: dict[str, str] | None = Field(description="Header to cell, as in a CSV feed.")
    reason: Annotated[Reason, Open()] | None = Field(
        description="Why there is no `feed_row`, or one that is not what was computed."
    )
    override: dict[str, Any] | None = Field(
        default=None, description="As in `overrides.json`; None where the run used none."
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
