"""The tenant config, ``schema_version`` 1: frozen models, loaded from a plain document.

``load_config`` reports all faults at once, each with its path. `documents` turns text
into a document; the sections are in `models`. `values` reads single values, and
`cross_checks` has the rules that join fields.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, model_validator

import relay_core.config.cross_checks as cross_checks
import relay_core.config.models as models
import relay_core.config.values as values
from relay_core.config.catalog import Catalog
from relay_core.config.channels import Channels
from relay_core.config.deliveries import Deliveries
from relay_core.config.inputs.checks import (
    InputAt,
    inputs_of_vendors,
    misfits_of_inputs,
    refuse_all,
)
from relay_core.config.inputs.parts import InputPart
from relay_core.config.pydantic_faults import faults_of
from relay_core.config.reading.documents import parse_document
from relay_core.config.reading.plain_values import plain_document
from relay_core.config.reading.scalars import (
    NumberText,
    exact_number,
    type_name,
)
from relay_core.config.refusals import nearest
from relay_core.config.triggers import TriggersConfig
from relay_core.domain import errors
from relay_core.domain.cell_rules import MONEY_UNIT, shorten
from relay_core.domain.codes import CATALOG
from relay_core.domain.limits import (
    DEFAULT_LIMITS,
    MAX_LISTED,
    STORED_CONFIG_LIMITS,
    Limits,
)
from relay_core.domain.run_faults import listed

SCHEMA_VERSION: Literal[1] = 1
_MAX_VERSION_LENGTH = 64


class TenantConfig(values.Section):
    """A merchant's whole config; load it with `load_config`."""

    schema_version: Annotated[Literal[1], values.WHOLE] = SCHEMA_VERSION
    tenant_id: values.Id
    timezone: values.TimeZone
    default_currency: cross_checks.TenantCurrency
    exchange_rates: cross_checks.ExchangeRates = Field(default={})
    extra_columns: cross_checks.ExtraColumns = ()
    gtin_column: cross_checks.GtinColumn | None = None
    mpn_column: cross_checks.MpnColumn | None = None
    vendors: Annotated[
        tuple[models.VendorConfig, ...],
        cross_checks.at_most("vendors"),
    ]
    catalog: Catalog = None
    pricing: models.PricingConfig = values.empty_section()
    stock: models.StockConfig = models.StockConfig()
    merge: models.MergeConfig = values.empty_section()
    output: models.OutputConfig = values.empty_section()
    error_policy: models.ErrorPolicy = models.ErrorPolicy()
    guards: models.GuardsConfig = models.GuardsConfig()
    triggers: TriggersConfig = TriggersConfig()
    channels: Channels = ()
    deliveries: Deliveries = ()

    @model_validator(mode="after")
    def _inputs_are_apart(self) -> "TenantConfig":
        inputs = [*inputs_of_vendors(self.vendors)]
        if self.catalog is not None:
            part = InputPart(None, self.catalog.inbound, self.catalog.parser)
            inputs.append(InputAt(("catalog",), part, is_apart=True))
        refuse_all("TenantConfig", misfits_of_inputs(inputs))
        return self

    @property
    def has_file_lists(self) -> bool:
        """True if the input of a vendor may have several files."""
        return any(vendor.has_file_list for vendor in self.vendors)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of timestamps without an offset."""
        return ZoneInfo(self.timezone)

    def file_of(self, channel_id: str | None) -> models.FileConfig | None:
        """Return the file of a channel, or that of the feed for None.

        Return None if the config has no such channel.
        """
        if channel_id is None:
            return self.output
        for channel in self.channels:
            if channel.channel_id == channel_id:
                return channel.output
        return None

    @property
    def reads(self) -> set[str]:
        """The columns of a row that the feed and the channels are made from."""
        sources = self.output.reads
        for channel in self.channels:
            sources |= channel.reads
        return sources

    def next_run_after(self, instant: datetime) -> datetime | None:
        """Return the schedule's first due time after an instant, in UTC.

        Return None if the config has no schedule, or no vendors to run.
        """
        schedule = self.triggers.schedule
        if schedule is None or not self.vendors:
            return None
        return schedule.next_after(instant, self.zone)

    def vendor(self, vendor_id: str) -> models.VendorConfig:
        """Return the vendor of this id, or the catalog as a vendor.

        Raises:
            ConfigError: The config has no such vendor.
        """
        if self.catalog is not None and vendor_id == CATALOG:
            return self.catalog.as_vendor()
        return self.selecting([vendor_id])[0]

    @property
    def catalog_input(self) -> models.VendorConfig | None:
        """The catalog as a vendor; None for a tenant without one."""
        return None if self.catalog is None else self.catalog.as_vendor()

    @property
    def vendors_and_catalog(self) -> tuple[models.VendorConfig, ...]:
        """The vendors, and behind them the catalog as a vendor, if there is one."""
        if self.catalog is None:
            return self.vendors
        return (*self.vendors, self.catalog.as_vendor())

    def vendor_index(self, vendor_id: str) -> int:
        """Return the index of a vendor among the config's vendors.

        Raises:
            ValueError: The config has no such vendor.
        """
        return [vendor.vendor_id for vendor in self.vendors].index(vendor_id)

    def rate_of(self, vendor: models.VendorConfig) -> Fraction | None:
        """Return the value of one unit of a vendor's currency in the tenant's.

        Return None if both have the same currency.
        """
        if vendor.currency in (None, self.default_currency):
            return None
        return Fraction(self.exchange_rates[str(vendor.currency)])

    def shipping_of(self, vendor: models.VendorConfig) -> Decimal:
        """Return a vendor's flat shipping in the tenant's currency, with 4 places."""
        if vendor.shipping_handling_flat is None:
            return self.pricing.shipping_handling_flat
        rate = self.rate_of(vendor) or Fraction(1)
        units = Fraction(vendor.shipping_handling_flat) * MONEY_UNIT * rate
        rounded_units = math.floor(units + Fraction(1, 2))
        return Decimal(rounded_units).scaleb(-4)

    def selecting(
        self,
        vendor_ids: Collection[str] | None,
    ) -> tuple[models.VendorConfig, ...]:
        """Return the named vendors in the config's order, or all if none is named.

        Raises:
            ConfigError: The config lacks a named vendor; faults have the path
                ``vendors.N``, where N is the index in ``vendor_ids``.
        """
        if not vendor_ids:
            return self.vendors
        selected_ids = {*vendor_ids}
        if not selected_ids <= {vendor.vendor_id for vendor in self.vendors}:
            raise errors.ConfigError(self._unknown_vendors(list(vendor_ids)))
        return tuple(
            vendor
            for vendor in self.vendors
            if vendor.vendor_id in selected_ids
        )

    def _unknown_vendors(
        self,
        vendor_ids: Sequence[str],
    ) -> Iterator[errors.ConfigFault]:
        config_ids = [vendor.vendor_id for vendor in self.vendors]
        known_ids = {*config_ids}
        listed_ids = listed(config_ids, ", ", len(config_ids))
        hint_count = 0
        for index, vendor_id in enumerate(vendor_ids):
            if vendor_id in known_ids:
                continue
            hint = ""
            if hint_count < MAX_LISTED:
                hint = nearest(vendor_id, config_ids)
                hint_count += 1
            message = f"the config has no vendor {shorten(vendor_id)}{hint}"
            yield errors.ConfigFault(
                f"vendors.{index}",
                f"{message}; its vendors are {listed_ids}",
            )

    def to_document(self) -> dict[str, Any]:
        """Return the config as it takes effect: JSON values with all defaults.

        Decimals are text. `load_config` of the document returns the same config.
        """
        return self.model_dump(mode="json")


def load_stored_config(text: str) -> TenantConfig:
    """Return the config that is stored as this JSON, whatever today's limits are.

    Raises:
        UnsupportedSchemaVersionError: ``schema_version`` is not 1.
        ConfigError: The text is not a valid config.
    """
    document = parse_document(text, format="json", limits=STORED_CONFIG_LIMITS)
    return load_config(document, STORED_CONFIG_LIMITS)


def load_config(
    document: Mapping[str, Any],
    limits: Limits = DEFAULT_LIMITS,
) -> TenantConfig:
    """Return the config in a document of plain values, as `parse_document` returns it.

    Raises:
        UnsupportedSchemaVersionError: ``schema_version`` is not 1; nothing else is
            judged then.
        ConfigError: The document has faults; the error has all of them.
    """
    if not isinstance(document, Mapping):
        fault = errors.ConfigFault(
            "",
            "the config must be a mapping of keys to values",
        )
        raise errors.ConfigError([fault])
    _check_version(document.get("schema_version"))
    plain, faults = plain_document(document, limits)
    tenant_id = values.sound_id(plain.get("tenant_id"))
    context = cross_checks.LoadContext(
        tenant_id,
        limits,
        has_no_vendors=plain.get("vendors") == [],
        has_catalog=plain.get("catalog") is not None,
    )
    try:
        config = TenantConfig.model_validate(plain, context=context)
    except ValidationError as error:
        all_faults = chain(faults, faults_of(error, TenantConfig))
        raise errors.ConfigError(all_faults) from error
    if faults:
        raise errors.ConfigError(faults)
    return config


def _check_version(version: object) -> None:
    if version is None:
        return
    is_number = isinstance(version, int | float | Decimal | NumberText)
    if is_number and exact_number(str(version)) == SCHEMA_VERSION:
        return
    is_shown = is_number or isinstance(version, str)
    if is_shown and len(str(version)) <= _MAX_VERSION_LENGTH:
        raise errors.UnsupportedSchemaVersionError(version)
    raise errors.UnsupportedSchemaVersionError(type_name(version))
