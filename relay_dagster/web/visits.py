"""Visits: calls of signed-in people, and the forms that they send.

A visit is judged by the scopes that its session's key has now, as in the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import SecurityScopes
from pydantic import ValidationError
from starlette.datastructures import QueryParams

from relay_core.domain.destination import is_loopback
from relay_dagster.http import middleware, request_bodies
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security import auth
from relay_dagster.http.security.sessions import form_token, is_same_token
from relay_dagster.settings import Settings
from relay_dagster.tenants.scopes import Scope
from relay_dagster.web.error_words import FieldError
from relay_dagster.wire.base import RequestBody

_OWN_SITES = ("same-origin", "none")
# The fields of a form that belong to one request
_OWN_FIELDS = ("token", "step")
_Body = TypeVar("_Body", bound=RequestBody)


class NotSignedInError(Exception):
    """The visitor has not signed in, or the session has ended."""


@dataclass(frozen=True, slots=True)
class Visit(auth.Call):
    """A call of a signed-in visitor."""

    token: str = ""  # the token of the session's forms

    @property
    def tenant_id(self) -> str:
        """The tenant whose pages these are."""
        return str(self.caller.tenant_id)

    def may(self, scope: str) -> bool:
        """Return True if the session's key has a scope."""
        return scope in self.caller.scopes


def cookie_of(request: Request) -> tuple[str, bool]:
    """Return the name of the session's cookie, and whether it requires TLS.

    It does not if both the request and ``RELAY_PUBLIC_URL`` are of this machine.
    """
    settings: Settings = request.app.state.parts.platform.settings
    public_host = urlsplit(settings.public_url or "").hostname
    hosts = [
        host for host in (request.url.hostname, public_host) if host is not None
    ]
    is_local = all(is_loopback(host) for host in hosts)
    return ("relay", False) if is_local else ("__Host-relay", True)


def session_secret_of(request: Request) -> str:
    """Return the session's secret in the request's cookie, or "" if it has none."""
    name, _ = cookie_of(request)
    return request.cookies.get(name, "")


def begin_visit(request: Request, parts: auth.PartsDep) -> Visit:
    """Return the visit that a request belongs to, and count the request.

    Raises:
        NotSignedInError: The visitor has not signed in.
        RateLimitedError: The tenant has made too many requests or has too many in
            progress, or too many wrong cookies came from the address.
    """
    secret = session_secret_of(request)
    if not secret:
        raise NotSignedInError
    # A tenant that is over its rate is turned away before anything is looked up.
    likely_tenant = parts.sessions.likely_tenant(secret)
    if likely_tenant is not None:
        auth.begin_request(request, parts.rates, likely_tenant)
    address = middleware.address_of(request.scope) or ""
    caller = parts.sessions.caller(secret, address)
    if caller is None or caller.tenant_id is None:
        raise NotSignedInError
    middleware.log_context(request.scope)["caller"] = (
        f"session:{caller.actor.id}"
    )
    if likely_tenant is None:
        auth.begin_request(request, parts.rates, caller.tenant_id)
    origin = auth.origin_of(request, caller)
    return Visit(caller, origin, parts, token=form_token(secret))


def _authorize(
    request: Request,
    visit: Annotated[Visit, Depends(begin_visit)],
    required: SecurityScopes,
) -> Visit:
    if "tenant_id" in request.path_params:
        visit.caller.require(request.path_params["tenant_id"])
    auth.require_scopes(visit.caller, required.scopes)
    return visit


def with_scopes(*scopes: Scope) -> Any:
    """Return the dependency of a page that requires scopes: the visit."""
    return Security(_authorize, scopes=[*scopes])


AnyVisit = Annotated[Visit, Depends(begin_visit)]
Reading = Annotated[Visit, with_scopes(Scope.READ)]
Running = Annotated[Visit, with_scopes(Scope.RUN)]
Releasing = Annotated[Visit, with_scopes(Scope.RELEASE)]
Configuring = Annotated[Visit, with_scopes(Scope.CONFIG)]


# --- forms --------------------------------------------------------------------------


