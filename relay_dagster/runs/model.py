"""What is kept of a run: its record, the tenant's lock, and what was asked for.

Frozen values only. How a record comes to be and changes is `transitions`, who writes
the change ``ledger/runs.py``, how it is stored ``aws/dynamodb/run_store.py``.
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
    """Why a feed is held back: its hash, what it was compared with, and the guards that trip."""

    sha256: str
    baseline_run_id: str
    guards: tuple[Mapping[str, Any], ...]

    @property
    def guard_names(self) -> frozenset[str]:
        """The names of the guards that trip."""
        return frozenset(str(result["guard"]) for result in self.guards)


@dataclass(frozen=True, slots=True)
class Release:
    """A person's decision to publish what is held: what was reviewed, and why."""

    sha256: str  # the hash of the feed that was reviewed
    guards: frozenset[str]  # the names of the guards that were
    reason: str  # why it is good all the same
    by: str  # who decides


class Trigger(StrEnum):
    """Where a run came from."""

    API = "api"
    QUEUE = "queue"
    DAGSTER = "dagster"
    UPLOAD = "upload"
    SCHEDULE = "schedule"


class LockState(StrEnum):
    """How a run stands to its tenant's lock: not at all, among those that wait, as its owner."""

    NONE = "none"
    QUEUED = "queued"
    OWNER = "owner"


class DueQueue(StrEnum):
    """Which queue of the due index an unsettled run stands in, and so who checks it next.

    ``ATTEMPT`` and ``END`` are the reconciler's: what is under way or about to be, and what has
    ended and is not settled. ``READY`` and ``TURN`` are the intake's, which asks Dagster for an
    attempt without a message: one that follows another, and the first of a run whose turn with its
    tenant has come. ``MESSAGE`` is of runs that only wait for their message; its clock stands still
    while the queue has a backlog. ``DEAD_LETTER`` is of settled runs with a dead letter.
    """

    ATTEMPT = "attempt"
    READY = "ready"
    TURN = "turn"
    MESSAGE = "message"
    END = "end"
    DEAD_LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Fence:
    """Who is executing: what every write of a run is conditional on."""

    run_id: str
    attempt: int
    dagster_run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that is known of one run. Instants are aware, UTC.

    ``attempt`` is the latest attempt dispatched, 0 before the first; ``dispatched_at`` and
    ``dagster_run_id`` belong to it and are None between attempts. ``asked_version`` is the version
    in the queue's message, ``config_version`` the one that took effect, ``baseline_run_id`` the run
    whose feed was in force then. ``vendors`` None is all. ``attempt_code`` is what the last attempt
    of a run ended for whose attempts are used up.

    ``due_at`` is when the run is checked next, in its ``due_queue`` (None once it is settled);
    ``hidden_until`` how long its message stays out of sight; ``watched_as`` what its heartbeat
    looked like when it was last seen to change, which was ``watched_at``. ``pending_audit`` is the
    audit's entry of who asked for it, until it is written.
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
    """Of a run that ends; they are stored in an item of the tenant's."""

    hold: Hold | None = None
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None
    feed_key: str | None = None
    feed_sha256: str | None = None
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
        """Whether nothing executes the run, or will: it is final, or held."""
        return self.status.has_ended

    @property
    def is_dispatched(self) -> bool:
        """Whether an attempt is on its way or executing."""
        return not self.has_ended and self.dispatched_at is not None

    @property
    def is_claimed(self) -> bool:
        """Whether a Dagster run has taken the attempt."""
        return self.is_dispatched and self.dagster_run_id is not None

    @property
    def needs_dlq(self) -> bool:
        """Whether the run is poison whose message has yet to be put into the dead-letter queue."""
        return (
            self.error_code == FailureCode.POISON_JOB
            and self.status is RunStatus.FAILED
            and self.trigger is not Trigger.DAGSTER
            and self.dlq_message_id is None
        )

    def is_due(self, queue: DueQueue, until: datetime) -> bool:
        """Return whether the run is to be checked in a queue, up to an instant."""
        return (
            self.due_queue is queue and self.due_at is not None and self.due_at <= until
        )

    @property
    def has_dead_letter(self) -> bool:
        """Whether the run's message lies in the dead-letter queue, as far as is known."""
        return self.dlq_message_id is not None and self.dead_letter_resolved_at is None

    @property
    def needs_reports(self) -> bool:
        """Whether it has ended unreported; one that never had an attempt has no reports."""
        if not self.has_ended or self.hidden or self.reports_written_at is not None:
            return False
        return self.attempt > 0 or self.status is not RunStatus.CANCELLED

    @property
    def fence(self) -> Fence:
        """What the Dagster run that executes it shows with each write; `ValueError` unclaimed."""
        if self.dagster_run_id is None:
            raise ValueError(
                f"run {self.run_id}: attempt {self.attempt} is not claimed"
            )
        return Fence(self.run_id, self.attempt, self.dagster_run_id)

    @property
    def log_facts(self) -> dict[str, str | None]:
        """What every line of the log says of a run that it is about."""
        return {
            "run_id": self.run_id,
            "tenant_id": self.tenant_id,
            "request_id": self.request_id,
        }

    @property
    def job(self) -> Job:
        """The run's message on the queue."""
        return Job(self.run_id, self.tenant_id, self.vendors, self.asked_version)

    @property
    def keys(self) -> ArtifactKeys:
        """Where the run's files lie."""
        return ArtifactKeys(self.run_id, self.tenant_id)

    @property
    def context(self) -> RunContext:
        """What identifies the run in its reports."""
        return RunContext(
            run_id=self.run_id,
            tenant_id=self.tenant_id,
            requested_at=self.requested_at,
            config_version=self.config_version,
            attempt=self.attempt,
        )

    @property
    def failure(self) -> RunFailure:
        """What a run that has failed ended for."""
        stage = self.failed_stage or self.stage
        code, message = str(self.error_code), self.error_message or ""
        return RunFailure(code, message, stage, attempt_code=self.attempt_code)

    @property
    def failure_class(self) -> FailureClass | None:
        """Whose it is to mend that the run has failed; None where it has not."""
        return self.failure.failure_class if self.status is RunStatus.FAILED else None

    def with_reports(self, outcome: "Outcome", now: datetime) -> "RunRecord":
        """Return the record once its reports are written, with what they know of it added."""
        return replace(
            self,
            reports_written_at=now,
            artifacts={**self.artifacts, **outcome.artifacts},
            errors_artifact_key=outcome.errors_artifact_key or self.errors_artifact_key,
            counts={**self.counts, **outcome.counts},
            changes=outcome.changes or self.changes,
            vendor_results=outcome.vendor_results or self.vendor_results,
            feed_key=outcome.feed_key or self.feed_key,
            feed_sha256=outcome.feed_sha256 or self.feed_sha256,
        )

    def stage_times(self, until: datetime) -> dict[str, float]:
        """Return the seconds that the attempt spent in each stage but the end, up to ``until``."""
        entered = sorted(self.stage_entered_at.items(), key=lambda pair: pair[1])
        ends = [*(at for _, at in entered[1:]), until]
        spans = zip(
            entered, ends, strict=False
        )  # an attempt that entered none has only an end
        return {
            stage: max((end - at).total_seconds(), 0.0)
            for (stage, at), end in spans
            if stage != Stage.COMPLETE
        }


