"""Scalars of a config that keep the text they were written as, and the limits of its size.

Shared by the readers of JSON and YAML and by the config itself; no reading and no rules here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from relay_core.domain.errors import ConfigError, ConfigFault

MAX_DEPTH = 32
"""How deeply a config may be nested; the deepest that means something is 6."""
MAX_ITEMS = 100_000
"""How many values a config may hold, those repeated by YAML aliases counted each time."""
MAX_CHARACTERS = 2_000_000
"""How long a config's text may be."""
REPEATED_KEY = 'the key "{}" stands more than once; keep one of them'

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
    """Return a number of which the source text can be had back."""
    return int(text) if _CANONICAL_INTEGER.fullmatch(text) else NumberText(text)


def type_name(value: object) -> str:
    """Return what a config's author calls a value of this type."""
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
    """Return a path as faults give it: ``vendors.1.parser``."""
    return ".".join(map(str, path))


def whole_fault(message: str) -> ConfigError:
    """Return the error for a text that is unusable as a whole."""
    return ConfigError([ConfigFault("", message)])
