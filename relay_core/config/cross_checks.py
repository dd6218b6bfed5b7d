"""The rules of a config that join fields: vendors, currencies, keys, options.

Validators here get pydantic's ``ValidationInfo``: the valid fields of the same section
that were read before, and the `LoadContext` of the whole config.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

import relay_core.config.refusals as refusals
import relay_core.config.values as values
from relay_core.config.reading.scalars import BareWord
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import MONEY_LIMIT, shorten
from relay_core.domain.codes import CATALOG
from relay_core.domain.columns import (
    CANONICAL_COLUMNS,
    EXTRA_COLUMN,
    RESERVED_COLUMNS,
)
from relay_core.domain.limits import DEFAULT_LIMITS, Limits

_MAX_KEY_BYTES = 1024
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(slots=True)
class LoadContext:
    """The facts that the sections of one config share while it is read."""

    # The tenant's id; None if it is invalid, and then no key is compared with it
    tenant_id: str | None = None
    limits: Limits = DEFAULT_LIMITS  # the limits of the config
    # The ids of the vendors that were read so far
    vendor_ids: set[str] = field(default_factory=set)
    # Whether there are none on purpose; otherwise none means that they are invalid
    has_no_vendors: bool = False
    # The names of the tenant's extra columns
    extra_columns: list[str] = field(default_factory=list)
    gtin_column: str | None = None  # the extra column of GTINs
    mpn_column: str | None = None  # the extra column of manufacturers' numbers
    has_catalog: bool = False  # whether the config has the section `catalog`
    currency: str | None = None  # the tenant's currency; None if it is invalid
    # The rate of each currency that has one; None for an invalid rate
    rates: dict[str, Decimal | None] = field(default_factory=dict)
    # The ids of the channels that were read so far
    channel_ids: set[str] = field(default_factory=set)
    # The ids of the deliveries that were read so far
    delivery_ids: set[str] = field(default_factory=set)


def context_of(info: ValidationInfo) -> LoadContext:
    """Return the facts that the sections of the config share."""
    return (
        info.context if isinstance(info.context, LoadContext) else LoadContext()
    )


def at_most(limit: str | int, noun: str = "entries") -> BeforeValidator:
    """Return the validator that refuses more entries than a limit.

    ``limit`` is the number, or the name of a limit of `Limits`. No entry of a list that
    is too long is read.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        if isinstance(limit, str):
            highest: int = getattr(context_of(info).limits, limit)
        else:
            highest = limit
        is_collection = isinstance(value, Sized) and not isinstance(value, str)
        if is_collection and len(value) > highest:
            raise refuse(f"has {len(value):,} {noun}; the limit is {highest:,}")
        return value

    return BeforeValidator(check)


# --- entries of lists and mappings ----------------------------------------------------


class Entry(NamedTuple):
    """An entry of a list or a mapping; all entries of one share ``seen``."""

    key: Any  # the key in a mapping; None in a list
    value: Any  # the entry before it is read
    seen: dict[str, Any]  # the notes of the validators about earlier entries


