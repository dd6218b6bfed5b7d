"""Values of other programs to the plain values of a config's document."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import relay_core.config.refusals as refusals
from relay_core.config.reading.scalars import BareWord, read_number
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import DEFAULT_LIMITS, Limits

# Turning an integer of more bits into text takes too long.
_MAX_BITS = 8_192
_SURROGATE = re.compile("[\ud800-\udfff]")
_Path = tuple[object, ...]
# A null switches a guard off, or the whole files between changes, or keeps unmatched rows;
# everywhere else it is the same as an absent value.
_SECTIONS_WITH_NULLS: tuple[_Path, ...] = (
    ("guards",),
    ("guards", "quarantine"),
)
_LISTS_WITH_NULLS: dict[_Path, tuple[str, ...]] = {
    ("deliveries",): ("whole_every_hours",),
    ("vendors", "parts"): ("unmatched",),
}
"""The keys in the entries of lists; a list within another has both names."""


def plain_document(
    document: Mapping[Any, Any],
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Return a document of plain values without nulls, and faults of omitted values.

    The document comes from `parse_document` or from another program; it may have
    ``Decimal``, ``float`` (read as its shortest text) and ``tuple``.

    Raises:
        ConfigError: The document holds too much or is nested too deeply, as one that
            contains itself is.
    """
    cleaner = _Cleaner(limits)
    plain: dict[str, Any] = cleaner.clean(document, ())
    return plain, cleaner.faults


@dataclass(slots=True)
class _Cleaner:
    """Makes plain values, and counts them."""

    limits: Limits
    faults: list[ConfigFault] = field(default_factory=list)
    _value_count: int = 0

    def clean(self, value: Any, path: _Path) -> Any:
        """Return a plain value; None for a null and for a value that is left out."""
        self._value_count += 1
        if self._value_count > self.limits.config_values:
            raise refusals.whole_fault(refusals.too_many_values(self.limits))
        if not isinstance(value, Mapping | list | tuple):
            return self._scalar(value, path)
        if len(path) >= self.limits.config_levels:
            raise refusals.whole_fault(refusals.too_deep(self.limits))
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        plain_items = []
        for index, item in enumerate(value):
            plain = self.clean(item, (*path, index))
            if item is None:
                # A null has no meaning in a list.
                message = (
                    "is null; remove it from the list, or put it in quotes"
                )
                self._refuse((*path, index), message)
            plain_items.append("" if plain is None else plain)
        return plain_items

    def _mapping(
        self,
        mapping: Mapping[Any, Any],
        path: _Path,
    ) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for original_key, item in mapping.items():
            key = self._key(original_key, path)
            if key is None:
                continue
            value = self.clean(item, (*path, key))
            has_meaning = item is None and _is_null_with_meaning(path, key)
            if value is None and not has_meaning:
                continue
            if key in plain:
                self._refuse(path, refusals.repeated_key(key))
            plain[key] = value
        return plain

    def _key(self, key: Any, path: _Path) -> str | None:
        """Return a key as text, or None if it is refused."""
        if key is None:
            return BareWord("null")
        if isinstance(key, bool):
            return BareWord(str(key).lower())
        plain = self._scalar(key, path)
        return str(plain) if isinstance(plain, int) else plain

    def _scalar(self, value: Any, path: _Path) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if _SURROGATE.search(value):
                message = "contains half of a surrogate pair, which is not a character; delete it"
                return self._refuse(path, message)
            return value
        if isinstance(value, int) and value.bit_length() < _MAX_BITS:
            return read_number(str(int(value)))
        if isinstance(value, float) and math.isfinite(value):
            return read_number(repr(float(value)))
        if isinstance(value, Decimal) and value.is_finite():
            return read_number(str(value))
        is_number = isinstance(value, int | float | Decimal)
        kind = type(value).__name__
        message = f"has the type {kind}; use text, numbers, booleans, lists or mappings"
        if is_number:
            message = "is not a finite number of at most 2,466 digits"
        return self._refuse(path, message)

    def _refuse(self, path: _Path, message: str) -> None:
        self.faults.append(ConfigFault(refusals.join_path(path), message))


def _is_null_with_meaning(path: _Path, key: str) -> bool:
    """Return True if a null under a key of the section at a path is not the default."""
    if path in _SECTIONS_WITH_NULLS:
        return True
    names = path[::2]
    is_entry = len(path) == 2 * len(names)
    return is_entry and key in _LISTS_WITH_NULLS.get(names, ())
