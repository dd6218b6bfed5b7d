"""Rules of a config that join fields: keys of a tenant, kinds and what goes with them, defaults.

Readers here get pydantic's ``ValidationInfo``: the fields of the same section that were read
before and are sound, and the `LoadContext` of the whole config.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
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

from relay_core.config.values import (
    OUTPUT_COLUMNS,
    QUOTE_IT,
    UNKNOWN_COLUMN,
    UNKNOWN_OUTPUT_COLUMN,
    BareWord,
    Currency,
    Filled,
    Id,
    Money,
    Quantity,
    Rate,
    Trimmed,
    nearest,
    refuse,
)
from relay_core.domain.cell_rules import EXCEL, MONEY_LIMIT, read_cell, shorten
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.columns import CANONICAL_COLUMNS, EXTRA_COLUMN, RESERVED_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.limits import DEFAULT_LIMITS, MAX_QUOTED, Limits

_MAX_KEY = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYz%")
_DATE_PARTS = {"year": "yYGcx", "month": "bBmcx", "day": "dcx"}
_PROBES = (
    datetime(1971, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2034, 11, 28, 17, 38, 49, tzinfo=UTC),
)


@dataclass(slots=True)
class LoadContext:
    """The facts that the reading of one config shares between its sections."""

    # The config's own; None where it is unsound, and then no key is compared with it
    tenant_id: str | None = None
    limits: Limits = DEFAULT_LIMITS  # the most that the config may hold
    vendor_ids: set[str] = field(
        default_factory=set
    )  # the ids of the vendors read so far
    # The names of the tenant's extra columns
    extra_columns: list[str] = field(default_factory=list)
    currency: str | None = None  # the tenant's; None where it is unsound
    # The rate of each currency that has one; None where it is unsound
    rates: dict[str, Decimal | None] = field(default_factory=dict)


def at_most(limit: str | int, what: str = "entries") -> BeforeValidator:
    """Refuse more entries than so many, or than a limit of `Limits`; none of them is read then."""

    def check(value: Any, info: ValidationInfo) -> Any:
        most: int = (
            getattr(_context(info).limits, limit) if isinstance(limit, str) else limit
        )
        if (
            isinstance(value, Sized)
            and not isinstance(value, str)
            and len(value) > most
        ):
            raise refuse(f"has {len(value):,} {what}; {most:,} are the most")
        return value

    return BeforeValidator(check)


def _note_vendor(vendor_id: str, info: ValidationInfo) -> str:
    """Refuse a vendor's id that an earlier vendor of the config has."""
    seen = _context(info).vendor_ids
    if vendor_id in seen:
        raise refuse(
            f'"{vendor_id}" stands more than once; each vendor needs an id of its own'
        )
    seen.add(vendor_id)
    return vendor_id


class Entry(NamedTuple):
    """An entry of a list or a mapping; all entries share ``seen``."""

    key: Any
    value: Any
    seen: dict[str, Any]


def _entries(value: Any) -> Any:
    seen: dict[str, Any] = {}
    if isinstance(value, Mapping):
        return {key: Entry(key, each, seen) for key, each in value.items()}
    return (
        [Entry(None, each, seen) for each in value]
        if isinstance(value, list | tuple)
        else value
    )


ENTRIES = BeforeValidator(_entries)
"""The first validator of a list or a mapping whose items have one of `judged`."""


