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
from relay_dagster.api.http import middleware, request_parsing
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.security import auth
from relay_dagster.api.security.bearers import form_token, is_form_token
from relay_dagster.api.web.error_words import FieldError
from relay_dagster.settings import Settings
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire.base import RequestBody

_OWN_SITES = ("same-origin", "none")
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


def session_id_of(request: Request) -> str:
    """Return the session ID in the request's cookie, or "" if it has none."""
    name, _ = cookie_of(request)
    return request.cookies.get(name, "")


def begin_visit(request: Request, parts: auth.PartsDep) -> Visit:
    """Return the visit that a request belongs to, and count the request.

    Raises:
        NotSignedInError: The visitor has not signed in.
        RateLimitedError: The tenant has made too many requests.
    """
    session_id = session_id_of(request)
    if not session_id:
        raise NotSignedInError
    address = middleware.address_of(request.scope) or ""
    caller = parts.sessions.caller(session_id, address)
    if caller is None or caller.tenant_id is None:
        raise NotSignedInError
    middleware.log_context(request.scope)["caller"] = (
        f"session:{caller.actor.id}"
    )
    auth.begin_request(request, parts.rates, caller.tenant_id)
    origin = auth.origin_of(request, caller)
    return Visit(caller, origin, parts, token=form_token(session_id))


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


async def sent_form(request: Request) -> QueryParams:
    """Return the fields of a form.

    Raises:
        ProblemError: The form is of another page (403), or has too many fields (422).
    """
    refuse_foreign(request)
    body = await request.body()
    request_parsing.require_few_values(body.count(b"&"))
    return QueryParams(body.decode(errors="replace"))


def _own_form(
    request: Request,
    visit: AnyVisit,
    form: Annotated[QueryParams, Depends(sent_form)],
) -> QueryParams:
    """Return the fields of a form that one of the session's pages has sent."""
    if not is_form_token(session_id_of(request), form.get("token", "")):
        message = "the form belongs to another session; open the page again"
        raise ProblemError("FORBIDDEN", message)
    return form


AnyForm = Annotated[QueryParams, Depends(sent_form)]
OwnForm = Annotated[QueryParams, Depends(_own_form)]


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
        raise request_parsing.invalid_body(error) from error
