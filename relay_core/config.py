"""The tenant config, ``schema_version`` 1: frozen models, loaded from a plain document.

``load_config`` gives every fault at once with its path. Text becomes a document in `documents`;
single values and rules that join fields are read in `config_values` and `config_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from relay_core import config_rules as rules
from relay_core import config_values as values
from relay_core.cells import LARGEST_WHOLE
from relay_core.config_faults import faults_of
from relay_core.documents import parse_document, plain_document
from relay_core.errors import ConfigError, ConfigFault, UnsupportedSchemaVersionError
from relay_core.source_text import NumberText, type_name

__all__ = [
    "BestOfferConfig",
    "ErrorPolicyConfig",
    "InboundConfig",
    "LandedCostConfig",
    "MapPolicyConfig",
    "MergeConfig",
    "OutputConfig",
    "ParserConfig",
    "PricingConfig",
    "RoundingConfig",
    "SkuMapConfig",
    "TenantConfig",
    "VendorConfig",
    "load_config",
    "parse_document",
]

SCHEMA_VERSION = 1

Text = Annotated[str, BeforeValidator(values.read_text)]
Id = Annotated[str, BeforeValidator(values.read_id)]
Texts = Annotated[tuple[str, ...], BeforeValidator(values.list_of(values.read_trimmed_text))]
Bool = Annotated[bool, BeforeValidator(values.read_bool)]
Count = Annotated[int, BeforeValidator(values.whole_number(most=values.LARGEST_COUNT))]
_AS_TEXT = PlainSerializer(lambda number: format(number, "f"), return_type=str)
Money = Annotated[Decimal, BeforeValidator(values.exact_decimal(places=4)), _AS_TEXT]

SortRule = Literal[
    "in_stock_desc",
    "lowest_landed_cost",
    "vendor_priority",
    "shortest_lead_time",
    "most_recent",
    "highest_quantity",
]
DEFAULT_SORT: tuple[SortRule, ...] = ("in_stock_desc", "lowest_landed_cost")
MapFloor = Literal["max(price, map_price)"]


def _one_of(*allowed: str) -> BeforeValidator:
    return BeforeValidator(values.choice(*allowed))


def _section() -> Any:
    """Return the default of a section that may be left out, as if it were empty."""
    return Field(default_factory=dict, validate_default=True)


def _optional() -> Any:
    """Return the default of a field whose absence is judged, too."""
    return Field(default=None, validate_default=True)


class _Section(BaseModel):
    """A mapping of the config; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InboundConfig(_Section):
    """Where a vendor's feeds arrive; ``s3_prefix`` ends in a slash."""

    type: Annotated[Literal["s3", "local"], _one_of("s3", "local")]
    s3_prefix: Annotated[str, BeforeValidator(rules.read_s3_prefix)] | None = _optional()

    @field_validator("s3_prefix")
    @classmethod
    def _goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return rules.goes_with("s3", value, info)


class ParserConfig(_Section):
    """How a vendor writes a feed; names and texts are trimmed."""

    format: Annotated[Literal["csv"], _one_of("csv")]
    delimiter: Annotated[str, BeforeValidator(values.read_delimiter)] = ","
    encoding: Annotated[str, BeforeValidator(values.read_encoding)] = "utf-8"
    column_map: Annotated[dict[str, str], BeforeValidator(rules.read_column_map)] = {}
    skip_lines: Count = 0
    columns: Annotated[tuple[str, ...], BeforeValidator(rules.read_columns)] | None = None
    null_values: Texts = ()
    decimal_separator: Annotated[Literal[".", ","], _one_of(".", ",")] = "."
    thousands_separator: (
        Annotated[Literal[",", ".", "'", " "], _one_of(",", ".", "'", " ")] | None
    ) = None
    currency_symbols: Annotated[
        tuple[str, ...], BeforeValidator(values.list_of(values.read_filled_text))
    ] = ()
    quantity_words: Annotated[dict[str, int], BeforeValidator(rules.read_quantity_words)] = {}
    timestamp_formats: Annotated[
        tuple[str, ...], BeforeValidator(values.list_of(rules.read_timestamp_format))
    ] = ()
    # Last, because a default is read with the options above.
    defaults: Annotated[dict[str, str], BeforeValidator(rules.read_defaults)] = {}

    @field_validator("thousands_separator")
    @classmethod
    def _differs_from_decimal(cls, value: str | None, info: ValidationInfo) -> str | None:
        return rules.read_thousands_separator(value, info)


class SkuMapConfig(_Section):
    """The file that turns a vendor's SKUs into the tenant's."""

    type: Annotated[Literal["s3", "file"], _one_of("s3", "file")]
    s3_key: Annotated[str, BeforeValidator(rules.read_s3_key)] | None = _optional()
    local_path: Annotated[str, BeforeValidator(rules.read_local_path)] | None = _optional()

    @field_validator("s3_key")
    @classmethod
    def _key_goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return rules.goes_with("s3", value, info)

    @field_validator("local_path")
    @classmethod
    def _path_goes_with_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return rules.goes_with("file", value, info)


class VendorConfig(_Section):
    """One supplier of the tenant."""

    vendor_id: Id
    required: Bool = True
    inbound: InboundConfig = _section()
    parser: ParserConfig = _section()
    sku_map: SkuMapConfig | None = None

    @field_validator("vendor_id")
    @classmethod
    def _is_distinct(cls, value: str, info: ValidationInfo) -> str:
        return rules.read_vendor_id(value, info)


class MapPolicyConfig(_Section):
    """Whether a minimum advertised price is a floor."""

    enforce: Bool = True
    map_floor_behavior: Annotated[MapFloor, _one_of(*get_args(MapFloor))] = "max(price, map_price)"


