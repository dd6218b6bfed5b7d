"""Authentication by the key in ``X-API-Key``, and authorization by its scopes.

The type of a route's `Call` says which scope a key must have, and the OpenAPI document
shows it. Only `authorize` decides. To a caller that cannot access a tenant, nothing of
that tenant exists.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, SecurityScopes

from relay_dagster.aws.dynamodb.link_store import Link, LinkKind
from relay_dagster.http import middleware
from relay_dagster.http.engine_tasks import EngineTasks
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.readiness import ReadinessProbe
from relay_dagster.http.security import api_keys
from relay_dagster.http.security.api_keys import Caller, CallerRates
from relay_dagster.http.security.links import LinkReaders
from relay_dagster.http.security.rate_limits import TokenBuckets
from relay_dagster.http.security.sessions import Sessions
from relay_dagster.tenants.audit import Origin
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wiring import Platform

ADMIN = "admin"
"""The scope of routes for admins only. All other scopes belong to tenants' keys."""
_HEADER = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="An admin key, or a key of a tenant.",
)
_READING_METHODS = ("GET", "HEAD")
_SCHEME = 'ApiKey realm="relay", header="X-API-Key"'


@dataclass
class Parts:
    """The parts that all routes of an app share: ``parts`` of the app's state."""

    platform: Platform
    keyring: api_keys.Keyring
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
    """A request that its caller may make, as the routes get it."""

    caller: Caller
    origin: Origin  # the origin of the request's changes, for the audit log
    parts: Parts

    @property
    def platform(self) -> Platform:
        """The stores, the queue and the ledger."""
        return self.parts.platform


def authenticate(request: Request, parts: Parts, key: str | None) -> Caller:
    """Return the caller of a request, and count the request.

    Raises:
        ProblemError: The key is missing, wrong or expired (401).
        RateLimitedError: The key's tenant has made too many requests, too many of its
            requests are being handled, or too many wrong keys came from the address.
    """
    # A tenant that is over its rate is turned away before anything is looked up.
    likely_tenant = parts.keyring.likely_tenant(key) if key else None
    if likely_tenant is not None:
        begin_request(request, parts.rates, likely_tenant)
    caller = _caller_of(request, parts, key)
    middleware.log_context(request.scope)["caller"] = caller.id
    request.state.is_admin = caller.is_admin
    if caller.tenant_id is None:
        parts.rates.admins.take(caller.id)
    elif likely_tenant is None:
        begin_request(request, parts.rates, caller.tenant_id)
    return caller


def _caller_of(request: Request, parts: Parts, key: str | None) -> Caller:
    if parts.platform.settings.allow_anonymous:
        return api_keys.ANONYMOUS
    if not key:
        raise _unauthenticated("is missing; send your key in this header")
    address = middleware.address_of(request.scope) or ""
    try:
        caller = parts.keyring.caller(key, address)
    except api_keys.KeyExpiredError as error:
        expired_at = f"{error.at:%Y-%m-%dT%H:%M:%SZ}"
        raise _unauthenticated(
            f"expired at {expired_at}; use another key"
        ) from error
    if caller is None:
        raise _unauthenticated("is unknown; check the key, or create a new one")
    return caller


def _unauthenticated(problem: str) -> ProblemError:
    message = f"the key in X-API-Key {problem}"
    headers = {"WWW-Authenticate": _SCHEME}
    return ProblemError("UNAUTHENTICATED", message, headers=headers)


def link_of(
    request: Request, parts: Parts, token: str, kind: LinkKind
) -> Link | None:
    """Return the link with a token, or None; count the request with it.

    Raises:
        RateLimitedError: The link is used too often, its tenant has made too many
            requests or has too many in progress, or too many wrong links came from the
            address.
    """
    readers = parts.link_readers
    likely_tenant = readers.likely_tenant(token)
    if likely_tenant is not None:
        begin_request(request, parts.rates, likely_tenant)
    address = middleware.address_of(request.scope) or ""
    link = readers.link(token, address, kind)
    if link is None:
        return None
    log_context = middleware.log_context(request.scope)
    log_context["caller"] = f"{kind}_link:{link.link_id}"
    if likely_tenant is None:
        begin_request(request, parts.rates, link.tenant_id)
    parts.platform.links.note_use(link)
    return link


def begin_request(request: Request, rates: CallerRates, tenant_id: str) -> None:
    """Count a tenant's request, which is being handled until its response is sent.

    Raises:
        RateLimitedError: The tenant made too many requests, or too many are being
            handled.
    """
    rates.begin(tenant_id)
    middleware.at_end(request.scope).callback(rates.end, tenant_id)


def authorize(
    request: Request,
    required: SecurityScopes,
    key: Annotated[str | None, Security(_HEADER)],
) -> Call:
    """Return the call of a caller whose key has the route's scopes.

    Raises:
        ProblemError: The key does not have them (403), or `authenticate` refuses it.
        UnknownTenantError: The path names a tenant that the caller cannot access.
    """
    parts: Parts = request.app.state.parts
    caller = authenticate(request, parts, key)
    if caller.reads_only and request.method not in _READING_METHODS:
        message = "the key can only read; use an admin key that can change data"
        raise ProblemError("FORBIDDEN", message)
    if not caller.is_admin:
        if "tenant_id" in request.path_params:
            caller.require(request.path_params["tenant_id"])
        if ADMIN in required.scopes:
            raise ProblemError("FORBIDDEN", "the call requires an admin key")
        require_scopes(caller, required.scopes)
    return Call(caller, origin_of(request, caller), parts)


def require_scopes(caller: Caller, scopes: Iterable[str]) -> None:
    """Require that a caller's key has some scopes.

    Raises:
        ProblemError: The key lacks one of them (403).
    """
    missing = [str(scope) for scope in scopes if scope not in caller.scopes]
    if missing:
        names = ", ".join(missing)
        message = f"the key lacks the scope {names}; use a key that has it"
        raise ProblemError(
            "SCOPE_MISSING", message, members={"scopes": missing}
        )


def origin_of(request: Request, caller: Caller) -> Origin:
    """Return the origin of a request's changes, for their entries in the audit log."""
    scope = request.scope
    request_id = middleware.request_id_of(scope)
    return Origin(caller.actor, request_id, middleware.address_of(scope))


Admin = Annotated[Call, Security(authorize, scopes=[ADMIN])]
MayRead = Annotated[Call, Security(authorize, scopes=[Scope.READ])]
MayRun = Annotated[Call, Security(authorize, scopes=[Scope.RUN])]
MayConfigure = Annotated[Call, Security(authorize, scopes=[Scope.CONFIG])]
MayRelease = Annotated[Call, Security(authorize, scopes=[Scope.RELEASE])]
MayUpload = Annotated[Call, Security(authorize, scopes=[Scope.UPLOAD])]
MayMakeKeys = Annotated[Call, Security(authorize, scopes=[Scope.KEYS])]
