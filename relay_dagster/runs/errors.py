"""Why something asked for is refused; none is an external error."""

from collections.abc import Sequence

from relay_core.domain.errors import ConfigFault

_QUOTAS = {
    "RUN_QUOTA_EXCEEDED": "tenant {} has had {} runs in this hour, which are the most",
    "UPLOAD_QUOTA_EXCEEDED": "tenant {} has had {} upload links today (UTC), which are the most",
    "CONFIG_QUOTA_EXCEEDED": "tenant {} has had {} config versions today (UTC), which are the most",
    "LINK_QUOTA_EXCEEDED": "tenant {} has {} links, the most it may have; revoke one",
    "SECRET_QUOTA_EXCEEDED": "tenant {} has {} secrets, the most it may have; delete one",
    "WEBHOOK_QUOTA_EXCEEDED": "tenant {} has {} webhooks, the most it may have; delete one",
    "OVERRIDE_QUOTA_EXCEEDED": "tenant {} would have more than {:,} overrides; "
    "remove those that nobody needs",
    "KEY_QUOTA_EXCEEDED": "tenant {} has {} keys, the most it may have, expired ones too; "
    "delete those that nobody needs",
}


class RefusedError(Exception):
    """Base of every refusal: the code that callers get, and its sentence with facts."""

    error_code: str = "refused"
    sentence: str = "{}"

    def __init__(self, *facts: object) -> None:
        super().__init__(self.sentence.format(*facts))


class QuotaExceededError(RefusedError):
    """A tenant has as many as it may have; ``wait_seconds`` until the next, None: remove one."""

    def __init__(
        self,
        error_code: str,
        tenant_id: str,
        most: int,
        wait_seconds: float | None = None,
    ) -> None:
        self.error_code, self.sentence = error_code, _QUOTAS[error_code]
        self.wait_seconds = wait_seconds
        super().__init__(tenant_id, most)


class RunError(RefusedError):
    """Base of what is refused of a run, or of a change of its record."""


class UnknownRunError(RunError):
    """No record has this run_id."""

    error_code, sentence = "RUN_NOT_FOUND", "there is no run {}"


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
        super().__init__(
            f"tenant {tenant_id} {how}: nothing is started or stored for it"
        )


class RestoreTooLateError(RunError):
    """The tenant's deletion has begun: there is nothing whole to restore."""

    error_code = "RESTORE_TOO_LATE"
    sentence = "the time to restore tenant {} is over; its deletion goes on"


class IdempotencyKeyReusedError(RunError):
    """The same ``Idempotency-Key`` came with another body."""

    error_code = "IDEMPOTENCY_KEY_REUSED"
    sentence = (
        "this Idempotency-Key was used for run {} with another body; use a new key"
    )


class RunAlreadyFinishedError(RunError):
    """The run is final; nothing changes it any more."""

    error_code, sentence = "RUN_ALREADY_FINISHED", "run {} has already finished: {}"


class RunNotHeldError(RunError):
    """The run's feed is not held back: there is nothing to release."""

    error_code, sentence = (
        "RUN_NOT_HELD",
        "the feed of run {} is not held back; the run is {}",
    )


class HoldMismatchError(RunError):
    """What is to be released is not what is held."""

    error_code = "HOLD_MISMATCH"
    sentence = "the feed of run {} has sha256 {} and is held by {}; review that, then name both"


class FeedNotKeptError(RunError):
    """The tenant has no feed of this run any more, or never had."""

    error_code = "FEED_NOT_KEPT"
    sentence = "the feed of run {1} is not among the last publications of tenant {0}"


class RunCreationPausedError(RunError):
    """An operator has stopped the creation of runs: of one tenant, or (None) of all.

    The text is for operators; ``public`` has the reason that tenants see.
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

    error_code, sentence = (
        "QUEUE_UNAVAILABLE",
        "the queue does not answer, no run was started",
    )


class JobConflictError(RunError):
    """A message has the run_id of a record that was made for another body."""

    error_code, sentence = "job_conflict", "run {} was requested with another body"


class JobExpiredError(RunError):
    """A message has the run_id of a run whose record is no longer kept."""

    error_code, sentence = "job_expired", "run {} ended long ago, its record is gone"


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


class TenantExistsError(RefusedError):
    """The tenant already has a config, or another one whose id differs in case alone."""

    error_code = "TENANT_EXISTS"
    sentence = (
        "tenant {}, or one whose id differs in upper and lower case alone, already has a config; "
        "store a new version of it"
    )


class UnknownTenantError(RefusedError):
    """The tenant has no config."""

    error_code, sentence = "TENANT_NOT_FOUND", "tenant {} has no config"


class VersionMismatchError(RefusedError):
    """The latest version is not the expected one; ``latest`` is None for an unknown tenant."""

    error_code = "CONFIG_VERSION_MISMATCH"

    def __init__(self, tenant_id: str, expected: int, latest: int | None) -> None:
        self.latest = latest
        found = "has no config" if latest is None else f"is at version {latest}"
        super().__init__(f"tenant {tenant_id} {found}, not at version {expected}")


class MakerGoneError(RefusedError):
    """The key that makes another has just been deleted."""

    error_code, sentence = (
        "UNAUTHENTICATED",
        "the key in X-API-Key has just been deleted",
    )
