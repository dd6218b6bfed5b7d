"""Attempts and the waits between them; when a record is checked next, and in which queue."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.runs.model import DueQueue, LockState, RunRecord, Trigger
from relay_dagster.runs.poll_schedule import PollSchedule
from support.fakes import NOW


def at(**after: float) -> datetime:
    return NOW + timedelta(**after)


QUEUED = RunRecord(run_id="r", tenant_id="acme", requested_at=NOW)
SENT = replace(QUEUED, message_id="m", sent_at=NOW)
RUNNING = replace(
    SENT,
    status=RunStatus.RUNNING,
    attempt=1,
    dispatched_at=NOW,
    dagster_run_id="d",
)
ENDED = replace(RUNNING, status=RunStatus.FAILED, finished_at=NOW)
WAITS = replace(
    SENT, lock_state=LockState.QUEUED, received_at=NOW, hidden_until=at(hours=1)
)


@pytest.mark.parametrize(
    ("record", "queue", "due_at"),
    [
        pytest.param(QUEUED, DueQueue.ATTEMPT, at(seconds=60), id="not sent"),
        pytest.param(SENT, DueQueue.MESSAGE, at(seconds=3600), id="sent"),
        pytest.param(
            replace(SENT, received_at=at(seconds=-9)),
            DueQueue.MESSAGE,
            at(hours=1),
            id="seen",
        ),
        pytest.param(
            WAITS, DueQueue.ATTEMPT, at(minutes=50), id="waits for its tenant"
        ),
        pytest.param(RUNNING, DueQueue.ATTEMPT, at(seconds=10), id="under way"),
        pytest.param(
            replace(RUNNING, cancel_requested_at=NOW),
            DueQueue.ATTEMPT,
            NOW,
            id="to end",
        ),
        pytest.param(
            replace(SENT, attempt=1, next_attempt_at=at(seconds=30)),
            DueQueue.READY,
            at(seconds=30),
            id="between attempts",
        ),
        pytest.param(
            replace(SENT, attempt=3),
            DueQueue.ATTEMPT,
            NOW,
            id="no attempt left",
        ),
        pytest.param(ENDED, DueQueue.END, NOW, id="ended"),
        pytest.param(
            replace(ENDED, acknowledged_at=NOW), None, None, id="settled"
        ),
        pytest.param(
            replace(ENDED, acknowledged_at=NOW, dlq_message_id="d"),
            DueQueue.DEAD_LETTER,
            NOW,
            id="buried",
        ),
    ],
)
def test_each_state_says_who_looks_at_it_next_and_when(
    record: RunRecord, queue: DueQueue | None, due_at: datetime | None
) -> None:
    scheduled = PollSchedule().scheduled(None, record, NOW)
    assert (scheduled.due_queue, scheduled.due_at) == (queue, due_at)


def test_an_attempt_that_is_looked_at_soon_anyway_keeps_its_place() -> None:
    looks = PollSchedule()
    before = looks.scheduled(None, RUNNING, NOW)
    after = looks.scheduled(
        before, replace(before, stage=Stage.NORMALIZE), at(seconds=4)
    )
    assert after.due_at == before.due_at


@pytest.mark.parametrize(
    ("stale", "visibility", "seconds"),
    [(90, 300, 10), (20, 300, 5), (90, 8, 2)],
)
def test_a_look_comes_in_time_for_heartbeat_and_message(
    stale: float, visibility: float, seconds: float
) -> None:
    looks = PollSchedule(stale_seconds=stale, visibility_seconds=visibility)
    assert looks.between_checks == timedelta(seconds=seconds)


# --- attempts ------------------------------------------------------------------------------------

THREE = PollSchedule(max_attempts=3, base_seconds=10, max_seconds=300)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 10), (2, 30), (3, 90), (4, 270), (5, 300), (5000, 300)],
)
def test_the_wait_triples_up_to_a_limit(attempt: int, seconds: float) -> None:
    assert THREE.delay(attempt, 0.5).total_seconds() == pytest.approx(seconds)


def test_the_wait_is_spread_by_a_fifth_either_way() -> None:
    assert THREE.delay(1, 0).total_seconds() == pytest.approx(8)
    assert THREE.delay(1, 1).total_seconds() == pytest.approx(12)


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
    record = replace(QUEUED, trigger=trigger, attempt=attempt)
    assert THREE.has_attempts_left(record) is left
