"""Which events a change has, from every status to every other, and what is told in each."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.feeds.pointer import (
    FeedPointer,
    FeedUpdate,
    holding,
    published,
)
from relay_dagster.runs.model import Hold, RunRecord
from relay_dagster.webhooks.model import EventType
from relay_dagster.webhooks.run_events import events_of, run_data, trial_event
from support.builders import RUN_ID
from support.fakes import CHANGES, NOW, TRIPPED

ENDS = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.HELD: EventType.RUN_HELD,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def run(status: RunStatus = RunStatus.SUCCEEDED, **changes: Any) -> RunRecord:
    defaults: dict[str, Any] = {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "requested_at": NOW,
    }
    return RunRecord(
        **{**defaults, "status": status, "stage": Stage.COMPLETE, **changes}
    )


def feed(run_id: str = "earlier") -> FeedPointer:
    return published(None, run(run_id=run_id), NOW, 10, None)


def told(
    before: RunRecord | None, after: RunRecord, move: FeedUpdate | None = None
) -> list[tuple[EventType, str | None]]:
    return [
        (event.type, event.run_id)
        for event in events_of(before, after, move, NOW)
    ]


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"), list(product([None, *RunStatus], RunStatus))
)
def test_a_run_that_comes_to_an_end_has_one_event_and_no_other_change_has_any(
    before: RunStatus | None, after: RunStatus
) -> None:
    earlier = None if before is None else run(before)
    ends = before is not after and after in ENDS
    assert told(earlier, run(after)) == (
        [(ENDS[after], RUN_ID)] if ends else []
    )


@pytest.mark.parametrize(
    ("before", "after"), list(product([None, *RunStatus], RunStatus))
)
def test_a_run_that_is_hidden_has_none(
    before: RunStatus | None, after: RunStatus
) -> None:
    earlier = None if before is None else run(before)
    assert told(earlier, run(after, hidden=True)) == []


def test_what_is_noted_of_a_run_that_has_ended_is_no_event() -> None:
    for status in ENDS:
        assert (
            told(
                run(status),
                run(status, acknowledged_at=NOW, reports_written_at=NOW),
            )
            == []
        )


# --- the feed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", [None, feed()], ids=["first", "next"])
def test_a_success_that_moves_the_feed_has_two(
    earlier: FeedPointer | None,
) -> None:
    after = run()
    move = FeedUpdate(earlier, published(earlier, after, NOW, 10, None))
    assert told(run(RunStatus.RUNNING), after, move) == [
        (EventType.RUN_SUCCEEDED, RUN_ID),
        (EventType.FEED_PUBLISHED, RUN_ID),
    ]


def test_a_release_has_two() -> None:
    earlier = holding(feed(), RUN_ID)
    after = run()
    move = FeedUpdate(earlier, published(earlier, after, NOW, 10, None))
    assert told(run(RunStatus.HELD), after, move) == [
        (EventType.RUN_SUCCEEDED, RUN_ID),
        (EventType.FEED_PUBLISHED, RUN_ID),
    ]


def test_a_rollback_tells_of_the_feed_alone() -> None:
    earlier = feed()
    again = run()
    move = FeedUpdate(earlier, published(earlier, again, NOW, 10, None))
    assert told(again, replace(again), move) == [
        (EventType.FEED_PUBLISHED, RUN_ID)
    ]


def test_the_same_feed_published_again_is_told_again() -> None:
    earlier = feed(RUN_ID)
    again = run()
    move = FeedUpdate(earlier, published(earlier, again, NOW, 10, None))
    assert told(again, replace(again), move) == [
        (EventType.FEED_PUBLISHED, RUN_ID)
    ]


def test_a_hold_publishes_nothing() -> None:
    move = FeedUpdate(feed(), holding(feed(), RUN_ID))
    assert told(run(RunStatus.RUNNING), run(RunStatus.HELD), move) == [
        (EventType.RUN_HELD, RUN_ID)
    ]


def test_a_hold_that_is_given_up_publishes_nothing() -> None:
    held = holding(feed(), RUN_ID)
    move = FeedUpdate(held, holding(held, None))
    over = told(run(RunStatus.HELD), run(RunStatus.CANCELLED), move)
    assert over == [(EventType.RUN_CANCELLED, RUN_ID)]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.HELD])
def test_an_older_held_run_ends_with_its_event_too(status: RunStatus) -> None:
    earlier = holding(feed(), "older")
    after = run(status)
    voided = (
        run(RunStatus.HELD, run_id="older"),
        run(RunStatus.CANCELLED, run_id="older"),
    )
    new = published(earlier, after, NOW, 10, None)
    pointer = holding(earlier, RUN_ID) if status is RunStatus.HELD else new
    events = told(
        run(RunStatus.RUNNING), after, FeedUpdate(earlier, pointer, voided)
    )
    assert events[0] == (ENDS[status], RUN_ID)
    assert events[-1] == (EventType.RUN_CANCELLED, "older")
    assert ((EventType.FEED_PUBLISHED, RUN_ID) in events) == (
        status is RunStatus.SUCCEEDED
    )
    assert len(events) == len(set(events))


# --- what is told -------------------------------------------------------------------------------


def test_all_that_a_run_has_is_told_in_the_words_of_its_answer() -> None:
    held = run(
        RunStatus.HELD,
        baseline_run_id="earlier",
        counts={"record_count": 2, "total_rows": 20},
        changes=CHANGES,
        hold=Hold("ab12", "earlier", (TRIPPED,)),
    )
    (event,) = events_of(run(RunStatus.RUNNING), held, None, NOW)
    assert event.data == {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "status": "HELD",
        "error_code": None,
        "failure_class": None,
        "counts": {"record_count": 2, "total_rows": 20},
        "changes": {"baseline_run_id": "earlier", **CHANGES},
        "hold": {
            "sha256": "ab12",
            "baseline_run_id": "earlier",
            "guards": [
                {
                    "guard": "skus_removed",
                    "tripped": True,
                    "value": "0.9000",
                    "limit": "0.50",
                    "count": 18,
                    "of": 20,
                }
            ],
        },
    }
    assert (event.occurred_at, event.due_at, event.tenant_id) == (
        NOW,
        NOW,
        "acme",
    )
    assert event.deliveries is None


@pytest.mark.parametrize(
    ("code", "failure_class"),
    [
        ("DECODE_ERROR", "vendor_data"),
        ("RUN_TIMEOUT", "platform"),
        ("empty_output", "tenant_config"),
    ],
)
def test_a_failure_is_told_with_whose_it_is(
    code: str, failure_class: str
) -> None:
    data = run_data(
        run(RunStatus.FAILED, error_code=code, failed_stage=Stage.NORMALIZE)
    )
    assert (data["status"], data["error_code"], data["failure_class"]) == (
        "FAILED",
        code,
        failure_class,
    )


def test_what_is_not_known_is_null() -> None:
    data = run_data(run(RunStatus.CANCELLED))
    assert {name for name, value in data.items() if value is None} == {
        *("error_code", "failure_class", "counts", "changes", "hold"),
    }
    trial = trial_event("acme", "wh_1", NOW)
    assert trial.data.keys() == data.keys()
    assert {
        name for name, value in trial.data.items() if value is not None
    } == {"tenant_id"}


def test_the_largest_body_is_under_20_kb() -> None:
    text = "9" * 100_000
    guard = {
        **TRIPPED,
        "vendor_id": "v" * 64,
        "limit": text,
        "examples": [{"sku": text}] * 5,
    }
    largest = run(
        RunStatus.FAILED,
        tenant_id="t" * 64,
        error_code=text,
        counts=dict.fromkeys(
            ["record_count", "total_rows", "invalid_rows"], 10**15
        ),
        changes=dict.fromkeys(CHANGES, 10**15),
        hold=Hold("a" * 64, RUN_ID, (guard,) * 20),
    )
    (event,) = events_of(None, largest, None, NOW)
    assert len(event.body) < 20_000
    assert len(event.data["hold"]["guards"]) == 10
    assert b"examples" not in event.body
    assert b"http" not in event.body


def test_each_event_has_an_id_of_its_own() -> None:
    ids = {next(events_of(None, run(), None, NOW)).event_id for _ in range(100)}
    assert len(ids) == 100
    assert not any("." in event_id for event_id in ids)
