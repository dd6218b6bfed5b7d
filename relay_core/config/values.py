"""Reading one value of a config: text, numbers, booleans, lists and the names that must exist.

Every reader takes a plain value of a cleaned document and returns the typed one, or raises an error
that the config turns into faults with their paths. Rules that join several fields are elsewhere.
"""

from __future__ import annotations

import codecs
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, partial
from typing import Any, NamedTuple

from relay_core.config.scalars import BareWord, NumberText, type_name
from relay_core.domain.cell_rules import MONEY_LIMIT, shorten, strip
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.limits import LONGEST_QUOTED

LARGEST_COUNT = 2**63 - 1

_DECIMAL = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?)0*([0-9]{1,4}))?")
_LONGEST_DECIMAL = 100
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MACHINES_OWN_ZONES = ("localtime", "Factory")
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


class ValueFault(NamedTuple):
    """A fault inside one value: the path from it, and the message.

    ``hint`` gives what stands behind the message where the fault is told; most of many are not.
    """

    path: tuple[object, ...]
    message: str
    hint: Callable[[], str] = str


class FaultyValueError(ValueError):
    """A value of a config that is refused, or its whole section, with every fault in it."""

    def __init__(self, faults: Sequence[ValueFault], *, of_section: bool = False) -> None:
        self.faults = faults
        self.of_section = of_section
        super().__init__(faults[0].message)


