"""The frozen sections of a tenant config: their fields, types and defaults."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
from relay_core.config.inputs.changes import ChangesConfig
from relay_core.config.inputs.checks import misfits_of_vendor, refuse_all
from relay_core.config.inputs.parts import (
    MAX_PARTS,
    InboundConfig,
    InputPart,
    PartConfig,
)
from relay_core.config.parser import ParserConfig
from relay_core.config.reading.scalars import type_name
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import MONEY_LIMIT
from relay_core.domain.columns import DERIVED_COLUMNS, source_column
from relay_core.domain.formats import DELIMITED_FORMATS, OutputFormat
from relay_core.domain.limits import DEFAULT_LIMITS

Margin = Annotated[
    Decimal,
    Field(ge=0, le=100, decimal_places=6),
    values.EXACT,
    values.AS_TEXT,
]
MapFloor = Literal["max(price, map_price)"]
Condition = Literal["new", "used", "refurb"]
Ending = Annotated[
    Decimal,
    Field(
        ge=0,
        le=Decimal("9.99"),
        decimal_places=2,
        description="The last step raises the price to the next amount with this ending. "
        "With 0.99, 12.30 becomes 12.99; with 9.99, it becomes 19.99.",
    ),
    values.EXACT,
    values.AS_TEXT,
]
AMOUNTS = ("margin_pct", "markup", "fixed_price")
"""The options with which a price rule sets a price."""
_EFFECTS = "margin_pct, markup, fixed_price and leave_out: true"
Vendors = Annotated[
    tuple[cross_checks.KnownVendor, ...],
    Field(min_length=1, description="IDs of vendors of this config."),
]
Brands = Annotated[
    tuple[values.Filled, ...],
    Field(min_length=1, description="Brands in any letter case."),
]
Conditions = Annotated[tuple[Condition, ...], Field(min_length=1)]


class RuleConditions(values.Section):
    """The offers that a price rule applies to: an offer must meet every condition."""

    vendors: Vendors | None = None
    brands: Brands | None = None
    conditions: Conditions | None = None
    cost_from: values.Money | None = None
    cost_below: Annotated[
        values.Money | None,
        cross_checks.above("cost_from"),
    ] = None


class PriceRule(values.Section):
    """Sets the price of the offers that meet its conditions, or leaves them out."""

    when: RuleConditions = RuleConditions()
    margin_pct: Margin | None = None
    markup: values.Money | None = None
    fixed_price: values.Money | None = None
    leave_out: Annotated[values.Bool, Field(validate_default=True)] = False
    min_price: values.Money | None = None

    @field_validator("leave_out")
    @classmethod
    def _does_one_thing(cls, value: bool, info: ValidationInfo) -> bool:
        # An invalid amount is absent from ``info.data``; it still counts as set.
        effects = [
            name for name in AMOUNTS if info.data.get(name, name) is not None
        ]
        if value:
            effects.append("leave_out")
        if len(effects) != 1:
            raise refuse(
                f"must have exactly one of {_EFFECTS}; "
                f"it has {' and '.join(effects) or 'none'}",
                of_section=True,
            )
        return value

    @field_validator("min_price")
    @classmethod
    def _goes_with_a_price(
        cls,
        value: Decimal | None,
        info: ValidationInfo,
    ) -> Decimal | None:
        if value is not None and info.data.get("leave_out"):
            raise refuse(
                "does not apply with leave_out, because the offer gets no price; remove it",
            )
        return value


class MapPolicyConfig(values.Section):
    """Whether the minimum advertised price is a minimum for prices."""

    enforce: values.Bool = True
    map_floor_behavior: MapFloor = "max(price, map_price)"


class RoundingConfig(values.Section):
    """How prices are rounded to a multiple of `increment`; nearest is half up."""

    mode: Literal["nearest", "up", "down"] = "nearest"
    increment: Annotated[
        Decimal,
        Field(ge=Decimal("0.0001"), lt=MONEY_LIMIT, decimal_places=4),
        values.EXACT,
        values.AS_TEXT,
    ] = Decimal("0.01")


class PricingConfig(values.Section):
    """How a cost becomes a price. The first rule that matches replaces the margin."""

    base_margin_pct: Margin
    min_price: values.Money
    shipping_handling_flat: values.Money
    map_policy: MapPolicyConfig = MapPolicyConfig()
    rules: Annotated[
        tuple[PriceRule, ...],
        Field(
            description="An offer gets the first rule whose `when` matches. Each rule has "
            "exactly one of `margin_pct`, `markup`, `fixed_price`, and `leave_out: true`.",
            json_schema_extra={"maxItems": DEFAULT_LIMITS.price_rules},
        ),
        cross_checks.at_most("price_rules"),
    ] = ()
    rounding: RoundingConfig = RoundingConfig()
    ending: Ending | None = None


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


class SkuMapConfig(values.Section):
    """The file that maps a vendor's SKUs to the tenant's SKUs."""

    type: Literal["s3", "file"]
    s3_key: cross_checks.S3Key = values.optional()
    local_path: cross_checks.LocalPath = values.optional()


class StockConfig(values.Section):
    """The part of a vendor's quantity that is offered."""

    hold_back: values.Quantity = 0
    pct: values.Percent = 100
    zero_below: values.Quantity = 0
    cap: values.Quantity | None = None


