"""The base of every refusal, and the refusals of what is asked for a tenant.

None of them is an external error. The refusals of runs are in ``runs/errors.py``.
"""

_QUOTA_SENTENCES = {
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
    """Base of every refusal: its code for callers, and a sentence filled with facts."""

    error_code: str = "refused"
    sentence: str = "{}"

    def __init__(self, *facts: object) -> None:
        super().__init__(self.sentence.format(*facts))


class QuotaExceededError(RefusedError):
    """A tenant has as many of something as it may have.

    ``wait_seconds`` is the time until it may have another; None says that waiting does
    not help, and that something must be removed first.
    """

    def __init__(
        self,
        error_code: str,
        tenant_id: str,
        quota: int,
        wait_seconds: float | None = None,
    ) -> None:
        self.error_code = error_code
        self.sentence = _QUOTA_SENTENCES[error_code]
        self.wait_seconds = wait_seconds
        super().__init__(tenant_id, quota)


class TenantExistsError(RefusedError):
    """The tenant, or one whose id differs in case alone, already has a config."""

    error_code = "TENANT_EXISTS"
    sentence = (
        "tenant {}, or one whose id differs in upper and lower case alone, already has a config; "
        "store a new version of it"
    )


class UnknownTenantError(RefusedError):
    """The tenant has no config."""

    error_code = "TENANT_NOT_FOUND"
    sentence = "tenant {} has no config"


class VersionMismatchError(RefusedError):
    """The latest config version is not the expected one.

    ``latest`` is None for an unknown tenant.
    """

    error_code = "CONFIG_VERSION_MISMATCH"

    def __init__(
        self, tenant_id: str, expected: int, latest: int | None
    ) -> None:
        self.latest = latest
        state = "has no config" if latest is None else f"is at version {latest}"
        super().__init__(
            f"tenant {tenant_id} {state}, not at version {expected}"
        )


class MakerGoneError(RefusedError):
    """The key that creates another key was deleted just now."""

    error_code = "UNAUTHENTICATED"
    sentence = "the key in X-API-Key has just been deleted"


class RestoreTooLateError(RefusedError):
    """The removal of the tenant's data has begun: there is nothing whole to restore."""

    error_code = "RESTORE_TOO_LATE"
    sentence = "the time to restore tenant {} is over; its deletion goes on"
