"""Why the store of tenants' configs refuses; each has the code that callers are told."""

from typing import ClassVar


class TenantStoreError(Exception):
    """Base of every refusal of this store."""

    error_code: ClassVar[str] = "tenant_store_error"
    sentence: ClassVar[str] = "{}"

    def __init__(self, *facts: object) -> None:
        super().__init__(self.sentence.format(*facts))


class TenantExistsError(TenantStoreError):
    """The tenant already has a config, or another one whose id differs in case alone."""

    error_code = "TENANT_EXISTS"
    sentence = (
        "tenant {}, or one whose id differs in upper and lower case alone, already has a config; "
        "store a new version of it"
    )


class LinkQuotaExceededError(TenantStoreError):
    """The tenant has as many links of the kind as it may have."""

    error_code = "LINK_QUOTA_EXCEEDED"
    sentence = "tenant {} has {} links, the most it may have; revoke one"


class SecretQuotaExceededError(TenantStoreError):
    """The tenant has as many secrets as it may have."""

    error_code = "SECRET_QUOTA_EXCEEDED"
    sentence = "tenant {} has {} secrets, the most it may have; delete one"


class OverrideQuotaExceededError(TenantStoreError):
    """The tenant would have more overrides than it may have."""

    error_code = "OVERRIDE_QUOTA_EXCEEDED"
    sentence = "tenant {} would have more than {:,} overrides; remove those that nobody needs"


class UnknownTenantError(TenantStoreError):
    """The tenant has no config."""

    error_code = "TENANT_NOT_FOUND"
    sentence = "tenant {} has no config"


class VersionMismatchError(TenantStoreError):
    """The latest version is not the expected one; ``latest`` is None for an unknown tenant."""

    error_code = "CONFIG_VERSION_MISMATCH"

    def __init__(self, tenant_id: str, expected: int, latest: int | None) -> None:
        self.latest = latest
        found = "has no config" if latest is None else f"is at version {latest}"
        super().__init__(f"tenant {tenant_id} {found}, not at version {expected}")


class KeyQuotaExceededError(TenantStoreError):
    """The tenant has as many keys as it may have."""

    error_code = "KEY_QUOTA_EXCEEDED"
    sentence = (
        "tenant {} has {} keys, the most it may have, expired ones too; "
        "delete those that nobody needs"
    )


class MakerGoneError(TenantStoreError):
    """The key that makes another has just been deleted."""

    error_code = "UNAUTHENTICATED"
    sentence = "the key in X-API-Key has just been deleted"


class UploadQuotaExceededError(TenantStoreError):
    """The tenant has had as many upload links as it may today; ``wait_seconds`` are left of it."""

    error_code = "UPLOAD_QUOTA_EXCEEDED"

    def __init__(self, tenant_id: str, links_per_day: int, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(
            f"tenant {tenant_id} has had {links_per_day} upload links today (UTC), "
            "which are the most"
        )


class ConfigQuotaExceededError(TenantStoreError):
    """The tenant has had as many versions as it may today; ``wait_seconds`` are left of the day."""

    error_code = "CONFIG_QUOTA_EXCEEDED"

    def __init__(self, tenant_id: str, versions_per_day: int, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(
            f"tenant {tenant_id} has had {versions_per_day} config versions today (UTC), "
            "which are the most"
        )
