"""The stored values of runs: the record, the tenant's lock, and the request for a run.

Frozen values only. The rules beside this module make and change records,
``ledger/runs.py`` applies them, and ``aws/dynamodb/run_store.py`` stores records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from relay_core.domain.codes import FailureClass, FailureCode, RunStatus, Stage
from relay_core.domain.records import RunContext, RunFailure, VendorResult
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.runs.job_message import Job
from relay_dagster.tenants.audit import SYSTEM, AuditEntry, Origin


@dataclass(frozen=True, slots=True)
class Hold:
    """The reason why a feed is held back."""

    sha256: str  # the hash of the feed
    baseline_run_id: str  # the run whose feed it was compared with
    guards: tuple[Mapping[str, Any], ...]  # the results of the guards that trip

    @property
    def guard_names(self) -> frozenset[str]:
        """Return the names of the guards that trip."""
        return frozenset(str(result["guard"]) for result in self.guards)


@dataclass(frozen=True, slots=True)
class Release:
    """A person's decision to publish a held feed."""

    sha256: str  # the hash of the reviewed feed
    guards: frozenset[str]  # the names of the reviewed guards
    reason: str  # the reason to publish the feed all the same
    by: str  # the person who decides


class Trigger(StrEnum):
    """The origin of a run."""

    API = "api"
    QUEUE = "queue"
    DAGSTER = "dagster"
    UPLOAD = "upload"
    SCHEDULE = "schedule"


class LockState(StrEnum):
    """The relation of a run to its tenant's lock."""

    NONE = "none"  # the run neither has the lock nor waits for it
    QUEUED = "queued"  # the run waits for the lock
    OWNER = "owner"  # the run has the lock


class DueQueue(StrEnum):
    """The queue of the due index that a run is in, and so who checks it next.

    ``ATTEMPT`` and ``END`` are the reconciler's: runs that are in progress or about to
    be, and runs that have ended and are not settled. ``READY`` and ``TURN`` are the
    intake's, which asks Dagster for an attempt without a message: one that follows
    another, and the first attempt of a run whose turn with its tenant has come.
    ``MESSAGE`` has the runs that only wait for their message; its clock stands still
    while the queue has a backlog. ``DEAD_LETTER`` has the settled runs with a dead
    letter.
    """

    ATTEMPT = "attempt"
    READY = "ready"
    TURN = "turn"
    MESSAGE = "message"
    END = "end"
    DEAD_LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Fence:
    """The executor of a run: every write of the run is conditional on it."""

    run_id: str
    attempt: int
    dagster_run_id: str  # the Dagster run that has claimed the attempt


