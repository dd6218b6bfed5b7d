from __future__ import annotations

import pytest

from relay_dagster import tags


def test_tags_name_the_attempt_and_leave_out_what_is_not_known() -> None:
    run_tags = tags.run_tags("r1", "acme", attempt=2, config_version=7)
    assert run_tags == {
        "relay/run_id": "r1",
        "relay/tenant_id": "acme",
        "relay/config_version": "7",
        "relay/attempt": "2",
    }
    assert tags.attempt_of(run_tags) == ("r1", 2)


def test_tags_say_what_started_the_run() -> None:
    run_tags = tags.run_tags("r1", "acme", attempt=1, trigger="schedule")
    assert run_tags["relay/trigger"] == "schedule"


def test_each_attempt_has_its_own_run_key() -> None:
    assert tags.run_key("r1", 1) != tags.run_key("r1", 2)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"relay/run_id": "r1"},
        {"relay/attempt": "1"},
        {"relay/run_id": "r1", "relay/attempt": "x"},
    ],
    ids=["none", "no attempt", "no run", "no number"],
)
def test_a_run_without_our_tags_is_not_from_the_queue(
    given: dict[str, str],
) -> None:
    assert tags.attempt_of(given) is None
