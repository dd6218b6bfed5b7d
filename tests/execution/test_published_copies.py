"""Where a tenant's feeds lie, and which of them may go."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.execution.published_copies import (
    feed_copy_key,
    remove_superseded,
    state_key,
    superseded_runs,
    unpublish,
)
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform
from support.fakes import NOW, FakeClock, embedded_platform, published_outcome

DAY = timedelta(days=1)


@pytest.fixture
def platform() -> Iterator[Platform]:
    clock = FakeClock(utc_now() - 5 * DAY)
    with embedded_platform(clock) as platform:
        yield platform


def published_at(run_id: str, seq: int, hours_ago: float) -> RunRecord:
    """Return a run whose feed came into force so many hours before noon."""
    at = NOW - timedelta(hours=hours_ago)
    return record_of(
        run_id, RunStatus.SUCCEEDED, published_at=at, published_seq=seq
    )


def record_of(run_id: str, status: RunStatus, **known: Any) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        tenant_id="acme",
        requested_at=NOW,
        status=status,
        **known,
    )


def pointer_to(*newest_first: RunRecord) -> FeedPointer:
    """Return the feed of a tenant that had these publications, and keeps two."""
    last = [
        Publication(
            record.run_id,
            "key",
            "ab",
            NOW,
            record.published_at or NOW,
            record.published_seq or 0,
        )
        for record in newest_first
    ]
    return FeedPointer("acme", tuple(last))


def over(*records: RunRecord, feed: FeedPointer | None = None) -> set[str]:
    """Return which of these runs' feeds were out of reach at noon."""
    by_id = {record.run_id: record for record in records}
    return superseded_runs(by_id, by_id, feed, NOW, keep=2)


def test_the_last_publications_stay_and_what_was_pushed_out_before_goes() -> (
    None
):
    first, second, third = (
        published_at(f"run {n}", n, 4 - n) for n in (1, 2, 3)
    )
    assert over(first, second, third, feed=pointer_to(third, second)) == {
        "run 1"
    }


def test_a_feed_that_was_pushed_out_after_the_instant_stays() -> None:
    first, second, third = (
        published_at(f"run {n}", n, 2.5 - n) for n in (1, 2, 3)
    )
    assert over(first, second, third, feed=pointer_to(third, second)) == set()


def test_a_feed_that_was_published_again_counts_from_then_on() -> None:
    first, second, third = (
        published_at(f"run {n}", n, 8 - n) for n in (1, 2, 3)
    )
    again = replace(
        first, published_seq=4, published_at=NOW - timedelta(hours=2)
    )
    feed = pointer_to(again, third)
    assert over(again, second, third, feed=feed) == {"run 2"}


def test_when_a_feed_was_pushed_out_is_known_of_runs_that_are_long_pushed_out_too() -> (
    None
):
    runs = [published_at(f"run {n}", n, 24 - n) for n in range(1, 20)]
    assert over(*runs, feed=pointer_to(runs[-1], runs[-2])) == {
        f"run {n}" for n in range(1, 18)
    }


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_the_feed_of_a_run_that_did_not_succeed_goes_and_pushes_none_out(
    status: RunStatus,
) -> None:
    good = published_at("good", 1, 3)
    assert over(good, record_of("bad", status), feed=pointer_to(good)) == {
        "bad"
    }


@pytest.mark.parametrize(
    "status", [RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.HELD]
)
def test_the_feed_of_a_run_that_may_still_succeed_stays(
    status: RunStatus,
) -> None:
    assert over(record_of("open", status)) == set()


def test_the_feed_of_a_run_that_nobody_knows_goes_but_for_one_that_is_kept() -> (
    None
):
    kept_run = published_at("kept", 1, 3)
    assert superseded_runs(
        ["x", "kept"], {}, pointer_to(kept_run), NOW, keep=2
    ) == {"x"}


def succeeded(platform: Platform, tenant_id: str = "acme") -> RunRecord:
    """Return a run that has published a feed and succeeded."""
    run_id = str(uuid.uuid4())
    platform.ledger.reserve(NewRun(run_id=run_id, tenant_id=tenant_id))
    platform.ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
    record = platform.ledger.claim(run_id, 1, "d")
    outcome = published_outcome(platform, record, run_id.encode())
    return platform.ledger.succeed(record.fence, outcome)


def keys(platform: Platform) -> list[str]:
    return [item.key for item in platform.objects.list_objects("published/")]


def test_a_tenant_s_feeds_are_told_from_those_of_one_whose_id_begins_alike(
    platform: Platform,
) -> None:
    ten = [succeeded(platform, "acme_10"), succeeded(platform, "acme_10")]
    succeeded(platform)
    remove_superseded(platform, "acme", utc_now() + 2 * DAY)
    assert {feed_copy_key(run_id, "csv") for run_id in ten} <= set(
        keys(platform)
    )


def test_feeds_that_may_still_be_linked_to_stay(platform: Platform) -> None:
    runs = [succeeded(platform), succeeded(platform)]
    assert remove_superseded(platform, "acme", utc_now()) == []
    copies = [(feed_copy_key(run, "csv"), state_key(run)) for run in runs]
    assert set(keys(platform)) == {key for pair in copies for key in pair}


def test_the_feed_in_force_stays_however_old_it_is(platform: Platform) -> None:
    run = succeeded(platform)
    assert remove_superseded(platform, "acme", utc_now() + 900 * DAY) == []
    assert (
        platform.objects.read(feed_copy_key(run, "csv")) == run.run_id.encode()
    )


def test_a_feed_is_withdrawn_and_one_that_is_not_there_is_too(
    platform: Platform,
) -> None:
    run = succeeded(platform)
    unpublish(platform.objects, run)
    unpublish(platform.objects, run)
    assert keys(platform) == []