class LastGoodConfig(values.Section):
    """How old a vendor's last good file may be, and how much of its stock is offered."""

    max_age_hours: Annotated[
        int,
        Field(ge=1, le=720),
        values.WHOLE,
    ] = 48
    quantity_pct: values.Percent = 100


class VendorConfig(values.Section):
    """A vendor of the tenant: its files, and how to read and use them."""

    vendor_id: cross_checks.NewVendor
    required: values.Bool = True
    inbound: InboundConfig = values.empty_section()
    on_trouble: Literal["fail", "leave_out", "last_good"] = "fail"
    last_good: Annotated[
        LastGoodConfig,
        cross_checks.idle_without(
            "on_trouble",
            "last_good",
            default=LastGoodConfig(),
        ),
    ] = LastGoodConfig()
    max_feed_age_hours: values.HoursOfYear | None = None
    max_invalid_row_pct: values.Share | None = None
    duplicate_skus: DuplicateSkus = "compete"
    stock: StockConfig | None = None
    currency: cross_checks.VendorCurrency | None = None
    shipping_handling_flat: cross_checks.VendorShipping | None = None
    parser: ParserConfig = values.empty_section()
    sku_map: SkuMapConfig | None = None
    parts: Annotated[
        tuple[PartConfig, ...],
        cross_checks.at_most(MAX_PARTS),
        Field(
            description="More files of the vendor. Its own `inbound` and `parser` are "
            "those of the base.",
            json_schema_extra={"maxItems": MAX_PARTS},
        ),
    ] = ()
    changes: ChangesConfig | None = None

    @model_validator(mode="after")
    def _parts_go_together(self) -> "VendorConfig":
        refuse_all("VendorConfig", misfits_of_vendor(self))
        return self

    @property
    def given_columns(self) -> set[str]:
        """The columns of base rows that the parts give."""
        return {column for part in self.parts for column in part.columns or ()}

    @property
    def input_parts(self) -> tuple[InputPart, ...]:
        """The parts of the vendor's input in reading order; the base is the first."""
        given_columns = self.given_columns
        deleted = None if self.changes is None else self.changes.deleted
        base = InputPart(
            part_id=None,
            inbound=self.inbound,
            parser=self.parser.reading(without=given_columns, deleted=deleted),
            changes=self.changes,
            max_feed_age_hours=self.max_feed_age_hours,
            duplicate_skus=self.duplicate_skus,
        )
        parts = (
            part.as_input(given_columns, self.duplicate_skus)
            for part in self.parts
        )
        return (base, *parts)

    @property
    def has_file_list(self) -> bool:
        """True if the vendor's input may have several files."""
        return bool(self.parts) or self.changes is not None


class LandedCostConfig(values.Section):
    """The cost that offers are compared by."""

    include_shipping_handling: values.Bool = True


class BestOfferConfig(values.Section):
    """How the best offer of a SKU is chosen."""

    sort_by: tuple[SortRule, ...] = DEFAULT_SORT
    landed_cost: LandedCostConfig = LandedCostConfig()
    fallback_lead_time_days: values.Quantity = 7

    @field_validator("sort_by")
    @classmethod
    def _empty_is_default(
        cls,
        value: tuple[SortRule, ...],
    ) -> tuple[SortRule, ...]:
        return value or DEFAULT_SORT


class MergeConfig(values.Section):
    """How the offers of one SKU become one record."""

    strategy: Literal["best_offer"]
    best_offer: BestOfferConfig = BestOfferConfig()


class ErrorPolicy(values.Section):
    """The invalid rows, missing columns and missing vendors that a run tolerates."""

    max_invalid_rows: values.Count = 0
    max_invalid_row_pct: values.Share = Decimal("0.0")
    fail_on_missing_required_columns: values.Bool = True
    missing_required_vendor_policy: Literal["fail", "warn_only"] = "fail"


