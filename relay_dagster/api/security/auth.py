"""Lets callers in by the key in ``X-API-Key``, and admins alone where only they may.

What belongs to a tenant that the caller does not reach does not exist for it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from relay_dagster.api.http.dependencies import KeyringDep, PlatformDep, RatesDep
from relay_dagster.api.http.problems import ProblemError, exceeded
from relay_dagster.api.security.api_keys import ANONYMOUS, Caller, Keyring
from relay_dagster.api.security.rate_limits import RateLimitedError

_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="An admin key, or a key of one tenant."
)
_SCHEME = 'ApiKey realm="relay", header="X-API-Key"'


def authenticate(
    request: Request,
    platform: PlatformDep,
    keyring: KeyringDep,
    rates: RatesDep,
    key: Annotated[str | None, Security(_HEADER)],
) -> Caller:
    """Return who calls.

    Raises:
        ProblemError: 401, the key is missing or nobody's; 429, too many requests came with it, or
            too many wrong keys from its address.
    """
    try:
        caller = ANONYMOUS if platform.settings.allow_anonymous else _known(keyring, key, request)
        rates.take(caller)
    except RateLimitedError as error:
        raise exceeded("RATE_LIMITED", str(error), wait_seconds=error.wait_seconds) from error
    return caller


def _known(keyring: Keyring, key: str | None, request: Request) -> Caller:
    address = request.client.host if request.client else ""
    caller = keyring.caller(key, address) if key else None
    if caller is None:
        problem = "is nobody's" if key else "is missing"
        raise ProblemError(
            "UNAUTHENTICATED",
            f"the key in X-API-Key {problem}",
            headers={"WWW-Authenticate": _SCHEME},
        )
    return caller


Authenticated = Annotated[Caller, Depends(authenticate)]


def require_admin(request: Request, caller: Authenticated) -> Caller:
    """Return the admin who calls.

    Raises:
        UnknownTenantError: the path names a tenant that the caller does not reach.
        ProblemError: 403, the caller is no admin.
    """
    if caller.is_admin:
        return caller
    if "tenant_id" in request.path_params:
        caller.require(request.path_params["tenant_id"])
    raise ProblemError("FORBIDDEN", "this needs an admin key")


Admin = Annotated[Caller, Depends(require_admin)]
