"""The steps of a run in one process: when they claim it, what ends it, what an exception means."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import VendorResult
from relay_dagster import tags
from relay_dagster.execution.attempt import Launch, RunStoppedError
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.session import (
    ASSETS,
    FETCHED,
    MERGED,
    NORMALIZED,
    RunSession,
)
from relay_dagster.runs.model import Fence, RunRecord
from relay_dagster.wiring import Platform
from support.builders import RUN_ID, config_document, feed, vendor_document
from support.fakes import (
    CallCounter,
    dispatch_run,
    embedded_platform,
    published_outcome,
)

TENANT = "acme"
FIRST = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform(heartbeat_seconds=3600) as platform:
        dispatch_run(platform)
        yield platform


@contextmanager
def session(platform: Platform, *assets: str) -> Iterator[RunSession]:
    run_tags = tags.run_tags(RUN_ID, TENANT, attempt=1)
    run_session = RunSession(
        platform, Launch("d", TENANT, run_tags, frozenset(assets or ASSETS))
    )
    try:
        yield run_session
    finally:
        run_session.close()


@contextmanager
def claimed(run: RunSession, asset: str) -> Iterator[None]:
    """An asset that has claimed the run, or moved on to its stage."""
    with run.materializing(asset):
        run.claim()
        yield


def current(platform: Platform) -> RunRecord:
    record = platform.runs.get(RUN_ID)
    assert record is not None
    return record


def test_nothing_is_claimed_before_the_first_asset_begins(
    platform: Platform,
) -> None:
    with session(platform) as run:
        assert run.claimed_attempt is None
        with pytest.raises(RuntimeError, match="not claimed"):
            _ = run.attempt
        with claimed(run, FETCHED):
            assert run.attempt.record.status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("asset", "stage"),
    [(NORMALIZED, Stage.NORMALIZE), (MERGED, Stage.MERGE_PRICE)],
)
def test_each_asset_moves_on_to_its_stage_also_as_the_first(
    platform: Platform, asset: str, stage: Stage
) -> None:
    with session(platform, asset) as run, claimed(run, asset):
        assert run.attempt.record.stage is stage


@pytest.mark.parametrize(
    ("selected", "last"),
    [
        (ASSETS, MERGED),
        ((FETCHED,), FETCHED),
        ((NORMALIZED, FETCHED), NORMALIZED),
        ((MERGED, NORMALIZED), MERGED),
    ],
    ids=["all", "the first", "two", "the later two"],
)
def test_a_run_ends_with_the_last_asset_that_is_selected(
    platform: Platform, selected: tuple[str, ...], last: str
) -> None:
    with session(platform, *selected) as run:
        ends = []
        for asset in (name for name in ASSETS if name in selected):
            with claimed(run, asset):
                ends.append((asset, run.ends_here))
        assert [asset for asset, here in ends if here] == [last]


def test_only_the_call_ends_a_run(platform: Platform) -> None:
    with session(platform, FETCHED) as run:
        with claimed(run, FETCHED):
            pass
        assert current(platform).status is RunStatus.RUNNING
        with claimed(run, FETCHED):
            run.attempt.end()
        assert current(platform).status is RunStatus.SUCCEEDED


def test_what_a_run_came_to_with_each_vendor_is_stored_beside_it(
    platform: Platform,
) -> None:
    vendors = [
        vendor_document("north"),
        vendor_document("south", required=False),
    ]
    platform.tenants.put(TENANT, json.dumps(config_document(*vendors)))
    platform.objects.put(
        "tenants/acme/inbound/north/feed.csv", feed("A,1,1.00", "B,1,2.00")
    )
    with session(platform) as run:
        with claimed(run, FETCHED):
            run.load_config()
            uploaded = (
                run.pin_inputs().vendor_inputs()["north"].files[0].uploaded_at
            )
        with claimed(run, NORMALIZED):
            run.normalize(run.pin_inputs())
        with claimed(run, MERGED):
            run.write(run.merge())
            run.attempt.end()
    assert current(platform).vendor_results == ()
    assert platform.runs.vendor_results(TENANT) == (
        VendorResult("north", "found", uploaded, 0, 2, 0, 2),
        VendorResult("south", "missing", None, None, None, None, 0),
    )


def test_an_exception_releases_the_attempt_and_goes_on(
    platform: Platform,
) -> None:
    with (
        session(platform) as run,
        pytest.raises(ZeroDivisionError),
        claimed(run, FETCHED),
    ):
        raise ZeroDivisionError("a defect")
    record = current(platform)
    assert (record.status, record.error_code) == (
        RunStatus.QUEUED,
        "internal_error",
    )


def test_a_call_that_fails_beside_an_asset_releases_the_attempt_too(
    platform: Platform,
) -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    with (
        session(platform) as run,
        pytest.raises(ConnectionError),
        claimed(run, FETCHED),
    ):
        run.attempt.io.start(fail)
    assert current(platform).status is RunStatus.QUEUED


def test_a_wish_to_cancel_that_is_met_cancels_the_run(
    platform: Platform,
) -> None:
    with session(platform) as run:
        with claimed(run, FETCHED):
            platform.ledger.request_cancel(RUN_ID)
        with (
            pytest.raises(RunStoppedError, match="CANCELLED"),
            claimed(run, NORMALIZED),
        ):
            pytest.fail("the next asset must not begin")
    assert current(platform).status is RunStatus.CANCELLED


def test_a_run_that_has_moved_on_stops_this_process_and_stays_as_it_is(
    platform: Platform,
) -> None:
    with session(platform) as run:
        with claimed(run, FETCHED):
            pass
        platform.ledger.lose_attempt(
            run.attempt.record, "heartbeat_stale", "no heartbeat"
        )
        lost = current(platform)
        with (
            pytest.raises(RunStoppedError, match="transition_refused"),
            claimed(run, NORMALIZED),
        ):
            pytest.fail("the next asset must not begin")
    assert current(platform) == lost


def test_a_tenant_without_a_config_ends_the_run(platform: Platform) -> None:
    with (
        session(platform) as run,
        pytest.raises(RunStoppedError, match="missing_tenant_config"),
        claimed(run, FETCHED),
    ):
        run.load_config()
    assert current(platform).error_code == "missing_tenant_config"


@pytest.mark.parametrize(
    ("currency", "vendors", "has_baseline"),
    [("USD", None, True), ("EUR", None, False), ("USD", ("vendor_1",), False)],
    ids=["as_before", "another_currency", "some_vendors"],
)
def test_a_baseline_is_pinned_for_all_vendors_in_its_currency(
    currency: str, vendors: tuple[str, ...] | None, has_baseline: bool
) -> None:
    with embedded_platform(heartbeat_seconds=3600) as platform:
        platform.tenants.put(
            TENANT, json.dumps(config_document(default_currency="USD"))
        )
        dispatch_run(platform, run_id=FIRST)
        ledger = platform.ledger
        ledger.claim(FIRST, 1, "dagster")
        first = ledger.pin(Fence(FIRST, 1, "dagster"), 1)
        ledger.succeed(first.fence, published_outcome(platform, first))
        changed = config_document(
            default_currency=currency, timezone="Europe/Berlin"
        )
        platform.tenants.put(TENANT, json.dumps(changed))
        dispatch_run(platform, vendors=vendors)
        with session(platform) as run, claimed(run, FETCHED):
            run.load_config()
        assert current(platform).baseline_run_id == (
            FIRST if has_baseline else None
        )


def test_an_upload_that_is_too_large_ends_the_run_and_is_never_read() -> None:
    with embedded_platform(
        heartbeat_seconds=3600, max_feed_bytes=1000
    ) as platform:
        platform.tenants.put(TENANT, json.dumps(config_document()))
        platform.objects.put(
            f"tenants/{TENANT}/inbound/vendor_1/large.csv", b"x" * 1001
        )
        dispatch_run(platform)
        calls = CallCounter(platform)
        with session(platform) as run, claimed(run, FETCHED):
            run.load_config()
            with pytest.raises(RunStoppedError):
                run.pin_inputs()
        record = current(platform)
        assert (record.error_code, record.failed_stage) == (
            "feed_too_large",
            Stage.FETCH_INPUTS,
        )
        assert "1001 bytes, but the limit is 1000." in str(record.error_message)
        assert set(record.artifacts) == {
            "config_snapshot",
            "input_manifest",
            "errors",
            "report",
            "report_data",
            "run_summary",
        }
        assert calls["s3.CopyObject"] == calls["s3.GetObject"] == 0


@pytest.mark.parametrize("megabytes", [0, 1 << 20])
def test_a_run_that_asks_for_too_much_memory_fails_for_its_feeds_where_it_has_a_limit(
    megabytes: int,
) -> None:
    with embedded_platform(
        heartbeat_seconds=3600, max_run_memory_mb=megabytes
    ) as platform:
        dispatch_run(platform)
        with (
            session(platform) as run,
            pytest.raises((ValueError, RunStoppedError)),
            claimed(run, NORMALIZED),
        ):
            _ask_for_too_much(run.attempt.io)
        record = current(platform)
        if megabytes:
            assert (record.status, record.failed_stage) == (
                RunStatus.FAILED,
                Stage.NORMALIZE,
            )
            assert "needs more memory than 1048576 MiB" in str(
                record.error_message
            )
            names = {"errors", "report", "report_data", "run_summary"}
            assert set(record.artifacts) == names
        else:
            assert record.status is RunStatus.QUEUED


def _ask_for_too_much(beside: ConcurrentIO) -> None:
    beside.start(np.zeros, 1 << 60, np.uint8)
    try:
        np.zeros(1 << 60, np.uint8)
    except MemoryError as error:
        raise ValueError("something that came of it") from error


OOM_SCORE = Path("/proc/self/oom_score_adj")


def test_a_run_of_workbooks_leaves_a_third_of_its_memory_to_their_reader() -> (
    None
):
    with embedded_platform(
        heartbeat_seconds=3600, max_run_memory_mb=3 << 20
    ) as platform:
        document = config_document(vendor_document(parser={"format": "xlsx"}))
        platform.tenants.put(TENANT, json.dumps(document))
        dispatch_run(platform)
        with session(platform) as run, claimed(run, FETCHED):
            assert resource.getrlimit(resource.RLIMIT_AS)[0] > 3 << 40
            run.load_config()
            soft, _ = resource.getrlimit(resource.RLIMIT_AS)
            assert 2 << 40 < soft < (2 << 40) + (64 << 30)
        assert platform.settings.limits.reader_bytes == 1 << 40


def test_the_limit_of_a_run_s_memory_ends_with_its_session(
    platform: Platform,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    score = OOM_SCORE.read_text()
    limited = replace(
        platform,
        settings=platform.settings.model_copy(
            update={"max_run_memory_mb": 1 << 20}
        ),
    )
    with session(limited) as run, claimed(run, FETCHED):
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        assert 1 << 40 < soft < (1 << 40) + (64 << 30)
        assert OOM_SCORE.read_text() == "500\n"
    assert OOM_SCORE.read_text() == score
    assert resource.getrlimit(resource.RLIMIT_AS) == before
