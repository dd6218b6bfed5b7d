"""One attempt in its process: what it claims, and each way in which it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from relay_core.domain.codes import FailureClass, RunStatus, Stage
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.domain.records import RunFailure
from relay_dagster import tags
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.published_copies import feed_copy_key, state_key
from relay_dagster.execution.session import ASSETS
from relay_dagster.external_errors import ThrottledError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.maintenance.reconciler import write_reports
from relay_dagster.runs.errors import (
    ClaimRefusedError,
    FenceLostError,
    TenantBusyError,
)
from relay_dagster.runs.model import Outcome, RunRecord, Trigger
from relay_dagster.wiring import Platform
from support.builders import RUN_ID
from support.fakes import dispatch_run, embedded_platform

pytestmark = pytest.mark.platform(heartbeat_seconds=3600, max_attempts=2)

TENANT = "acme"
FAILURE = RunFailure("DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE)
MERGED = f"{RUN_ID}/tenants/{TENANT}/outputs/merged_inventory.csv"


class KeptMetrics:
    """What metrics were told: errors by their type, and ends."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.ends: list[RunStatus] = []

    def worker_error(self, error_type: str) -> None:
        self.errors.append(error_type)

    def run_finished(self, record: RunRecord) -> None:
        self.ends.append(record.status)


def launch(
    dagster_run_id: str = "dagster-1", attempt: int = 1, **changes: Any
) -> Launch:
    run_tags = tags.run_tags(RUN_ID, TENANT, attempt=attempt)
    return replace(
        Launch(dagster_run_id, TENANT, run_tags, frozenset(ASSETS)), **changes
    )


@contextmanager
def claimed(
    platform: Platform, given: Launch | None = None
) -> Iterator[Attempt]:
    attempt = Attempt.claim(platform, given or launch())
    try:
        yield attempt
    finally:
        attempt.close()


def current(platform: Platform) -> RunRecord:
    record = platform.runs.get(RUN_ID)
    assert record is not None
    return record


def with_feed(attempt: Attempt) -> None:
    """Let the attempt have written its merged feed."""
    attempt.sink.write(MERGED, [b"sku\nA-1\n"])
    attempt.sink.write(attempt.sink.keys.state, [b"state"])
    attempt.io.wait()


# --- the claim ----------------------------------------------------------------------------------


