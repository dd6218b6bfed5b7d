"""Price rules on the page: added, changed, moved, and removed."""

from __future__ import annotations

from typing import Any

import pytest

from support.page_visitor import Visitor
from support.settings_forms import SETTINGS, lines, save, send, stored

ACME: dict[str, Any] = {"when": {"brands": ["Acme"]}, "margin_pct": "0.3"}
BOLT: dict[str, Any] = {"when": {"brands": ["Bolt"]}, "markup": "2"}


@pytest.fixture
def rules(visitor: Visitor) -> list[dict[str, Any]]:
    visitor.world.store_config(pricing={"rules": [ACME, BOLT]})
    return [ACME, BOLT]


def rules_of(visitor: Visitor) -> Any:
    return stored(visitor)[1]["pricing"].get("rules")


def test_a_rule_is_added_last(
    visitor: Visitor, rules: list[dict[str, Any]]
) -> None:
    slug = "prices/rules/new"
    page = send(
        visitor,
        slug,
        **{
            "pricing.rules.2.when.brands": "Cask\r\nDelta\r\n",
            "pricing.rules.2.when.conditions": ["used"],
            "pricing.rules.2.margin_pct": "12.5",
        },
    )
    assert lines(page) == [
        ["Rule 3", "Not set", "Added"],
        ["Rule 3: Applies to: Brands", "Not set", "Cask, Delta"],
        ["Rule 3: Applies to: Condition", "Not set", "Used"],
        ["Rule 3: Margin", "Not set", "12.5%"],
    ]
    assert save(visitor, slug, page) == f"{SETTINGS}/prices?saved=3"
    assert rules_of(visitor) == [
        *rules,
        {
            "when": {"brands": ["Cask", "Delta"], "conditions": ["used"]},
            "margin_pct": "0.125",
        },
    ]


def test_a_rule_with_two_effects_is_at_fault_in_words(
    visitor: Visitor, rules: list[dict[str, Any]]
) -> None:
    page = send(
        visitor, "prices/rules/1", 422, **{"pricing.rules.0.markup": "3"}
    )
    assert "Choose exactly one effect" in page.text
    assert rules_of(visitor) == rules


def test_rules_are_moved(visitor: Visitor, rules: list[dict[str, Any]]) -> None:
    path = f"{SETTINGS}/prices/rules/order"
    fields = {
        "token": token_of(visitor),
        "version": "2",
        "place.1": "2",
        "place.2": "1",
        "step": "save",
    }
    answer = visitor.client.post(path, data=fields)
    assert answer.headers["location"] == f"{SETTINGS}/prices?saved=3"
    assert rules_of(visitor) == [BOLT, ACME]


def test_a_rule_is_removed(
    visitor: Visitor, rules: list[dict[str, Any]]
) -> None:
    path = f"{SETTINGS}/prices/rules/1/remove"
    fields = {
        "token": token_of(visitor),
        "version": "2",
        "step": "save",
    }
    assert visitor.client.post(path, data=fields).status_code == 303
    assert rules_of(visitor) == [BOLT]


def test_a_rule_that_is_not_there_is_not_found(visitor: Visitor) -> None:
    visitor.open(f"{SETTINGS}/prices/rules/1", 404)


def token_of(visitor: Visitor) -> str:
    """Return the token of the session's forms."""
    page = visitor.open(f"{SETTINGS}/prices")
    return next(
        field.attributes["value"]
        for field in page.all("input")
        if field.attributes.get("name") == "token"
    )
