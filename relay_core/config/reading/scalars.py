"""The scalars of a config's document, which keep the text that they were written as."""

import re
from decimal import Decimal

_CANONICAL_INTEGER = re.compile(r"-?[1-9][0-9]{0,17}|0")
_DECIMAL = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?)0*([0-9]{1,4}))?",
)
# The longest text of a number, as it is written and with all its digits
_MAX_LENGTH = 100


class NumberText(str):
    """The source text of a number that an ``int`` cannot give back, such as ``007``.

    It is a ``str``, so that it serves as text, also in JSON.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class BareWord(str):
    """The source text of a key that YAML reads as a boolean or null, such as ``no``."""

    __slots__ = ()


def read_number(text: str) -> int | NumberText:
    """Return a number from its source text, so that the text can be restored."""
    return int(text) if _CANONICAL_INTEGER.fullmatch(text) else NumberText(text)


def exact_number(text: str) -> Decimal | None:
    """Return the number in a text, or None if it is none; zero has no sign."""
    if len(text) > _MAX_LENGTH:
        return None
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, digits, exponent_sign, exponent = match.groups(default="")
    is_zero = not digits.strip("0.")
    if is_zero or not exponent:
        exponent = "0"
    value = Decimal(f"{sign}{digits}E{exponent_sign}{exponent}")
    if len(format(value, "f")) > _MAX_LENGTH:
        return None
    return value.copy_abs() if is_zero else value


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
