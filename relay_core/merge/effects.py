"""The effects of a tenant's own rules on offers and prices, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from relay_core.columnar.text import Ints


@dataclass(frozen=True, slots=True)
class RuleEffects:
    """The counted effects of each rule; rules without any are left out."""

    # SKUs of the feed, by the index of the price rule that has priced them
    priced: Counter[int] = field(default_factory=Counter)
    # Offers, by the index of the price rule that leaves them out
    left_out: Counter[int] = field(default_factory=Counter)
    # Rows of each vendor in place of which another one stands for their SKU
    set_aside: Counter[str] = field(default_factory=Counter)
    # Units of each vendor's offers that are not offered on
    held_back: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of_rules(cls, priced: Ints, left_out: Ints) -> RuleEffects:
        """Return the effects of price rules, from the rule of each SKU and offer, -1 for none."""
        return cls(priced=_counted(priced), left_out=_counted(left_out))

    @classmethod
    def of_vendor(cls, vendor_id: str, set_aside: int, held_back: int) -> RuleEffects:
        """Return the effects on one vendor's rows and offers."""
        counts = (Counter({vendor_id: count} if count else {}) for count in (set_aside, held_back))
        return cls(Counter(), Counter(), *counts)

    def __add__(self, other: RuleEffects) -> RuleEffects:
        """Return the effects of both."""
        return RuleEffects(
            self.priced + other.priced,
            self.left_out + other.left_out,
            self.set_aside + other.set_aside,
            self.held_back + other.held_back,
        )


def _counted(rules: Ints) -> Counter[int]:
    counts = np.bincount(rules[rules >= 0])
    return Counter({rule: count for rule, count in enumerate(counts.tolist()) if count})
