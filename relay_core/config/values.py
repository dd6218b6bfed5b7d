"""The types of a config's single values: their limits, JSON schemas and faults.

The document is plain: texts, whole numbers, `NumberText`, booleans, lists and mappings.
`pydantic_faults` turns pydantic's own errors into messages; rules that join fields are
in `cross_checks`.
"""

import codecs
import re
import zoneinfo
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
)
from pydantic.config import JsonDict

from relay_core.config.reading.scalars import (
    NumberText,
    exact_number,
    type_name,
)
from relay_core.config.refusals import nearest, refuse
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT, shorten
from relay_core.domain.columns import CANONICAL_COLUMNS, DERIVED_COLUMNS
from relay_core.domain.limits import MAX_QUOTED

WRITABLE_COLUMNS = (*CANONICAL_COLUMNS, *DERIVED_COLUMNS)
"""The columns that every merged feed can have; a tenant's extra columns add to them."""
LARGEST_COUNT = 2**63 - 1
LARGEST_RATE = 1_000_000
_ID = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
# The zone database has these files besides its zones.
_NO_ZONES = ("localtime", "Factory", "posix/", "posixrules", "right/")
_HOST_NAME_ENCODINGS = ("idna", "punycode")
_ONE_CHARACTER: JsonDict = {
    "type": ["string", "number"],
    "minLength": 1,
    "maxLength": 1,
}
# The active codes of ISO 4217, and codes replaced in the last years, which price lists
# still have.
_CURRENCY_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP
    BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB
    EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD
    JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD
    RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY
    TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD
    XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG ZWL
"""
_CURRENCIES = frozenset(_CURRENCY_CODES.split())


# --- numbers --------------------------------------------------------------------------


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | NumberText):
        raise refuse(
            f"must be a whole number without quotes, not {type_name(value)}",
        )
    text = str(value)
    number = exact_number(text)
    if number is None or number != number.to_integral_value():
        raise refuse(
            f"must be a whole number in plain digits, not {shorten(text)}",
        )
    if number > LARGEST_COUNT:
        raise refuse(f"must be {LARGEST_COUNT} or less, not {shorten(text)}")
    return int(number)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"must be a number, not {type_name(value)}")
    text = str(value)
    number = exact_number(text.strip())
    if number is None:
        raise refuse(
            f'must be a number, for example 0.20 or "0.20", not {shorten(text)}',
        )
    return number


def _plain_decimal(number: Decimal) -> str:
    return format(number, "f")


WHOLE = BeforeValidator(_whole_number)
EXACT = BeforeValidator(_decimal)
AS_TEXT = PlainSerializer(_plain_decimal, return_type=str)
Count = Annotated[int, Field(ge=0), WHOLE]
Quantity = Annotated[int, Field(ge=0, le=LARGEST_WHOLE), WHOLE]
Percent = Annotated[int, Field(ge=0, le=100), WHOLE]
HoursOfYear = Annotated[int, Field(ge=1, le=8760), WHOLE]
Money = Annotated[
    Decimal,
    Field(ge=0, lt=MONEY_LIMIT, decimal_places=4),
    EXACT,
    AS_TEXT,
]
Share = Annotated[
    Decimal,
    Field(ge=0, le=1),
    EXACT,
    AS_TEXT,
]
Rate = Annotated[
    Decimal,
    Field(gt=0, le=LARGEST_RATE, decimal_places=8),
    EXACT,
    AS_TEXT,
]


# --- texts ----------------------------------------------------------------------------


def is_currency(text: str) -> bool:
    """Return whether a text is a currency code of ISO 4217."""
    return text in _CURRENCIES


def sound_id(value: object) -> str | None:
    """Return a tenant's id from its document, or None if it is not a valid id."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    # `$` would allow a line end behind the id.
    return text if re.fullmatch(_ID.rstrip("$"), text) else None


def _check_timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
        is_zone = not text.startswith(_NO_ZONES)
    except (KeyError, ValueError, OSError):
        is_zone = False
    if not is_zone:
        # Listing all zones takes longer than reading a config.
        zones = zoneinfo.available_timezones().difference(_NO_ZONES)
        hint = (
            nearest(text, zones)
            or "; use a name such as America/Chicago or UTC"
        )
        raise refuse(f"{shorten(text)} is not an IANA time zone{hint}")
    return text


def _check_currency(text: str) -> str:
    if text not in _CURRENCIES:
        upper_case = text.upper()
        hint = ""
        if upper_case in _CURRENCIES:
            hint = f'; did you mean "{upper_case}"?'
        raise refuse(
            f"{shorten(text)} is not a currency code of ISO 4217, such as USD{hint}",
        )
    return text


def _check_encoding(text: str) -> str:
    try:
        # Python remembers each name that it looked up, so a long one is cut before.
        "a".encode(text[:MAX_QUOTED])
    except (LookupError, ValueError) as error:
        raise refuse(
            f"{shorten(text)} is not a text encoding of Python; use one such as utf-8, "
            "cp1252 or utf-16",
        ) from error
    if codecs.lookup(text).name in _HOST_NAME_ENCODINGS:
        raise refuse(
            f"{shorten(text)} encodes host names, not files; use one such as utf-8",
        )
    return text


def _check_delimiter(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        hint = (
            '; for a tab, write "\\t" in double quotes' if text == "\\t" else ""
        )
        raise refuse(
            "must be one character that is neither a double quote nor a line break, "
            f"not {shorten(text)}{hint}",
        )
    return text


Bool = StrictBool
Id = Annotated[str, Field(pattern=_ID)]
Trimmed = Annotated[str, AfterValidator(str.strip)]
Filled = Annotated[Trimmed, Field(min_length=1)]
Currency = Annotated[
    str,
    AfterValidator(_check_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
TimeZone = Annotated[
    str,
    AfterValidator(_check_timezone),
    WithJsonSchema({"type": "string", "description": "An IANA time zone."}),
]
Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(description="A text encoding of Python."),
]
Delimiter = Annotated[
    str,
    AfterValidator(_check_delimiter),
    WithJsonSchema({**_ONE_CHARACTER, "pattern": '^[^"\\r\\n]$'}),
]


# --- sections -------------------------------------------------------------------------


def empty_section() -> Any:
    """Return the default of a section that is read as empty where it is left out."""
    return Field(default_factory=dict, validate_default=True)


def optional() -> Any:
    """Return the default of a field whose validators also judge its absence."""
    return Field(default=None, validate_default=True)


class Section(BaseModel):
    """A mapping of the config; it refuses unknown keys and accepts a number as text."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        defer_build=True,
    )