@dataclass(frozen=True, slots=True)
class TenantLock:
    """Who runs for a tenant, and the jobs sent straight to the queue that wait, in their order."""

    tenant_id: str
    holder: str | None = None
    waiters: tuple[str, ...] = ()
    consecutive_failures: int = 0
    served_at: datetime | None = None  # the end of the last run that has executed

    @property
    def active_run_id(self) -> str | None:
        """The run that makes the tenant busy, or None."""
        return self.holder or self.next_run_id

    @property
    def next_run_id(self) -> str | None:
        """The run that has waited longest, or None."""
        return next(iter(self.waiters), None)

    def is_turn_of(self, run_id: str) -> bool:
        """Return whether a waiting run may go on: the tenant is free, and nobody is before it."""
        return self.holder is None and self.next_run_id in (None, run_id)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's ``Idempotency-Key``: a digest of caller, tenant and key, and one of the body."""

    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is asked for, by whom; no ``vendors`` are all, ``in_place_of`` a dead letter's run."""

    run_id: str = field(default_factory=lambda: str(uuid4()))
    tenant_id: str
    trigger: Trigger = Trigger.API
    vendors: tuple[str, ...] | None = None
    config_version: int | None = None
    request_id: str | None = None
    origin: Origin = SYSTEM
    in_place_of: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The run that a request leads to; ``created`` is False for the run of an earlier request."""

    record: RunRecord
    created: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that ends knows about itself.

    ``artifacts`` maps names to keys; ``counts`` are numbers for the record (``record_count``,
    ``total_rows``, ...), ``changes`` those of what the feed changes against the one of
    ``baseline_run_id``; ``feed_key`` is where the feed of a run of all vendors is published,
    ``feed_sha256`` that of the merged feed; ``guards`` are the results that trip, where they hold
    the feed back.
    """

    artifacts: Mapping[str, str] = field(default_factory=dict)
    errors_artifact_key: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] | None = None
    vendor_results: tuple[VendorResult, ...] = ()
    feed_key: str | None = None
    feed_sha256: str | None = None
    guards: tuple[Mapping[str, Any], ...] = ()


NOTHING_KNOWN = Outcome()
