"""One attempt of a run in the process that executes it: its claim, its fence, its end.

Every change of the record goes through the ledger. Reports are written just before the final write,
so a final run has them; whoever ends the run otherwise writes them again.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn, Self

from relay_core.domain.codes import (
    FailureClass,
    FailureCode,
    RunStatus,
    Stage,
    class_of,
)
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import out_of_time
from relay_core.publish.findings import RunFindings
from relay_dagster import tags
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.published_copies import publish, published_key
from relay_dagster.external_errors import ExternalServiceError, error_code_of
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import CancelRequestedError, FenceLostError, RunError
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

log = event_log()


_MAX_GUARDS, _MAX_SKU_LENGTH = 20, 200
"""The record keeps so many of the tripped guards, with SKUs cut to so many characters."""


def end_process() -> NoReturn:
    """End this process at once, whatever its threads are doing."""
    sys.stderr.flush()
    os._exit(1)


@dataclass(eq=False)
class Heartbeat:
    """The thread that calls ``beat`` every ``interval_seconds``, through all steps of an attempt.

    ``RunStore.beat`` counts them in an item of their own. The reconciler notes in the record when
    it last saw the count change, and ends an attempt that is silent for too long
    (``maintenance/reconciler.py``): a process that wakes up after that gets `FenceLostError`, and
    gives up. Another failed call is only logged: several missing heartbeats are tolerated. The
    first one comes after an interval, so a shorter run needs none.
    """

    beat: Callable[[], object]
    interval_seconds: float
    give_up: Callable[[], object] = end_process

    def __post_init__(self) -> None:
        """Make the thread."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="relay-heartbeat", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(self.interval_seconds):
            try:
                self.beat()
            except FenceLostError as error:
                log.error("process_ended", reason=str(error))
                self.give_up()
                return
            except Exception as error:  # noqa: BLE001 - a missing heartbeat is no fault of the run
                log.warning("heartbeat_failed", error=str(error))


class RunStoppedError(Exception):
    """The run, or this process's part in it, is over, and the record says so already."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(f"{error_code}: {message}")


@dataclass(frozen=True, slots=True)
class Launch:
    """Dagster's run: its id, the tenant, the tags, the selected assets."""

    dagster_run_id: str
    tenant_id: str
    tags: Mapping[str, str]
    assets: frozenset[str]
    is_reexecution: bool = False