PriceRise = Annotated[
    Decimal,
    Field(ge=0, le=100),
    values.EXACT,
    values.AS_TEXT,
]


class PriceLevelConfig(values.Section):
    """The limits for a move of more than half of the prices together."""

    low: values.Share = Decimal("0.80")
    high: Annotated[
        Decimal,
        Field(ge=1, le=100),
        values.EXACT,
        values.AS_TEXT,
    ] = Decimal("1.25")


class QuarantineConfig(values.Section):
    """When a SKU keeps its published price, and for how long; null turns a check off."""

    price_drop_pct: values.Share | None = Decimal("0.50")
    price_rise_pct: PriceRise | None = Decimal("1.00")
    action: Literal["keep", "zero"] = "keep"
    confirm_hours: values.HoursOfYear | None = 24
    max_pct: values.Share = Decimal("0.10")


class GuardsConfig(values.Section):
    """How much may change against the live feed; null turns a guard off."""

    mode: Literal["hold", "warn", "off"] = "hold"
    min_baseline_skus: values.Count = 10
    max_skus_removed_pct: values.Share | None = Decimal("0.50")
    max_out_of_stock_pct: values.Share | None = Decimal("0.50")
    price_drop_pct: values.Share | None = Decimal("0.50")
    price_rise_pct: PriceRise | None = Decimal("1.00")
    min_price_jumps: Annotated[int, Field(ge=1), values.WHOLE] = 5
    max_price_jumps_pct: values.Share = Decimal("0.01")
    price_level: PriceLevelConfig | None = PriceLevelConfig()
    max_vendor_rows_lost_pct: values.Share | None = Decimal("0.50")
    quarantine: QuarantineConfig | None = None


_MISSING_SKU_DAYS = 30


class OutputColumn(values.Section):
    """A column with its header, or a constant text with its header.

    The name of a column alone is also its header.
    """

    column: cross_checks.FeedColumn | None = None
    constant: str | None = None
    header: values.Filled = Field(
        alias="as",
        description="The header in the feed.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, dict):
            return value
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise refuse(
                "must be text (the name of a column) or a mapping, "
                f"not {type_name(value)}",
            )
        name = cross_checks.read_output_column(str(value), info)
        return {"column": name, "as": name}

    @model_validator(mode="after")
    def _holds_one_thing(self) -> "OutputColumn":
        if (self.column is None) is (self.constant is None):
            raise refuse("needs a column or a constant, but not both")
        return self

    @model_serializer
    def _as_config(self) -> str | dict[str, str]:
        if self.constant is not None:
            return {"constant": self.constant, "as": self.header}
        column = str(self.column)
        if column == self.header:
            return column
        return {"column": column, "as": self.header}


def _check_new_header(
    column: OutputColumn,
    entry: cross_checks.Entry,
    _: ValidationInfo,
) -> None:
    cross_checks.refuse_repeated(column.header, entry.seen)


_NewColumn = Annotated[OutputColumn, cross_checks.judged(_check_new_header)]


class FileConfig(values.Section):
    """The format and the columns of a file that is made of the feed's rows."""

    format: OutputFormat = "csv"
    columns: Annotated[
        tuple[_NewColumn, ...],
        Field(min_length=1),
        cross_checks.ENTRIES,
    ]
    # Spreadsheets open these formats, and may take a cell for a formula.
    escape_formulas: Annotated[
        values.Bool,
        cross_checks.idle_without("format", *DELIMITED_FORMATS, default=False),
    ] = False

    @property
    def suffix(self) -> str:
        """The end of the file's name, such as ``csv``."""
        return self.format

    @property
    def reads(self) -> set[str]:
        """The columns of a row that the file's columns are made from."""
        sources: set[str] = set()
        for column in self.columns:
            if column.column in DERIVED_COLUMNS:
                sources.update(DERIVED_COLUMNS[column.column])
            elif column.column is not None:
                sources.add(source_column(column.column))
        return sources


class OutputConfig(FileConfig):
    """The feed's file, and the SKUs that it keeps."""

    missing_skus: Literal["drop", "zero"] = "drop"
    missing_sku_days: Annotated[
        int,
        Field(ge=1, le=365),
        values.WHOLE,
        cross_checks.idle_without(
            "missing_skus",
            "zero",
            default=_MISSING_SKU_DAYS,
        ),
    ] = _MISSING_SKU_DAYS
