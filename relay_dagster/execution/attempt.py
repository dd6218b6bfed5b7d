"""One attempt of a run in the process that executes it: its claim, its fence, its end.

Every change of the record goes through the ledger. The reports are written just before
the record's end, so a run that has ended has them. A process that ends the run in
another way writes them again.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn, Self

from relay_core.domain import codes
from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_core.domain.run_codes import class_of
from relay_core.domain.run_faults import out_of_time
from relay_core.publish.findings import RunFindings
from relay_dagster import tags
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.heartbeat import Heartbeat, end_process
from relay_dagster.execution.published_copies import copies_of, feed_copy_key
from relay_dagster.external_errors import ExternalServiceError, error_code_of
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import (
    CancelRequestedError,
    FenceLostError,
    RunError,
)
from relay_dagster.runs.model import ChannelFile, Outcome, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

_MAX_GUARDS = 20
"""The most tripped guards that a record keeps."""

_MAX_SKU_LENGTH = 200
"""The most characters of a SKU that a record's guards keep."""

_log = event_log()


class RunStoppedError(Exception):
    """The run, or this process's part in it, is over, and the record says so."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(f"{error_code}: {message}")


@dataclass(frozen=True, slots=True)
class Launch:
    """The Dagster run that executes in this process."""

    dagster_run_id: str
    tenant_id: str
    tags: Mapping[str, str]
    assets: frozenset[str]  # the names of the selected assets
    is_reexecution: bool = False


class Attempt:
    """The attempt that this process executes, and its copy of the run's record.

    An attempt that takes longer than ``RELAY_RUN_TIMEOUT_SECONDS`` ends the run and
    calls ``end_process``, whatever the process is doing; the reconciler then writes the
    reports.
    """

    def __init__(
        self,
        platform: Platform,
        record: RunRecord,
        end_process: Callable[[], object],
    ) -> None:
        settings = platform.settings
        self._platform = platform
        self._ledger = platform.ledger
        self.record = record
        self.findings = RunFindings()
        self.io = ConcurrentIO()
        self.sink = BucketSink(platform.objects, record.context, self.io)
        self._has_beaten = False
        self._heartbeat = Heartbeat(self._beat, settings.heartbeat_seconds)
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
        """Claim the attempt of a Dagster run; start its heartbeat and its time limit.

        The tags of a re-execution do not count, for they are copies of another run's:
        like a partition that is materialized by hand, it is a run of its own.

        Raises:
            RunError: the attempt cannot be claimed.
            RunStoppedError: somebody asked for the run's cancellation; it is cancelled
                now.
        """
        ledger = platform.ledger
        requested = (
            None if launch.is_reexecution else tags.attempt_of(launch.tags)
        )
        try:
            if requested is None:
                record = ledger.start_by_hand(
                    launch.dagster_run_id,
                    launch.tenant_id,
                )
            else:
                run_id, attempt_number = requested
                record = ledger.claim(
                    run_id,
                    attempt_number,
                    launch.dagster_run_id,
                )
        except CancelRequestedError as request:
            ledger.cancel(request.run_id)
            raise RunStoppedError(
                "CANCELLED",
                f"run {request.run_id} was cancelled",
            ) from request
        attempt = cls(platform, record, end_process)
        attempt._heartbeat.start()
        attempt._deadline.start()
        attempt._log_event(
            "run_started",
            trigger=str(record.trigger),
            dagster_run_id=launch.dagster_run_id,
        )
        return attempt

    # --- the steps of the run ---------------------------------------------------------

    def enter(self, stage: Stage) -> None:
        """Move on to a stage, with the fence; the current stage only checks the fence."""
        # A check of the fence must read the stored record.
        cached_record = None if stage is self.record.stage else self.record
        self.record = self._ledger.enter_stage(
            self.record.fence,
            stage,
            cached_record=cached_record,
        )

    def pin(
        self,
        config_version: int | None,
        baseline_run_id: str | None,
    ) -> None:
        """Fix the config version and the baseline for all attempts."""
        self.record = self._ledger.pin(
            self.record.fence,
            config_version,
            baseline_run_id,
            cached_record=self.record,
        )
        self.sink.context = self.record.context

    def end(self) -> None:
        """Write the reports, publish or hold the feed, then write the run's end.

        Raises:
            FenceLostError: the run has ended otherwise, or a newer attempt executes it.
        """
        status = self.findings.status
        outcome = self._report(status)
        fence = self.record.fence
        try:
            if status is RunStatus.HELD:
                self.record = self._ledger.feeds.hold(
                    fence,
                    outcome,
                    cached_record=self.record,
                )
            else:
                self.record = self._ledger.succeed(
                    fence,
                    outcome,
                    cached_record=self.record,
                )
        except FenceLostError:
            self._withdraw_if_ended()
            raise
        except ExternalServiceError as error:
            self.record = self._stored_end(status, error)
        self._announce(f"run_{status.lower()}")

    def fail(self, failure: RunFailure) -> NoReturn:
        """End the run ``FAILED``.

        Raises:
            RunStoppedError: always, once the end is written.
        """
        self.findings = replace(self.findings, failure=failure)
        outcome = self._report(RunStatus.FAILED)
        try:
            self.record = self._ledger.fail(self.record.fence, failure, outcome)
        except ExternalServiceError as error:
            self.record = self._stored_end(RunStatus.FAILED, error)
        self._announce("run_failed")
        raise RunStoppedError(failure.error_code, failure.error_message)

    def cancel(self) -> NoReturn:
        """End the run ``CANCELLED`` as requested, and delete its published feed.

        Raises:
            RunStoppedError: always, once the end is written.
        """
        self.record = self._ledger.cancel(self.record.run_id)
        self.io.drain()
        self.sink.withdraw()
        self.findings = self.findings.without_feed()
        outcome = self.sink.write_last(
            self.findings,
            self.record,
            RunStatus.CANCELLED,
            utc_now(),
        )
        self.record = self._ledger.messages.note_reports(
            self.record.run_id,
            outcome,
        )
        self._log_event("run_cancelled")
        raise RunStoppedError(
            "CANCELLED",
            f"run {self.record.run_id} was cancelled on request",
        )

    def release_for_retry(self, error: Exception) -> None:
        """End the attempt for an error that a later attempt may not meet.

        If the end cannot be written, the reconciler ends the attempt.
        """
        code = error_code_of(error)
        message = f"{type(error).__name__}: {error}"
        self._log_event(
            "run_retryable_error",
            error_code=code,
            error_message=message,
        )
        failure_class = class_of(codes.FailureCode.POISON_JOB, code)
        if failure_class is codes.FailureClass.PLATFORM:
            self._platform.metrics.worker_error(code)
        self.io.drain()
        try:
            self.record = self._ledger.retry_later(
                self.record.fence,
                code,
                message,
            )
            if self.record.has_ended:
                self._report_poison()
        except CancelRequestedError:
            self.cancel()
        except (RunError, ExternalServiceError) as problem:
            self._log_event("run_not_given_back", reason=str(problem))

    def close(self) -> None:
        """Stop the threads beside the steps."""
        self._deadline.cancel()
        self.io.close()
        self._heartbeat.stop()

    # --- heartbeat and time limit -----------------------------------------------------

    def _beat(self) -> None:
        self._platform.runs.beat(
            self.record.run_id,
            self.record.attempt,
            has_beaten=self._has_beaten,
        )
        self._has_beaten = True

    def _time_out(self) -> None:
        seconds = self._platform.settings.run_timeout_seconds
        failure = out_of_time(seconds, self.record.stage)
        try:
            self.record = self._ledger.fail(self.record.fence, failure, None)
            self._announce("run_failed")
            self._platform.metrics.worker_error(failure.error_code)
        except (RunError, ExternalServiceError) as problem:
            # The run has another end, or the reconciler finds it dead and ends it.
            self._log_event("run_not_timed_out", reason=str(problem))
            if self._has_just_succeeded():
                return  # the process only has to count its end
        self._end_process()

    def _has_just_succeeded(self) -> bool:
        """Return True if this attempt has ended the run well in the meantime."""
        with suppress(ExternalServiceError):
            record = self._stored_record()
            if record is not None:
                return record.status in (RunStatus.SUCCEEDED, RunStatus.HELD)
        return False

    # --- the end ----------------------------------------------------------------------

    def _report(self, status: RunStatus) -> Outcome:
        """Write the reports, and the published copies of a feed; return the outcome."""
        self.io.wait()
        # An attempt that has lost its run must not write over the other one's reports.
        self.enter(self.record.stage)
        feed_key = None
        channels: tuple[ChannelFile, ...] = ()
        feed_format = self.sink.feed_format
        is_of_all_vendors = self.record.vendors is None
        has_failed = status is RunStatus.FAILED
        if feed_format is not None and is_of_all_vendors and not has_failed:
            channels = self.sink.channels(self.findings)
            copies = copies_of(self.sink.keys, feed_format, channels)
            for file_key, copy_key in copies.items():
                self.io.start(self._platform.objects.copy, file_key, copy_key)
            feed_key = feed_copy_key(self.record, feed_format)
        outcome = self.sink.write_last(
            self.findings,
            self.record,
            status,
            utc_now(),
        )
        outcome = replace(outcome, feed_key=feed_key, channels=channels)
        if status is not RunStatus.HELD:
            return outcome
        tripped = self.findings.tripped[:_MAX_GUARDS]
        guards = tuple(result.as_dict(_MAX_SKU_LENGTH) for result in tripped)
        return replace(outcome, guards=guards)

    def _report_poison(self) -> None:
        failure = self.record.failure
        self.findings = self.findings.failed(failure)
        self._log_event(
            "poison_job_detected",
            error_message=failure.error_message,
        )
        try:
            self.sink.withdraw()
            outcome = self.sink.write_last(
                self.findings,
                self.record,
                RunStatus.FAILED,
                utc_now(),
            )
            self.record = self._ledger.messages.note_reports(
                self.record.run_id,
                outcome,
            )
        finally:
            # If S3 refuses the reports, the reconciler writes them, and announces
            # nothing.
            self._announce("run_failed")

    def _withdraw_if_ended(self) -> None:
        """Delete the published feed if the run has ended otherwise in the meantime."""
        record = self._platform.runs.get(self.record.run_id)
        if record is None:
            return
        if record.status in (RunStatus.FAILED, RunStatus.CANCELLED):
            self.sink.withdraw()

    def _stored_record(self) -> RunRecord | None:
        """Return the stored record, or None if another process executes the run."""
        record = self._platform.runs.get(self.record.run_id)
        if (
            record is None
            or record.dagster_run_id != self.record.dagster_run_id
        ):
            return None
        return record

    def _stored_end(
        self,
        status: RunStatus,
        error: ExternalServiceError,
    ) -> RunRecord:
        """Return the stored record if this attempt's end was written after all.

        Only the response of the write was lost then. Otherwise the error is raised.
        """
        record = self._stored_record()
        if record is None or record.status is not status:
            raise error
        return record

    def _announce(self, event: str) -> None:
        """Log and count an end that this process has written."""
        self._deadline.cancel()
        self._log_event(
            event,
            error_code=self.record.error_code,
            **self.record.counts,
        )
        self._platform.metrics.run_finished(self.record)

    def _log_event(self, event: str, **facts: object) -> None:
        record = self.record
        _log.info(event, attempt=record.attempt, **record.log_facts, **facts)
