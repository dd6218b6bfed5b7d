from __future__ import annotations

import pytest

from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.poll_schedule import PollSchedule
from support.builders import REQUESTED_AT, RUN_ID

POLICY = PollSchedule(max_attempts=3, base_seconds=10, max_seconds=300)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 10), (2, 30), (3, 90), (4, 270), (5, 300), (5000, 300)]
)
def test_the_wait_triples_up_to_a_limit(attempt: int, seconds: float) -> None:
    assert POLICY.delay(attempt, 0.5).total_seconds() == pytest.approx(seconds)


def test_the_wait_is_spread_by_a_fifth_either_way() -> None:
    assert POLICY.delay(1, 0).total_seconds() == pytest.approx(8)
    assert POLICY.delay(1, 1).total_seconds() == pytest.approx(12)


def test_no_wait_is_possible() -> None:
    assert PollSchedule(base_seconds=0).delay(9, 0.3).total_seconds() == 0


@pytest.mark.parametrize(
    ("trigger", "attempt", "left"),
    [
        (Trigger.API, 2, True),
        (Trigger.API, 3, False),
        (Trigger.QUEUE, 2, True),
        (Trigger.DAGSTER, 0, True),
        (Trigger.DAGSTER, 1, False),
    ],
)
def test_a_run_that_dagster_started_has_one_attempt(
    trigger: Trigger, attempt: int, left: bool
) -> None:
    record = RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        trigger=trigger,
        attempt=attempt,
    )
    assert POLICY.has_attempts_left(record) is left