def judged(check: Callable[[Any, Entry, ValidationInfo], None]) -> WrapValidator:
    """Return the validator that judges an item when it is read, with its key and other items."""

    def read(
        entry: Entry, item: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        value = item(entry.value)
        check(value, entry, info)
        return value

    return WrapValidator(read)


def refuse_repeated(text: str, seen: dict[str, Any]) -> None:
    """Refuse a text that an earlier item of the same list has."""
    if text in seen:
        raise refuse(f"{shorten(text)} stands more than once; keep one of them")
    seen[text] = True


def refuse_bare(key: Any) -> Any:
    """Refuse a key that YAML takes for a boolean or null."""
    if isinstance(key, BareWord):
        raise refuse(QUOTE_IT)
    return key


def _check_known_vendor(vendor_id: str, info: ValidationInfo) -> str:
    """Refuse a vendor that the config lacks; where its list of vendors is faulty, none."""
    known = _context(info).vendor_ids
    if known and vendor_id not in known:
        raise refuse(
            f"the config has no vendor {shorten(vendor_id)}",
            lambda: nearest(vendor_id, sorted(known)),
        )
    return vendor_id


KnownVendor = Annotated[Id, AfterValidator(_check_known_vendor)]
NewVendor = Annotated[Id, AfterValidator(_note_vendor)]


# --- columns and currencies ---------------------------------------------------------------------


def _read_column(text: str, info: ValidationInfo) -> str:
    """Refuse a text that no feed can give: neither a canonical column nor an extra one."""
    if text == "vendor_id":
        raise refuse(
            "vendor_id never comes from the feed: it is the vendor's id in this config"
        )
    if text not in (*CANONICAL_COLUMNS, *_context(info).extra_columns):
        raise PydanticCustomError(UNKNOWN_COLUMN, "no canonical column")
    return text


def read_output_column(text: str, info: ValidationInfo) -> str:
    """Refuse a text that is no name of a column that the merged feed can have."""
    if text not in (*OUTPUT_COLUMNS, *_context(info).extra_columns):
        raise PydanticCustomError(UNKNOWN_OUTPUT_COLUMN, "no canonical column")
    return text


def _check_extra_column(name: str, entry: Entry, info: ValidationInfo) -> None:
    if re.fullmatch(EXTRA_COLUMN.strip("^$"), name) is None:
        raise refuse(
            f"{shorten(name)} is no name of an extra column: use 1 to 40 small letters, digits "
            "and _, of which the first is a letter"
        )
    if name in (*OUTPUT_COLUMNS, *RESERVED_COLUMNS):
        raise refuse(f'"{name}" is a column already; give the extra one another name')
    refuse_repeated(name, entry.seen)
    _context(info).extra_columns.append(name)


def _note_currency(currency: str, info: ValidationInfo) -> str:
    _context(info).currency = currency
    return currency


def _note_rates(rates: Any, info: ValidationInfo) -> Any:
    if isinstance(rates, Mapping):
        _context(info).rates = dict.fromkeys(map(str, rates))
    return rates


def _check_rate(rate: Decimal, entry: Entry, info: ValidationInfo) -> None:
    context = _context(info)
    if entry.key == context.currency:
        raise refuse(
            f"{entry.key} is the default_currency, whose rate is 1; leave it out"
        )
    context.rates[str(entry.key)] = rate


def _check_vendor_currency(currency: str, info: ValidationInfo) -> str:
    """Refuse a vendor's currency that is not the tenant's and has no rate."""
    context = _context(info)
    known = (context.currency, *context.rates)
    if context.currency is not None and currency not in known:
        raise refuse(
            f"{currency} has no rate; give it one in exchange_rates.{currency}"
        )
    return currency


def _check_vendor_shipping(amount: Decimal, info: ValidationInfo) -> Decimal:
    """Refuse a vendor's flat amount that is too large in the tenant's currency."""
    rate = _context(info).rates.get(str(info.data.get("currency")))
    if rate is not None and amount * rate >= MONEY_LIMIT:
        raise refuse(
            f"must be below {MONEY_LIMIT:,} in the default_currency, not {amount:f}"
        )
    return amount


TenantCurrency = Annotated[Currency, AfterValidator(_note_currency)]
VendorCurrency = Annotated[Currency, AfterValidator(_check_vendor_currency)]
VendorShipping = Annotated[Money, AfterValidator(_check_vendor_shipping)]
ExchangeRates = Annotated[
    dict[Currency, Annotated[Rate, judged(_check_rate)]],
    Field(description="One of each currency in the default_currency."),
    ENTRIES,
    BeforeValidator(_note_rates),
]
_ANY_EXTRA: JsonDict = {"type": "string", "pattern": EXTRA_COLUMN}
ExtraColumns = Annotated[
    tuple[Annotated[str, WithJsonSchema(_ANY_EXTRA), judged(_check_extra_column)], ...],
    Field(json_schema_extra={"maxItems": DEFAULT_LIMITS.extra_columns}),
    ENTRIES,
    at_most("extra_columns"),
]
FeedColumn = Annotated[
    str,
    AfterValidator(read_output_column),
    WithJsonSchema({"anyOf": [{"enum": list(OUTPUT_COLUMNS)}, _ANY_EXTRA]}),
]


# --- places -------------------------------------------------------------------------------------


def _goes_with(kind: str) -> AfterValidator:
    """Refuse a field that its section's ``type`` requires and lacks, or has no use for."""

    def check(value: str | None, info: ValidationInfo) -> str | None:
        found = info.data.get("type")
        if found == kind and value is None:
            raise refuse(f'is required where type is "{kind}"')
        if found is not None and found != kind and value is not None:
            raise refuse(
                f'goes with type "{kind}", and type is "{found}"; leave it out'
            )
        return value

    return AfterValidator(check)


def _check_s3_key(text: str, info: ValidationInfo) -> str:
    key = _tenant_key(text, info)
    if key.endswith("/"):
        raise refuse("is the key of a folder; name the file in it")
    return key


def _check_local_path(path: str) -> str:
    if not path.strip() or "\0" in path:
        raise refuse("must name a file")
    return path


def _tenant_key(key: str, info: ValidationInfo) -> str:
    tenant_id = _context(info).tenant_id
    prefix = "tenants/" if tenant_id is None else f"tenants/{tenant_id}/"
    if not key.startswith(prefix):
        hint = "; leave s3:// and the bucket out" if key.startswith("s3:") else ""
        raise refuse(f'must start with "{prefix}", not {shorten(key)}{hint}')
    if "//" in key or {".", ".."} & set(key.split("/")):
        raise refuse(f"must not hold //, nor . or .. between slashes: {shorten(key)}")
    if _CONTROL.search(key):
        raise refuse("must not hold control characters or line ends")
    if len(key.encode("utf-8")) > _MAX_KEY:
        raise refuse(f"is longer than the {_MAX_KEY} bytes that S3 allows")
    return key


_Prefix = Annotated[
    str,
    _goes_with("s3"),
    AfterValidator(lambda text, info: _tenant_key(f"{text.removesuffix('/')}/", info)),
    Field(description="Starts with `tenants/<tenant_id>/`; goes with type `s3`."),
]
S3Prefix = Annotated[_Prefix | None, _goes_with("s3")]
"""A prefix under the tenant's own, as if it ended in a slash."""
_Key = Annotated[str, _goes_with("s3"), AfterValidator(_check_s3_key)]
S3Key = Annotated[_Key | None, _goes_with("s3")]
"""The key of one object under the tenant's own prefix."""
_Path = Annotated[str, AfterValidator(_check_local_path)]
LocalPath = Annotated[_Path | None, _goes_with("file")]
"""A path, absolute or from the config file's folder."""


# --- options that go with others ----------------------------------------------------------------


def idle_without(option: str, *wanted: str, default: object = None) -> AfterValidator:
    """Refuse a value other than the default where the option beside it makes it idle."""

    def check(value: Any, info: ValidationInfo) -> Any:
        refuse_idle(option, wanted, value != default, info)
        return value

    return AfterValidator(check)


def refuse_idle(
    option: str, wanted: Iterable[str], is_set: bool, info: ValidationInfo
) -> None:
    """Refuse a value that is set where the option beside it is none of those it applies with."""
    found = info.data.get(option)
    if is_set and found is not None and found not in wanted:
        words = " or ".join(f'"{each}"' for each in wanted)
        raise refuse(
            f'applies with {option} {words}, and {option} is "{found}"; leave it out'
        )


FORMATS_WITH = {
    "compression": ("csv", "jsonl", "parquet"),
    "sheet": WORKBOOK_FORMATS,
    "delimiter": ("csv",),
    "encoding": ("csv", "jsonl"),
    "skip_lines": ("csv", *WORKBOOK_FORMATS),
    "columns": ("csv", *WORKBOOK_FORMATS),
    "padded_numbers": ("xlsx",),
    "quoting": ("csv",),
    "blank_extra_fields": ("csv",),
}
"""The formats that an option of the parser applies to; an option not listed applies to all."""


# --- entries of mappings and lists --------------------------------------------------------------


def _check_word(quantity: int, entry: Entry, info: ValidationInfo) -> None:
    """Refuse a word's quantity where an equal word has another one."""
    word = str(entry.key).strip().casefold()
    if entry.seen.setdefault(word, quantity) != quantity:
        raise refuse(
            "stands twice, as words are compared in any case; keep one of them"
        )


def _check_default(text: str, entry: Entry, info: ValidationInfo) -> None:
    """Refuse a default that its column's rule would refuse in a cell."""
    if entry.key not in CANONICAL_COLUMNS:
        return
    parser: Any = SimpleNamespace(**info.data)
    try:
        read_cell(entry.key, text, parser, UTC)
    except CellError as error:
        raise refuse(str(error)) from error
    except AttributeError:
        pass  # an option that this column's rule needs has a fault of its own


def _check_timestamp_format(form: str) -> str:
    """Refuse a strptime format that does not give a whole date, the same one on every machine."""
    if form == EXCEL:
        return form
    if len(form) > MAX_QUOTED:
        raise refuse(f"{shorten(form)} is longer than {MAX_QUOTED} characters")
    directives = re.findall(r"%(.?)", form, re.DOTALL)
    for directive in directives:
        if directive == "Z":
            raise refuse(
                "%Z is not read, as the names of zones differ between machines; use %z for an "
                "offset"
            )
        if directive not in _DIRECTIVES or not directive:
            raise refuse(
                f"%{directive} is no directive of strptime that is read; %% is a percent sign"
            )
    missing = [
        part for part, given in _DATE_PARTS.items() if not set(given) & set(directives)
    ]
    if missing:
        raise refuse(
            f"{shorten(form)} has no {' and no '.join(missing)}, as in %Y-%m-%d"
        )
    for probe in _PROBES:
        parts = re.split("(%.)", form)
        text = "".join(
            probe.strftime(part) if part[:1] == "%" else part for part in parts
        )
        try:
            day = datetime.strptime(text, form).date()  # noqa: DTZ007  # only the date matters
        except (ValueError, OverflowError, re.error) as error:
            raise refuse(
                f"{shorten(form)} is no format that strptime reads: {error}"
            ) from error
        if day != probe.date():
            raise refuse(
                f"{shorten(form)} does not give back the date that it is written from"
            )
    return form


MappedColumn = Annotated[str, AfterValidator(_read_column)]
TimestampFormat = Annotated[Trimmed, AfterValidator(_check_timestamp_format)]
BY_COLUMN = Field(
    json_schema_extra={
        "propertyNames": {"anyOf": [{"enum": list(CANONICAL_COLUMNS)}, _ANY_EXTRA]}
    }
)
QuantityWords = Annotated[
    dict[
        Annotated[Filled, BeforeValidator(refuse_bare)],
        Annotated[Quantity, judged(_check_word)],
    ],
    ENTRIES,
]
Defaults = Annotated[
    dict[MappedColumn, Annotated[Trimmed, judged(_check_default)]], BY_COLUMN, ENTRIES
]
ColumnNames = Annotated[
    tuple[
        Annotated[
            Trimmed, judged(lambda text, entry, _: refuse_repeated(text, entry.seen))
        ],
        ...,
    ],
    Field(min_length=1),
    ENTRIES,
]


def _context(info: ValidationInfo) -> LoadContext:
    return info.context if isinstance(info.context, LoadContext) else LoadContext()
