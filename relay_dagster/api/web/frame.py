"""The frame of every page, and signing in; the API's routes answer, by the same scopes."""

import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import HTMLResponse, RedirectResponse

from relay_core.domain.destination import is_loopback
from relay_core.publish.report.templating import REPORT, pages
from relay_dagster.api.http import middleware, request_parsing
from relay_dagster.api.http.problems import ProblemError, report_problem
from relay_dagster.api.security.api_keys import KeyExpiredError
from relay_dagster.api.security.auth import (
    Call,
    PartsDep,
    begin_request,
    origin_of,
    require_scopes,
)
from relay_dagster.api.security.bearers import SESSION_LIFE, form_token, is_form_token
from relay_dagster.api.web import words
from relay_dagster.settings import Settings
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire.base import RequestBody

PACKAGE = "relay_dagster.api.web"
HOME = "/app"
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_OWN_SCRIPT = "script-src 'self'; connect-src 'self'; "
_OWN_SITES = ("same-origin", "none")
_NEXT = re.compile(r"/app/(tenants|runs)/[\w/?=&%.+~-]*", re.ASCII)
_Body = TypeVar("_Body", bound=RequestBody)


class NotSignedInError(Exception):
    """Nobody has signed in here, or no longer."""


@dataclass(frozen=True, slots=True)
class Visit(Call):
    """One call of somebody who has signed in, by the session's key as it is now."""

    token: str = ""  # of the session's forms

    @property
    def tenant_id(self) -> str:
        """The tenant of the pages."""
        return str(self.caller.tenant_id)

    def may(self, scope: str) -> bool:
        """Return whether the session's key has a scope."""
        return scope in self.caller.scopes


# --- who comes ----------------------------------------------------------------------------------


def cookie_of(request: Request) -> tuple[str, bool]:
    """Return what the session's cookie is called, and whether it goes over TLS alone."""
    settings: Settings = request.app.state.parts.platform.settings
    hosts = (request.url.hostname, urlsplit(settings.public_url or "").hostname)
    is_own = all(host is None or is_loopback(host) for host in hosts)
    return ("relay", False) if is_own else ("__Host-relay", True)


def begin_visit(request: Request, parts: PartsDep) -> Visit:
    """Return who has signed in; `NotSignedInError`: nobody; 429: too many requests of a tenant."""
    session_id = request.cookies.get(cookie_of(request)[0], "")
    address = middleware.address_of(request.scope) or ""
    caller = parts.sessions.caller(session_id, address) if session_id else None
    if caller is None or caller.tenant_id is None:
        raise NotSignedInError
    middleware.log_context(request.scope)["caller"] = f"session:{caller.actor.id}"
    begin_request(request, parts.rates, caller.tenant_id)
    return Visit(
        caller, origin_of(request, caller), parts, token=form_token(session_id)
    )


def _authorize(
    request: Request,
    visit: Annotated[Visit, Depends(begin_visit)],
    needed: SecurityScopes,
) -> Visit:
    if "tenant_id" in request.path_params:
        visit.caller.require(request.path_params["tenant_id"])
    require_scopes(visit.caller, needed.scopes)
    return visit


def refuse_foreign(request: Request) -> None:
    """Refuse, with 403, a form of another page, as far as the browser tells."""
    origin = urlsplit(request.headers.get("origin", "")).netloc
    is_own = request.headers.get("sec-fetch-site", "none") in _OWN_SITES
    if not is_own or origin not in ("", request.headers.get("host")):
        raise ProblemError(
            "FORBIDDEN", "the form was sent by another page; send it from this one"
        )


async def sent_form(request: Request) -> QueryParams:
    """Return the fields of a form."""
    refuse_foreign(request)
    body = await request.body()
    request_parsing.require_few_values(body.count(b"&"))
    return QueryParams(body.decode(errors="replace"))


def _own_form(
    request: Request,
    visit: Annotated[Visit, Depends(begin_visit)],
    form: Annotated[QueryParams, Depends(sent_form)],
) -> QueryParams:
    """Return the fields of a form of the session's own pages; 403: it lacks the session's token."""
    session_id = request.cookies.get(cookie_of(request)[0], "")
    if not is_form_token(session_id, form.get("token", "")):
        raise ProblemError(
            "FORBIDDEN", "the form is of another session; open the page again"
        )
    return form


def for_scopes(*scopes: Scope) -> Any:
    """Return the dependency of a page that needs scopes: the visit."""
    return Security(_authorize, scopes=[*scopes])


Reading = Annotated[Visit, for_scopes(Scope.READ)]
Running = Annotated[Visit, for_scopes(Scope.RUN)]
Releasing = Annotated[Visit, for_scopes(Scope.RELEASE)]
Configuring = Annotated[Visit, for_scopes(Scope.CONFIG)]
OwnForm = Annotated[QueryParams, Depends(_own_form)]


def request_of(model: type[_Body], fields: Mapping[str, Any]) -> _Body:
    """Return the request that a form's fields make; 422 with the errors, as for a JSON body."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise request_parsing.invalid_body(error) from error


# --- answers ------------------------------------------------------------------------------------


@cache
def stylesheet() -> tuple[str, str]:
    """Return the one stylesheet, the report's, and its version."""
    environment = pages(REPORT)
    text, _, _ = environment.loader.get_source(environment, "page.css")  # type: ignore[union-attr]
    return text, hashlib.sha256(text.encode()).hexdigest()[:12]


