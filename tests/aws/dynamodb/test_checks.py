"""What is due, found without reading what is not."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from benchmarks.stored_runs import put_many
from relay_dagster.aws.dynamodb.run_writes import RecordChange
from relay_dagster.aws.dynamodb.schema import SHARDS
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.wiring import Platform
from support.builders import REQUESTED_AT
from support.fakes import CallCounter

SECOND = timedelta(seconds=1)


def stored(platform: Platform, count: int, **changes: Any) -> list[RunRecord]:
    """Store so many runs that are due one second after the other."""
    runs = [
        RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id="acme",
            requested_at=REQUESTED_AT,
            revision=1,
            **{
                "due_queue": DueQueue.END,
                "due_at": REQUESTED_AT + number * SECOND,
                **changes,
            },
        )
        for number in range(count)
    ]
    put_many(platform, runs)
    return runs


def test_the_longest_due_come_first_whatever_their_shard(
    platform: Platform,
) -> None:
    runs = stored(platform, 40)
    assert (
        platform.runs.due(DueQueue.END, REQUESTED_AT + 60 * SECOND, limit=25)
        == runs[:25]
    )


def test_what_is_not_due_yet_or_in_another_lane_is_not_found(
    platform: Platform,
) -> None:
    runs = stored(platform, 10)
    stored(platform, 3, due_queue=DueQueue.MESSAGE)
    stored(platform, 3, due_queue=None, due_at=None)
    assert (
        platform.runs.due(DueQueue.END, REQUESTED_AT + 4 * SECOND) == runs[:5]
    )


def test_what_is_not_due_costs_nothing(platform: Platform) -> None:
    stored(platform, 300, due_at=REQUESTED_AT + timedelta(days=1))
    calls = CallCounter(platform)
    assert platform.runs.due(DueQueue.END, REQUESTED_AT) == []
    assert dict(calls) == {"dynamodb.Query": SHARDS}


def test_a_look_is_noted_without_a_change_of_revision(
    platform: Platform,
) -> None:
    (run,) = stored(platform, 1)
    later = replace(
        run,
        due_at=REQUESTED_AT + timedelta(hours=1),
        watched_as="1:4",
        watched_at=None,
    )
    assert platform.runs.note_check(later)
    assert platform.runs.get(run.run_id) == later
    assert platform.runs.due(DueQueue.END, REQUESTED_AT + SECOND) == []


def test_what_a_look_no_longer_knows_is_taken_away(platform: Platform) -> None:
    (run,) = stored(platform, 1, hidden_until=REQUESTED_AT)
    assert platform.runs.note_check(replace(run, hidden_until=None))
    assert platform.runs.get(run.run_id) == replace(run, hidden_until=None)


def test_a_look_at_a_record_that_has_changed_is_not_noted(
    platform: Platform,
) -> None:
    (run,) = stored(platform, 1)
    changed = platform.runs.commit(RecordChange(run, replace(run, attempt=1)))
    assert not platform.runs.note_check(
        replace(run, due_at=None, due_queue=None)
    )
    assert platform.runs.get(run.run_id) == changed
