from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb.codec import marshal
from relay_dagster.aws.dynamodb.cursors import BadCursorError
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.run_writes import RecordChange
from relay_dagster.external_errors import MissingResourceError, ThrottledError
from relay_dagster.runs.errors import (
    CommitLostError,
    FenceLostError,
    RunError,
    TenantBusyError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    Idempotency,
    LockState,
    NewRun,
    Outcome,
    RunRecord,
)
from relay_dagster.tenants.errors import QuotaExceededError, RefusedError
from relay_dagster.wiring import Platform
from support.builders import REQUESTED_AT
from support.fakes import CallCounter, FakeClock, served_platform


def a_run(**changes: Any) -> RunRecord:
    defaults = {
        "run_id": str(uuid.uuid4()),
        "tenant_id": "acme",
        "requested_at": REQUESTED_AT,
    }
    return RunRecord(**{**defaults, **changes})


def test_text_that_is_no_unicode_does_not_keep_a_run_from_ending(
    platform: Platform,
) -> None:
    record = a_run(error_message="bad \ud800 text", counts={"\udfff": 1})
    platform.runs.commit(RecordChange(None, record))
    stored = platform.runs.get(record.run_id)
    assert stored is not None
    assert stored.error_message == "bad ? text"


def test_only_a_run_id_finds_a_run(platform: Platform) -> None:
    assert platform.runs.get("LOCK#acme") is None
    assert platform.runs.get("x" * 5000) is None
    assert platform.runs.get_many(["", str(uuid.uuid4())]) == {}


def test_a_record_is_written_over_only_as_it_was_read(
    platform: Platform,
) -> None:
    first = platform.runs.commit(RecordChange(None, a_run()))
    second = platform.runs.commit(
        RecordChange(first, replace(first, attempt=1))
    )
    with pytest.raises(CommitLostError):
        platform.runs.commit(RecordChange(first, replace(first, attempt=2)))
    with pytest.raises(CommitLostError):
        platform.runs.commit(RecordChange(None, a_run(run_id=first.run_id)))
    assert platform.runs.get(first.run_id) == second


class ForgetfulDynamoDB:
    """Carries each transaction out, and then says that it collided, as a lost answer would."""

    def __init__(self, inner: Any, times: int) -> None:
        self._inner = inner
        self._times = times

    def transact_write_items(self, **arguments: Any) -> Any:
        answer = self._inner.transact_write_items(**arguments)
        if self._times:
            self._times -= 1
            raise ClientError(
                {"Error": {"Code": "TransactionInProgressException"}},
                "TransactWriteItems",
            )
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class ForgetfulClients(Clients):
    def __init__(self, inner: Clients) -> None:
        self.forgetful: Any = ForgetfulDynamoDB(inner.dynamodb, 1)

    @property
    def dynamodb(self) -> Any:
        return self.forgetful


def test_a_write_that_got_through_unseen_is_not_taken_for_a_stranger(
    platform: Platform,
) -> None:
    runs = RunStore(
        Database.of(ForgetfulClients(platform.clients), platform.settings)
    )
    record = runs.commit(RecordChange(None, a_run(lock_state=LockState.OWNER)))
    assert platform.runs.get(record.run_id) == record


# --- listings ---------------------------------------------------------------------------------


def several(
    platform: Platform, clock: FakeClock, count: int, tenant_id: str = "acme"
) -> list[str]:
    run_ids = []
    for _ in range(count):
        record = platform.ledger.adopt(Job(str(uuid.uuid4()), tenant_id))
        platform.ledger.cancel(record.run_id)
        run_ids.append(record.run_id)
        clock.advance(seconds=1)
    return run_ids


def ids(records: tuple[RunRecord, ...]) -> list[str]:
    return [record.run_id for record in records]


def test_pages_hold_every_run_once_newest_first(
    platform: Platform, clock: FakeClock
) -> None:
    run_ids = several(platform, clock, 7)
    several(platform, clock, 2, "other")
    listed: list[str] = []
    cursor = None
    for _ in range(4):
        page = platform.runs.list_runs("acme", limit=2, cursor=cursor)
        listed += ids(page.items)
        cursor = page.next_cursor
    assert cursor is None
    assert listed == run_ids[::-1]


def test_a_page_that_is_just_full_has_no_next_one(
    platform: Platform, clock: FakeClock
) -> None:
    several(platform, clock, 2)
    assert platform.runs.list_runs(limit=2).next_cursor is None


def test_runs_of_all_tenants_are_listed_together(
    platform: Platform, clock: FakeClock
) -> None:
    first = several(platform, clock, 1, "one")
    second = several(platform, clock, 1, "two")
    assert ids(platform.runs.list_runs().items) == second + first


def test_a_status_picks_runs_out(platform: Platform, clock: FakeClock) -> None:
    several(platform, clock, 3)
    waiting = platform.ledger.adopt(Job(str(uuid.uuid4()), "acme"))
    several(platform, clock, 3, "other")
    queued = platform.runs.list_runs(status=RunStatus.QUEUED, limit=1)
    assert ids(queued.items) == [waiting.run_id]
    assert queued.next_cursor is None
    cancelled = platform.runs.list_runs("acme", RunStatus.CANCELLED, limit=2)
    next_page = platform.runs.list_runs(
        "acme", RunStatus.CANCELLED, cursor=cancelled.next_cursor
    )
    assert len(cancelled.items) + len(next_page.items) == 3


