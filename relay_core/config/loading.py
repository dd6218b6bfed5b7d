"""The tenant config, ``schema_version`` 1: frozen models, loaded from a plain document.

``load_config`` gives every fault at once with its path. Text becomes a document in `documents`;
its sections are in `models`, single values and rules that join fields are read in `values` and
`cross_checks`.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, ValidationError

import relay_core.config.cross_checks as cross_checks
import relay_core.config.models as models
import relay_core.config.values as values
from relay_core.config.documents import parse_document, plain_document
from relay_core.config.triggers import TriggersConfig
from relay_core.config.values import NumberText, join_path, type_name
from relay_core.domain.cell_rules import MONEY_UNIT, shorten
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.limits import (
    DEFAULT_LIMITS,
    MAX_FAULTS,
    MAX_LISTED,
    STORED_CONFIG_LIMITS,
    Limits,
)
from relay_core.domain.run_faults import listed

SCHEMA_VERSION: Literal[1] = 1


class TenantConfig(values.Section):
    """A merchant's whole config; load it with `load_config`."""

    schema_version: Annotated[Literal[1], values.WHOLE] = SCHEMA_VERSION
    tenant_id: values.Id
    timezone: values.TimeZone
    default_currency: cross_checks.TenantCurrency
    exchange_rates: cross_checks.ExchangeRates = Field(default={})
    extra_columns: cross_checks.ExtraColumns = ()
    vendors: Annotated[
        tuple[models.VendorConfig, ...],
        Field(min_length=1),
        cross_checks.at_most("vendors"),
    ]
    pricing: models.PricingConfig = values.empty_section()
    stock: models.StockConfig = models.StockConfig()
    merge: models.MergeConfig = values.empty_section()
    output: models.OutputConfig = values.empty_section()
    error_policy: models.ErrorPolicy = models.ErrorPolicy()
    guards: models.GuardsConfig = models.GuardsConfig()
    triggers: TriggersConfig = TriggersConfig()

    @property
    def zone(self) -> ZoneInfo:
        """The zone of timestamps that have no offset."""
        return ZoneInfo(self.timezone)

    def next_run_after(self, instant: datetime) -> datetime | None:
        """Return the schedule's first due time after an instant, UTC; None without a schedule."""
        schedule = self.triggers.schedule
        return None if schedule is None else schedule.next_after(instant, self.zone)

    def vendor(self, vendor_id: str) -> models.VendorConfig:
        """Return the vendor of this id; `ConfigError` where the config has none."""
        return self.selecting([vendor_id])[0]

    def place_of(self, vendor_id: str) -> int:
        """Return where among the vendors the one of this id stands, from 0."""
        return [each.vendor_id for each in self.vendors].index(vendor_id)

    def rate_of(self, vendor: models.VendorConfig) -> Fraction | None:
        """Return one of a vendor's currency in the tenant's; None where they are the same."""
        if vendor.currency in (None, self.default_currency):
            return None
        return Fraction(self.exchange_rates[str(vendor.currency)])

    def shipping_of(self, vendor: models.VendorConfig) -> Decimal:
        """Return a vendor's flat amount, in the tenant's currency with 4 places."""
        own, rate = vendor.shipping_handling_flat, self.rate_of(vendor)
        if own is None:
            return self.pricing.shipping_handling_flat
        units = Fraction(own) * MONEY_UNIT * (1 if rate is None else rate)
        return Decimal(math.floor(units + Fraction(1, 2))).scaleb(-4)

    def selecting(
        self, vendor_ids: Collection[str] | None
    ) -> tuple[models.VendorConfig, ...]:
        """Return the named vendors in the config's order, all where none is; `ConfigError`."""
        wanted = set(vendor_ids or ())
        known = [vendor.vendor_id for vendor in self.vendors]
        if wanted.difference(known):
            has, those = f"; it has {listed(known, ', ', len(known))}", set(known)
            unknown = [
                each for each in enumerate(vendor_ids or ()) if each[1] not in those
            ]
            raise ConfigError(
                ConfigFault(
                    f"vendors.{place}",
                    f"the config has no vendor {shorten(vendor_id)}"
                    f"{values.nearest(vendor_id, known) if index < MAX_LISTED else ''}{has}",
                )
                for index, (place, vendor_id) in enumerate(unknown)
            )
        return tuple(v for v in self.vendors if not wanted or v.vendor_id in wanted)

    def to_document(self) -> dict[str, Any]:
        """Return the config as it takes effect: JSON values, defaults filled in, decimals as text.

        `load_config` of it gives the same config.
        """
        return self.model_dump(mode="json")


def load_stored_config(text: str) -> TenantConfig:
    """Return the config stored as this JSON, whatever today's limits; raises as `load_config`."""
    document = parse_document(text, format="json", limits=STORED_CONFIG_LIMITS)
    return load_config(document, STORED_CONFIG_LIMITS)


def load_config(
    document: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS
) -> TenantConfig:
    """Return the config that a document holds: plain values, as `parse_document` gives them.

    `UnsupportedSchemaVersionError`: ``schema_version`` is not 1; nothing else is looked at.
    `ConfigError`: with every fault and its path.
    """
    if not isinstance(document, Mapping):
        raise ConfigError(
            [ConfigFault("", "the config must be a mapping of keys to values")]
        )
    version = document.get("schema_version")
    is_number = isinstance(version, int | float | Decimal | NumberText)
    exact = values.exact_number(str(version)) if is_number else None
    if version is not None and exact != SCHEMA_VERSION:
        is_short = (is_number or isinstance(version, str)) and len(str(version)) <= 64
        raise UnsupportedSchemaVersionError(version if is_short else type_name(version))
    plain, faults = plain_document(document, limits)
    context = cross_checks.LoadContext(values.sound_id(plain.get("tenant_id")), limits)
    try:
        config = TenantConfig.model_validate(plain, context=context)
    except ValidationError as error:
        raise ConfigError(chain(faults, faults_of(error, TenantConfig))) from error
    if faults:
        raise ConfigError(faults)
    return config


