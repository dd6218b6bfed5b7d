"""Scalars of a config that keep their source text, and the messages that both readers share."""

import re
from collections.abc import Iterable

from relay_core.domain.cell_rules import cut, shorten
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import MAX_QUOTED, Limits

MAX_CHARACTERS = 2_000_000
"""The longest text of a config, white space and comments included."""

_CANONICAL_INTEGER = re.compile(r"-?[1-9][0-9]{0,17}|0")


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
