"""Rules of a tenant's own, of every kind and in any order, for tenants with odd feeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]
BRANDS = ("Acme", "ACME", "Größe", "GRÖSSE", "a", "b", " dflt ", "ß")
COSTS = ("0", "0.0001", "1", "7", "9.99", "10", "1000", "999999999.9999")
AMOUNTS = ("0", "0.0001", "1.005", "9.995", "25", "123.4567", "999999999.9999")
MARGINS = ("0", "0.1", "0.333333", "0.000001", "100")
QUANTITIES = (0, 0, 1, 2, 5, 10, 2_147_483_647)
DUPLICATES = ("compete", "first", "last", "sum", "refuse")


@st.composite
def price_rules(draw: Draw, vendor_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return some rules; most lists are short, so that the later ones are met, too."""
    return [
        draw(price_rule(vendor_ids)) for _ in range(draw(st.integers(0, 5)))
    ]


@st.composite
def price_rule(draw: Draw, vendor_ids: Sequence[str]) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(("margin_pct", "markup", "fixed_price", "leave_out"))
    )
    rule: dict[str, Any] = {"when": draw(conditions(vendor_ids))}
    if kind == "leave_out":
        return {**rule, "leave_out": True}
    rule[kind] = draw(
        st.sampled_from(MARGINS if kind == "margin_pct" else AMOUNTS)
    )
    if draw(st.booleans()):
        rule["min_price"] = draw(st.sampled_from(AMOUNTS))
    return rule


@st.composite
def conditions(draw: Draw, vendor_ids: Sequence[str]) -> dict[str, Any]:
    when_conditions: dict[str, Any] = {}
    lists = {
        "vendors": vendor_ids,
        "brands": BRANDS,
        "conditions": ("new", "used", "refurb"),
    }
    for name, words in lists.items():
        if draw(st.integers(0, 3)) == 2:
            when_conditions[name] = draw(
                st.lists(st.sampled_from(words), min_size=1, max_size=3)
            )
    if draw(st.integers(0, 2)) == 1:
        low, high = sorted(
            draw(st.lists(st.sampled_from(COSTS), min_size=2, max_size=2)),
            key=float,
        )
        when_conditions["cost_from"] = low
        if float(high) > float(low):
            when_conditions["cost_below"] = high
        if draw(st.booleans()) and len(when_conditions) > 1:
            del when_conditions["cost_from"]
    return when_conditions


@st.composite
def stocks(draw: Draw) -> dict[str, Any]:
    return {
        "hold_back": draw(st.sampled_from(QUANTITIES)),
        "pct": draw(st.sampled_from((100, 100, 50, 33, 1, 0))),
        "zero_below": draw(st.sampled_from(QUANTITIES)),
        "cap": draw(st.sampled_from((None, *QUANTITIES))),
    }