@dataclass(frozen=True, slots=True)
class ChannelFile:
    """The file of a channel that a run has made for publication."""

    channel_id: str
    suffix: str  # the end of its name, such as ``csv.gz``
    sha256: str  # the hash of the file as it is stored
    rows: int | None = None  # the number of its rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that is known of one run. Instants are aware, in UTC.

    ``attempt`` is the latest attempt that was dispatched, 0 before the first;
    ``dispatched_at`` and ``dagster_run_id`` belong to it and are None between attempts.
    ``asked_version`` is the config version in the queue's message, ``config_version``
    the one that took effect, and ``baseline_run_id`` the run whose feed was live
    then. ``vendors`` is None for all vendors. ``attempt_code`` is the error of the last
    attempt of a run that has used up its attempts, and ``of_catalog`` is True if the
    merchant's catalog caused the failure.

    ``due_at`` is the time of the next check in ``due_queue``; both are None once the
    run is settled. ``hidden_until`` is when the run's message comes into sight again.
    ``watched_as`` is the sign of life that was last seen to change, and ``watched_at``
    when that was. ``pending_audit`` is the audit entry of the request until it is
    written.
    """

    run_id: str
    tenant_id: str
    requested_at: datetime
    trigger: Trigger = Trigger.API
    vendors: tuple[str, ...] | None = None
    asked_version: int | None = None
    config_version: int | None = None
    baseline_run_id: str | None = None
    request_id: str | None = None
    idempotency_id: str | None = None

    status: RunStatus = RunStatus.QUEUED
    stage: Stage = Stage.QUEUE
    attempt: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failed_stage: Stage | None = None
    error_code: str | None = None
    error_message: str | None = None
    attempt_code: str | None = None
    of_catalog: bool = False
    next_action: str | None = None
    next_attempt_at: datetime | None = None
    dispatched_at: datetime | None = None
    dagster_run_id: str | None = None
    stage_entered_at: Mapping[str, datetime] = field(default_factory=dict)

    cancel_requested_at: datetime | None = None
    acknowledged_at: datetime | None = None
    reports_written_at: datetime | None = None

    message_id: str | None = None
    sent_at: datetime | None = None
    send_claimed_at: datetime | None = None
    receipt_handle: str | None = None
    received_at: datetime | None = None
    hidden_until: datetime | None = None
    dlq_message_id: str | None = None
    dead_letter_resolved_at: datetime | None = None

    due_at: datetime | None = None
    due_queue: DueQueue | None = None
    watched_as: str | None = None
    watched_at: datetime | None = None
    reports_tried_at: datetime | None = None

    artifacts: Mapping[str, str] = field(default_factory=dict)
    errors_artifact_key: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] | None = None
    vendor_results: tuple[VendorResult, ...] = ()
    """The results of the run that ends; they are stored in an item of the tenant."""

    hold: Hold | None = None
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None
    feed_key: str | None = None
    feed_sha256: str | None = None
    channels: tuple[ChannelFile, ...] = ()
    published_at: datetime | None = None
    published_seq: int | None = None

    lock_state: LockState = LockState.NONE
    hidden: bool = False
    pending_audit: AuditEntry | None = None
    expires_at: datetime | None = None
    revision: int = 0
    write_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Return True if nothing executes the run any more: it is final, or held."""
        return self.status.has_ended

    @property
    def is_dispatched(self) -> bool:
        """Return True if an attempt is on its way or executing."""
        return not self.has_ended and self.dispatched_at is not None

    @property
    def is_claimed(self) -> bool:
        """Return True if a Dagster run has claimed the attempt."""
        return self.is_dispatched and self.dagster_run_id is not None

    @property
    def needs_dlq(self) -> bool:
        """Return True if the run is poison and its message is not a dead letter yet."""
        return (
            self.error_code == FailureCode.POISON_JOB
            and self.status is RunStatus.FAILED
            and self.trigger is not Trigger.DAGSTER
            and self.dlq_message_id is None
        )

    @property
    def has_dead_letter(self) -> bool:
        """Return True if the run's message is known to be in the dead-letter queue."""
        return (
            self.dlq_message_id is not None
            and self.dead_letter_resolved_at is None
        )

    @property
    def needs_reports(self) -> bool:
        """Return True if the run has ended and its reports are not written.

        A run that was cancelled before its first attempt has no reports.
        """
        if (
            not self.has_ended
            or self.hidden
            or self.reports_written_at is not None
        ):
            return False
        return self.attempt > 0 or self.status is not RunStatus.CANCELLED

    @property
    def fence(self) -> Fence:
        """Return the fence of the Dagster run that executes the attempt.

        Raises:
            ValueError: no Dagster run has claimed the attempt.
        """
        if self.dagster_run_id is None:
            raise ValueError(
                f"run {self.run_id}: attempt {self.attempt} is not claimed"
            )
        return Fence(self.run_id, self.attempt, self.dagster_run_id)

    @property
    def log_facts(self) -> dict[str, str | None]:
        """Return the facts that every log line about the run has."""
        return {
            "run_id": self.run_id,
            "tenant_id": self.tenant_id,
            "request_id": self.request_id,
        }

    @property
    def job(self) -> Job:
        """Return the run's message on the queue."""
        return Job(
            self.run_id, self.tenant_id, self.vendors, self.asked_version
        )

    @property
    def keys(self) -> ArtifactKeys:
        """Return the keys of the run's files."""
        return ArtifactKeys(self.run_id, self.tenant_id)

    @property
    def context(self) -> RunContext:
        """Return the facts that identify the run in its reports."""
        return RunContext(
            run_id=self.run_id,
            tenant_id=self.tenant_id,
            requested_at=self.requested_at,
            config_version=self.config_version,
            attempt=self.attempt,
        )

    @property
    def failure(self) -> RunFailure:
        """Return the failure of a run that has failed."""
        return RunFailure(
            str(self.error_code),
            self.error_message or "",
            self.failed_stage or self.stage,
            attempt_code=self.attempt_code,
            of_catalog=self.of_catalog,
        )

    @property
    def failure_class(self) -> FailureClass | None:
        """Return whose failure it is; None for a run that has not failed."""
        return (
            self.failure.failure_class
            if self.status is RunStatus.FAILED
            else None
        )

    def with_reports(self, outcome: "Outcome", now: datetime) -> "RunRecord":
        """Return the record with its reports written, and with their facts."""
        return replace(
            self,
            reports_written_at=now,
            artifacts={**self.artifacts, **outcome.artifacts},
            errors_artifact_key=outcome.errors_artifact_key
            or self.errors_artifact_key,
            counts={**self.counts, **outcome.counts},
            changes=outcome.changes or self.changes,
            vendor_results=outcome.vendor_results or self.vendor_results,
            feed_key=outcome.feed_key or self.feed_key,
            feed_sha256=outcome.feed_sha256 or self.feed_sha256,
            channels=outcome.channels or self.channels,
        )

    def stage_times(self, until: datetime) -> dict[str, float]:
        """Return the seconds that the attempt spent in each stage, up to ``until``.

        The last stage, which marks the end, takes no time and is left out.
        """
        entered = sorted(
            self.stage_entered_at.items(),
            key=lambda stage_and_time: stage_and_time[1],
        )
        left_at = [entered_at for _, entered_at in entered[1:]]
        left_at.append(until)
        seconds = {}
        # An attempt that entered no stage has only an end.
        for (stage, entered_at), ended_at in zip(
            entered, left_at, strict=False
        ):
            if stage != Stage.COMPLETE:
                seconds[stage] = max(
                    (ended_at - entered_at).total_seconds(), 0.0
                )
        return seconds


