"""How records come to be, also where two writers come at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relay_dagster.runs.admission import Admission, adopted, is_job_of, started_by_hand
from relay_dagster.runs.commits import Commits, PollSchedule
from relay_dagster.runs.errors import JobConflictError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import Idempotency, LockState, NewRun, RunRecord
from relay_dagster.wiring import Platform
from support.fakes import NOW, embedded_platform

KEY = Idempotency(id="digest-of-key", fingerprint="digest-of-body")


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform() as platform:
        yield platform


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
        rival, self._rival = self._rival, None
        if rival is not None:
            rival()
        record: RunRecord = self._runs.commit(*args, **kwargs)
        return record


def admission(platform: Platform, rival: Callable[[], object]) -> Admission:
    records: Any = RivalFirst(platform.runs, rival)
    return Admission(Commits(records, PollSchedule(), lambda: NOW))


def test_of_two_requests_with_one_key_the_slower_gets_the_other_s_run(platform: Platform) -> None:
    first, second = new_run(), new_run()
    slower = admission(platform, lambda: platform.ledger.reserve(first, KEY))
    reservation = slower.reserve(second, KEY)
    assert (reservation.record.run_id, reservation.created) == (first.run_id, False)
    assert platform.runs.get(second.run_id) is None


def test_a_request_whose_first_try_got_through_unheard_finds_its_own_run(
    platform: Platform,
) -> None:
    wanted = new_run()
    again = admission(platform, lambda: platform.ledger.reserve(wanted))
    reservation = again.reserve(wanted, None)
    assert (reservation.record.run_id, reservation.created) == (wanted.run_id, True)


def test_a_run_id_that_somebody_else_took_for_another_body_is_a_conflict(
    platform: Platform,
) -> None:
    wanted = new_run()
    other = Job(wanted.run_id, "other")
    with pytest.raises(JobConflictError):
        admission(platform, lambda: platform.ledger.adopt(other)).reserve(wanted, None)


def test_a_job_that_two_ticks_adopt_gets_one_record(platform: Platform) -> None:
    job = Job(str(uuid.uuid4()), "acme")
    slower = admission(platform, lambda: platform.ledger.adopt(job, "first"))
    assert slower.adopt(job, "second").request_id == "first"


def test_a_run_by_hand_that_is_there_already_is_not_made_again(platform: Platform) -> None:
    run_id = str(uuid.uuid4())
    slower = admission(platform, lambda: platform.ledger.start_by_hand(run_id, "acme"))
    assert slower.start_by_hand(run_id, "acme", None) is None


def test_a_run_without_a_message_has_no_job() -> None:
    job = Job(str(uuid.uuid4()), "acme")
    assert is_job_of(adopted(job, NOW, None, LockState.OWNER), job)
    assert not is_job_of(started_by_hand(job.run_id, "acme", NOW, None), job)
