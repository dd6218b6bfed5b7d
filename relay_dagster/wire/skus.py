"""Single SKUs: overrides, prices of a quarantine, and explanations of a feed's rows.

``relay_core.publish.explaining.explanation`` makes the explanations.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from relay_dagster.wire import runs
from relay_dagster.wire.base import (
    NextCursor,
    OpenEnum,
    Page,
    RequestBody,
    ResponseBody,
)

MAX_OVERRIDES = 1_000
"""The number of overrides, or of SKUs, that one request changes, at most."""
MAX_ACCEPTED = 10_000
"""The number of SKUs whose prices one request accepts, at most."""
_Skus = Annotated[
    list[
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    ],
    Field(min_length=1, description="The SKUs, as in the feed."),
]


class OverridesRequest(RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/overrides:put`."""

    overrides: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_OVERRIDES,
        description="The overrides, one per SKU. Each has `sku`, at least one of "
        "`leave_out`, `price`, `min_price`, `max_quantity` and `vendor_id`, and "
        "optionally `expires_at` and `note`.",
    )


class OverrideRemovalRequest(RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/overrides:remove`."""

    skus: _Skus = Field(max_length=MAX_OVERRIDES)


class ChangedOverrides(ResponseBody):
    """The result of a change of a tenant's overrides."""

    version: int = Field(
        description="The version of all overrides. It stays the same if nothing "
        "changed.",
    )
    count: int = Field(
        description="The number of overrides that the tenant has.",
    )
    changed: int = Field(description="The number of overrides that changed.")


class OverrideList(Page):
    """A page of a tenant's overrides, sorted by SKU."""

    version: int = Field(
        description="The version of all overrides, or 0 before the first.",
    )
    count: int = Field(description="The number of overrides on all pages.")
    unused: int | None = Field(
        description="The number of overrides whose SKU no vendor offered in the live "
        "feed's run. Null if that run used no overrides, or if its files were "
        "deleted.",
    )
    overrides: list[dict[str, Any]] = Field(
        description="The overrides, as in `overrides.json`.",
    )
    next_cursor: NextCursor


class AcceptRequest(RequestBody):
    """The body of `POST /v1/runs/{run_id}/accept`.

    Set either `skus` or `all`.
    """

    skus: _Skus | None = Field(None, max_length=MAX_ACCEPTED)
    all: Literal[True] | None = Field(None, validate_default=True)
    reason: runs.Reason

    @field_validator("all")
    @classmethod
    def _is_set_instead_of_skus(
        cls,
        value: Literal[True] | None,
        info: ValidationInfo,
    ) -> Literal[True] | None:
        if "skus" not in info.data:
            # The SKUs are not valid, which is an error of its own.
            return value
        has_skus = info.data["skus"] is not None
        has_all = value is not None
        if has_skus is has_all:
            raise ValueError("must have either skus or all: true")
        return value


class AcceptedSkus(ResponseBody):
    """The result of accepting prices."""

    accepted: int = Field(
        description="The number of SKUs whose prices are accepted.",
    )


# --- explanations -------------------------------------------------------------------


FILE = Field(
    default=None,
    description="The name of the upload that has the row. Absent unless the vendor has "
    "parts or changes.",
)


class Winner(ResponseBody):
    """The winning offer."""

    OPTIONAL_FIELDS = frozenset({"file"})

    vendor_id: str
    row_number: int = Field(
        description="The row's number in the vendor's upload.",
    )
    file: str | None = FILE


class PriceStep(ResponseBody):
    """A step of the price calculation. Amounts are exact.

    Steps that did not change the price are included.
    """

    step: str
    operand: str | None = Field(
        description="The value that was applied, or null.",
    )
    before: str | None = Field(
        description="The amount before the step. Null for the first step.",
    )
    after: str


class ExplainedOffer(ResponseBody):
    """A vendor's offer of the SKU."""

    OPTIONAL_FIELDS = frozenset({"matched_by", "file"})

    vendor_id: str
    vendor_sku: str | None
    matched_by: str | None = Field(
        default=None,
        description="The key by which the catalog knows the row: `sku_map`, `gtin`, "
        "`mpn`, or `sku`. Null for an unmatched row. Absent if the config has no catalog.",
    )
    row_number: int
    file: str | None = FILE
    quantity_available: int
    stock_quantity: int | None = Field(
        description="Null if the offer did not compete.",
    )
    cost: str | None
    price: str | None = Field(description="The vendor's own price.")
    landed_cost: str | None
    lead_time_days: int | None = Field(description="The offer's own lead time.")
    updated_at: datetime
    rule: int | None = Field(
        description="The index of the price rule that applied, from 0, or null.",
    )
    lost_on: str | None = Field(
        description="The first criterion in which the offer differs from the winning "
        "offer. Null for the winning offer.",
    )


class RefusedRow(ResponseBody):
    """A row of the SKU that was rejected."""

    OPTIONAL_FIELDS = frozenset({"file"})

    vendor_id: str
    row_number: int
    file: str | None = FILE
    error_codes: str = Field(
        description="The error codes, as in `invalid_rows.csv`.",
    )


class Quarantined(ResponseBody):
    """The quarantine of the SKU's new price."""

    action: str = Field(description="`keep` or `zero`.")
    price_published: str
    price_computed: str
    suspect_since: datetime


class ExplainedChannel(ResponseBody):
    """The SKU's row in a channel."""

    channel_id: str
    quantity: int
    price: str


Reason = Literal["kept_at_0", "quarantined", "unpriced", "left_out", "refused"]


class Explanation(ResponseBody):
    """The explanation of a SKU in a run's feed."""

    OPTIONAL_FIELDS = frozenset({"channels"})

    run_id: str
    sku: str
    winner: Winner | None = Field(description="Null if no offer competed.")
    feed_row: dict[str, str] | None = Field(
        description="The row of the feed: each header with its cell, as in a CSV feed.",
    )
    reason: Annotated[Reason, OpenEnum()] | None = Field(
        description="The reason why there is no `feed_row`, or why it differs from the "
        "computed row.",
    )
    override: dict[str, Any] | None = Field(
        default=None,
        description="The override, as in `overrides.json`. Null if the run used none.",
    )
    quarantine: Quarantined | None = Field(
        default=None,
        description="Null if the computed price is published.",
    )
    price_steps: list[PriceStep] | None = Field(
        description="Null without a winning offer, or if it has no price.",
    )
    offers_count: int
    offers: list[ExplainedOffer] = Field(
        description="The offers that competed, by rank, then the others. At most 100.",
    )
    refused_count: int
    refused: list[RefusedRow] = Field(
        description="The rejected rows, by vendor and row. At most 100.",
    )
    channels: list[ExplainedChannel] = Field(
        default=[],
        description="The channels that have the SKU, in the order of the config. Absent "
        "if the config has no channels.",
    )
