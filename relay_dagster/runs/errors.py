"""Why a run was not started, or a change of its record refused; none is an external error."""

from collections.abc import Sequence
from typing import ClassVar

from relay_core.domain.errors import ConfigFault
from relay_dagster.runs.model import Hold


class RunError(Exception):
    """Base of every refusal."""

    error_code: ClassVar[str] = "run_error"
    sentence: ClassVar[str] = "{}"

    def __init__(self, *facts: object) -> None:
        super().__init__(self.sentence.format(*facts))


class UnknownRunError(RunError):
    """No record has this run_id."""

    error_code = "RUN_NOT_FOUND"
    sentence = "there is no run {}"


class TenantBusyError(RunError):
    """The tenant has a run that is queued or running."""

    error_code = "TENANT_ALREADY_RUNNING"

    def __init__(self, tenant_id: str, active_run_id: str) -> None:
        self.active_run_id = active_run_id
        super().__init__(
            f"tenant {tenant_id} already has an unfinished run, {active_run_id}; "
            "wait for it to finish, or cancel it"
        )


class TenantClosingError(RunError):
    """The tenant is being deleted: nothing is made for it any more.

    ``is_deleted`` tells that it is over: what asks is a leftover of a tenant that is gone.
    """

    error_code = "TENANT_CLOSING"

    def __init__(self, tenant_id: str, *, is_deleted: bool = False) -> None:
        self.is_deleted = is_deleted
        how = "has been deleted since" if is_deleted else "is being deleted"
        super().__init__(f"tenant {tenant_id} {how}: nothing is started or stored for it")


class RestoreTooLateError(RunError):
    """The tenant's deletion has begun: there is nothing whole to restore."""

    error_code = "RESTORE_TOO_LATE"
    sentence = "the time to restore tenant {} is over; its deletion goes on"


class RunQuotaExceededError(RunError):
    """The tenant has had as many runs as it may in this hour; ``wait_seconds`` are left of it."""

    error_code = "RUN_QUOTA_EXCEEDED"

    def __init__(self, tenant_id: str, runs_per_hour: int, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(
            f"tenant {tenant_id} has had {runs_per_hour} runs in this hour, which are the most"
        )


class IdempotencyKeyReusedError(RunError):
    """The same ``Idempotency-Key`` came with another body."""

    error_code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"this Idempotency-Key was used for run {run_id} with another body; use a new key"
        )


class RunAlreadyFinishedError(RunError):
    """The run is final; nothing changes it any more."""

    error_code = "RUN_ALREADY_FINISHED"
    sentence = "run {} has already finished: {}"


class RunNotHeldError(RunError):
    """The run's feed is not held back: there is nothing to release."""

    error_code = "RUN_NOT_HELD"
    sentence = "the feed of run {} is not held back; the run is {}"


class HoldMismatchError(RunError):
    """What is to be released is not what is held."""

    error_code = "HOLD_MISMATCH"

    def __init__(self, run_id: str, hold: Hold) -> None:
        super().__init__(
            f"the feed of run {run_id} has sha256 {hold.sha256} and is held by "
            f"{', '.join(sorted(hold.guard_names))}; review that, then name both"
        )


class FeedNotKeptError(RunError):
    """The tenant has no feed of this run any more, or never had."""

    error_code = "FEED_NOT_KEPT"
    sentence = "the feed of run {1} is not among the last publications of tenant {0}"


class RunCreationPausedError(RunError):
    """An operator has stopped the creation of runs: of one tenant, or (None) of all.

    The text is for operators; ``public`` says the same with what tenants are told.
    """

    error_code = "RUN_CREATION_PAUSED"

    def __init__(
        self, tenant_id: str | None, reason: str, public_reason: str | None = None
    ) -> None:
        whose = "all tenants" if tenant_id is None else f"tenant {tenant_id}"
        paused = f"no runs of {whose} are started for now"
        self.public = f"{paused}: {public_reason}" if public_reason else paused
        super().__init__(f"{paused}: {reason}")


class UnknownVendorError(RunError):
    """The tenant's config lacks a vendor that the run is to read."""

    error_code = "UNKNOWN_VENDOR"

    def __init__(self, message: str, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(message)


class QueueUnavailableError(RunError):
    """The run's message could not be sent, so there is no run."""

    error_code = "QUEUE_UNAVAILABLE"
    sentence = "the queue does not answer, no run was started"


class JobConflictError(RunError):
    """A message has the run_id of a record that was made for another body."""

    error_code = "job_conflict"
    sentence = "run {} was requested with another body"


class JobExpiredError(RunError):
    """A message has the run_id of a run whose record is no longer kept."""

    error_code = "job_expired"
    sentence = "run {} ended long ago, its record is gone"


class CommitLostError(RunError):
    """Something that the write was conditional on has changed since it was read."""

    error_code = "commit_lost"


class TransitionRefusedError(RunError):
    """The record's state does not allow the change."""

    error_code = "transition_refused"

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id}: {reason}")


class DispatchRefusedError(TransitionRefusedError):
    """The attempt cannot be dispatched: another one is, or it is not the next."""


class ClaimRefusedError(TransitionRefusedError):
    """The attempt belongs to another Dagster run, or is over."""


class FenceLostError(TransitionRefusedError):
    """The writer no longer executes the run: a newer attempt does, or the run is final."""


class CancelRequestedError(TransitionRefusedError):
    """The run is to be cancelled: it must publish nothing and end ``CANCELLED``."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "its cancellation was requested")
