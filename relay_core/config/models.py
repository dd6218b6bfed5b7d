"""The sections of a tenant config, frozen: their fields, types and defaults."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from relay_core.config.cross_checks import (
    FORMATS_WITH,
    ColumnMap,
    ColumnNames,
    Defaults,
    LocalPath,
    QuantityWords,
    S3Key,
    S3Prefix,
    TimestampFormat,
    at_most,
    check_vendor_currency,
    check_vendor_shipping,
    goes_with,
    read_thousands_separator,
    read_vendor_id,
    refuse_idle,
    refuse_with_format,
)
from relay_core.config.values import (
    AS_TEXT,
    EXACT,
    WHOLE,
    Bool,
    Count,
    Currency,
    Delimiter,
    Encoding,
    Filled,
    Id,
    Money,
    Percent,
    Quantity,
    Share,
    Trimmed,
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
FeedFormat = Literal["csv", "jsonl", "xlsx", "xls", "ods", "parquet"]
Compression = Literal["auto", "none", "gzip", "zip"]
DuplicateSkus = Literal["compete", "first", "last", "sum", "refuse"]


def empty_section() -> Any:
    """Return the default of a section that may be left out, as if it were empty."""
    return Field(default_factory=dict, validate_default=True)


def _optional() -> Any:
    """Return the default of a field whose absence is judged, too."""
    return Field(default=None, validate_default=True)


class Section(BaseModel):
    """A mapping of the config; unknown keys are refused, and a number is taken for its text."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class InboundConfig(Section):
    """Where a vendor's feeds arrive; ``s3_prefix`` ends in a slash."""

    type: Literal["s3", "local"]
    s3_prefix: S3Prefix | None = _optional()

    @field_validator("s3_prefix")
    @classmethod
    def _goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return goes_with("s3", value, info)


class ParserConfig(Section):
    """How a vendor writes a feed; names and texts are trimmed."""

    format: FeedFormat
    compression: Compression = "auto"
    sheet: Filled | None = None
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"
    column_map: ColumnMap = {}
    skip_lines: Count = 0
    columns: Annotated[ColumnNames, at_most("parser_columns")] | None = None
    null_values: Annotated[tuple[Trimmed, ...], at_most("null_values")] = ()
    decimal_separator: Literal[".", ","] = "."
    thousands_separator: Literal[",", ".", "'", " "] | None = None
    currency_symbols: Annotated[tuple[Filled, ...], at_most("currency_symbols")] = ()
    quantity_words: Annotated[QuantityWords, at_most("quantity_words")] = {}
    timestamp_formats: Annotated[tuple[TimestampFormat, ...], at_most("timestamp_formats")] = ()
    # Last, because a default is read with the options above.
    defaults: Defaults = {}
    _extra_columns: tuple[str, ...] = ()

    def model_post_init(self, context: Any, /) -> None:
        """Take the names of the tenant's extra columns, which a feed may have under them."""
        self._extra_columns = tuple(getattr(context, "extra_columns", ()))

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The names of the tenant's extra columns."""
        return self._extra_columns

    @field_validator("compression", "sheet", "delimiter", "encoding", "skip_lines", "columns")
    @classmethod
    def _applies_to_format(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        refuse_with_format(FORMATS_WITH[name], value != cls.model_fields[name].default, info)
        return value

    @field_validator("thousands_separator")
    @classmethod
    def _differs_from_decimal(cls, value: str | None, info: ValidationInfo) -> str | None:
        return read_thousands_separator(value, info)


class SkuMapConfig(Section):
    """The file that turns a vendor's SKUs into the tenant's."""

    type: Literal["s3", "file"]
    s3_key: S3Key | None = _optional()
    local_path: LocalPath | None = _optional()

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


class PriceLevelConfig(Section):
    """How far more than half of the prices may move together."""

    low: Share = Decimal("0.80")
    high: Annotated[Decimal, Field(ge=1, le=100), EXACT, AS_TEXT] = Decimal("1.25")


class GuardsConfig(Section):
    """What a feed may lose or change against the published one; null switches a guard off."""

    mode: Literal["hold", "warn", "off"] = "hold"
    min_baseline_skus: Count = 10
    max_skus_removed_pct: Share | None = Decimal("0.50")
    max_out_of_stock_pct: Share | None = Decimal("0.50")
    price_drop_pct: Share | None = Decimal("0.50")
    price_rise_pct: Annotated[Decimal, Field(ge=0, le=100), EXACT, AS_TEXT] | None = Decimal("1.00")
    min_price_jumps: Annotated[int, Field(ge=1), WHOLE] = 5
    max_price_jumps_pct: Share = Decimal("0.01")
    price_level: PriceLevelConfig | None = PriceLevelConfig()
    max_vendor_rows_lost_pct: Share | None = Decimal("0.50")
