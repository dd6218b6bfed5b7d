"""The errors of requests for a run; none of them is an external error."""

from collections.abc import Sequence

from relay_core.domain.errors import ConfigFault
from relay_dagster.tenants.errors import RefusedError


class RunError(RefusedError):
    """The base of the errors of a run, and of a change of its record."""


class UnknownRunError(RunError):
    """No record has this run_id."""

    error_code = "RUN_NOT_FOUND"
    sentence = "run {} does not exist; check the run id"


class TenantBusyError(RunError):
    """The tenant has a run that is queued or running."""

    error_code = "TENANT_ALREADY_RUNNING"

    def __init__(self, tenant_id: str, active_run_id: str) -> None:
        self.active_run_id = active_run_id
        super().__init__(
            f"tenant {tenant_id} already has an unfinished run, {active_run_id}; "
            "wait until it ends, or cancel it"
        )


class TenantClosingError(RunError):
    """The tenant is being deleted: nothing is started or stored for it any more.

    ``is_deleted`` is True if the deletion is over, and the request a leftover of it.
    """

    error_code = "TENANT_CLOSING"

    def __init__(self, tenant_id: str, *, is_deleted: bool = False) -> None:
        self.is_deleted = is_deleted
        state = "was deleted" if is_deleted else "is being deleted"
        super().__init__(
            f"tenant {tenant_id} {state}, so nothing can be started or stored for it"
        )


class IdempotencyKeyReusedError(RunError):
    """The same ``Idempotency-Key`` came with another body."""

    error_code = "IDEMPOTENCY_KEY_REUSED"
    sentence = "this Idempotency-Key was already used for run {} with another body; use a new key"


class RunAlreadyFinishedError(RunError):
    """The run has ended; nothing changes it any more."""

    error_code = "RUN_ALREADY_FINISHED"
    sentence = "run {} has already ended with the status {}"


class RunNotHeldError(RunError):
    """The run's feed is not on hold, so it cannot be released."""

    error_code = "RUN_NOT_HELD"
    sentence = "the feed of run {} is not on hold; the status of the run is {}"


class HoldMismatchError(RunError):
    """The reviewed feed is not the one on hold, or other guards tripped."""

    error_code = "HOLD_MISMATCH"
    sentence = (
        "the feed of run {} has the sha256 {} and is on hold because of {}; review the feed, "
        "then send both values"
    )


class FeedNotKeptError(RunError):
    """The tenant does not keep a feed of this run, or never had one."""

    error_code = "FEED_NOT_KEPT"
    sentence = (
        "the feed of run {1} is not among the kept publications of tenant {0}; choose one of "
        "/v1/tenants/{0}/publications"
    )


class RunCreationPausedError(RunError):
    """An operator has paused the creation of runs: of one tenant, or (None) of all.

    The text is for operators; ``public`` has the reason that tenants see.
    """

    error_code = "RUN_CREATION_PAUSED"

    def __init__(
        self,
        tenant_id: str | None,
        reason: str,
        public_reason: str | None = None,
    ) -> None:
        tenants = "all tenants" if tenant_id is None else f"tenant {tenant_id}"
        pause = f"run creation is paused for {tenants}"
        self.public = f"{pause}: {public_reason}" if public_reason else pause
        super().__init__(f"{pause}: {reason}")


class UnknownVendorError(RunError):
    """The tenant's config lacks a vendor that the run is to read."""

    error_code = "UNKNOWN_VENDOR"

    def __init__(self, message: str, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(message)


class NoVendorsError(RunError):
    """The tenant's config has no vendors, so there is nothing to run."""

    error_code = "NO_VENDORS"
    sentence = (
        "tenant {} has no vendors; add one to its config, then start a run"
    )


class QueueUnavailableError(RunError):
    """The run's message could not be sent, so there is no run."""

    error_code = "QUEUE_UNAVAILABLE"
    sentence = "the queue does not respond, so no run was started"


class JobConflictError(RunError):
    """A message has the run_id of a record that was made for another body."""

    error_code = "job_conflict"
    sentence = "run {} was already requested with another body"


class JobExpiredError(RunError):
    """A message has the run_id of a run whose record is no longer kept."""

    error_code = "job_expired"
    sentence = "run {} ended long ago, and its record was deleted"


class CommitLostError(RunError):
    """An item that the write was conditional on has changed since it was read."""

    error_code = "commit_lost"


class TransitionRefusedError(RunError):
    """The record's state does not allow the change."""

    error_code = "transition_refused"

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id}: {reason}")


class DispatchRefusedError(TransitionRefusedError):
    """The attempt cannot be dispatched: another is running, or it is not the next."""


class ClaimRefusedError(TransitionRefusedError):
    """The attempt belongs to another Dagster run, or is over."""


class FenceLostError(TransitionRefusedError):
    """The writer no longer executes the run: a newer attempt does, or it has ended."""


class CancelRequestedError(TransitionRefusedError):
    """The run is to be cancelled: it must publish nothing and end ``CANCELLED``."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "its cancellation was requested")
