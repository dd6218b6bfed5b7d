"""Properties of resources: made where they are missing, reported where they differ."""

from dataclasses import dataclass
from typing import Any

from relay_dagster.aws.provisioning.resources import Feature, differences, set_missing


@dataclass
class Resource:
    """Something with one property."""

    state: str | None

    def feature(self, *, can_apply: bool = True) -> Feature:
        def apply() -> Any:
            self.state = "on"

        return Feature("light", "on", lambda: self.state, apply if can_apply else None)


def test_what_is_missing_is_set_and_named() -> None:
    lamp = Resource(None)
    assert set_missing([lamp.feature()]) == ["set light to on"]
    assert lamp.state == "on"
    assert set_missing([lamp.feature()]) == []


def test_what_differs_is_somebody_s_decision_until_a_repair() -> None:
    lamp = Resource("dim")
    assert set_missing([lamp.feature()]) == []
    assert differences([lamp.feature()]) == ["light is dim, not on"]
    assert set_missing([lamp.feature()], repair=True) == [
        "set light to on (it was dim)"
    ]
    assert differences([lamp.feature()]) == []


def test_what_takes_more_than_a_call_is_reported_alone() -> None:
    lamp = Resource(None)
    assert set_missing([lamp.feature(can_apply=False)], repair=True) == []
    assert differences([lamp.feature(can_apply=False)]) == ["light is not set, not on"]