class Attempt:
    """The attempt that this process executes, and its copy of the run's record.

    An attempt that takes longer than ``RELAY_RUN_TIMEOUT_SECONDS`` ends the run and calls
    ``end_process``, whatever the process is doing; the reconciler then writes the reports.
    """

    def __init__(
        self, platform: Platform, record: RunRecord, end_process: Callable[[], object]
    ) -> None:
        settings = platform.settings
        self._platform = platform
        self._ledger = platform.ledger
        self.record = record
        self.findings = RunFindings()
        self.io = ConcurrentIO()
        self.sink = BucketSink(platform.objects, record.context, self.io)
        self._has_beaten = False
        self._heartbeat = Heartbeat(
            self._beat, interval_seconds=settings.heartbeat_seconds
        )
        self._end_process = end_process
        seconds = min(settings.run_timeout_seconds, threading.TIMEOUT_MAX)
        self._deadline = threading.Timer(seconds, self._time_out)
        self._deadline.daemon = True

    @classmethod
    def claim(
        cls,
        platform: Platform,
        launch: Launch,
        *,
        end_process: Callable[[], object] = end_process,
    ) -> Self:
        """Claim the attempt that Dagster was asked for; start its heartbeat and its time limit.

        A re-execution has copied the tags of another run, so they do not count: like a partition
        materialized by hand it is a run of its own. `RunError` where the attempt is not to be had,
        `RunStoppedError` where the run's cancellation was requested meanwhile.
        """
        ledger = platform.ledger
        named = None if launch.is_reexecution else tags.attempt_of(launch.tags)
        try:
            if named is None:
                record = ledger.start_by_hand(launch.dagster_run_id, launch.tenant_id)
            else:
                record = ledger.claim(*named, launch.dagster_run_id)
        except CancelRequestedError as request:
            ledger.cancel(request.run_id)
            raise RunStoppedError(
                "CANCELLED", f"run {request.run_id} was cancelled"
            ) from request
        attempt = cls(platform, record, end_process)
        attempt._heartbeat.start()
        attempt._deadline.start()
        trigger = str(record.trigger)
        attempt._log(
            "run_started", trigger=trigger, dagster_run_id=launch.dagster_run_id
        )
        return attempt

    def enter(self, stage: Stage) -> None:
        """Move on to a stage, by a write that carries the fence; in the same stage check it."""
        known = None if stage is self.record.stage else self.record
        self.record = self._ledger.enter_stage(
            self.record.fence, stage, cached_record=known
        )

    def pin(self, config_version: int | None, baseline_run_id: str | None) -> None:
        """Pin the config version and the baseline."""
        fence = self.record.fence
        self.record = self._ledger.pin(
            fence, config_version, baseline_run_id, cached_record=self.record
        )
        self.sink.context = self.record.context

    def end(self) -> None:
        """End the run: write its reports, publish or hold its feed, then write its end."""
        status = self.findings.status
        outcome = self._report(status)
        write = (
            self._ledger.feeds.hold
            if status is RunStatus.HELD
            else self._ledger.succeed
        )
        try:
            self.record = write(self.record.fence, outcome, cached_record=self.record)
        except FenceLostError:
            found = self._platform.runs.get(self.record.run_id)
            if found is not None and found.status in (
                RunStatus.FAILED,
                RunStatus.CANCELLED,
            ):
                self.sink.withdraw()  # the run has ended otherwise while its feed was published
            raise
        except ExternalServiceError as error:
            self.record = self._stored_end(status, error)
        self._announce(f"run_{status.lower()}")

    def fail(self, failure: RunFailure) -> NoReturn:
        """End the run for a fault of its data, and raise `RunStoppedError`."""
        self.findings = replace(self.findings, failure=failure)
        outcome = self._report(RunStatus.FAILED)
        try:
            self.record = self._ledger.fail(self.record.fence, failure, outcome)
        except ExternalServiceError as error:
            self.record = self._stored_end(RunStatus.FAILED, error)
        self._announce("run_failed")
        raise RunStoppedError(failure.error_code, failure.error_message)

    def cancel(self) -> NoReturn:
        """End the run as requested, delete its published feed, and raise `RunStoppedError`."""
        self.record = self._ledger.cancel(self.record.run_id)
        self.io.drain()
        self.sink.withdraw()
        self.findings = self.findings.without_feed()
        outcome = self.sink.write_last(
            self.findings, self.record, RunStatus.CANCELLED, utc_now()
        )
        self.record = self._ledger.note_reports(self.record.run_id, outcome)
        self._log("run_cancelled")
        raise RunStoppedError(
            "CANCELLED", f"run {self.record.run_id} was cancelled on request"
        )

    def release_for_retry(self, error: Exception) -> None:
        """End the attempt for a fault that may pass; if that fails, the reconciler ends it."""
        code = error_code_of(error)
        message = f"{type(error).__name__}: {error}"
        self._log("run_retryable_error", error_code=code, error_message=message)
        if class_of(FailureCode.POISON_JOB, code) is FailureClass.PLATFORM:
            self._platform.metrics.worker_error(code)
        self.io.drain()
        try:
            self.record = self._ledger.retry_later(self.record.fence, code, message)
            if self.record.has_ended:
                self._report_poison()
        except CancelRequestedError:
            self.cancel()
        except (RunError, ExternalServiceError) as problem:
            self._log("run_not_given_back", reason=str(problem))

    def close(self) -> None:
        """Stop the threads beside the steps."""
        self._deadline.cancel()
        self.io.close()
        self._heartbeat.stop()

    def _beat(self) -> None:
        run_id, attempt = self.record.run_id, self.record.attempt
        self._platform.runs.beat(run_id, attempt, has_beaten=self._has_beaten)
        self._has_beaten = True

    def _time_out(self) -> None:
        seconds = self._platform.settings.run_timeout_seconds
        failure = out_of_time(seconds, self.record.stage)
        try:
            self.record = self._ledger.fail(self.record.fence, failure, None)
            self._announce("run_failed")
            self._platform.metrics.worker_error(failure.error_code)
        except (RunError, ExternalServiceError) as problem:
            # It has another end already, or the reconciler finds it dead and ends it.
            self._log("run_not_timed_out", reason=str(problem))
            with suppress(ExternalServiceError):
                found = self._own_record()
                if found is not None and found.status in (
                    RunStatus.SUCCEEDED,
                    RunStatus.HELD,
                ):
                    return  # just now: what is left to do is to count it
        self._end_process()

    def _own_record(self) -> RunRecord | None:
        """Return the record as it is stored; None where it is another process's by now."""
        found = self._platform.runs.get(self.record.run_id)
        is_own = (
            found is not None and found.dagster_run_id == self.record.dagster_run_id
        )
        return found if is_own else None

    def _report(self, status: RunStatus) -> Outcome:
        self.io.wait()
        # An attempt that has lost its run must not write over the reports of the one that has it.
        self.enter(self.record.stage)
        feed_key, feed_format = None, self.sink.feed_format
        is_whole = feed_format is not None and self.record.vendors is None
        if feed_format is not None and is_whole and status is not RunStatus.FAILED:
            self.io.start(publish, self._platform.objects, self.sink.keys, feed_format)
            feed_key = published_key(self.record, feed_format)
        outcome = self.sink.write_last(self.findings, self.record, status, utc_now())
        tripped = (
            self.findings.tripped[:_MAX_GUARDS] if status is RunStatus.HELD else ()
        )
        guards = tuple(result.as_dict(_MAX_SKU_LENGTH) for result in tripped)
        return replace(outcome, feed_key=feed_key, guards=guards)

    def _stored_end(self, status: RunStatus, error: ExternalServiceError) -> RunRecord:
        """Return the record if it has this attempt's end: the answer alone was lost; or raise."""
        found = self._own_record()
        if found is None or found.status is not status:
            raise error
        return found

    def _report_poison(self) -> None:
        failure = self.record.failure
        self.findings = self.findings.failed(failure)
        self._log("poison_job_detected", error_message=failure.error_message)
        try:
            self.sink.withdraw()
            outcome = self.sink.write_last(
                self.findings, self.record, RunStatus.FAILED, utc_now()
            )
            self.record = self._ledger.note_reports(self.record.run_id, outcome)
        finally:
            # If S3 refuses the reports, the reconciler writes them later and announces nothing.
            self._announce("run_failed")

    def _announce(self, event: str) -> None:
        """Log and count an end that this process has written."""
        self._deadline.cancel()
        self._log(event, error_code=self.record.error_code, **self.record.counts)
        self._platform.metrics.run_finished(self.record)

    def _log(self, event: str, **facts: object) -> None:
        record = self.record
        log.info(event, attempt=record.attempt, **record.log_facts, **facts)
