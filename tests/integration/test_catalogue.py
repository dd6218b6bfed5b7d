"""The list of scenarios and docs/RESILIENCE.md say the same."""

from __future__ import annotations

import re
from pathlib import Path

from integration.scenario import all_scenarios

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "RESILIENCE.md"
UNDISTURBED = "0"
SMOKE = 6


def test_every_row_of_the_document_has_a_scenario() -> None:
    rows = set(re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE))
    assert {scenario.row for scenario in all_scenarios().values()} - {
        UNDISTURBED
    } == rows


def test_smoke_is_six_scenarios() -> None:
    assert sum(scenario.smoke for scenario in all_scenarios().values()) == SMOKE


def test_every_scenario_claims_something() -> None:
    assert [
        scenario.name
        for scenario in all_scenarios().values()
        if not scenario.claim.endswith(".")
    ] == []
