"""The decoders of JSON, and its faults that `json` lets pass or reports without a place.

These faults are repeated keys, NaN and the infinities, escaped surrogates without their other
half, and too many levels.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
HALF_PAIR = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F])|\\.",
    re.DOTALL,
)
"""The group matches an escaped surrogate that is not half of a pair."""
MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]|NaN|-?Infinity', re.DOTALL
)
_LEVEL_STEPS = np.zeros(256, np.int8)
_LEVEL_STEPS[[ord("["), ord("{")]] = 1
_LEVEL_STEPS[[ord("]"), ord("}")]] = -1


@dataclass(frozen=True, slots=True)
class JsonFault:
    """A fault of a JSON text."""

    position: int
    reason: str


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of pairs.

    Raises:
        ValueError: A key occurs twice.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key occurs twice")
    return record


_AS_WRITTEN: dict[str, Any] = {
    "parse_float": str.encode,
    "parse_int": str.encode,
    "parse_constant": int,  # raises: NaN and the infinities are not valid JSON
}
"""Options of a decoder that keep numbers as the file has them, as bytes.

No other value is bytes, and no type is made faster from a text.
"""
UNIQUE_KEYS = json.JSONDecoder(object_pairs_hook=unique_pairs, **_AS_WRITTEN)
ANY_KEYS = json.JSONDecoder(**_AS_WRITTEN)
"""Of a key that occurs twice, this decoder takes the last value. It is faster."""


def is_too_deep(text: str, max_levels: int) -> bool:
    """Return True if a valid JSON text has more than ``max_levels`` levels."""
    if "\\" in text:  # a backslash may precede a quote: blank out whole strings
        text = STRING.sub(_blanks, text)
    data = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    steps = _LEVEL_STEPS[data]
    quotes_before = np.cumsum(data == ord('"'), dtype=np.int64)
    steps[quotes_before & 1 == 1] = 0
    levels = np.cumsum(steps, dtype=np.int64)
    return bool(levels.max() > max_levels)


def _blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def find_fault(text: str, level: int, max_levels: int) -> JsonFault | None:
    """Return the first fault of a value, or None.

    Args:
        text: The value, and perhaps more behind it.
        level: The number of lists and objects around the value.
        max_levels: The most levels that may be open at once.
    """
    open_keys: list[set[str] | None] = []  # the keys of objects; None for lists
    is_key_next = False
    for match in _TOKEN.finditer(text):
        mark = match[0]
        fault = None
        if mark[0] == '"':
            keys = open_keys[-1] if open_keys and is_key_next else None
            fault = _fault_of_string(match, keys)
            is_key_next = False
        elif mark in "{[":
            open_keys.append(set() if mark == "{" else None)
            is_key_next = mark == "{"
            if level + len(open_keys) > max_levels:
                reason = f"the document has more than {max_levels} levels"
                fault = JsonFault(match.start(), reason)
        elif mark in "}]":
            open_keys = open_keys[:-1]
            is_key_next = False
        elif mark == ",":
            is_key_next = bool(open_keys) and open_keys[-1] is not None
        else:
            fault = JsonFault(match.start(), f"{mark} is not a JSON number")
        if fault is not None or not open_keys:
            return fault
    return None


def _fault_of_string(
    match: re.Match[str],
    keys: set[str] | None,
) -> JsonFault | None:
    """Return the fault of a string; ``keys`` are those before it if it is a key."""
    for escape in HALF_PAIR.finditer(match[0]):
        if escape[1]:
            position = match.start() + escape.start()
            half = match.string[position : position + len(r"\ud800")]
            return JsonFault(position, f"{half} is half of a surrogate pair")
    if keys is None:
        return None
    try:
        key = str(json.loads(match[0]))
    except ValueError:
        return None  # the decoder has found this fault, with its place
    if key in keys:
        reason = f"the object has the key {match[0][:60]} twice"
        return JsonFault(match.start(), reason)
    keys.add(key)
    return None