class RoundingConfig(_Section):
    """How a price is rounded to a multiple of ``increment``; nearest is half up."""

    mode: Annotated[Literal["nearest", "up", "down"], _one_of("nearest", "up", "down")] = "nearest"
    increment: Annotated[
        Decimal, BeforeValidator(values.exact_decimal(places=4, least="0.0001")), _AS_TEXT
    ] = Decimal("0.01")


class PricingConfig(_Section):
    """From a cost to a price."""

    base_margin_pct: Annotated[
        Decimal, BeforeValidator(values.exact_decimal(places=6, most="100")), _AS_TEXT
    ]
    min_price: Money
    shipping_handling_flat: Money
    map_policy: MapPolicyConfig = MapPolicyConfig()
    rounding: RoundingConfig = RoundingConfig()


class LandedCostConfig(_Section):
    """What counts as the cost that offers are compared by."""

    include_shipping_handling: Bool = True


class BestOfferConfig(_Section):
    """How the best of a SKU's offers is found."""

    sort_by: Annotated[
        tuple[SortRule, ...],
        BeforeValidator(values.list_of(values.choice(*get_args(SortRule)))),
    ] = DEFAULT_SORT
    landed_cost: LandedCostConfig = LandedCostConfig()
    fallback_lead_time_days: Annotated[
        int, BeforeValidator(values.whole_number(most=LARGEST_WHOLE))
    ] = 7

    @field_validator("sort_by")
    @classmethod
    def _empty_is_default(cls, value: tuple[SortRule, ...]) -> tuple[SortRule, ...]:
        return value or DEFAULT_SORT


class MergeConfig(_Section):
    """How offers of one SKU become one record."""

    strategy: Annotated[Literal["best_offer"], _one_of("best_offer")]
    best_offer: BestOfferConfig = BestOfferConfig()


class OutputConfig(_Section):
    """What the merged feed holds."""

    format: Annotated[Literal["csv"], _one_of("csv")] = "csv"
    columns: Annotated[tuple[str, ...], BeforeValidator(rules.read_output_columns)]


class ErrorPolicyConfig(_Section):
    """What a run puts up with."""

    max_invalid_rows: Count = 0
    max_invalid_row_pct: Annotated[
        Decimal, BeforeValidator(values.exact_decimal(most="1")), _AS_TEXT
    ] = Decimal("0.0")
    fail_on_missing_required_columns: Bool = True
    missing_required_vendor_policy: Annotated[
        Literal["fail", "warn_only"], _one_of("fail", "warn_only")
    ] = "fail"


class TenantConfig(_Section):
    """A merchant's whole config; load it with `load_config`."""

    schema_version: Annotated[
        int,
        BeforeValidator(values.whole_number(least=SCHEMA_VERSION, most=SCHEMA_VERSION)),
    ] = SCHEMA_VERSION
    tenant_id: Id
    timezone: Annotated[str, BeforeValidator(values.read_timezone)]
    default_currency: Annotated[str, BeforeValidator(values.read_currency)]
    vendors: Annotated[tuple[VendorConfig, ...], BeforeValidator(values.require_filled_list)]
    pricing: PricingConfig = _section()
    merge: MergeConfig = _section()
    output: OutputConfig = _section()
    error_policy: ErrorPolicyConfig = ErrorPolicyConfig()

    @property
    def zone(self) -> ZoneInfo:
        """The zone of timestamps that have no offset."""
        return ZoneInfo(self.timezone)

    def vendor(self, vendor_id: str) -> VendorConfig:
        """Return the vendor of this id.

        Raises:
            ConfigError: the config has no such vendor.
        """
        return self.selecting([vendor_id])[0]

    def selecting(self, vendor_ids: Sequence[str] | None) -> tuple[VendorConfig, ...]:
        """Return the named vendors in the order of the config; none named is all.

        Raises:
            ConfigError: the config lacks one of them.
        """
        known = [vendor.vendor_id for vendor in self.vendors]
        faults = [
            ConfigFault(
                f"vendors.{index}",
                f'the config has no vendor "{vendor_id}"{values.nearest(vendor_id, known)}; '
                f"it has {', '.join(known)}",
            )
            for index, vendor_id in enumerate(vendor_ids or ())
            if vendor_id not in known
        ]
        if faults:
            raise ConfigError(faults)
        return tuple(v for v in self.vendors if not vendor_ids or v.vendor_id in vendor_ids)

    def to_document(self) -> dict[str, Any]:
        """Return the config as it takes effect: JSON values, defaults filled in, decimals as text.

        `load_config` of it gives the same config.
        """
        return self.model_dump(mode="json")


def load_config(document: Mapping[str, Any]) -> TenantConfig:
    """Return the config that a document holds.

    Raises:
        UnsupportedSchemaVersionError: ``schema_version`` is not 1; nothing else is looked at.
        ConfigError: with every fault and its path.
    """
    if not isinstance(document, Mapping):
        raise ConfigError([ConfigFault("", "the config must be a mapping of keys to values")])
    _require_schema_version(document.get("schema_version"))
    plain, faults = plain_document(document)
    context = rules.LoadContext.of_tenant(plain.get("tenant_id"))
    try:
        config = TenantConfig.model_validate(plain, context=context)
    except ValidationError as error:
        raise ConfigError([*faults, *faults_of(error, TenantConfig)]) from error
    if faults:
        raise ConfigError(faults)
    return config


def _require_schema_version(found: Any) -> None:
    is_number = isinstance(found, int | float | Decimal | NumberText)
    if found is None or (is_number and values.is_exactly(SCHEMA_VERSION, found)):
        return
    is_short = is_number or (isinstance(found, str) and len(found) <= 64)
    raise UnsupportedSchemaVersionError(found if is_short else type_name(found))
