"""The single values of a config: each type has its limits, its JSON schema and its faults.

Scalars keep their source text; the messages here are those of all readers. The document is plain
and clean: texts, whole numbers, `NumberText`, booleans, lists and mappings. Pydantic's own faults
get their sentences in `loading`. Rules that join fields are elsewhere.
"""

import codecs
import re
import zoneinfo
from collections.abc import Callable, Iterable
from decimal import Decimal
from difflib import get_close_matches
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
from pydantic_core import PydanticCustomError

from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT, cut, shorten
from relay_core.domain.columns import CANONICAL_COLUMNS, DERIVED_COLUMNS
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import MAX_QUOTED, Limits

MAX_CHARACTERS = 2_000_000
"""The longest text of a config, white space and comments included."""
_CANONICAL_INTEGER = re.compile(r"-?[1-9][0-9]{0,17}|0")
LARGEST_COUNT = 2**63 - 1
REFUSED = "refused"
"""The type of the faults that `refuse` makes."""
UNKNOWN_COLUMN, UNKNOWN_OUTPUT_COLUMN = "unknown_column", "unknown_output_column"
OUTPUT_COLUMNS = (*CANONICAL_COLUMNS, *DERIVED_COLUMNS)

QUOTE_IT = (
    "text is wanted, and without quotes this is a boolean or null "
    '(as yes, no, on, off, true, false and null are); put it in quotes, as in "no"'
)
_DECIMAL = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?)0*([0-9]{1,4}))?"
)
_MAX_DECIMAL = 100
_ID = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_NO_ZONES = (
    "localtime",
    "Factory",
    "posix/",
    "posixrules",
    "right/",
)  # files beside the zones
_HOST_NAME_ENCODINGS = ("idna", "punycode")

# Active codes of ISO 4217 and those replaced in the last years, which price lists still carry.
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


def refuse(
    message: str, hint: Callable[[], str] = str, *, of_section: bool = False
) -> PydanticCustomError:
    """Return the error for a fault; ``hint``, asked only where it is shown, ends its message."""
    context: dict[str, Any] = {} if hint is str else {"hint": hint}
    context |= (
        {"of_section": True, "message": message} if of_section else {"message": message}
    )
    return PydanticCustomError(REFUSED, "{message}", context)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that was perhaps meant, to put after a message."""
    matches = get_close_matches(word, list(known), n=1) if len(word) <= 64 else []
    if not matches:
        matches = [name for name in known if name.casefold() == word.casefold()]
    return f'; did you mean "{matches[0]}"?' if matches else ""


# --- scalars and messages of both readers ---------------------------------------------------------


class NumberText(str):
    """The source text of a number that an ``int`` would not give back: ``007``, ``0.20``, ``1e3``.

    It is text, so it serves as it is where text is wanted and in JSON.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class BareWord(str):
    """The source text of a mapping's key that YAML takes for a boolean or null, as in ``no: 0``."""

    __slots__ = ()


def number(text: str) -> int | NumberText:
    """Return a number whose source text can be had back."""
    return int(text) if _CANONICAL_INTEGER.fullmatch(text) else NumberText(text)


