"""Lets callers in by the key in ``X-API-Key``, as far as its scopes go, or admins alone.

A route says in the type of its call what the key must be good for, and the OpenAPI document shows
it; `authorize` alone judges it. What belongs to a tenant that the caller does not reach does not
exist for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Response, Security
from fastapi.security import APIKeyHeader, SecurityScopes

from relay_dagster.api.http.dependencies import KeyringDep, PlatformDep, RatesDep
from relay_dagster.api.http.middleware import address_of, at_end, log_context, request_id_of
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import ADMIN
from relay_dagster.api.security.api_keys import (
    ANONYMOUS,
    Caller,
    CallerRates,
    KeyExpiredError,
    Keyring,
)
from relay_dagster.aws.dynamodb.api_key_store import Scope
from relay_dagster.tenants.audit import Origin
from relay_dagster.wiring import Platform

_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="An admin key, or a key of one tenant."
)
_SCHEME = 'ApiKey realm="relay", header="X-API-Key"'


@dataclass(frozen=True, slots=True)
class Call:
    """One call of somebody who may make it, as each route takes it."""

    caller: Caller
    origin: Origin  # where what the call does comes from, for whatever stores a change
    platform: Platform
    # Of the answer: its headers, and its status where it is not the route's own
    response: Response = field(default_factory=Response)


def authenticate(
    request: Request,
    platform: PlatformDep,
    keyring: KeyringDep,
    rates: RatesDep,
    key: Annotated[str | None, Security(_HEADER)],
) -> Caller:
    """Return who calls.

    Raises:
        ProblemError: 401, the key is missing, nobody's or has expired.
        RateLimitedError: too many requests came of its tenant, or are in work, or too many wrong
            keys came from its address.
    """
    likely = keyring.likely_tenant(key) if key else None
    if likely is not None:  # limited before anything is looked up
        begin_request(request, rates, likely)
    caller = ANONYMOUS if platform.settings.allow_anonymous else _known(keyring, key, request)
    log_context(request.scope)["caller"] = caller.id
    request.state.is_admin = caller.is_admin
    if caller.tenant_id is None:
        rates.take_admin(caller)
    elif likely is None:
        begin_request(request, rates, caller.tenant_id)
    return caller


def begin_request(request: Request, rates: CallerRates, tenant_id: str) -> None:
    """Count a tenant's request, in work until it is answered; `RateLimitedError`: one too many."""
    rates.begin(tenant_id)
    at_end(request.scope).callback(rates.end, tenant_id)


def _known(keyring: Keyring, key: str | None, request: Request) -> Caller:
    address = address_of(request.scope) or ""
    problem = "is nobody's" if key else "is missing"
    try:
        caller = keyring.caller(key, address) if key else None
    except KeyExpiredError as error:
        caller, problem = None, f"has expired at {error.at:%Y-%m-%dT%H:%M:%SZ}"
    if caller is None:
        raise ProblemError(
            "UNAUTHENTICATED",
            f"the key in X-API-Key {problem}",
            headers={"WWW-Authenticate": _SCHEME},
        )
    return caller


def authorize(
    request: Request,
    caller: Annotated[Caller, Depends(authenticate)],
    platform: PlatformDep,
    response: Response,
    needed: SecurityScopes,
) -> Call:
    """Return the call of somebody whose key is good for what the route needs.

    Raises:
        UnknownTenantError: the path names a tenant that the caller does not reach.
        ProblemError: 403, the call is for admins, or the key lacks its scope.
    """
    if not caller.is_admin:
        if "tenant_id" in request.path_params:
            caller.require(request.path_params["tenant_id"])
        if ADMIN in needed.scopes:
            raise ProblemError("FORBIDDEN", "this needs an admin key")
        require_scopes(caller, needed.scopes)
    return Call(caller, origin_of(request, caller), platform, response)


def require_scopes(caller: Caller, scopes: Iterable[str]) -> None:
    """Refuse a caller whose key lacks a scope; `ProblemError` 403."""
    if missing := [str(scope) for scope in scopes if scope not in caller.scopes]:
        named = ", ".join(missing)
        message = f"the key lacks the scope {named}; use one that has it"
        raise ProblemError("SCOPE_MISSING", message, members={"scopes": missing})


def origin_of(request: Request, caller: Caller) -> Origin:
    """Return where what the request does comes from, as the audit tells it."""
    return Origin(caller.actor, request_id_of(request.scope), address_of(request.scope))


Admin = Annotated[Call, Security(authorize, scopes=[ADMIN])]
MayRead = Annotated[Call, Security(authorize, scopes=[Scope.READ])]
MayRun = Annotated[Call, Security(authorize, scopes=[Scope.RUN])]
MayConfigure = Annotated[Call, Security(authorize, scopes=[Scope.CONFIG])]
MayRelease = Annotated[Call, Security(authorize, scopes=[Scope.RELEASE])]
MayUpload = Annotated[Call, Security(authorize, scopes=[Scope.UPLOAD])]
MayMakeKeys = Annotated[Call, Security(authorize, scopes=[Scope.KEYS])]
