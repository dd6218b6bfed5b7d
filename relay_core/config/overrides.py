"""Overrides: a merchant's last word on single SKUs, beside the config; read with every fault."""

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
from relay_core.config.documents import plain_document
from relay_core.config.loading import faults_of
from relay_core.config.values import (
    EXACT,
    Bool,
    NumberText,
    Quantity,
    Section,
    Trimmed,
    number,
    refuse,
)
from relay_core.domain.cell_rules import MONEY_LIMIT, shorten
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import STORED_CONFIG_LIMITS

MAX_SKU_BYTES = 1_024
MAX_NOTE = 500
ASKED = ("leave_out", "price", "min_price", "max_quantity", "vendor_id")
"""What a merchant may say of a SKU; an override says at least one of it."""
ACCEPTED = ("accept_price", "accept_until")
"""What `accept` says of a SKU."""


def _check_sku(sku: str) -> str:
    if not 1 <= len(sku.encode()) <= MAX_SKU_BYTES:
        raise refuse(
            f"must have 1 to {MAX_SKU_BYTES:,} bytes, not {len(sku.encode()):,}"
        )
    return sku


def _read_instant(value: Any) -> Any:
    """Refuse all but an ISO date and time with an offset; seconds are what is kept of it."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise ValueError(value)
        return moment.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise refuse(
            f"a date and time with an offset is wanted, such as 2026-03-01T12:00:00Z, not "
            f"{shorten(str(value))}"
        ) from None


Sku = Annotated[Trimmed, AfterValidator(_check_sku)]
Price = Annotated[
    Decimal,
    Field(gt=0, lt=MONEY_LIMIT, decimal_places=2),
    EXACT,
    PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str),
]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_read_instant),
    PlainSerializer(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}", return_type=str),
]


class Override(Section):
    """What a merchant says of one SKU, in two parts: what was asked, and what was accepted."""

    sku: Sku
    leave_out: Bool = False
    price: Price | None = None
    min_price: Price | None = None
    max_quantity: Quantity | None = None
    vendor_id: cross_checks.KnownVendor | None = None
    accept_price: Price | None = None
    accept_until: Moment | None = None
    expires_at: Moment | None = None
    note: Annotated[str, Field(max_length=MAX_NOTE)] | None = None

    @field_validator("accept_until")
    @classmethod
    def _goes_with_a_price(
        cls, value: datetime | None, info: ValidationInfo
    ) -> datetime | None:
        if value is not None and info.data.get("accept_price", value) is None:
            raise refuse("goes with accept_price; leave it out")
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Override":
        said = self.asked
        if not said and self.accept_price is None:
            raise refuse(f"must have one of {', '.join(ASKED)}")
        others = [name for name in said if name != "leave_out"]
        if self.leave_out and others:
            raise refuse(
                f"leave_out stands alone; it has {' and '.join(others)} beside it"
            )
        if self.price is not None and self.min_price is not None:
            raise refuse("price is the last word; leave min_price out")
        return self

    @property
    def asked(self) -> list[str]:
        """The names of what the merchant says of the SKU."""
        said = {name: getattr(self, name) for name in ASKED}
        # A quantity of 0 is said, too.
        return [
            name
            for name, value in said.items()
            if value is not None and value is not False
        ]

    @property
    def accepted(self) -> dict[str, Any]:
        """What was accepted of the SKU, by name; None for nothing."""
        return {name: getattr(self, name) for name in ACCEPTED}

    def at(self, moment: datetime) -> "Override | None":
        """Return what is left of it at a moment: a part whose time has passed is as if absent."""
        absent: dict[str, bool | None] = {}
        if self.expires_at is not None and self.expires_at <= moment:
            absent = {
                **dict.fromkeys((*ASKED, "expires_at", "note")),
                "leave_out": False,
            }
        if self.accept_until is not None and self.accept_until <= moment:
            absent |= dict.fromkeys(ACCEPTED)
        left = self.model_copy(update=absent) if absent else self
        return left if left.asked or left.accept_price is not None else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as overrides.json has it: keys in order, absent ones left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


_NEW_SKU = cross_checks.judged(
    lambda one, entry, _: cross_checks.refuse_repeated(one.sku, entry.seen)
)


class _Overrides(Section):
    overrides: Annotated[
        tuple[Annotated[Override, _NEW_SKU], ...], cross_checks.ENTRIES
    ]


def load_overrides(
    document: Sequence[Any], vendor_ids: Iterable[str]
) -> tuple[Override, ...]:
    """Return the overrides that a list of plain values holds, in its order, however many.

    Vendors have ids of the tenant's config; `ConfigError`: each fault with its ``overrides.N...``.
    """
    plain, faults = plain_document({"overrides": document}, STORED_CONFIG_LIMITS)
    context = cross_checks.LoadContext(vendor_ids=set(vendor_ids))
    try:
        read = _Overrides.model_validate(plain, context=context)
    except ValidationError as error:
        raise ConfigError([*faults, *faults_of(error, _Overrides)]) from error
    if faults:
        raise ConfigError(faults)
    return read.overrides


def parse_overrides(text: str, vendor_ids: Iterable[str]) -> tuple[Override, ...]:
    """Return the overrides of a JSON list, as `load_overrides`; `ConfigError` where it is none."""
    try:
        document = json.loads(text, parse_int=number, parse_float=NumberText)
    except (json.JSONDecodeError, RecursionError) as error:
        fault = ConfigFault("overrides", f"it is no JSON: {error}")
        raise ConfigError([fault]) from error
    if not isinstance(document, list):
        raise ConfigError([ConfigFault("overrides", "a list is wanted")])
    return load_overrides(document, vendor_ids)


def used_overrides(
    overrides: Collection[Override], requested_at: datetime
) -> list[Override]:
    """Return what of the overrides a run uses that was asked for at a moment, by SKU."""
    used = (one.at(requested_at) for one in overrides)
    return sorted((one for one in used if one is not None), key=lambda one: one.sku)