def refuse_foreign(request: Request) -> None:
    """Refuse a form that the browser says another site's page has sent.

    Raises:
        ProblemError: The form is of another page (403).
    """
    origin = urlsplit(request.headers.get("origin", "")).netloc
    is_own_site = request.headers.get("sec-fetch-site", "none") in _OWN_SITES
    if not is_own_site or origin not in ("", request.headers.get("host")):
        message = (
            "another site sent the form; open the page and send it from there"
        )
        raise ProblemError("FORBIDDEN", message)


async def _sign_in_body(request: Request) -> bytes:
    """Return the bytes of the sign-in form, which anybody may send."""
    refuse_foreign(request)
    limit = DEFAULT_API_LIMITS.sign_in_bytes
    return await _body_of_form(request, limit)


async def _own_body(request: Request, visit: AnyVisit) -> bytes:
    """Return the bytes of a form that a signed-in visitor has sent."""
    refuse_foreign(request)
    return await _body_of_form(request, DEFAULT_API_LIMITS.form_bytes)


async def _large_body(request: Request, visit: AnyVisit) -> bytes:
    """Return the bytes of the form that lists SKUs."""
    refuse_foreign(request)
    return await _body_of_form(request, DEFAULT_API_LIMITS.accept_form_bytes)


async def _body_of_form(request: Request, max_bytes: int) -> bytes:
    """Return the bytes of a form, which are not parsed here, on the event loop.

    Raises:
        BodyRefusedError: The form has too many bytes or fields (413), or did not arrive
            in time.
    """
    body = await request_bodies.read_body(request, max_bytes)
    max_fields = DEFAULT_API_LIMITS.form_fields
    if body.count(b"&") >= max_fields:
        detail = f"a form has at most {max_fields:,} fields"
        raise middleware.BodyRefusedError("PAYLOAD_TOO_LARGE", detail)
    return body


def _sign_in_form(
    body: Annotated[bytes, Depends(_sign_in_body)],
) -> QueryParams:
    """Return the fields of the sign-in form."""
    return _parse_form(body)


def _own_form(
    request: Request, body: Annotated[bytes, Depends(_own_body)]
) -> QueryParams:
    """Return the fields of a form that one of the session's pages has sent."""
    return _form_of_session(request, body)


def _large_form(
    request: Request, body: Annotated[bytes, Depends(_large_body)]
) -> QueryParams:
    """Return the fields of the form that lists SKUs, like `_own_form`."""
    return _form_of_session(request, body)


def _form_of_session(request: Request, body: bytes) -> QueryParams:
    """Return the fields of a form with the token of the session.

    Raises:
        ProblemError: The form is of another session (403).
    """
    form = _parse_form(body)
    session_token = form_token(session_secret_of(request))
    if not is_same_token(session_token, form.get("token", "")):
        message = "the form belongs to another session; open the page again"
        raise ProblemError("FORBIDDEN", message)
    return form


def _parse_form(body: bytes) -> QueryParams:
    return QueryParams(body.decode(errors="replace"))


def fields_to_repeat(form: QueryParams) -> list[tuple[str, str]]:
    """Return the names and values of a form for another form that repeats it.

    That form has a token of its own, and its step may be a different one.
    """
    return [
        (name, text)
        for name, text in form.multi_items()
        if name not in _OWN_FIELDS
    ]


SignInForm = Annotated[QueryParams, Depends(_sign_in_form)]
OwnForm = Annotated[QueryParams, Depends(_own_form)]
LargeForm = Annotated[QueryParams, Depends(_large_form)]


@dataclass(frozen=True, slots=True)
class RejectedForm:
    """A form that was not accepted, which its page shows again with its errors."""

    action: str  # the last part of the form's address
    values: QueryParams
    errors: Mapping[str, FieldError]  # keyed by the name of the field


def request_of(model: type[_Body], fields: Mapping[str, Any]) -> _Body:
    """Return the request that a form's fields make.

    Raises:
        ProblemError: The fields are not valid (422), as for a JSON body.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise request_bodies.invalid_body(error) from error
