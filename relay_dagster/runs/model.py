"""What is kept of a run: its record, the tenant's lock, the feed pointer, and the job on the queue.

Frozen values only. How they change is `transitions`, who changes them is `lifecycle`, how they are
stored is `aws/run_store.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay_core.domain.models import FailureCode, RunStatus, Stage

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_RUN_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Trigger(StrEnum):
    """Where a run came from."""

    API = "api"
    QUEUE = "queue"
    DAGSTER = "dagster"


class LockState(StrEnum):
    """How a run stands to its tenant's lock."""

    NONE = "none"
    QUEUED = "queued"
    OWNER = "owner"


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
    in the queue's message, ``config_version`` the one that took effect. ``vendors`` None is all.
    """

    run_id: str
    tenant_id: str
    requested_at: datetime
    trigger: Trigger = Trigger.API
    vendors: tuple[str, ...] | None = None
    asked_version: int | None = None
    config_version: int | None = None
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
    dlq_message_id: str | None = None

    artifacts: Mapping[str, str] = field(default_factory=dict)
    errors_artifact_key: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    lock_state: LockState = LockState.NONE
    hidden: bool = False
    expires_at: datetime | None = None
    revision: int = 0
    write_id: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the run has ended for good."""
        return self.status.is_final

    @property
    def is_dispatched(self) -> bool:
        """Whether an attempt is on its way or executing."""
        return not self.is_final and self.dispatched_at is not None

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

    @property
    def needs_reports(self) -> bool:
        """Whether the run is final and nobody has noted that its reports are written."""
        return self.is_final and not self.hidden and self.reports_written_at is None

    @property
    def fence(self) -> Fence:
        """What the Dagster run that executes this run shows with each write.

        Raises:
            ValueError: no Dagster run has claimed the attempt.
        """
        if self.dagster_run_id is None:
            raise ValueError(f"run {self.run_id}: attempt {self.attempt} is not claimed")
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

    def stage_times(self, until: datetime) -> dict[str, float]:
        """Return the seconds that the attempt spent in each stage, in the last up to ``until``.

        ``COMPLETE`` is an end, not a stage to spend time in.
        """
        entered = sorted(self.stage_entered_at.items(), key=lambda pair: pair[1])
        ends = [*(at for _, at in entered[1:]), until]
        spans = zip(entered, ends, strict=False)  # an attempt that entered none has only an end
        return {
            stage: max((end - at).total_seconds(), 0.0)
            for (stage, at), end in spans
            if stage != Stage.COMPLETE
        }


@dataclass(frozen=True, slots=True)
class TenantLock:
    """Who may run for a tenant: the holder, and jobs sent straight to the queue that wait."""

    tenant_id: str
    holder: str | None = None
    waiters: frozenset[str] = frozenset()
    consecutive_failures: int = 0

    @property
    def active_run_id(self) -> str | None:
        """The run that makes the tenant busy, or None."""
        return self.holder or min(self.waiters, default=None)


@dataclass(frozen=True, slots=True)
class FeedPointer:
    """Where the merged feed of a tenant's last successful run of all vendors lies."""

    tenant_id: str
    run_id: str
    key: str
    sha256: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's ``Idempotency-Key``: a digest of caller, tenant and key, and one of the body."""

    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs of a listing, newest first; ``next_cursor`` is None on the last page."""

    records: tuple[RunRecord, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a caller asks for: one pass over a tenant's feeds; ``vendors`` None is all."""

    run_id: str
    tenant_id: str
    vendors: tuple[str, ...] | None = None
    config_version: int | None = None
    request_id: str | None = None

    @property
    def job(self) -> Job:
        """The message that the run will have."""
        return Job(self.run_id, self.tenant_id, self.vendors or None, self.config_version)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that ends knows about itself.

    ``artifacts`` maps names to keys; ``counts`` are numbers for the record (``record_count``,
    ``total_rows``, ...); ``feed_key`` is where the feed of a run of all vendors is published,
    ``feed_sha256`` that of the merged feed.
    """

    artifacts: Mapping[str, str] = field(default_factory=dict)
    errors_artifact_key: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    feed_key: str | None = None
    feed_sha256: str | None = None


NOTHING_KNOWN = Outcome()


class NotAJobError(ValueError):
    """A message body that is no job; the message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """The body of a message: which run to execute. ``config_version`` None is the latest."""

    run_id: str
    tenant_id: str
    vendors: tuple[str, ...] | None = None
    config_version: int | None = None

    @classmethod
    def parse(cls, body: str) -> Job:
        """Read a message body. An empty list of vendors is all; keys it does not know are ignored.

        Raises:
            NotAJobError: the body is not JSON, or a value is not what it must be.
        """
        document = _read_object(body)
        return cls(
            run_id=_read_text(document, "run_id", _RUN_ID, "a UUID"),
            tenant_id=_read_text(document, "tenant_id", _ID, "a tenant's id"),
            vendors=_read_vendors(document.get("vendors")),
            config_version=_read_version(document.get("config_version")),
        )

    def body(self) -> str:
        """Return the message body."""
        return json.dumps(
            {
                "run_id": self.run_id,
                "tenant_id": self.tenant_id,
                "vendors": None if self.vendors is None else list(self.vendors),
                "config_version": self.config_version,
            }
        )


def is_run_id(text: str) -> bool:
    """Tell whether a text has the form of a run_id, a UUID."""
    return _RUN_ID.fullmatch(text) is not None


def _read_object(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAJobError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotAJobError("the body is not a JSON object")
    return document


def _read_text(document: Mapping[str, Any], name: str, form: re.Pattern[str], what: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise NotAJobError(f"{name} is not {what}: {json.dumps(value)[:100]}")
    return value


def _read_vendors(value: object) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(
        isinstance(vendor, str) and _ID.fullmatch(vendor) for vendor in value
    ):
        raise NotAJobError(f"vendors is not a list of vendor ids: {json.dumps(value)[:100]}")
    return tuple(value)


def _read_version(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value < 2**53:
        raise NotAJobError(f"config_version is not a version: {json.dumps(value)[:100]}")
    return value
