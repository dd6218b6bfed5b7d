"""Every scenario, as a test. They run side by side, before the first of them is judged."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from integration import chaos
from integration.scenario import all_scenarios

SCENARIOS = all_scenarios()


def _parameters() -> list[object]:
    kinds = {True: pytest.mark.smoke, False: pytest.mark.chaos}
    return [
        pytest.param(
            scenario.name, marks=kinds[scenario.smoke], id=scenario.name
        )
        for scenario in SCENARIOS.values()
    ]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Mapping[str, chaos.Outcome]:
    """Play the scenarios of all tests that were chosen."""
    chosen = [
        SCENARIOS[item.callspec.params["name"]]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.function is test_the_scenario_holds
    ]
    return {
        outcome.name: outcome
        for outcome in chaos.run(chosen, lanes=chaos.LANES, tell=_tell)
    }


@pytest.mark.integration
@pytest.mark.parametrize("name", _parameters())
def test_the_scenario_holds(
    name: str, outcomes: Mapping[str, chaos.Outcome]
) -> None:
    outcome = outcomes[name]
    assert outcome.passed, (
        f"{SCENARIOS[name].claim}\n{outcome.detail}\nlogs: {outcome.logs}"
    )


def _tell(outcome: chaos.Outcome) -> None:
    print(
        f"{outcome.name}: {outcome.detail} ({outcome.seconds:.0f} s)",
        file=sys.stderr,
    )