@dataclass(frozen=True, slots=True)
class TenantLock:
    """A tenant's lock: one run has it, and jobs sent straight to the queue may wait."""

    tenant_id: str
    holder: str | None = None  # the run that has the lock
    waiters: tuple[str, ...] = ()  # the runs that wait for it, in their order
    # The number of runs that have failed since a success.
    consecutive_failures: int = 0
    # The end of the last run that has executed.
    served_at: datetime | None = None

    @property
    def active_run_id(self) -> str | None:
        """Return the run that makes the tenant busy, or None."""
        return self.holder or self.next_run_id

    @property
    def next_run_id(self) -> str | None:
        """Return the run that has waited longest, or None."""
        return self.waiters[0] if self.waiters else None

    def is_turn_of(self, run_id: str) -> bool:
        """Return True if the tenant is idle and no other run has waited longer."""
        return self.holder is None and self.next_run_id in (None, run_id)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's ``Idempotency-Key`` and the request that came with it."""

    id: str  # a digest of caller, tenant and key
    fingerprint: str  # a digest of the request's body


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run that is requested."""

    run_id: str = field(default_factory=lambda: str(uuid4()))
    tenant_id: str
    trigger: Trigger = Trigger.API
    vendors: tuple[str, ...] | None = None  # None for all vendors
    config_version: int | None = None  # None for a tenant without a config
    request_id: str | None = None
    origin: Origin = SYSTEM  # who requests it, for the audit
    in_place_of: str | None = None  # the run whose dead letter is redriven


@dataclass(frozen=True, slots=True)
class Reservation:
    """The run of a request."""

    record: RunRecord
    created: bool  # False for the run of an earlier request with the same key


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts about a run that only the run itself knows at its end.

    ``artifacts`` maps names to keys. ``counts`` are numbers for the record
    (``record_count``, ``total_rows``, ...), and ``changes`` the numbers of changes
    against the feed of ``baseline_run_id``. ``feed_key`` is the key of the published
    copy of a feed of all vendors, ``feed_sha256`` the hash of the merged feed.
    ``channels`` are the files of channels that are copied with it.
    ``guards`` are the results of the guards that trip and hold the feed back.
    """

    artifacts: Mapping[str, str] = field(default_factory=dict)
    errors_artifact_key: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] | None = None
    vendor_results: tuple[VendorResult, ...] = ()
    feed_key: str | None = None
    feed_sha256: str | None = None
    channels: tuple[ChannelFile, ...] = ()
    guards: tuple[Mapping[str, Any], ...] = ()


NOTHING_KNOWN = Outcome()
"""The outcome of a run that ended without facts about itself."""
