"""The scopes of tenants' keys. What each lets its holder do, the API's routes say."""

from enum import StrEnum


class Scope(StrEnum):
    """What a tenant's key may do."""

    READ = "read"
    RUN = "run"
    CONFIG = "config"
    RELEASE = "release"
    UPLOAD = "upload"
    KEYS = "keys"


DEFAULT_SCOPES = tuple(scope for scope in Scope if scope is not Scope.KEYS)
"""The scopes of a key that is made without any."""