_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "model_type": "a mapping of keys to values is wanted, not {kind}{text}",
    "dict_type": "a mapping of keys to values is wanted, not {kind}",
    "tuple_type": "a list is wanted, not {kind}",
    "string_type": "text is wanted, not {kind}",
    "bool_type": "true or false is wanted, without quotes, not {kind}",
    "string_pattern_mismatch": "{value} is no id: use 1 to 64 letters, digits, _ and -, of which "
    "the first is a letter or a digit",
    values.UNKNOWN_COLUMN: "{value} is no canonical column",
    values.UNKNOWN_OUTPUT_COLUMN: "{value} is no canonical column",
    "greater_than": "must be above {gt}, not {value}",
    "greater_than_equal": "must be {ge} or more, not {value}",
    "less_than_equal": "must be {le} or less, not {value}",
    "less_than": "must be below {lt:,}, not {value}",
    "decimal_max_places": "has more than {decimal_places} decimal places: {value}",
}
"""The sentence of each type of faults."""
_COLUMNS = {
    values.UNKNOWN_COLUMN: CANONICAL_COLUMNS,
    values.UNKNOWN_OUTPUT_COLUMN: values.OUTPUT_COLUMNS,
}


def faults_of(error: ValidationError, model: type[BaseModel]) -> Iterator[ConfigFault]:
    """Yield the faults behind a failed validation of ``model``, in the order of its fields."""
    details: list[Any] = [
        each
        for each in error.errors(include_url=False)
        # The faults of a list whose items are all refused are those of its items.
        if each["type"] != "too_short"
        or not (isinstance(each["input"], list) and each["input"])
    ]
    for index, detail in enumerate(details):
        path, context = detail["loc"], detail.get("ctx", {})
        if detail["type"] == values.REFUSED:
            path = path[:-1] if "of_section" in context else path
            message, hint = context["message"], context.get("hint", str)
        elif detail["type"] == "literal_error":
            message, hint = _choice(detail, *_field_at(model, path))
        else:
            message = _sentence(detail, context)
            hint = partial(_nearest, detail, *_field_at(model, path))
        path = path[:-1] if path[-1:] == ("[key]",) else path
        yield ConfigFault(
            join_path(path), message + (hint() if index < MAX_FAULTS else "")
        )


def _sentence(detail: Any, context: Mapping[str, Any]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "string_type" and isinstance(given, bool):
        return values.QUOTE_IT
    if kind == "too_short":
        is_list = context["field_type"] == "Tuple"
        remedy = "list at least one" if is_list else "leave the entry out instead"
        return f"must not be empty; {remedy}"
    written = format(given, "f") if isinstance(given, Decimal) else str(given)
    return str(_SENTENCES.get(kind, detail["msg"])).format(
        kind=type_name(given),
        text=f" {shorten(given)}" if isinstance(given, str) else "",
        value=shorten(written),
        **context,
    )


def _choice(
    detail: Any, section: type[BaseModel], name: str
) -> tuple[str, Callable[[], str]]:
    """Return the sentence for a word that a field does not allow, and the function of its hint."""
    annotation = section.model_fields[name].annotation
    allowed = get_args(_found(annotation, lambda part: get_origin(part) is Literal))
    listed = ", ".join(f'"{word}"' for word in allowed)
    wanted = f"must be {listed}" if len(allowed) == 1 else f"must be one of {listed}"
    given = detail["input"]
    if isinstance(given, bool) or not isinstance(given, str | int):
        is_bare = isinstance(given, bool)
        return wanted + (
            f"; {values.QUOTE_IT}" if is_bare else f", not {type_name(given)}"
        ), str
    return f"{wanted}, not {shorten(str(given))}", partial(
        values.nearest, str(given), allowed
    )


def _nearest(detail: Any, section: type[BaseModel], name: str) -> str:
    """Return a hint at the key or the column that was perhaps meant."""
    if detail["type"] == "extra_forbidden":
        fields = section.model_fields.items()
        return values.nearest(name, [field.alias or each for each, field in fields])
    known, text = _COLUMNS.get(detail["type"], ()), str(detail["input"])
    return (
        known and (values.nearest(text, known) or f"; there are {', '.join(known)}")
    ) or ""


def _field_at(
    section: type[BaseModel], path: Sequence[Any]
) -> tuple[type[BaseModel], str]:
    """Return the section that a path ends in, and the key in it."""

    def is_section(part: Any) -> bool:
        return isinstance(part, type) and issubclass(part, BaseModel)

    *names, last = [step for step in path if isinstance(step, str)] or [""]
    for name in names:
        field = section.model_fields.get(name)
        section = (field and _found(field.annotation, is_section)) or section
    return section, last


def _found(annotation: Any, wanted: Callable[[Any], bool]) -> Any:
    """Return the part of a field's type that is wanted, be it optional or a tuple of them."""
    if wanted(annotation):
        return annotation
    return next(
        filter(None, (_found(part, wanted) for part in get_args(annotation))), None
    )
