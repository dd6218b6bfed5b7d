"""How records come to be, also where two writers come at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from relay_dagster.external_errors import ThrottledError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.errors import (
    CommitLostError,
    JobConflictError,
    TenantBusyError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import Idempotency, LockState, NewRun, RunRecord
from relay_dagster.runs.new_records import adopted, is_job_of, started_by_hand
from relay_dagster.wiring import Platform
from support.fakes import NOW

KEY = Idempotency(id="digest-of-key", fingerprint="digest-of-body")


def new_run() -> NewRun:
    return NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")


class RivalFirst:
    """Records where somebody else's commit comes just before the first of ours."""

    def __init__(self, runs: Any, rival: Callable[[], object]) -> None:
        self._runs = runs
        self._rival: Callable[[], object] | None = rival

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    def commit(self, *args: Any, **kwargs: Any) -> RunRecord:
        rival = self._rival
        self._rival = None
        if rival is not None:
            rival()
        record: RunRecord = self._runs.commit(*args, **kwargs)
        return record


def service(platform: Platform, rival: Callable[[], object]) -> RunLedger:
    records: Any = RivalFirst(platform.runs, rival)
    return RunLedger(records, clock=lambda: NOW)


def test_of_two_requests_with_one_key_the_slower_gets_the_other_s_run(
    platform: Platform,
) -> None:
    first = new_run()
    second = new_run()
    slower = service(platform, lambda: platform.ledger.reserve(first, KEY))
    reservation = slower.reserve(second, KEY)
    assert (reservation.record.run_id, reservation.created) == (
        first.run_id,
        False,
    )
    assert platform.runs.get(second.run_id) is None


def test_a_request_whose_first_try_got_through_unheard_finds_its_own_run(
    platform: Platform,
) -> None:
    request = new_run()
    again = service(platform, lambda: platform.ledger.reserve(request))
    reservation = again.reserve(request, None)
    assert (reservation.record.run_id, reservation.created) == (
        request.run_id,
        True,
    )


def test_a_run_id_that_somebody_else_took_for_another_body_is_a_conflict(
    platform: Platform,
) -> None:
    request = new_run()
    foreign_job = Job(request.run_id, "other")
    with pytest.raises(JobConflictError):
        service(platform, lambda: platform.ledger.adopt(foreign_job)).reserve(
            request, None
        )


def test_a_job_that_two_ticks_adopt_gets_one_record(platform: Platform) -> None:
    job = Job(str(uuid.uuid4()), "acme")
    slower = service(platform, lambda: platform.ledger.adopt(job, "first"))
    assert slower.adopt(job, "second").request_id == "first"


def test_a_run_by_hand_that_is_there_already_is_not_made_again(
    platform: Platform,
) -> None:
    run_id = str(uuid.uuid4())
    slower = service(
        platform, lambda: platform.ledger.start_by_hand(run_id, "acme")
    )
    assert slower.start_by_hand(run_id, "acme") == platform.runs.get(run_id)


class AlwaysLate(RivalFirst):
    """Records where somebody else is quicker so many times."""

    def __init__(self, runs: Any, times: int) -> None:
        super().__init__(runs, lambda: None)
        self.times = times

    def commit(self, *args: Any, **kwargs: Any) -> RunRecord:
        self.times -= 1
        if self.times >= 0:
            raise CommitLostError("somebody else was quicker")
        return super().commit(*args, **kwargs)


def test_a_round_that_is_lost_is_made_again(platform: Platform) -> None:
    record = platform.ledger.reserve(new_run()).record
    late: Any = AlwaysLate(platform.runs, 3)
    sent = RunLedger(late).messages.mark_sent(
        record.run_id, "m", cached_record=record
    )
    assert (sent.message_id, late.times) == ("m", -1)
    assert platform.runs.get(record.run_id) == sent


def test_losing_without_end_is_a_throttle_that_names_the_run(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(new_run()).record
    late: Any = AlwaysLate(platform.runs, 10_000)
    ledger = RunLedger(late)
    job = Job(str(uuid.uuid4()), "acme")
    for run_id, act in {
        record.run_id: lambda: ledger.messages.mark_sent(record.run_id, "m"),
        job.run_id: lambda: ledger.adopt(job),
    }.items():
        with pytest.raises(
            ThrottledError, match=f"run {run_id}: too many writers"
        ):
            act()
    request = NewRun(run_id=str(uuid.uuid4()), tenant_id="other")
    with pytest.raises(
        ThrottledError, match=f"reserve: run {request.run_id}: too many writers"
    ):
        ledger.reserve(request)


def test_a_refusal_is_no_lost_round(platform: Platform) -> None:
    platform.ledger.reserve(new_run())
    late: Any = AlwaysLate(platform.runs, 0)
    with pytest.raises(TenantBusyError):
        RunLedger(late).reserve(new_run())
    assert late.times == -1


def test_a_run_without_a_message_has_no_job() -> None:
    job = Job(str(uuid.uuid4()), "acme")
    assert is_job_of(adopted(job, NOW, None, LockState.OWNER), job)
    assert not is_job_of(started_by_hand(job.run_id, "acme", NOW, None), job)