def _entries(value: Any) -> Any:
    seen: dict[str, Any] = {}
    if isinstance(value, Mapping):
        return {key: Entry(key, item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [Entry(None, item, seen) for item in value]
    return value


ENTRIES = BeforeValidator(_entries)
"""The first validator of a list or a mapping whose items have one of `judged`."""


def judged(
    check: Callable[[Any, Entry, ValidationInfo], None],
) -> WrapValidator:
    """Return the validator that reads an entry and judges it beside earlier entries."""

    def read(
        entry: Entry,
        read_item: ValidatorFunctionWrapHandler,
        info: ValidationInfo,
    ) -> Any:
        value = read_item(entry.value)
        check(value, entry, info)
        return value

    return WrapValidator(read)


def refuse_repeated(text: str, seen: dict[str, Any]) -> None:
    """Refuse a text that an earlier entry of the same list has."""
    if text in seen:
        raise refuse(f"{shorten(text)} appears more than once; keep only one")
    seen[text] = True


def refuse_bare(key: Any) -> Any:
    """Refuse a key that YAML reads as a boolean or null."""
    if isinstance(key, BareWord):
        raise refuse(refusals.QUOTE_IT)
    return key


# --- vendors --------------------------------------------------------------------------


def _note_vendor(vendor_id: str, info: ValidationInfo) -> str:
    """Refuse a vendor's id that an earlier vendor of the config has, or the catalog."""
    vendor_ids = context_of(info).vendor_ids
    if vendor_id == CATALOG and context_of(info).has_catalog:
        raise refuse(
            f'"{CATALOG}" names the catalog of the config; give the vendor another id',
        )
    refusals.note_id(vendor_id, vendor_ids, "vendor")
    return vendor_id


def _check_known_vendor(vendor_id: str, info: ValidationInfo) -> str:
    """Refuse a vendor that the config lacks, unless its list of vendors is invalid."""
    context = context_of(info)
    vendor_ids = context.vendor_ids
    are_known = bool(vendor_ids) or context.has_no_vendors
    if are_known and vendor_id not in vendor_ids:
        raise refuse(
            f"the config has no vendor {shorten(vendor_id)}",
            lambda: refusals.nearest(vendor_id, sorted(vendor_ids)),
        )
    return vendor_id


KnownVendor = Annotated[values.Id, AfterValidator(_check_known_vendor)]
NewVendor = Annotated[values.Id, AfterValidator(_note_vendor)]


# --- columns --------------------------------------------------------------------------


def _read_column(text: str, info: ValidationInfo) -> str:
    """Refuse a name that no column of a vendor's feed can have."""
    if text == "vendor_id":
        raise refuse(
            "vendor_id cannot be mapped or given a default, because it is always the "
            "vendor's id in this config; remove it",
        )
    if text not in (*CANONICAL_COLUMNS, *context_of(info).extra_columns):
        raise PydanticCustomError(
            refusals.UNKNOWN_COLUMN,
            "no canonical column",
        )
    return text


def read_output_column(text: str, info: ValidationInfo) -> str:
    """Refuse a name that no column of the merged feed can have."""
    if text not in (*values.WRITABLE_COLUMNS, *context_of(info).extra_columns):
        raise PydanticCustomError(
            refusals.UNKNOWN_OUTPUT_COLUMN,
            "no canonical column",
        )
    return text


def _check_extra_column(name: str, entry: Entry, info: ValidationInfo) -> None:
    if re.fullmatch(EXTRA_COLUMN.strip("^$"), name) is None:
        raise refuse(
            f"{shorten(name)} is not a valid name of an extra column; use 1 to 40 "
            "lowercase letters, digits and _, and begin with a letter",
        )
    if name in (*values.WRITABLE_COLUMNS, *RESERVED_COLUMNS):
        raise refuse(
            f'"{name}" is the name of a built-in column; choose another name',
        )
    refuse_repeated(name, entry.seen)
    context_of(info).extra_columns.append(name)


ANY_EXTRA: JsonDict = {"type": "string", "pattern": EXTRA_COLUMN}
ExtraColumns = Annotated[
    tuple[
        Annotated[
            str,
            WithJsonSchema(ANY_EXTRA),
            judged(_check_extra_column),
        ],
        ...,
    ],
    Field(json_schema_extra={"maxItems": DEFAULT_LIMITS.extra_columns}),
    ENTRIES,
    at_most("extra_columns"),
]
FeedColumn = Annotated[
    str,
    AfterValidator(read_output_column),
    WithJsonSchema(
        {"anyOf": [{"enum": list(values.WRITABLE_COLUMNS)}, ANY_EXTRA]},
    ),
]
MappedColumn = Annotated[str, AfterValidator(_read_column)]


def _check_known_extra(name: str, info: ValidationInfo) -> str:
    columns = context_of(info).extra_columns
    if name not in columns:
        raise refuse(
            f"{shorten(name)} is not in extra_columns; add it there",
            lambda: refusals.nearest(name, columns),
        )
    return name


def _note_gtin_column(name: str, info: ValidationInfo) -> str:
    context_of(info).gtin_column = name
    return name


def _note_mpn_column(name: str, info: ValidationInfo) -> str:
    context_of(info).mpn_column = name
    return name


_KnownExtra = Annotated[
    str,
    AfterValidator(_check_known_extra),
    WithJsonSchema(ANY_EXTRA),
]
GtinColumn = Annotated[_KnownExtra, AfterValidator(_note_gtin_column)]
MpnColumn = Annotated[_KnownExtra, AfterValidator(_note_mpn_column)]


BY_COLUMN = Field(
    json_schema_extra={
        "propertyNames": {
            "anyOf": [{"enum": list(CANONICAL_COLUMNS)}, ANY_EXTRA],
        },
    },
)


# --- currencies -----------------------------------------------------------------------


def _note_currency(currency: str, info: ValidationInfo) -> str:
    context_of(info).currency = currency
    return currency


def _note_rates(rates: Any, info: ValidationInfo) -> Any:
    if isinstance(rates, Mapping):
        context_of(info).rates = dict.fromkeys(map(str, rates))
    return rates


def _check_rate(rate: Decimal, entry: Entry, info: ValidationInfo) -> None:
    context = context_of(info)
    if entry.key == context.currency:
        raise refuse(
            f"{entry.key} is the default_currency, whose rate is always 1; remove it",
        )
    context.rates[str(entry.key)] = rate


def _check_vendor_currency(currency: str, info: ValidationInfo) -> str:
    """Refuse a vendor's currency that is not the tenant's and has no rate."""
    context = context_of(info)
    has_rate = currency in (context.currency, *context.rates)
    if context.currency is not None and not has_rate:
        raise refuse(
            f"{currency} has no exchange rate; add exchange_rates.{currency}",
        )
    return currency


def _check_vendor_shipping(amount: Decimal, info: ValidationInfo) -> Decimal:
    """Refuse a vendor's flat amount that is too large in the tenant's currency."""
    currency = str(info.data.get("currency"))
    rate = context_of(info).rates.get(currency)
    if rate is not None and amount * rate >= MONEY_LIMIT:
        raise refuse(
            f"must be below {MONEY_LIMIT:,} in the default_currency, not {amount:f}",
        )
    return amount


TenantCurrency = Annotated[values.Currency, AfterValidator(_note_currency)]
VendorCurrency = Annotated[
    values.Currency,
    AfterValidator(_check_vendor_currency),
]
VendorShipping = Annotated[values.Money, AfterValidator(_check_vendor_shipping)]
ExchangeRates = Annotated[
    dict[values.Currency, Annotated[values.Rate, judged(_check_rate)]],
    Field(
        description="The value of one unit of each currency in the default_currency.",
    ),
    ENTRIES,
    BeforeValidator(_note_rates),
]


# --- keys and paths -------------------------------------------------------------------


def _goes_with(kind: str) -> AfterValidator:
    """Return the validator of a field that one ``type`` of its section requires.

    It refuses the field beside any other type, and its absence beside this type.
    """

    def check(value: str | None, info: ValidationInfo) -> str | None:
        section_type = info.data.get("type")
        if section_type == kind and value is None:
            raise refuse(f'is required if type is "{kind}"')
        is_other_type = section_type is not None and section_type != kind
        if is_other_type and value is not None:
            raise refuse(
                f'applies only if type is "{kind}", but type is "{section_type}"; remove it',
            )
        return value

    return AfterValidator(check)


def _check_tenant_key(key: str, info: ValidationInfo) -> str:
    """Refuse a key that is not under the tenant's own prefix."""
    tenant_id = context_of(info).tenant_id
    prefix = "tenants/" if tenant_id is None else f"tenants/{tenant_id}/"
    if not key.startswith(prefix):
        hint = "; remove s3:// and the bucket" if key.startswith("s3:") else ""
        raise refuse(f'must start with "{prefix}", not {shorten(key)}{hint}')
    if "//" in key or {".", ".."} & set(key.split("/")):
        raise refuse(
            f"must not contain //, or . or .. between slashes: {shorten(key)}",
        )
    if CONTROL.search(key):
        raise refuse(
            "must not contain control characters or line breaks; delete them",
        )
    if len(key.encode("utf-8")) > _MAX_KEY_BYTES:
        raise refuse(
            f"is longer than the {_MAX_KEY_BYTES} bytes that S3 allows; shorten it",
        )
    return key


def _check_prefix(text: str, info: ValidationInfo) -> str:
    prefix = f"{text.removesuffix('/')}/"
    return _check_tenant_key(prefix, info)


def overlap(prefix: str, other: str) -> bool:
    """Return whether two prefixes are equal, or one lies in the other."""
    return prefix.startswith(other) or other.startswith(prefix)


def _check_s3_key(text: str, info: ValidationInfo) -> str:
    key = _check_tenant_key(text, info)
    if key.endswith("/"):
        raise refuse("is the key of a folder; add the name of a file in it")
    return key


def check_local_path(path: str) -> str:
    """Return the path of a file; refuse a text that names none."""
    if not path.strip() or "\0" in path:
        raise refuse("must be the path of a file")
    return path


_Prefix = Annotated[
    str,
    _goes_with("s3"),
    AfterValidator(_check_prefix),
    Field(
        description="Begins with `tenants/<tenant_id>/`. Required with type `s3`.",
    ),
]
S3Prefix = Annotated[_Prefix | None, _goes_with("s3")]
"""A prefix under the tenant's own, which is read as if it ended in a slash."""
_Key = Annotated[str, _goes_with("s3"), AfterValidator(_check_s3_key)]
S3Key = Annotated[_Key | None, _goes_with("s3")]
"""The key of one object under the tenant's own prefix."""
_Path = Annotated[str, AfterValidator(check_local_path)]
LocalPath = Annotated[_Path | None, _goes_with("file")]
"""A path that is absolute or relative to the config file's folder."""


# --- options that go with others ------------------------------------------------------


def above(option: str) -> AfterValidator:
    """Return the validator that refuses an amount at or below the option beside it."""

    def check(value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        lowest = info.data.get(option)
        if value is not None and lowest is not None and value <= lowest:
            raise refuse(
                f"must be greater than {option}, which is {lowest:f}, not {value:f}",
            )
        return value

    return AfterValidator(check)


def idle_without(
    option: str,
    *allowed: str,
    default: object = None,
) -> AfterValidator:
    """Return the validator that refuses a value other than the default as idle.

    The value is idle if the option beside it is none of ``allowed``.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        refuse_idle(option, allowed, value != default, info)
        return value

    return AfterValidator(check)


def refuse_idle(
    option: str,
    allowed: Iterable[str],
    is_set: bool,
    info: ValidationInfo,
) -> None:
    """Refuse a value that is set while the option beside it is none of ``allowed``."""
    chosen = info.data.get(option)
    if is_set and chosen is not None and chosen not in allowed:
        words = " or ".join(f'"{word}"' for word in allowed)
        raise refuse(
            f'applies only if {option} is {words}, but {option} is "{chosen}"; '
            "remove it",
        )
