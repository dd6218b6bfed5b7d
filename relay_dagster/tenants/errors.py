"""The base of errors of requests, and the errors of requests for a tenant.

None of them is an external error. ``runs/errors.py`` has the errors of runs.
"""

_QUOTA_SENTENCES = {
    "RUN_QUOTA_EXCEEDED": "tenant {} has started the maximum of {} runs in this hour (UTC)",
    "UPLOAD_QUOTA_EXCEEDED": "tenant {} has created the maximum of {} upload links for today (UTC)",
    "CONFIG_QUOTA_EXCEEDED": "tenant {} has stored the maximum of {} config versions "
    "for today (UTC)",
    "LINK_QUOTA_EXCEEDED": "tenant {} has the maximum of {} links; revoke one first",
    "SECRET_QUOTA_EXCEEDED": "tenant {} has the maximum of {} secrets; delete one first",
    "WEBHOOK_QUOTA_EXCEEDED": "tenant {} has the maximum of {} webhooks; delete one first",
    "OVERRIDE_QUOTA_EXCEEDED": "tenant {} would exceed the maximum of {:,} overrides; "
    "remove overrides that are no longer needed",
    "KEY_QUOTA_EXCEEDED": "tenant {} has the maximum of {} keys, including expired keys; "
    "delete keys that are no longer needed",
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
    """The tenant, or one whose id differs only in case, already has a config."""

    error_code = "TENANT_EXISTS"
    sentence = (
        "tenant {}, or one whose id differs only in letter case, already has a config; "
        "store the next version with PUT"
    )


class UnknownTenantError(RefusedError):
    """The tenant has no config."""

    error_code = "TENANT_NOT_FOUND"
    sentence = "tenant {} has no config; check the id, or store a config first"


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
            f"tenant {tenant_id} {state}, not at version {expected}; retrieve the config "
            "again"
        )


class MakerGoneError(RefusedError):
    """The key that creates another key was deleted just now."""

    error_code = "UNAUTHENTICATED"
    sentence = "the key in X-API-Key was just deleted; use another key"


class RestoreTooLateError(RefusedError):
    """The removal of the tenant's data has begun: there is nothing whole to restore."""

    error_code = "RESTORE_TOO_LATE"
    sentence = (
        "tenant {} can no longer be restored, because its data is being deleted"
    )