def test_making_an_attempt_claims_it_and_its_heart_beats_until_it_is_closed(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    with claimed(platform) as attempt:
        assert (attempt.record.status, attempt.record.dagster_run_id) == (
            RunStatus.RUNNING,
            "dagster-1",
        )
        assert "relay-heartbeat" in {
            thread.name for thread in threading.enumerate()
        }
    assert "relay-heartbeat" not in {
        thread.name for thread in threading.enumerate()
    }


def test_an_attempt_that_is_another_s_is_not_claimed(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    platform.ledger.claim(RUN_ID, 1, "another")
    with pytest.raises(ClaimRefusedError):
        Attempt.claim(platform, launch())


def test_a_re_execution_is_a_run_of_its_own_whatever_its_tags_name(
    platform: Platform,
) -> None:
    again = str(uuid.uuid4())
    with claimed(platform, launch(again, is_reexecution=True)) as attempt:
        assert (attempt.record.run_id, attempt.record.trigger) == (
            again,
            Trigger.DAGSTER,
        )


def test_a_run_by_hand_does_not_start_beside_another(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    with pytest.raises(TenantBusyError):
        Attempt.claim(platform, launch(str(uuid.uuid4()), tags={}))


def test_a_run_that_is_to_be_cancelled_is_cancelled_in_place_of_claimed(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    platform.ledger.request_cancel(RUN_ID)
    with pytest.raises(RunStoppedError, match="CANCELLED"):
        Attempt.claim(platform, launch())
    assert current(platform).status is RunStatus.CANCELLED


# --- its ends -----------------------------------------------------------------------------------


def test_a_success_publishes_its_feed_writes_its_summary_and_is_counted(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    dispatch_run(platform)
    with claimed(replace(platform, metrics=metrics)) as attempt:  # type: ignore[arg-type]
        with_feed(attempt)
        attempt.end()
    assert (current(platform).status, metrics.ends) == (
        RunStatus.SUCCEEDED,
        [RunStatus.SUCCEEDED],
    )
    feed = platform.runs.feed(TENANT)
    assert feed is not None
    assert platform.objects.read(feed.in_force.key) == b"sku\nA-1\n"
    assert platform.objects.read(state_key(current(platform))) == b"state"
    assert platform.objects.exists(current(platform).artifacts["run_summary"])


class Unheard:
    """Records where the answer to a commit that ends a run is lost."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    def commit(self, *arguments: Any) -> RunRecord:
        committed: RunRecord = self._runs.commit(*arguments)
        if committed.has_ended:
            raise ThrottledError("dynamodb.TransactWriteItems", "no answer")
        return committed


def unheard(platform: Platform, metrics: KeptMetrics) -> Platform:
    ledger = RunLedger(Unheard(platform.runs))  # type: ignore[arg-type]
    return replace(platform, ledger=ledger, metrics=metrics)  # type: ignore[arg-type]


def test_a_success_whose_answer_is_lost_is_a_success(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    dispatch_run(platform)
    with claimed(unheard(platform, metrics)) as attempt:
        with_feed(attempt)
        attempt.end()
        assert attempt.record.status is RunStatus.SUCCEEDED
    assert (metrics.ends, metrics.errors) == ([RunStatus.SUCCEEDED], [])


def test_a_failure_whose_answer_is_lost_is_told_as_one(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    dispatch_run(platform)
    with (
        claimed(unheard(platform, metrics)) as attempt,
        pytest.raises(RunStoppedError, match="DECODE_ERROR"),
    ):
        attempt.fail(FAILURE)
    assert (metrics.ends, metrics.errors) == ([RunStatus.FAILED], [])


def test_a_success_of_some_vendors_publishes_nothing(
    platform: Platform,
) -> None:
    dispatch_run(platform, vendors=("vendor_1",))
    with claimed(platform) as attempt:
        with_feed(attempt)
        attempt.end()
    assert platform.runs.feed(TENANT) is None
    assert platform.objects.list_objects("published/") == []


def test_the_record_of_a_run_of_as_many_vendors_as_there_may_be_can_be_stored(
    platform: Platform,
) -> None:
    vendor_ids = [f"{place:064}" for place in range(DEFAULT_LIMITS.vendors)]
    dispatch_run(platform, vendors=vendor_ids)
    with claimed(platform) as attempt:
        keys = attempt.sink.keys
        artifacts = attempt.sink.artifacts
        for vendor_id in vendor_ids:
            artifacts[f"inbound_{vendor_id}"] = keys.inbound(
                vendor_id, "é" * 500
            )
            artifacts[f"normalized_{vendor_id}"] = keys.normalized(vendor_id)
        attempt.end()
    assert len(current(platform).artifacts) == 2 * len(vendor_ids) + 3


def test_a_failure_writes_its_reports_and_stops_the_process(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    with (
        claimed(platform) as attempt,
        pytest.raises(RunStoppedError, match="DECODE_ERROR"),
    ):
        attempt.fail(FAILURE)
    record = current(platform)
    assert (record.status, record.failed_stage) == (
        RunStatus.FAILED,
        Stage.NORMALIZE,
    )
    assert record.failure_class is FailureClass.VENDOR_DATA
    assert {"errors", "report", "run_summary"} <= set(record.artifacts)


def test_a_cancel_takes_away_what_was_published(platform: Platform) -> None:
    dispatch_run(platform)
    with claimed(platform) as attempt:
        with_feed(attempt)
        platform.objects.copy(MERGED, feed_copy_key(attempt.record, "csv"))
        with pytest.raises(RunStoppedError, match="CANCELLED"):
            attempt.cancel()
    assert platform.objects.list_objects("published/") == []
    assert not platform.objects.exists(MERGED)
    assert current(platform).status is RunStatus.CANCELLED


def test_a_success_that_comes_after_another_end_publishes_nothing(
    platform: Platform,
) -> None:
    class EndedMeanwhile:
        """The bucket of a platform whose run is cancelled while its feed is copied."""

        def __getattr__(self, name: str) -> Any:
            return getattr(platform.objects, name)

        def copy(self, source_key: str, target_key: str) -> None:
            platform.objects.copy(source_key, target_key)
            if target_key == feed_copy_key(current(platform), "csv"):
                platform.ledger.cancel(RUN_ID)

    dispatch_run(platform)
    with claimed(replace(platform, objects=EndedMeanwhile())) as attempt:  # type: ignore[arg-type]
        with_feed(attempt)
        with pytest.raises(FenceLostError):
            attempt.end()
    assert platform.objects.list_objects("published/") == []


def test_an_attempt_that_is_released_waits_for_its_next_and_is_counted(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    dispatch_run(platform)
    with claimed(replace(platform, metrics=metrics)) as attempt:  # type: ignore[arg-type]
        attempt.release_for_retry(ThrottledError("s3.PutObject", "slow down"))
    record = current(platform)
    assert (record.status, record.error_code) == (RunStatus.QUEUED, "throttled")
    assert record.error_message == "ThrottledError: s3.PutObject: slow down"
    assert (metrics.errors, metrics.ends) == (["throttled"], [])


def test_the_last_attempt_that_is_released_is_poison_with_its_reports(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    for number in (1, 2):
        dispatch_run(platform, attempt=number)
        at = replace(platform, metrics=metrics)  # type: ignore[arg-type]
        with claimed(at, launch(f"dagster-{number}", number)) as attempt:
            attempt.release_for_retry(ZeroDivisionError("a defect"))
    record = current(platform)
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "POISON_JOB",
    )
    assert "errors" in record.artifacts
    assert record.failure_class is FailureClass.PLATFORM
    assert (metrics.errors, metrics.ends) == (
        ["internal_error"] * 2,
        [RunStatus.FAILED],
    )


def test_a_config_that_does_not_validate_is_the_tenants_and_no_worker_error(
    platform: Platform,
) -> None:
    metrics = KeptMetrics()
    for number in (1, 2):
        dispatch_run(platform, attempt=number)
        at = replace(platform, metrics=metrics)  # type: ignore[arg-type]
        with claimed(at, launch(f"dagster-{number}", number)) as attempt:
            attempt.release_for_retry(
                ConfigError([ConfigFault("vendors", "is missing")])
            )
    record = current(platform)
    assert (record.error_code, record.failure_class) == (
        "POISON_JOB",
        FailureClass.TENANT_CONFIG,
    )
    assert "tenant's config" in str(record.next_action)
    assert (metrics.errors, metrics.ends) == ([], [RunStatus.FAILED])


def test_an_attempt_that_is_released_while_a_cancel_is_wished_is_cancelled(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    with claimed(platform) as attempt:
        platform.ledger.request_cancel(RUN_ID)
        with pytest.raises(RunStoppedError, match="CANCELLED"):
            attempt.release_for_retry(
                ThrottledError("s3.PutObject", "slow down")
            )
    assert current(platform).status is RunStatus.CANCELLED


def test_a_release_that_comes_too_late_raises_nothing(
    platform: Platform,
) -> None:
    dispatch_run(platform)
    with claimed(platform) as attempt:
        platform.ledger.lose_attempt(
            attempt.record, "heartbeat_stale", "no heartbeat"
        )
        lost = current(platform)
        attempt.release_for_retry(ThrottledError("s3.PutObject", "slow down"))
    assert current(platform) == lost


def test_an_attempt_that_takes_too_long_ends_its_run_for_good_and_its_process() -> (
    None
):
    with embedded_platform(
        heartbeat_seconds=3600, run_timeout_seconds=0.05
    ) as platform:
        dispatch_run(platform)
        metrics = KeptMetrics()
        end_signal = threading.Event()
        with_metrics: Any = replace(platform, metrics=metrics)
        attempt = Attempt.claim(
            with_metrics, launch(), end_process=end_signal.set
        )
        try:
            assert end_signal.wait(20)
        finally:
            attempt.close()
        record = current(platform)
        assert (record.status, record.error_code) == (
            RunStatus.FAILED,
            "RUN_TIMEOUT",
        )
        assert (record.failed_stage, record.attempt) == (Stage.FETCH_INPUTS, 1)
        assert "stopped after 0.05 seconds, which is the limit" in str(
            record.error_message
        )
        assert record.failure_class is FailureClass.PLATFORM
        assert "RELAY_RUN_TIMEOUT_SECONDS" in str(record.next_action)
        assert (metrics.errors, metrics.ends) == (
            ["RUN_TIMEOUT"],
            [RunStatus.FAILED],
        )
        assert record.needs_reports
        with pytest.raises(FenceLostError):
            attempt.enter(Stage.NORMALIZE)
        write_reports(platform, record)
        reports = platform.objects.artifacts(RUN_ID, TENANT)
        names = {"errors", "report", "report_data", "run_summary"}
        assert set(reports) == names
        errors = json.loads(platform.objects.read(reports["errors"]))
        assert errors["counts"] == {"RUN_TIMEOUT": 1}


def test_an_attempt_that_has_ended_is_not_late_any_more() -> None:
    with embedded_platform(
        heartbeat_seconds=3600, run_timeout_seconds=0.5
    ) as platform:
        dispatch_run(platform)
        end_signal = threading.Event()
        attempt = Attempt.claim(platform, launch(), end_process=end_signal.set)
        attempt.end()
        assert not end_signal.wait(0.7)
        attempt.close()
        assert current(platform).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    "other", [False, True], ids=["its_own_end", "cancelled"]
)
def test_a_run_that_has_just_succeeded_is_not_late_and_is_counted(
    other: bool,
) -> None:
    with embedded_platform(
        heartbeat_seconds=3600, run_timeout_seconds=3600
    ) as platform:
        dispatch_run(platform)
        end_signal = threading.Event()
        attempt = Attempt.claim(platform, launch(), end_process=end_signal.set)
        if other:
            platform.ledger.cancel(RUN_ID)
        else:
            platform.ledger.succeed(attempt.record.fence, Outcome())
        attempt._time_out()
        attempt.close()
        assert end_signal.is_set() == other


def test_a_process_is_ended_whatever_its_threads_are_doing() -> None:
    # Main thread and another one are busy for longer than the test may take.
    code = (
        "import threading, time\n"
        "from relay_dagster.execution.heartbeat import end_process\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "threading.Timer(0, end_process).start()\n"
        "time.sleep(600)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], timeout=60, check=False
        ).returncode
        == 1
    )
