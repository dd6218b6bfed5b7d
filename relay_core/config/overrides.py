"""Overrides: a merchant's instructions for single SKUs, stored beside the config."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
from relay_core.config.pydantic_faults import faults_of
from relay_core.config.reading.plain_values import plain_document
from relay_core.config.reading.scalars import NumberText, read_number
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import MONEY_LIMIT, shorten
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import STORED_CONFIG_LIMITS

MAX_SKU_BYTES = 1_024
MAX_NOTE = 500
EFFECTS = ("leave_out", "price", "min_price", "max_quantity", "vendor_id")
"""The fields with which a merchant changes a SKU."""
ACCEPTANCE = ("accept_price", "accept_until")
"""The fields with which a merchant accepts a SKU's new price."""


def _check_sku(sku: str) -> str:
    size = len(sku.encode())
    if not 1 <= size <= MAX_SKU_BYTES:
        raise refuse(f"must have 1 to {MAX_SKU_BYTES:,} bytes, not {size:,}")
    return sku


def _read_instant(value: Any) -> Any:
    """Read an ISO date and time with an offset, to the microsecond."""
    try:
        moment = (
            datetime.fromisoformat(value) if isinstance(value, str) else value
        )
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise ValueError(value)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refuse(
            "must be a date and time with an offset, for example 2026-03-01T12:00:00Z, "
            f"not {shorten(str(value))}",
        ) from None


def _price_text(amount: Decimal) -> str:
    return f"{amount:.2f}"


def _moment_text(moment: datetime) -> str:
    # A fraction of a second is written only if there is one.
    return moment.replace(tzinfo=None).isoformat() + "Z"


Sku = Annotated[values.Trimmed, AfterValidator(_check_sku)]
OverridePrice = Annotated[
    Decimal,
    Field(gt=0, lt=MONEY_LIMIT, decimal_places=2),
    values.EXACT,
    PlainSerializer(_price_text, return_type=str),
]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_read_instant),
    PlainSerializer(_moment_text, return_type=str),
]


class Override(values.Section):
    """A merchant's instructions for one SKU: what to change, and what to accept."""

    sku: Sku
    leave_out: values.Bool = False
    price: OverridePrice | None = None
    min_price: OverridePrice | None = None
    max_quantity: values.Quantity | None = None
    vendor_id: cross_checks.KnownVendor | None = None
    accept_price: OverridePrice | None = None
    accept_until: Moment | None = None
    expires_at: Moment | None = None
    note: Annotated[str, Field(max_length=MAX_NOTE)] | None = None

    @field_validator("accept_until")
    @classmethod
    def _goes_with_a_price(
        cls,
        value: datetime | None,
        info: ValidationInfo,
    ) -> datetime | None:
        # An invalid price is absent from ``info.data``; it still counts as set.
        if value is not None and info.data.get("accept_price", value) is None:
            raise refuse("applies only with accept_price; remove it")
        return value

    @model_validator(mode="after")
    def _has_sound_effects(self) -> "Override":
        effects = self.effects
        if not effects and self.accept_price is None:
            raise refuse(f"must have at least one of {', '.join(EFFECTS)}")
        other_effects = [name for name in effects if name != "leave_out"]
        if self.leave_out and other_effects:
            raise refuse(
                f"leave_out cannot be combined with {' and '.join(other_effects)}; keep "
                "only one",
            )
        if self.price is not None and self.min_price is not None:
            raise refuse("price is used without a minimum; remove min_price")
        return self

    @property
    def effects(self) -> list[str]:
        """The names of the fields that change the SKU; a quantity of 0 is one, too."""
        effects = []
        for name in EFFECTS:
            value = getattr(self, name)
            if value is not None and value is not False:
                effects.append(name)
        return effects

    @property
    def acceptance(self) -> dict[str, Any]:
        """The values of the fields that accept a price, by name; None where unset."""
        return {name: getattr(self, name) for name in ACCEPTANCE}

    def in_effect_at(self, moment: datetime) -> "Override | None":
        """Return the override without its expired parts, or None if nothing is left."""
        expired: dict[str, bool | None] = {}
        if self.expires_at is not None and self.expires_at <= moment:
            expired |= dict.fromkeys((*EFFECTS, "expires_at", "note"))
            expired["leave_out"] = False
        if self.accept_until is not None and self.accept_until <= moment:
            expired |= dict.fromkeys(ACCEPTANCE)
        remaining = self.model_copy(update=expired) if expired else self
        has_content = remaining.effects or remaining.accept_price is not None
        return remaining if has_content else None

    def as_dict(self) -> dict[str, Any]:
        """Return the override as it is stored, with exact times, without unset fields."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def as_reported(self) -> dict[str, Any]:
        """Return the entry of overrides.json, whose times are in whole seconds."""
        whole_seconds = {
            name: moment.replace(microsecond=0)
            for name in ("accept_until", "expires_at")
            if (moment := getattr(self, name)) is not None
        }
        return self.model_copy(update=whole_seconds).as_dict()


def _check_new_sku(
    override: Override,
    entry: cross_checks.Entry,
    _: ValidationInfo,
) -> None:
    cross_checks.refuse_repeated(override.sku, entry.seen)


class _Overrides(values.Section):
    overrides: Annotated[
        tuple[Annotated[Override, cross_checks.judged(_check_new_sku)], ...],
        cross_checks.ENTRIES,
    ]


def load_overrides(
    document: Sequence[Any],
    vendor_ids: Iterable[str],
) -> tuple[Override, ...]:
    """Return the overrides in a list of plain values, in its order, however many.

    ``vendor_ids`` are the vendors of the tenant's config.

    Raises:
        ConfigError: The overrides have faults; each has a path ``overrides.N...``.
    """
    plain, faults = plain_document(
        {"overrides": document},
        STORED_CONFIG_LIMITS,
    )
    context = cross_checks.LoadContext(vendor_ids=set(vendor_ids))
    try:
        section = _Overrides.model_validate(plain, context=context)
    except ValidationError as error:
        raise ConfigError([*faults, *faults_of(error, _Overrides)]) from error
    if faults:
        raise ConfigError(faults)
    return section.overrides


def parse_overrides(
    text: str,
    vendor_ids: Iterable[str],
) -> tuple[Override, ...]:
    """Return the overrides in a JSON list, as `load_overrides` reads them.

    Raises:
        ConfigError: The text is no JSON list, or the overrides have faults.
    """
    try:
        document = json.loads(
            text,
            parse_int=read_number,
            parse_float=NumberText,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        fault = ConfigFault("overrides", f"the text is not valid JSON: {error}")
        raise ConfigError([fault]) from error
    if not isinstance(document, list):
        raise ConfigError(
            [ConfigFault("overrides", "must be a list of overrides")],
        )
    return load_overrides(document, vendor_ids)


def overrides_in_effect(
    overrides: Collection[Override],
    requested_at: datetime,
) -> list[Override]:
    """Return the overrides in effect for a run at the time of its request, by SKU."""
    in_effect = []
    for override in overrides:
        remaining = override.in_effect_at(requested_at)
        if remaining is not None:
            in_effect.append(remaining)
    return sorted(in_effect, key=lambda override: override.sku)