def refuse(
    message: str, hint: Callable[[], str] = str, *, of_section: bool = False
) -> FaultyValueError:
    """Return the error for one fault of the value itself, or of the section that it stands in."""
    return FaultyValueError([ValueFault((), message, hint)], of_section=of_section)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that was perhaps meant, to put after a message."""
    matches = get_close_matches(word, list(known), n=1) if len(word) <= 64 else []
    if not matches:
        matches = [name for name in known if name.casefold() == word.casefold()]
    return f'; did you mean "{matches[0]}"?' if matches else ""


def read_text(value: Any) -> str:
    """Read text; a number is its source text."""
    if isinstance(value, bool | BareWord):
        raise refuse(
            "text is wanted, and without quotes this is a boolean or null "
            '(as yes, no, on, off, true, false and null are); put it in quotes, as in "no"'
        )
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise refuse(f"text is wanted, not {type_name(value)}")
    return str(value)


def read_trimmed_text(value: Any) -> str:
    """Read text without the white space at its ends."""
    return strip(read_text(value))


def read_filled_text(value: Any) -> str:
    """Read text that is not blank, trimmed."""
    text = read_trimmed_text(value)
    if not text:
        raise refuse("must not be empty; leave the entry out instead")
    return text


def read_bool(value: Any) -> bool:
    """Read true or false, which text is not."""
    if not isinstance(value, bool):
        raise refuse(f"true or false is wanted, without quotes, not {type_name(value)}")
    return value


def whole_number(*, most: int, least: int = 0) -> partial[int]:
    """Return a reader of whole numbers within limits, which it tells as its keywords."""
    return partial(_read_whole_number, least=least, most=most)


def _read_whole_number(value: Any, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | NumberText):
        raise refuse(f"a whole number is wanted, without quotes, not {type_name(value)}")
    number = _exact(str(value))
    if number is None or number != number.to_integral_value():
        raise refuse(f"a whole number in plain digits is wanted, not {shorten(str(value))}")
    if not least <= number <= most:
        limits = f"{least} or more" if most == LARGEST_COUNT else f"{least} to {most}"
        raise refuse(f"must be {limits}, not {shorten(str(value))}")
    return int(number)


def exact_decimal(
    *, places: int | None = None, least: str = "0", most: str | None = None
) -> partial[Decimal]:
    """Return a reader of decimals, numbers or text, exact, within limits: its keywords.

    Without ``most`` the limit is that of every amount of money, which is not reached.
    """
    return partial(_read_decimal, places=places, least=least, most=most)


def _read_decimal(value: Any, *, places: int | None, least: str, most: str | None) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"a number is wanted, not {type_name(value)}")
    number = _exact(strip(str(value)))
    if number is None:
        raise refuse(f'a number is wanted, such as 0.20 or "0.20", not {shorten(str(value))}')
    if number < Decimal(least) or (most is not None and number > Decimal(most)):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise refuse(f"must be {limits}, not {shorten(str(value))}")
    if most is None and number >= MONEY_LIMIT:
        raise refuse(f"must be below {MONEY_LIMIT:,}, not {shorten(str(value))}")
    if places is not None and _places(number) > places:
        raise refuse(f"has more than {places} decimal places: {shorten(str(value))}")
    return number


def choice(*allowed: str) -> Callable[[Any], str]:
    """Return a reader of one word of a list."""
    listed = ", ".join(f'"{word}"' for word in allowed)
    wanted = f"must be {listed}" if len(allowed) == 1 else f"must be one of {listed}"

    def read(value: Any) -> str:
        text = read_text(value)
        if text not in allowed:
            raise refuse(f"{wanted}, not {shorten(text)}", partial(nearest, text, allowed))
        return text

    return read


def list_of(
    read: Callable[[Any], Any], *, filled: bool = False
) -> Callable[[Any], tuple[Any, ...]]:
    """Return a reader of lists that gives the faults of all items at once."""

    def read_list(value: Any) -> tuple[Any, ...]:
        items = require_filled_list(value) if filled else require_list(value)
        return tuple(_each(enumerate(items), read).values())

    return read_list


def distinct_list_of(read: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """Return a reader of lists with at least one item, of which none stands twice."""

    def read_list(value: Any) -> tuple[str, ...]:
        seen: set[str] = set()

        def read_new(item: Any) -> str:
            text = read(item)
            if text in seen:
                raise refuse(f"{shorten(text)} stands more than once; keep one of them")
            seen.add(text)
            return text

        return list_of(read_new, filled=True)(value)

    return read_list


def mapping_of(read: Callable[[str, Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return a reader of mappings that gives the faults of all entries at once.

    ``read`` gets the key as text and the value.
    """

    def read_entry(item: tuple[Any, Any]) -> tuple[str, Any]:
        key = read_text(item[0])
        return key, read(key, item[1])

    def read_mapping(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise refuse(f"a mapping of keys to values is wanted, not {type_name(value)}")
        return dict(_each(((key, (key, item)) for key, item in value.items()), read_entry).values())

    return read_mapping


def is_exactly(wanted: int, value: float | Decimal | str) -> bool:
    """Return whether a number is the wanted one; a boolean is no number."""
    return not isinstance(value, bool) and _exact(str(value)[: _LONGEST_DECIMAL + 1]) == wanted


def require_filled_list(value: Any) -> Sequence[Any]:
    """Return a list that holds something, or refuse it."""
    if not require_list(value):
        raise refuse("must not be empty; list at least one")
    return require_list(value)


def require_list(value: Any) -> Sequence[Any]:
    """Return a list, or refuse what is none."""
    if not isinstance(value, list | tuple):
        raise refuse(f"a list is wanted, not {type_name(value)}")
    return value


def read_id(value: Any) -> str:
    """Read a tenant's or vendor's id."""
    text = read_text(value)
    if not _ID.fullmatch(text):
        raise refuse(
            f"{shorten(text)} is no id: use 1 to 64 letters, digits, _ and -, of which the first "
            "is a letter or a digit"
        )
    return text


def read_column(value: Any, *more: str) -> str:
    """Read the name of a canonical column, or of one of some more."""
    text, known = read_text(value), (*CANONICAL_COLUMNS, *more)
    if text not in known:
        raise refuse(f"{shorten(text)} is no canonical column", partial(_known, text, known))
    return text


def _known(text: str, known: Sequence[str]) -> str:
    return nearest(text, known) or f"; there are {', '.join(known)}"


def read_currency(value: Any) -> str:
    """Read a currency code of ISO 4217."""
    text = read_text(value)
    if text not in _CURRENCIES:
        hint = f'; did you mean "{text.upper()}"?' if text.upper() in _CURRENCIES else ""
        raise refuse(f"{shorten(text)} is no currency code of ISO 4217, such as USD{hint}")
    return text


@cache
def _time_zones() -> frozenset[str]:
    """Return the names of all zones; to find them takes longer than to read a config."""
    return frozenset(zoneinfo.available_timezones()).difference(_MACHINES_OWN_ZONES)


def read_timezone(value: Any) -> str:
    """Read the name of a time zone that every machine knows alike."""
    text = read_text(value)
    known = _time_zones()
    if text not in known:
        hint = nearest(text, known) or ", such as America/Chicago or UTC"
        raise refuse(f"{shorten(text)} is no IANA time zone{hint}")
    return text


def read_encoding(value: Any) -> str:
    """Read the name of a Python text encoding."""
    text = read_text(value)
    try:
        "a".encode(text[:LONGEST_QUOTED])  # Python keeps every name that it was asked for
    except (LookupError, ValueError) as error:
        raise refuse(
            f"{shorten(text)} is no text encoding that Python knows, such as utf-8, cp1252 "
            "or utf-16"
        ) from error
    if codecs.lookup(text).name in _HOST_NAME_ENCODINGS:
        raise refuse(f"{shorten(text)} encodes host names, not feeds; use one such as utf-8")
    return text


def read_delimiter(value: Any) -> str:
    """Read the one character between fields."""
    text = read_text(value)
    if len(text) != 1 or text in '"\r\n':
        hint = '; a tab is "\\t" in double quotes' if text == "\\t" else ""
        raise refuse(
            "must be one character that is neither a double quote nor a line end, "
            f"not {shorten(text)}{hint}"
        )
    return text


def _each(items: Iterable[tuple[object, Any]], read: Callable[[Any], Any]) -> dict[object, Any]:
    """Read every item; raise the faults of all of them with the item's step before their path."""
    faults: list[ValueFault] = []
    values: dict[object, Any] = {}
    for step, item in items:
        try:
            values[step] = read(item)
        except FaultyValueError as error:
            faults.extend(fault._replace(path=(step, *fault.path)) for fault in error.faults)
    if faults:
        raise FaultyValueError(faults)
    return values


def _exact(text: str) -> Decimal | None:
    """Return the number that a text writes, with no minus before a zero; None if it is none."""
    found = _DECIMAL.fullmatch(text) if len(text) <= _LONGEST_DECIMAL else None
    if found is None:
        return None
    sign, digits, exponent_sign, exponent = found.groups(default="")
    if not digits.strip("0."):
        exponent = ""
    value = Decimal(f"{sign}{digits}E{exponent_sign}{exponent or 0}")
    if len(format(value, "f")) > _LONGEST_DECIMAL:
        return None
    return value.copy_abs() if value == 0 else value


def _places(number: Decimal) -> int:
    """Return how many decimal places a number needs, trailing zeros left out."""
    _, digits, exponent = number.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -(int(exponent) + zeros) if any(digits) else 0
