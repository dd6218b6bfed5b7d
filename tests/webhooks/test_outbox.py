"""Each end of a run, whoever ends it, and each publication leaves its event in its transaction."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.run_writes import RecordChange
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.errors import CommitLostError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, Outcome, Release, RunRecord
from relay_dagster.webhooks.model import Event
from relay_dagster.wiring import Platform
from support.fakes import FakeClock, held_outcome, published_outcome
from support.webhooks_world import due_events, events_told

pytestmark = pytest.mark.platform(max_attempts=2)

FAILURE = RunFailure("DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE)


def reserved(platform: Platform) -> RunRecord:
    return platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record


def running(platform: Platform, record: RunRecord | None = None) -> RunRecord:
    """Bring a run to its next attempt, claimed."""
    record = record or reserved(platform)
    attempt = record.attempt + 1
    platform.ledger.dispatch(
        record.run_id, attempt, message_id="m", receipt_handle="h"
    )
    return platform.ledger.claim(record.run_id, attempt, f"dagster-{attempt}")


def succeeded(platform: Platform) -> RunRecord:
    record = running(platform)
    return platform.ledger.succeed(
        record.fence, published_outcome(platform, record)
    )


def held(platform: Platform) -> RunRecord:
    record = running(platform)
    ledger = platform.ledger
    record = ledger.pin(record.fence, 1, "baseline-run")
    return ledger.feeds.hold(record.fence, held_outcome(platform, record))


def release(platform: Platform, record: RunRecord) -> RunRecord:
    assert record.hold is not None
    decision = Release(
        record.hold.sha256, record.hold.guard_names, "seen", "ops"
    )
    return platform.ledger.feeds.release(record.run_id, decision).record


# --- each way to end ----------------------------------------------------------------------------
# Each prepares a run and returns the call that ends it, and that run's id.

Ending = tuple[Callable[[], Any], str]


def by_success(platform: Platform) -> Ending:
    record = running(platform)
    return lambda: platform.ledger.succeed(
        record.fence, Outcome()
    ), record.run_id


def by_failure(platform: Platform) -> Ending:
    record = running(platform)
    return lambda: platform.ledger.fail(record.fence, FAILURE), record.run_id


def by_time_out(platform: Platform) -> Ending:
    record = running(platform)
    late = RunFailure("RUN_TIMEOUT", "too long", Stage.NORMALIZE)
    return lambda: platform.ledger.fail(record.fence, late, None), record.run_id


def by_the_last_retryable_fault(platform: Platform) -> Ending:
    first = running(platform)
    again = running(
        platform,
        platform.ledger.retry_later(first.fence, "ThrottledError", "busy"),
    )
    fault = ("ThrottledError", "busy")
    return lambda: platform.ledger.retry_later(
        again.fence, *fault
    ), first.run_id


def by_the_reconciler(platform: Platform) -> Ending:
    first = running(platform)
    again = running(
        platform,
        platform.ledger.lose_attempt(first, "dead", "its process is dead"),
    )
    return lambda: platform.ledger.lose_attempt(
        again, "dead", "it is dead"
    ), first.run_id


def by_poison(platform: Platform) -> Ending:
    record = reserved(platform)
    return lambda: platform.ledger.poison(
        record.run_id, "no config"
    ), record.run_id


def by_a_letter_without_a_record(platform: Platform) -> Ending:
    job = Job(str(uuid.uuid4()), "acme")
    return lambda: platform.ledger.adopt_dead(
        job, "found dead", "d1"
    ), job.run_id


def by_a_cancel_before_dispatch(platform: Platform) -> Ending:
    record = reserved(platform)
    return lambda: platform.ledger.request_cancel(record.run_id), record.run_id


def by_a_cancel_under_way(platform: Platform) -> Ending:
    record = running(platform)
    platform.ledger.request_cancel(record.run_id)
    return lambda: platform.ledger.cancel(record.run_id), record.run_id


def by_a_hold(platform: Platform) -> Ending:
    succeeded(platform)
    record = platform.ledger.pin(running(platform).fence, 1, "baseline-run")
    outcome = held_outcome(platform, record)
    return lambda: platform.ledger.feeds.hold(
        record.fence, outcome
    ), record.run_id


def by_discarding_a_hold(platform: Platform) -> Ending:
    succeeded(platform)
    record = held(platform)
    return lambda: platform.ledger.request_cancel(record.run_id), record.run_id


def by_a_hold_that_expires(platform: Platform) -> Ending:
    succeeded(platform)
    record = held(platform)
    return lambda: platform.ledger.feeds.expire_hold(
        record.run_id, 30
    ), record.run_id


ENDINGS: dict[Callable[[Platform], Ending], str] = {
    by_success: "run.succeeded",
    by_failure: "run.failed",
    by_time_out: "run.failed",
    by_the_last_retryable_fault: "run.failed",
    by_the_reconciler: "run.failed",
    by_poison: "run.failed",
    by_a_letter_without_a_record: "run.failed",
    by_a_cancel_before_dispatch: "run.cancelled",
    by_a_cancel_under_way: "run.cancelled",
    by_a_hold: "run.held",
    by_discarding_a_hold: "run.cancelled",
    by_a_hold_that_expires: "run.cancelled",
}


def new_events(platform: Platform, call: Callable[[], Any]) -> list[Event]:
    """Return the events that are there after a call and were not before."""
    earlier_ids = {event.event_id for event in events_told(platform)}
    call()
    return [
        event
        for event in events_told(platform)
        if event.event_id not in earlier_ids
    ]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_each_end_of_a_run_leaves_one_event(
    platform: Platform, clock: FakeClock, ending: Callable[[Platform], Ending]
) -> None:
    end, run_id = ending(platform)
    now = clock.advance(seconds=7)
    (event,) = new_events(platform, end)
    record = platform.runs.get(run_id)
    assert record is not None
    assert (event.type, event.run_id, event.tenant_id) == (
        ENDINGS[ending],
        run_id,
        "acme",
    )
    assert (event.data["status"], event.data["error_code"]) == (
        record.status,
        record.error_code,
    )
    assert (event.occurred_at, event.due_at) == (now, now)
    assert event.event_id in {
        due_event.event_id for due_event in due_events(platform.webhooks, now)
    }


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_an_end_that_is_not_stored_leaves_none(
    platform: Platform, ending: Callable[[Platform], Ending]
) -> None:
    end, run_id = ending(platform)
    before = platform.runs.get(run_id)
    earlier_events = events_told(platform)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(**_: Any) -> None:
            error = {"Error": {"Code": "ValidationException", "Message": "no"}}
            raise ClientError(error, "TransactWriteItems")

        patch.setattr(platform.clients.dynamodb, "transact_write_items", refuse)
        with pytest.raises(ExternalServiceError):
            end()
    assert platform.runs.get(run_id) == before
    assert events_told(platform) == earlier_events


def test_what_does_not_end_a_run_leaves_none(platform: Platform) -> None:
    record = running(platform)
    record = platform.ledger.pin(record.fence, 1)
    record = platform.ledger.enter_stage(record.fence, Stage.NORMALIZE)
    platform.ledger.retry_later(record.fence, "ThrottledError", "busy")
    record = running(platform, platform.runs.get(record.run_id))
    platform.ledger.request_cancel(record.run_id)
    assert events_told(platform) == []


def test_a_run_whose_message_could_not_be_sent_leaves_none(
    platform: Platform,
) -> None:
    record = reserved(platform)
    assert platform.ledger.tombstone(record.run_id).hidden
    assert events_told(platform) == []


def test_what_is_noted_after_an_end_leaves_none(platform: Platform) -> None:
    record = succeeded(platform)
    assert (
        new_events(
            platform,
            lambda: platform.ledger.messages.acknowledge(record.run_id),
        )
        == []
    )


# --- the feed -----------------------------------------------------------------------------------


def types_and_runs(events: list[Event]) -> set[tuple[str, str | None]]:
    assert len(events) == len({(event.type, event.run_id) for event in events})
    return {(str(event.type), event.run_id) for event in events}


def test_a_success_of_all_vendors_tells_of_run_and_feed(
    platform: Platform,
) -> None:
    record = succeeded(platform)
    assert types_and_runs(events_told(platform)) == {
        ("run.succeeded", record.run_id),
        ("feed.published", record.run_id),
    }


def test_a_release_tells_of_run_and_feed_and_the_same_again_of_nothing(
    platform: Platform,
) -> None:
    succeeded(platform)
    record = held(platform)
    assert types_and_runs(
        new_events(platform, lambda: release(platform, record))
    ) == {
        ("run.succeeded", record.run_id),
        ("feed.published", record.run_id),
    }
    assert new_events(platform, lambda: release(platform, record)) == []


def test_a_rollback_tells_of_the_feed_and_the_same_again_of_nothing(
    platform: Platform,
) -> None:
    first = succeeded(platform).run_id
    succeeded(platform)

    def roll_back() -> Any:
        return platform.ledger.feeds.roll_back("acme", first)

    assert types_and_runs(new_events(platform, roll_back)) == {
        ("feed.published", first)
    }
    assert new_events(platform, roll_back) == []


@pytest.mark.parametrize("way", ["published", "held", "rolled back"])
def test_an_older_held_run_that_is_void_now_is_told_of_once(
    platform: Platform, way: str
) -> None:
    first = succeeded(platform).run_id
    second = succeeded(platform).run_id
    older = held(platform).run_id
    ways: dict[str, Callable[[], Any]] = {
        "published": lambda: succeeded(platform),
        "held": lambda: held(platform),
        "rolled back": lambda: platform.ledger.feeds.roll_back("acme", first),
    }
    events = new_events(platform, ways[way])
    (void,) = [event for event in events if event.run_id == older]
    assert (void.type, void.data["status"]) == ("run.cancelled", "CANCELLED")
    assert void.data["error_code"] == "HOLD_SUPERSEDED"
    assert second not in {event.run_id for event in events}
    other_types = {str(event.type) for event in events if event is not void}
    assert (
        other_types
        == {
            "published": {"run.succeeded", "feed.published"},
            "held": {"run.held"},
            "rolled back": {"feed.published"},
        }[way]
    )


# --- lost commits and lost answers --------------------------------------------------------------


def test_a_commit_that_is_lost_leaves_none(platform: Platform) -> None:
    record = reserved(platform)
    over = replace(record, status=RunStatus.CANCELLED)
    platform.ledger.poison(record.run_id, "no config")
    earlier_events = events_told(platform)
    with pytest.raises(CommitLostError):
        platform.runs.commit(RecordChange(record, over))
    assert events_told(platform) == earlier_events


class OverlookedDynamoDB:
    """Carries each transaction out; of the first its answer is lost, as if items had collided."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._answers = False

    def transact_write_items(self, **arguments: Any) -> Any:
        answer = self._inner.transact_write_items(**arguments)
        if self._answers:
            return answer
        self._answers = True
        error = {"Error": {"Code": "TransactionInProgressException"}}
        raise ClientError(error, "TransactWriteItems")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class OverlookedClients(Clients):
    def __init__(self, inner: Clients) -> None:
        self._overlooked: Any = OverlookedDynamoDB(inner.dynamodb)

    @property
    def dynamodb(self) -> Any:
        return self._overlooked


def test_an_end_whose_answer_was_lost_leaves_one(
    platform: Platform, clock: FakeClock
) -> None:
    record = running(platform)
    runs = RunStore(
        Database.of(OverlookedClients(platform.clients), platform.settings)
    )
    outcome = published_outcome(platform, record)
    succeeded = RunLedger(runs, clock=clock).succeed(record.fence, outcome)
    assert succeeded == platform.runs.get(record.run_id)
    assert types_and_runs(events_told(platform)) == {
        ("run.succeeded", record.run_id),
        ("feed.published", record.run_id),
    }


def test_an_end_and_its_event_are_one_transaction(platform: Platform) -> None:
    record = running(platform)
    sent: list[set[str]] = []
    events = platform.clients.dynamodb.meta.events

    def count(params: Any, **_: Any) -> None:
        sent.append(set(re.findall("(RUN|EVENT)#", params["body"].decode())))

    events.register("before-call.dynamodb.TransactWriteItems", count)
    try:
        platform.ledger.fail(record.fence, FAILURE)
    finally:
        events.unregister("before-call.dynamodb.TransactWriteItems", count)
    assert sent == [{"RUN", "EVENT"}]
