"""That nothing is made for a tenant that goes: a condition of the write itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from relay_dagster.runs.errors import TenantBusyError, TenantClosingError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import LockState, NewRun, RunRecord, Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.triggers.rules import TriggerUpdate
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.deletions import end_deletion
from support.fakes import embedded_platform, served_platform
from support.webhooks_world import event, stored_webhook

TENANT = "acme"
WEEK = timedelta(days=7)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform() as platform:
        ApiWorld(platform).store_config()
        yield platform


def new_run() -> NewRun:
    return NewRun(run_id=str(uuid.uuid4()), tenant_id=TENANT)


def post(platform: Platform) -> object:
    return platform.ledger.reserve(new_run())


def by_trigger(platform: Platform) -> object:
    state = platform.triggers.get(TENANT)
    return platform.submission.start_triggered(
        Trigger.SCHEDULE, TriggerUpdate(state, state)
    )


def from_the_queue(platform: Platform) -> object:
    return platform.ledger.adopt(Job(str(uuid.uuid4()), TENANT))


def from_the_dead_letters(platform: Platform) -> object:
    return platform.ledger.adopt_dead(
        Job(str(uuid.uuid4()), TENANT), "received too often", "m"
    )


def by_hand(platform: Platform) -> object:
    return platform.ledger.start_by_hand(str(uuid.uuid4()), TENANT)


def redriven(platform: Platform) -> object:
    return platform.submission.resubmit(
        TENANT, None, in_place_of=str(uuid.uuid4())
    )


def webhook(platform: Platform) -> object:
    return stored_webhook(platform, tenant_id=TENANT)


def trial(platform: Platform) -> object:
    return platform.webhooks.add_event(event(tenant_id=TENANT))


MAKERS = [
    post,
    by_trigger,
    from_the_queue,
    from_the_dead_letters,
    by_hand,
    redriven,
    webhook,
    trial,
]


@pytest.mark.parametrize("make", MAKERS)
def test_whoever_has_looked_before_is_refused_by_the_write(
    platform: Platform, make: Callable[[Platform], object]
) -> None:
    platform.deletions.ask(TENANT, WEEK)
    before = platform.audit.list_entries(TENANT).items
    with pytest.raises(TenantClosingError) as refused:
        make(platform)
    assert not refused.value.is_deleted
    assert platform.runs.list_runs(TENANT).items == ()
    assert platform.webhooks.of_tenant(TENANT) == ()
    assert platform.audit.list_entries(TENANT).items == before


@pytest.mark.parametrize("make", MAKERS)
def test_a_restored_tenant_is_open(
    platform: Platform, make: Callable[[Platform], object]
) -> None:
    platform.deletions.ask(TENANT, WEEK)
    platform.deletions.restore(TENANT)
    make(platform)


def test_a_job_that_waits_does_not_get_the_lock(platform: Platform) -> None:
    first = platform.ledger.reserve(new_run()).record
    waiting = platform.ledger.adopt(Job(str(uuid.uuid4()), TENANT))
    assert waiting.lock_state is LockState.QUEUED
    with pytest.raises(TenantBusyError):
        platform.ledger.dispatch(waiting.run_id, 1)
    platform.ledger.cancel(first.run_id)
    platform.deletions.ask(TENANT, WEEK)
    with pytest.raises(TenantClosingError):
        platform.ledger.dispatch(waiting.run_id, 1)


def test_a_run_that_was_there_goes_on_to_its_end(platform: Platform) -> None:
    record = platform.ledger.reserve(new_run()).record
    platform.deletions.ask(TENANT, WEEK)
    platform.ledger.dispatch(
        record.run_id, 1, message_id="m", receipt_handle="h"
    )
    platform.ledger.claim(record.run_id, 1, "dagster-1")
    assert platform.ledger.cancel(record.run_id).has_ended


def test_what_was_sent_before_a_tenant_went_is_no_job_of_the_next(
    platform: Platform,
) -> None:
    sent_at = utc_now()
    platform.deletions.ask(TENANT, timedelta(0))
    end_deletion(platform.deletions, TENANT, 1)
    job = Job(str(uuid.uuid4()), TENANT)
    with pytest.raises(TenantClosingError) as refused:
        platform.ledger.adopt(job, sent_at=sent_at)
    assert refused.value.is_deleted
    ApiWorld(platform).store_config()
    with pytest.raises(TenantClosingError):
        platform.ledger.adopt(job, sent_at=sent_at)
    assert platform.ledger.adopt(job, sent_at=utc_now()).run_id == job.run_id


def test_of_many_who_ask_at_once_one_is_told_of() -> None:
    with served_platform() as platform, ThreadPoolExecutor(8) as pool:
        ApiWorld(platform).store_config()
        requests = [
            pool.submit(platform.deletions.ask, TENANT, WEEK) for _ in range(8)
        ]
        assert len({request.result().asked_at for request in requests}) == 1
        entries = platform.audit.list_entries(
            TENANT, Action.TENANT_DELETION_ASKED
        ).items
        assert len(entries) == 1


def test_no_run_begins_once_a_deletion_is_asked_for() -> None:
    with served_platform() as platform, ThreadPoolExecutor(8) as pool:
        ApiWorld(platform).store_config()
        makers = [pool.submit(_post_until_closed, platform) for _ in range(7)]
        deletion = pool.submit(platform.closing.ask, TENANT).result()
        began = [record for maker in makers for record in maker.result()]
        assert all(
            record.requested_at < deletion.asked_at + timedelta(seconds=1)
            for record in began
        )
        assert platform.closing.stop(TENANT)
        assert platform.runs.lock(TENANT).active_run_id is None
        deletion = platform.deletions.get(TENANT)
        assert deletion is not None
        assert deletion.state is TenantState.CLOSING


def _post_until_closed(platform: Platform) -> list[RunRecord]:
    """Ask for runs and end them, until the tenant is closed; return those that began."""
    began: list[RunRecord] = []
    for _ in range(500):
        try:
            began.append(platform.ledger.reserve(new_run()).record)
            platform.ledger.cancel(began[-1].run_id)
        except TenantBusyError:
            continue
        except TenantClosingError:
            return began
    raise AssertionError("runs begin as if nobody had asked for the deletion")
