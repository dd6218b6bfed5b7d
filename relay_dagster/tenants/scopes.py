"""The scopes of tenants' keys. The API's routes say which scope each of them needs."""

from enum import StrEnum


class Scope(StrEnum):
    """A permission of a tenant's key."""

    READ = "read"
    RUN = "run"
    CONFIG = "config"
    RELEASE = "release"
    UPLOAD = "upload"
    KEYS = "keys"


DEFAULT_SCOPES = tuple(scope for scope in Scope if scope is not Scope.KEYS)
"""The scopes of a key that is created without any."""