def ended_long_ago(platform: Platform, count: int) -> None:
    """Write what the indexes hold of a tenant's runs that have ended, all at one instant."""
    rows = [
        {
            "pk": f"RUN#{uuid.uuid4()}",
            "requested_key": f"2026-02-01T00:00:00.000000Z#{uuid.uuid4()}",
            "listed_tenant": "acme",
            "listed": "run",
            "listed_status": "SUCCEEDED",
            "status": "SUCCEEDED",
        }
        for _ in range(count)
    ]
    table = platform.settings.runs_table
    for start in range(0, count, 25):
        puts = [
            {"PutRequest": {"Item": marshal(row)}}
            for row in rows[start : start + 25]
        ]
        platform.clients.dynamodb.batch_write_item(RequestItems={table: puts})


def test_a_status_is_looked_for_in_few_pages_and_the_listing_goes_on_from_there(
    platform: Platform, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_dagster.aws.dynamodb.table._FILTERED_ROWS", 100)
    clock.now -= timedelta(days=60)
    waiting = platform.ledger.adopt(Job(str(uuid.uuid4()), "acme"))
    ended_long_ago(platform, 501)
    calls = CallCounter(platform)
    everybody_s = platform.runs.list_runs(status=RunStatus.QUEUED)
    assert (ids(everybody_s.items), calls["dynamodb.Query"]) == (
        [waiting.run_id],
        1,
    )
    first = platform.runs.list_runs("acme", RunStatus.QUEUED)
    assert (first.items, calls["dynamodb.Query"]) == ((), 6)
    second = platform.runs.list_runs(
        "acme", RunStatus.QUEUED, cursor=first.next_cursor
    )
    assert (ids(second.items), second.next_cursor) == ([waiting.run_id], None)


@pytest.mark.parametrize(
    "cursor", ["", "x", "====", "MjAyNg", "\N{SNOWMAN}", "a" * 3000]
)
def test_a_cursor_that_no_listing_made_is_refused(
    platform: Platform, cursor: str
) -> None:
    with pytest.raises(BadCursorError):
        platform.runs.list_runs(cursor=cursor)


def test_more_records_than_a_batch_holds_are_all_found(
    platform: Platform,
) -> None:
    records = [
        platform.runs.commit(RecordChange(None, a_run())) for _ in range(120)
    ]
    assert platform.runs.get_many(record.run_id for record in records) == {
        r.run_id: r for r in records
    }


class ReluctantClients(Clients):
    """BatchGetItem processes one key a call, or none."""

    def __init__(self, inner: Clients, *, ever: bool) -> None:
        self._inner = inner
        self._ever = ever

    @property
    def dynamodb(self) -> Any:
        return self

    def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - boto3's name
        ((table, request),) = RequestItems.items()
        first = request["Keys"][:1]
        later_keys = request["Keys"][1:]
        if not self._ever:
            return {"UnprocessedKeys": RequestItems}
        answer = self._inner.dynamodb.batch_get_item(
            RequestItems={table: {**request, "Keys": first}}
        )
        unprocessed = (
            {table: {**request, "Keys": later_keys}} if later_keys else {}
        )
        return {**answer, "UnprocessedKeys": unprocessed}


def test_keys_that_were_not_processed_are_asked_for_again(
    platform: Platform,
) -> None:
    records = [
        platform.runs.commit(RecordChange(None, a_run())) for _ in range(3)
    ]
    slow = ReluctantClients(platform.clients, ever=True)
    runs = RunStore(Database.of(slow, platform.settings, sleep=lambda _: None))
    assert len(runs.get_many(record.run_id for record in records)) == 3


def test_keys_that_are_never_processed_are_a_throttle(
    platform: Platform,
) -> None:
    never = ReluctantClients(platform.clients, ever=False)
    runs = RunStore(Database.of(never, platform.settings, sleep=lambda _: None))
    with pytest.raises(ThrottledError):
        runs.get_many([str(uuid.uuid4())])


# --- what belongs to runs ---------------------------------------------------------------------


def test_locks_are_read_together(platform: Platform) -> None:
    record = platform.ledger.adopt(Job(str(uuid.uuid4()), "acme"))
    locks = platform.runs.locks(["acme", "other"])
    assert locks["acme"].holder == record.run_id
    assert locks["other"].active_run_id is None


def test_each_attempt_has_a_heartbeat_of_its_own(platform: Platform) -> None:
    record = a_run(attempt=1)
    assert platform.runs.heartbeats([record]) == {record.run_id: 0}
    assert [platform.runs.beat(record.run_id, 1) for _ in range(3)] == [1, 2, 3]
    assert platform.runs.heartbeats([record]) == {record.run_id: 3}
    assert platform.runs.heartbeats([replace(record, attempt=2)]) == {
        record.run_id: 0
    }


def test_an_attempt_that_was_given_up_hears_of_it_at_its_next_heartbeat(
    platform: Platform,
) -> None:
    record = a_run(attempt=1)
    platform.runs.beat(record.run_id, 1)
    platform.runs.stop_heartbeats(record.run_id, 1)
    with pytest.raises(FenceLostError, match="attempt 1 was given up"):
        platform.runs.beat(record.run_id, 1)
    assert platform.runs.beat(record.run_id, 2) == 1


def test_an_attempt_whose_heartbeats_are_gone_with_its_tenant_leaves_no_new_one(
    platform: Platform,
) -> None:
    record = a_run(attempt=1)
    assert platform.runs.beat(record.run_id, 1) == 1
    assert platform.runs.beat(record.run_id, 1, has_beaten=True) == 2
    key = {"pk": {"S": f"BEAT#{record.run_id}#1"}}
    platform.clients.dynamodb.delete_item(
        TableName=platform.settings.runs_table, Key=key
    )
    with pytest.raises(FenceLostError):
        platform.runs.beat(record.run_id, 1, has_beaten=True)
    assert platform.runs.heartbeats([record]) == {record.run_id: 0}


def test_a_table_that_is_not_there_is_told_by_the_check(
    platform: Platform,
) -> None:
    platform.database.runs.check()
    nowhere = platform.settings.model_copy(
        update={"runs_table": "no-such-table"}
    )
    with pytest.raises(MissingResourceError):
        Database.of(platform.clients, nowhere).runs.check()


# --- many at once, over the wire --------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Platform]:
    """A platform on an AWS of its own, which threads may share."""
    with served_platform() as platform:
        yield platform


def at_once(count: int, call: Any) -> list[Any]:
    """Call from many threads at the same moment; return results and refusals."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(timeout=30)
        try:
            return call(number)
        except RefusedError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_of_twenty_requests_for_one_tenant_one_wins_and_the_others_learn_its_run(
    shared: Platform,
) -> None:
    def reserve(_: int) -> Any:
        return shared.ledger.reserve(
            NewRun(run_id=str(uuid.uuid4()), tenant_id="busy")
        )

    results = at_once(20, reserve)
    won = [
        result.record.run_id
        for result in results
        if not isinstance(result, RunError)
    ]
    lost = [result for result in results if isinstance(result, TenantBusyError)]
    assert (len(won), len(lost)) == (1, 19)
    assert {error.active_run_id for error in lost} == set(won)


def test_of_twenty_requests_with_one_key_all_get_the_same_run(
    shared: Platform,
) -> None:
    key = Idempotency("key", "body")

    def reserve(_: int) -> Any:
        request = NewRun(run_id=str(uuid.uuid4()), tenant_id="keyed")
        return shared.ledger.reserve(request, key)

    results = at_once(20, reserve)
    assert len({result.record.run_id for result in results}) == 1
    assert sum(result.created for result in results) == 1


def test_of_ten_requests_at_a_quota_of_three_three_are_given(
    shared: Platform,
) -> None:
    def reserve(_: int) -> Any:
        """Ask as a process of its own would, and end what was given, so that the next is free."""
        while True:
            request = NewRun(run_id=str(uuid.uuid4()), tenant_id="counted")
            try:
                reservation = shared.ledger.reserve(request, None, 3)
            except TenantBusyError:
                continue
            return shared.ledger.cancel(reservation.record.run_id)

    results = at_once(10, reserve)
    assert sum(isinstance(result, RunRecord) for result in results) == 3
    assert (
        sum(isinstance(result, QuotaExceededError) for result in results) == 7
    )


def test_of_ten_claims_of_one_attempt_one_wins(shared: Platform) -> None:
    record = shared.ledger.adopt(Job(str(uuid.uuid4()), "claimed"))
    shared.ledger.dispatch(record.run_id, 1, message_id="m", receipt_handle="h")
    results = at_once(
        10, lambda n: shared.ledger.claim(record.run_id, 1, f"dagster-{n}")
    )
    assert sum(isinstance(result, RunRecord) for result in results) == 1


def test_a_run_ends_once_however_many_end_it(shared: Platform) -> None:
    record = shared.ledger.adopt(Job(str(uuid.uuid4()), "ended"))
    shared.ledger.dispatch(record.run_id, 1, message_id="m", receipt_handle="h")
    fence = shared.ledger.claim(record.run_id, 1, "d").fence
    ends = [
        lambda: shared.ledger.succeed(fence, Outcome()),
        lambda: shared.ledger.cancel(record.run_id),
        lambda: shared.ledger.poison(record.run_id, "x"),
        lambda: shared.ledger.retry_later(fence, "x", "x"),
    ]
    results = at_once(8, lambda n: ends[n % 4]())
    final = [
        result
        for result in results
        if isinstance(result, RunRecord) and result.has_ended
    ]
    stored = shared.runs.get(record.run_id)
    assert stored is not None
    assert [record.status for record in final] == [stored.status]
    assert any(
        isinstance(result, FenceLostError | RunError) for result in results
    )
    assert shared.runs.lock("ended").active_run_id is None