def page(
    template: str,
    visit: Visit | None = None,
    *,
    status: int = 200,
    sends_to: str
    | None = None,  # where a form of it posts to, beside this server's own address
    has_script: bool = False,
    headers: Mapping[str, str] | None = None,  # beside those of every page
    **context: Any,
) -> Response:
    """Return a page: a template that shows a context to somebody."""
    target = urlsplit(sends_to) if sends_to else None
    forms = f"'self' {target.scheme}://{target.netloc}" if target else "'self'"
    own = _OWN_SCRIPT if has_script else ""
    policy = (
        f"default-src 'none'; style-src 'self'; {own}form-action {forms}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    shown = {"visit": visit, "words": words, "style": stylesheet()[1], **context}
    text = pages(PACKAGE).get_template(template).render(shown)
    always = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    body = text.encode(errors="xmlcharrefreplace")
    return HTMLResponse(body, status_code=status, headers={**always, **(headers or {})})


def script(name: str) -> Response:
    """Return a script of the pages' own."""
    environment = pages(PACKAGE)
    text, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
    return Response(text, media_type="text/javascript", headers=FOREVER)


def go_to(path: str) -> Response:
    """Return an answer that leads to a page after a form; it is read anew there."""
    return RedirectResponse(
        path, status_code=303, headers={"Cache-Control": "no-store"}
    )


def next_path(text: str | None) -> str:
    """Return where to go after signing in: a page of ours, or the first one."""
    return text if text and _NEXT.fullmatch(text) else HOME


def sign_in_page(
    request: Request, *, status: int = 200, problem: str = "", then: str | None = None
) -> Response:
    """Return the page that asks for a key, and forget a session that is over.

    ``then`` is where it leads to, by default the page that was asked for.
    """
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        then = f"{request.url.path}{query}"
    name, secure = cookie_of(request)
    had_one = name in request.cookies
    if had_one and not problem:
        problem = "Your session has ended. Sign in again to go on."
    answer = page(
        "sign_in.html.jinja", status=status, problem=problem, next=next_path(then)
    )
    if had_one:
        answer.delete_cookie(name, secure=secure, httponly=True, samesite="lax")
    return answer


class PageRoute(APIRoute):
    """A route whose errors are pages, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with pages in place of problem documents."""
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except middleware.BodyRefusedError:
                raise
            except NotSignedInError:
                return sign_in_page(request, status=401)
            except Exception as error:  # noqa: BLE001 - whatever it is, people are shown a page
                return problem_page(request, report_problem(request, error))

        return handle_page


def problem_page(request: Request, problem: ProblemError) -> Response:
    """Return a problem as a page."""
    return page(
        "problem.html.jinja",
        status=problem.status,
        headers=problem.headers,
        title=words.problem_title(problem.status),
        problem=problem,
        request_id=middleware.request_id_of(request.scope),
        back=HOME if request.url.path.startswith(HOME) else "",
    )


def page_router() -> APIRouter:
    """Return a router of pages; the OpenAPI document has none of them."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


# --- signing in and out, and the files of the pages ----------------------------------------------

routes = page_router()


@routes.get(HOME)
def home(request: Request, parts: PartsDep) -> Response:
    """Lead to the overview who has signed in; ask others for a key."""
    try:
        visit = begin_visit(request, parts)
    except NotSignedInError:
        return sign_in_page(request)
    return go_to(f"{HOME}/tenants/{visit.tenant_id}")


@routes.post(f"{HOME}/sign-in")
def sign_in(
    request: Request, parts: PartsDep, form: Annotated[QueryParams, Depends(sent_form)]
) -> Response:
    """Open a session by a tenant's key; a wrong one counts as a wrong key."""
    name, secure = cookie_of(request)
    refuse = partial(sign_in_page, request, status=401, then=form.get("next"))
    try:
        caller = parts.keyring.caller(
            form.get("key", "").strip(), middleware.address_of(request.scope) or ""
        )
        if caller is not None and caller.tenant_id is not None:
            begin_request(request, parts.rates, caller.tenant_id)
    except KeyExpiredError as error:
        message = f"This key has expired on {error.at:%Y-%m-%d}. Ask for a new one."
        return refuse(problem=message)
    if caller is None:
        message = "This key is not known here. Check that all of it was copied."
        return refuse(problem=message)
    middleware.log_context(request.scope)["caller"] = caller.id
    if caller.is_admin:
        raise ProblemError(
            "FORBIDDEN", "an admin key does not sign in here; use a tenant's key"
        )
    session_id = parts.sessions.open(caller)
    if name in request.cookies:
        parts.sessions.close(request.cookies[name])
    answer = go_to(next_path(form.get("next")))
    seconds = int(SESSION_LIFE.total_seconds())
    answer.set_cookie(
        name, session_id, max_age=seconds, secure=secure, httponly=True, samesite="lax"
    )
    return answer


@routes.post(f"{HOME}/sign-out")
def sign_out(request: Request, parts: PartsDep, form: OwnForm) -> Response:
    """End the session."""
    name, secure = cookie_of(request)
    parts.sessions.close(request.cookies[name])
    answer = go_to(HOME)
    answer.delete_cookie(name, secure=secure, httponly=True, samesite="lax")
    return answer


@routes.get(f"{HOME}/page.css")
def page_css() -> Response:
    """Return the stylesheet, which is the report's."""
    return Response(stylesheet()[0], media_type="text/css", headers=FOREVER)


@routes.get(HOME + "/{path:path}")
def nothing(visit: Annotated[Visit, Depends(begin_visit)]) -> Response:
    """Answer an address that has no page."""
    raise ProblemError("NOT_FOUND", "there is no page at this address")
