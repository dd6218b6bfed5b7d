"""The sections of a tenant config, frozen: their fields, types and defaults."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from relay_core.config.cross_checks import (
    LocalPath,
    S3Key,
    S3Prefix,
    check_vendor_currency,
    check_vendor_shipping,
    goes_with,
    read_vendor_id,
    refuse_idle,
)
from relay_core.config.parser import ParserConfig
from relay_core.config.pulls import PullConfig
from relay_core.config.section import Section, empty_section, optional
from relay_core.config.values import (
    AS_TEXT,
    EXACT,
    WHOLE,
    Bool,
    Count,
    Currency,
    Id,
    Money,
    Percent,
    Quantity,
    Share,
)

SortRule = Literal[
    "in_stock_desc",
    "lowest_landed_cost",
    "vendor_priority",
    "shortest_lead_time",
    "most_recent",
    "highest_quantity",
]
DEFAULT_SORT: tuple[SortRule, ...] = ("in_stock_desc", "lowest_landed_cost")
DuplicateSkus = Literal["compete", "first", "last", "sum", "refuse"]


class InboundConfig(Section):
    """Where a vendor's feeds arrive; ``s3_prefix`` ends in a slash."""

    type: Literal["s3", "local"]
    s3_prefix: S3Prefix | None = optional()
    pull: PullConfig | None = None

    @field_validator("s3_prefix")
    @classmethod
    def _goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return goes_with("s3", value, info)

    @field_validator("pull")
    @classmethod
    def _applies(cls, value: PullConfig | None, info: ValidationInfo) -> PullConfig | None:
        refuse_idle("type", "s3", value is not None, info)
        return value


class SkuMapConfig(Section):
    """The file that turns a vendor's SKUs into the tenant's."""

    type: Literal["s3", "file"]
    s3_key: S3Key | None = optional()
    local_path: LocalPath | None = optional()

    @field_validator("s3_key")
    @classmethod
    def _key_goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return goes_with("s3", value, info)

    @field_validator("local_path")
    @classmethod
    def _path_goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return goes_with("file", value, info)


class StockConfig(Section):
    """How much of an offer's quantity is offered on: less some, then a part, then bounds."""

    hold_back: Quantity = 0
    pct: Percent = 100
    zero_below: Quantity = 0
    cap: Quantity | None = None


class LastGoodConfig(Section):
    """When a vendor's last good feed may stand in, and how much of its quantities is offered."""

    max_age_hours: Annotated[int, Field(ge=1, le=720), WHOLE] = 48
    quantity_pct: Percent = 100


class VendorConfig(Section):
    """One supplier of the tenant."""

    vendor_id: Id
    required: Bool = True
    inbound: InboundConfig = empty_section()
    on_trouble: Literal["fail", "leave_out", "last_good"] = "fail"
    last_good: LastGoodConfig = LastGoodConfig()
    max_feed_age_hours: Annotated[int, Field(ge=1, le=8760), WHOLE] | None = None
    max_invalid_row_pct: Share | None = None
    duplicate_skus: DuplicateSkus = "compete"
    stock: StockConfig | None = None
    currency: Currency | None = None
    shipping_handling_flat: Money | None = None
    parser: ParserConfig = empty_section()
    sku_map: SkuMapConfig | None = None

    @field_validator("last_good")
    @classmethod
    def _applies(cls, value: LastGoodConfig, info: ValidationInfo) -> LastGoodConfig:
        refuse_idle("on_trouble", "last_good", value != LastGoodConfig(), info)
        return value

    @field_validator("currency")
    @classmethod
    def _has_rate(cls, value: str | None, info: ValidationInfo) -> str | None:
        return check_vendor_currency(value, info)

    @field_validator("shipping_handling_flat")
    @classmethod
    def _is_within(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        return check_vendor_shipping(value, info)

    @field_validator("vendor_id")
    @classmethod
    def _is_distinct(cls, value: str, info: ValidationInfo) -> str:
        return read_vendor_id(value, info)


class LandedCostConfig(Section):
    """What counts as the cost that offers are compared by."""

    include_shipping_handling: Bool = True


class BestOfferConfig(Section):
    """How the best of a SKU's offers is found."""

    sort_by: tuple[SortRule, ...] = DEFAULT_SORT
    landed_cost: LandedCostConfig = LandedCostConfig()
    fallback_lead_time_days: Quantity = 7

    @field_validator("sort_by")
    @classmethod
    def _empty_is_default(cls, value: tuple[SortRule, ...]) -> tuple[SortRule, ...]:
        return value or DEFAULT_SORT


class MergeConfig(Section):
    """How offers of one SKU become one record."""

    strategy: Literal["best_offer"]
    best_offer: BestOfferConfig = BestOfferConfig()


class ErrorPolicy(Section):
    """What a run puts up with."""

    max_invalid_rows: Count = 0
    max_invalid_row_pct: Share = Decimal("0.0")
    fail_on_missing_required_columns: Bool = True
    missing_required_vendor_policy: Literal["fail", "warn_only"] = "fail"


PriceRise = Annotated[Decimal, Field(ge=0, le=100), EXACT, AS_TEXT]


class PriceLevelConfig(Section):
    """How far more than half of the prices may move together."""

    low: Share = Decimal("0.80")
    high: Annotated[Decimal, Field(ge=1, le=100), EXACT, AS_TEXT] = Decimal("1.25")


class QuarantineConfig(Section):
    """When one SKU's new price is not believed, and for how long; null switches a side off."""

    price_drop_pct: Share | None = Decimal("0.50")
    price_rise_pct: PriceRise | None = Decimal("1.00")
    action: Literal["keep", "zero"] = "keep"
    confirm_hours: Annotated[int, Field(ge=1, le=8760), WHOLE] | None = 24
    max_pct: Share = Decimal("0.10")


class GuardsConfig(Section):
    """What a feed may lose or change against the published one; null switches a guard off."""

    mode: Literal["hold", "warn", "off"] = "hold"
    min_baseline_skus: Count = 10
    max_skus_removed_pct: Share | None = Decimal("0.50")
    max_out_of_stock_pct: Share | None = Decimal("0.50")
    price_drop_pct: Share | None = Decimal("0.50")
    price_rise_pct: PriceRise | None = Decimal("1.00")
    min_price_jumps: Annotated[int, Field(ge=1), WHOLE] = 5
    max_price_jumps_pct: Share = Decimal("0.01")
    price_level: PriceLevelConfig | None = PriceLevelConfig()
    max_vendor_rows_lost_pct: Share | None = Decimal("0.50")
    quarantine: QuarantineConfig | None = None