def type_name(value: object) -> str:
    """Return the noun that a config's author uses for a value of this type."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | NumberText):
        return "a number"
    if isinstance(value, str):
        return "text"
    if value is None:
        return "null"
    return "a mapping" if isinstance(value, dict) else "a list"


def join_path(path: Iterable[object]) -> str:
    """Return a path as faults give it: ``vendors.1.parser``; a long one is cut."""
    joined = ".".join(str(step)[: MAX_QUOTED + 1] for step in path)
    return cut(joined, MAX_QUOTED, "...")


def repeated_key(key: str) -> str:
    """Return the message for a key that one mapping repeats."""
    return f"the key {shorten(key)} stands more than once; keep one of them"


def too_deep(limits: Limits) -> str:
    """Return the message for a config that is nested too deeply."""
    return f"the config is nested deeper than {limits.config_levels} levels"


def too_many_values(limits: Limits) -> str:
    """Return the message for a config of too many values."""
    return f"the config holds more than {limits.config_values:,} values"


def whole_fault(message: str) -> ConfigError:
    """Return the error for a text that is unusable as a whole."""
    return ConfigError([ConfigFault("", message)])


# --- numbers ------------------------------------------------------------------------------------


def exact_number(text: str) -> Decimal | None:
    """Return the number that a text writes, with no minus before a zero; None if it is none."""
    found = _DECIMAL.fullmatch(text) if len(text) <= _MAX_DECIMAL else None
    if found is None:
        return None
    sign, digits, exponent_sign, exponent = found.groups(default="")
    if not digits.strip("0."):
        exponent = ""
    value = Decimal(f"{sign}{digits}E{exponent_sign}{exponent or 0}")
    if len(format(value, "f")) > _MAX_DECIMAL:
        return None
    return value.copy_abs() if value == 0 else value


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | NumberText):
        raise refuse(
            f"a whole number is wanted, without quotes, not {type_name(value)}"
        )
    number = exact_number(str(value))
    if number is None or number != number.to_integral_value():
        raise refuse(
            f"a whole number in plain digits is wanted, not {shorten(str(value))}"
        )
    if number > LARGEST_COUNT:
        raise refuse(f"must be {LARGEST_COUNT} or less, not {shorten(str(value))}")
    return int(number)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"a number is wanted, not {type_name(value)}")
    number = exact_number(str(value).strip())
    if number is None:
        raise refuse(
            f'a number is wanted, such as 0.20 or "0.20", not {shorten(str(value))}'
        )
    return number


WHOLE = BeforeValidator(_whole_number)
EXACT = BeforeValidator(_decimal)
AS_TEXT = PlainSerializer(lambda number: format(number, "f"), return_type=str)
Count = Annotated[int, Field(ge=0), WHOLE]
Quantity = Annotated[int, Field(ge=0, le=LARGEST_WHOLE), WHOLE]
Percent = Annotated[int, Field(ge=0, le=100), WHOLE]
Money = Annotated[
    Decimal, Field(ge=0, lt=MONEY_LIMIT, decimal_places=4), EXACT, AS_TEXT
]
Share = Annotated[Decimal, Field(ge=0, le=1), EXACT, AS_TEXT]

# --- texts --------------------------------------------------------------------------------------


def _check_timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
        found = not text.startswith(_NO_ZONES)
    except (KeyError, ValueError, OSError):
        found = False
    if not found:  # to find the names of all zones takes longer than to read a config
        known = zoneinfo.available_timezones().difference(_NO_ZONES)
        hint = nearest(text, known) or ", such as America/Chicago or UTC"
        raise refuse(f"{shorten(text)} is no IANA time zone{hint}")
    return text


def is_currency(text: str) -> bool:
    """Return whether a text is a currency code of ISO 4217."""
    return text in _CURRENCIES


def _check_currency(text: str) -> str:
    if not is_currency(text):
        hint = f'; did you mean "{text.upper()}"?' if is_currency(text.upper()) else ""
        raise refuse(
            f"{shorten(text)} is no currency code of ISO 4217, such as USD{hint}"
        )
    return text


def _check_encoding(text: str) -> str:
    try:
        "a".encode(text[:MAX_QUOTED])  # Python keeps every name that it was asked for
    except (LookupError, ValueError) as error:
        raise refuse(
            f"{shorten(text)} is no text encoding that Python knows, such as utf-8, cp1252 "
            "or utf-16"
        ) from error
    if codecs.lookup(text).name in _HOST_NAME_ENCODINGS:
        raise refuse(
            f"{shorten(text)} encodes host names, not feeds; use one such as utf-8"
        )
    return text


def _check_delimiter(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        hint = '; a tab is "\\t" in double quotes' if text == "\\t" else ""
        raise refuse(
            "must be one character that is neither a double quote nor a line end, "
            f"not {shorten(text)}{hint}"
        )
    return text


def sound_id(value: object) -> str | None:
    """Return a tenant's id as it is read; None where it is refused."""
    is_text = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value) if is_text and re.fullmatch(_ID.rstrip("$"), str(value)) else None


Bool = StrictBool
Id = Annotated[str, Field(pattern=_ID)]
Trimmed = Annotated[str, AfterValidator(str.strip)]
Filled = Annotated[Trimmed, Field(min_length=1)]
RATE_LIMIT = 1_000_000
Rate = Annotated[Decimal, Field(gt=0, le=RATE_LIMIT, decimal_places=8), EXACT, AS_TEXT]
Currency = Annotated[
    str,
    AfterValidator(_check_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
TimeZone = Annotated[
    str,
    AfterValidator(_check_timezone),
    WithJsonSchema({"type": "string", "description": "A name of the IANA database."}),
]
Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(description="A text encoding that Python knows."),
]
_ONE_CHARACTER: JsonDict = {
    "type": ["string", "number"],
    "minLength": 1,
    "maxLength": 1,
}
Delimiter = Annotated[
    str,
    AfterValidator(_check_delimiter),
    WithJsonSchema({**_ONE_CHARACTER, "pattern": '^[^"\\r\\n]$'}),
]

# --- sections -----------------------------------------------------------------------------------


def empty_section() -> Any:
    """Return the default of a section that may be left out, as if it were empty."""
    return Field(default_factory=dict, validate_default=True)


def optional() -> Any:
    """Return the default of a field whose absence is judged, too."""
    return Field(default=None, validate_default=True)


class Section(BaseModel):
    """A mapping of the config; unknown keys are refused, and a number is taken for its text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, defer_build=True
    )
