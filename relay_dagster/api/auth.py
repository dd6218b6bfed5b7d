"""Who calls: the key in ``X-API-Key``, and which tenants it reaches."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from relay_dagster.api.problems import ProblemError
from relay_dagster.api.services import Services
from relay_dagster.aws.tenant_store import UnknownTenantError

_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="An admin key, or a key of one tenant."
)
_SCHEME = 'ApiKey realm="relay", header="X-API-Key"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. ``tenant_id`` None is an admin; ``id`` tells callers apart and holds no secret."""

    id: str
    tenant_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the caller reaches all tenants."""
        return self.tenant_id is None

    def reaches(self, tenant_id: str) -> bool:
        """Tell whether a tenant and what belongs to it exist for this caller."""
        return self.tenant_id in (None, tenant_id)

    def require(self, tenant_id: str) -> None:
        """Refuse a tenant that the caller does not reach, as if it did not exist.

        Raises:
            UnknownTenantError: the caller does not reach it.
        """
        if not self.reaches(tenant_id):
            raise UnknownTenantError(tenant_id)


ANONYMOUS = Caller("anonymous")


@dataclass(frozen=True, slots=True)
class AdminKeys:
    """The admin keys, as digests alone."""

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...]) -> AdminKeys:
        """Return the digests of keys."""
        return cls(tuple(map(_digest, keys)))

    def caller(self, key: str) -> Caller | None:
        """Return the admin whose key it is, None for no admin's.

        Every key is compared, in constant time, so that the time taken tells nothing.
        """
        given = _digest(key)
        matches = [hmac.compare_digest(given, digest) for digest in self.digests]
        return Caller(f"admin:{given.hex()[:16]}") if any(matches) else None


def authenticate(
    request: Request, services: Services, key: Annotated[str | None, Security(_HEADER)]
) -> Caller:
    """Return who calls.

    Raises:
        ProblemError: 401, the key is missing or nobody's.
    """
    if services.settings.allow_anonymous:
        return ANONYMOUS
    admin_keys: AdminKeys = request.app.state.admin_keys
    caller = admin_keys.caller(key) if key else None
    if caller is None:
        problem = "is nobody's" if key else "is missing"
        raise ProblemError(
            401,
            "UNAUTHENTICATED",
            f"the key in X-API-Key {problem}",
            headers={"WWW-Authenticate": _SCHEME},
        )
    return caller


Authenticated = Annotated[Caller, Depends(authenticate)]


def _require_admin(caller: Authenticated) -> Caller:
    if not caller.is_admin:
        raise ProblemError(403, "FORBIDDEN", "this needs an admin key")
    return caller


Admin = Annotated[Caller, Depends(_require_admin)]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
