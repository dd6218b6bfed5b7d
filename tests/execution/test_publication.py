"""Where a tenant's feeds lie, and which of them may go."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from fakes import NOW, FakeClock, embedded_platform, published_outcome
from relay_core.domain.codes import RunStatus
from relay_dagster.aws.s3.object_store import ObjectInfo
from relay_dagster.execution.publication import (
    published_key,
    remove_superseded,
    state_key,
    superseded,
    withdraw,
)
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

DAY = timedelta(days=1)


@pytest.fixture
def platform() -> Iterator[Platform]:
    clock = FakeClock(utc_now() - 5 * DAY)
    with embedded_platform(clock) as platform:
        yield platform


def record_of(run_id: str, status: RunStatus, ended: datetime | None = None) -> RunRecord:
    return RunRecord(
        run_id=run_id, tenant_id="acme", requested_at=NOW, status=status, finished_at=ended
    )


def over(*records: RunRecord) -> list[str]:
    """Return which of these runs' feeds were not in force at noon."""
    old = {each.run_id: ObjectInfo(each.run_id, 1, "e", NOW - DAY) for each in records}
    return superseded(old, {each.run_id: each for each in records}, NOW)


def test_the_feed_that_was_in_force_at_the_instant_stays_and_earlier_ones_go() -> None:
    first, second = (
        record_of(name, RunStatus.SUCCEEDED, NOW - timedelta(hours=hours))
        for name, hours in (("first", 3), ("second", 2))
    )
    assert over(first, second) == ["first"]


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_the_feed_of_a_run_that_did_not_succeed_goes_and_supersedes_none(
    status: RunStatus,
) -> None:
    good = record_of("good", RunStatus.SUCCEEDED, NOW - timedelta(hours=3))
    assert over(good, record_of("bad", status, NOW - timedelta(hours=2))) == ["bad"]


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.RUNNING])
def test_the_feed_of_a_run_that_may_still_succeed_stays(status: RunStatus) -> None:
    assert over(record_of("open", status)) == []


def test_a_success_after_the_instant_supersedes_nothing_yet() -> None:
    before = record_of("before", RunStatus.SUCCEEDED, NOW - timedelta(hours=3))
    after = record_of("after", RunStatus.SUCCEEDED, NOW + timedelta(seconds=1))
    assert over(before, after) == []


def test_the_feed_of_a_run_that_nobody_knows_goes() -> None:
    assert superseded({"x": ObjectInfo("k", 1, "e", NOW - DAY)}, {}, NOW) == ["k"]


def succeeded(platform: Platform, tenant_id: str = "acme") -> RunRecord:
    """Return a run that has published a feed and succeeded."""
    run_id = str(uuid.uuid4())
    platform.ledger.reserve(NewRun(run_id=run_id, tenant_id=tenant_id))
    platform.ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
    record = platform.ledger.claim(run_id, 1, "d")
    outcome = published_outcome(platform, record, run_id.encode())
    return platform.ledger.succeed(record.fence, outcome)


def keys(platform: Platform) -> list[str]:
    return [each.key for each in platform.objects.list_objects("published/")]


def test_a_tenant_s_feeds_are_told_from_those_of_one_whose_id_begins_alike(
    platform: Platform,
) -> None:
    ten = [succeeded(platform, "acme_10"), succeeded(platform, "acme_10")]
    succeeded(platform)
    remove_superseded(platform, "acme", utc_now() + 2 * DAY)
    assert {published_key(each) for each in ten} <= set(keys(platform))


def test_feeds_that_may_still_be_linked_to_stay(platform: Platform) -> None:
    runs = [succeeded(platform), succeeded(platform)]
    assert remove_superseded(platform, "acme", utc_now()) == []
    copies = {key(each) for each in runs for key in (published_key, state_key)}
    assert set(keys(platform)) == copies


def test_the_feed_in_force_stays_however_old_it_is(platform: Platform) -> None:
    run = succeeded(platform)
    assert remove_superseded(platform, "acme", utc_now() + 900 * DAY) == []
    assert platform.objects.read(published_key(run)) == run.run_id.encode()


def test_a_feed_is_withdrawn_and_one_that_is_not_there_is_too(platform: Platform) -> None:
    run = succeeded(platform)
    withdraw(platform.objects, run)
    withdraw(platform.objects, run)
    assert keys(platform) == []
