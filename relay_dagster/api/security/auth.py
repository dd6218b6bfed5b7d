"""Lets callers in by the key in ``X-API-Key``, as far as its scopes go, or admins alone.

A route says in the type of its call what the key must be good for, and the OpenAPI document shows
it; `authorize` alone judges it. What belongs to a tenant that the caller does not reach does not
exist for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, SecurityScopes

from relay_dagster.api.engine_tasks import EngineTasks
from relay_dagster.api.http.middleware import (
    address_of,
    at_end,
    log_context,
    request_id_of,
)
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import ADMIN
from relay_dagster.api.readiness import ReadinessProbe
from relay_dagster.api.security.api_keys import (
    ANONYMOUS,
    Caller,
    CallerRates,
    KeyExpiredError,
    Keyring,
)
from relay_dagster.api.security.bearers import LinkReaders, Sessions
from relay_dagster.api.security.rate_limits import TokenBuckets
from relay_dagster.aws.dynamodb.api_key_store import Scope
from relay_dagster.tenants.audit import Origin
from relay_dagster.wiring import Platform

_HEADER = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="An admin key, or a key of one tenant.",
)
_SCHEME = 'ApiKey realm="relay", header="X-API-Key"'


@dataclass
class Parts:
    """The parts of the app, its state's ``parts``: ``app.create_app`` or a test makes each once."""

    platform: Platform
    keyring: Keyring
    sessions: Sessions
    link_readers: LinkReaders
    rates: CallerRates
    webhook_tests: TokenBuckets
    readiness: ReadinessProbe
    tasks: EngineTasks


async def parts_of(request: Request) -> Parts:
    """Return the parts of the app that serves a request."""
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of somebody who may make it, as each route takes it."""

    caller: Caller
    origin: Origin  # where what the call does comes from, for whatever stores a change
    parts: Parts

    @property
    def platform(self) -> Platform:
        """The stores, the queue and the ledger."""
        return self.parts.platform


def authenticate(request: Request, parts: Parts, key: str | None) -> Caller:
    """Return who calls; 401: the key is missing, nobody's or has expired.

    `RateLimitedError`: too many requests came of its tenant, or are in work, or too many wrong keys
    came from its address.
    """
    likely, rates = parts.keyring.likely_tenant(key) if key else None, parts.rates
    if likely is not None:  # limited before anything is looked up
        begin_request(request, rates, likely)
    caller, problem = None, "is nobody's" if key else "is missing"
    if parts.platform.settings.allow_anonymous:
        caller = ANONYMOUS
    elif key:
        try:
            caller = parts.keyring.caller(key, address_of(request.scope) or "")
        except KeyExpiredError as error:
            problem = f"has expired at {error.at:%Y-%m-%dT%H:%M:%SZ}"
    if caller is None:
        message = f"the key in X-API-Key {problem}"
        raise ProblemError(
            "UNAUTHENTICATED", message, headers={"WWW-Authenticate": _SCHEME}
        )
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


def authorize(
    request: Request,
    needed: SecurityScopes,
    key: Annotated[str | None, Security(_HEADER)],
) -> Call:
    """Return the call of somebody whose key is good for what the route needs, 403 where it is not.

    `UnknownTenantError`: the path names a tenant that the caller does not reach.
    """
    parts: Parts = request.app.state.parts
    caller = authenticate(request, parts, key)
    if not caller.is_admin:
        if "tenant_id" in request.path_params:
            caller.require(request.path_params["tenant_id"])
        if ADMIN in needed.scopes:
            raise ProblemError("FORBIDDEN", "this needs an admin key")
        require_scopes(caller, needed.scopes)
    return Call(caller, origin_of(request, caller), parts)


def require_scopes(caller: Caller, scopes: Iterable[str]) -> None:
    """Refuse a caller whose key lacks a scope; `ProblemError` 403."""
    if missing := [str(scope) for scope in scopes if scope not in caller.scopes]:
        named = ", ".join(missing)
        message = f"the key lacks the scope {named}; use one that has it"
        raise ProblemError("SCOPE_MISSING", message, members={"scopes": missing})


def origin_of(request: Request, caller: Caller) -> Origin:
    """Return the origin of a request's changes, for their entries in the audit."""
    return Origin(caller.actor, request_id_of(request.scope), address_of(request.scope))


Admin = Annotated[Call, Security(authorize, scopes=[ADMIN])]
MayRead = Annotated[Call, Security(authorize, scopes=[Scope.READ])]
MayRun = Annotated[Call, Security(authorize, scopes=[Scope.RUN])]
MayConfigure = Annotated[Call, Security(authorize, scopes=[Scope.CONFIG])]
MayRelease = Annotated[Call, Security(authorize, scopes=[Scope.RELEASE])]
MayUpload = Annotated[Call, Security(authorize, scopes=[Scope.UPLOAD])]
MayMakeKeys = Annotated[Call, Security(authorize, scopes=[Scope.KEYS])]
