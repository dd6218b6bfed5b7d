"""The result of a guard, as runs, reports and pages tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The result of a guard."""

    guard: str
    vendor_id: str | None  # the vendor that it is about, if it is about one
    side: str | None  # ``low`` or ``high`` of ``price_level``
    tripped: bool  # whether the share is greater than the limit
    limit: str  # the option that it is held against, as the config has it
    count: int  # how many of ``of``
    of: int  # how many there are
    # The first by SKU, each ``sku``, ``before`` and ``after``
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def value(self) -> str:
        """The share with 4 places, half up."""
        units = (2 * 10_000 * self.count + self.of) // (2 * self.of) if self.of else 0
        return f"{units // 10_000}.{units % 10_000:04}"

    def as_dict(self, max_sku_length: int | None = None) -> dict[str, Any]:
        """Return the result as reports show it; a longer SKU is cut."""
        names = ("guard", "vendor_id", "side", "tripped", "value", "limit", "count", "of")
        shown = {name: getattr(self, name) for name in names}
        absent = {name for name in ("vendor_id", "side") if shown[name] is None}
        shown["examples"] = [
            {**each, "sku": each["sku"][:max_sku_length]} for each in self.examples
        ]
        return {name: value for name, value in shown.items() if name not in absent}

    @classmethod
    def of_dict(cls, shown: Mapping[str, Any]) -> GuardResult:
        """Return the result of `as_dict`."""
        own = {name: value for name, value in shown.items() if name != "value"}
        sides = {"vendor_id": None, "side": None}
        return cls(**{**sides, **own, "examples": tuple(own.get("examples", ()))})
