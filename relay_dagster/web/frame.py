"""The frame of every page: rendering, redirects, and errors as pages."""

import hashlib
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse

from relay_core.report.templating import REPORT, pages
from relay_dagster.http import middleware
from relay_dagster.http.problems import ProblemError, report_problem
from relay_dagster.http.security.rate_limits import is_token
from relay_dagster.http.security.sessions import is_same_token, sign_in_token
from relay_dagster.web import error_words, words
from relay_dagster.web.late_forms import LateForm, late_form_of
from relay_dagster.web.visits import NotSignedInError, Visit, cookie_of

PACKAGE = "relay_dagster.web"
HOME = "/app"
CACHE_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
NO_STORE = {"Cache-Control": "no-store"}
_OWN_SCRIPT = "script-src 'self'; connect-src 'self'; "
_PAGE_AFTER_SIGN_IN = re.compile(
    r"/app/(tenants|runs)/[\w/?=&%.+~-]*", re.ASCII
)


# --- responses ----------------------------------------------------------------------


def page(
    template: str,
    visit: Visit | None = None,
    *,
    status: int = 200,
    form_target: str | None = None,  # the URL of a form on another server
    has_script: bool = False,
    headers: Mapping[str, str] | None = None,  # further headers
    **context: Any,
) -> Response:
    """Return a page: a template rendered with a context."""
    _, style_version = stylesheet()
    variables = {
        "visit": visit,
        "words": words,
        "style": style_version,
        **context,
    }
    text = pages(PACKAGE).get_template(template).render(variables)
    return HTMLResponse(
        text.encode(errors="xmlcharrefreplace"),
        status_code=status,
        headers={
            "Content-Security-Policy": _content_policy(form_target, has_script),
            **NO_STORE,
            **(headers or {}),
        },
    )


def _content_policy(form_target: str | None, has_script: bool) -> str:
    """Return the page's Content-Security-Policy."""
    form_targets = "'self'"
    if form_target:
        url = urlsplit(form_target)
        form_targets = f"'self' {url.scheme}://{url.netloc}"
    script = _OWN_SCRIPT if has_script else ""
    return (
        f"default-src 'none'; style-src 'self'; {script}form-action {form_targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


@cache
def stylesheet() -> tuple[str, str]:
    """Return the stylesheet of all pages, which is the report's, and its version."""
    text = _source(REPORT, "page.css")
    return text, hashlib.sha256(text.encode()).hexdigest()[:12]


def script(name: str) -> Response:
    """Return a script of the pages."""
    text = _source(PACKAGE, name)
    return Response(text, media_type="text/javascript", headers=CACHE_FOREVER)


def _source(package: str, name: str) -> str:
    """Return the text of a file beside a package's templates."""
    environment = pages(package)
    assert environment.loader is not None  # noqa: S101 - `pages` always sets one
    text, _, _ = environment.loader.get_source(environment, name)
    return text


def go_to(path: str) -> Response:
    """Return a redirect to a page, which the browser opens after it sent a form."""
    return RedirectResponse(path, status_code=303, headers=NO_STORE)


# --- signing in ---------------------------------------------------------------------


def page_after_sign_in(text: str | None) -> str:
    """Return the path to open after signing in, which is a page of this server."""
    return text if text and _PAGE_AFTER_SIGN_IN.fullmatch(text) else HOME


def is_sign_in_form(request: Request, token: str) -> bool:
    """Return True if a token is that of the sign-in form shown to this browser."""
    cookie = request.cookies.get(_sign_in_cookie_name(request), "")
    return is_token(cookie) and is_same_token(sign_in_token(cookie), token)


def _sign_in_cookie_name(request: Request) -> str:
    name, _ = cookie_of(request)
    return f"{name}-sign-in"


def sign_in_page(
    request: Request,
    *,
    status: int = 200,
    problem: error_words.FieldError | None = None,
    next_path: str | None = None,
    late_form: LateForm | None = None,
) -> Response:
    """Return the sign-in page, and remove the cookie of a session that ended.

    ``problem`` is the error of the key. ``next_path`` is the page to open after signing
    in; the default is the requested page. ``late_form`` is a form that was sent after
    the session ended. A page of another site could send its own sign-in form, so this
    form has a token that belongs to a cookie of the browser.
    """
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        next_path = f"{request.url.path}{query}"
    cookie_name, is_secure = cookie_of(request)
    has_cookie = cookie_name in request.cookies
    form_cookie_name = _sign_in_cookie_name(request)
    form_cookie = request.cookies.get(form_cookie_name, "")
    has_form_cookie = is_token(form_cookie)
    if not has_form_cookie:
        form_cookie = secrets.token_urlsafe(32)
    response = page(
        "sign_in.html.jinja",
        status=status,
        problem=problem,
        has_ended=has_cookie and problem is None,
        next=page_after_sign_in(next_path),
        token=sign_in_token(form_cookie),
        late_form=late_form,
    )
    if not has_form_cookie:
        response.set_cookie(
            form_cookie_name,
            form_cookie,
            secure=is_secure,
            httponly=True,
            samesite="lax",
        )
    if has_cookie:
        response.delete_cookie(
            cookie_name, secure=is_secure, httponly=True, samesite="lax"
        )
    return response


async def _ask_to_sign_in(request: Request) -> Response:
    """Return the sign-in page for a request without a session."""
    late_form = await late_form_of(request)
    return sign_in_page(
        request,
        status=401,
        next_path=late_form.page_path if late_form else None,
        late_form=late_form,
    )


# --- routes -------------------------------------------------------------------------


class PageRoute(APIRoute):
    """A route whose errors are pages, not problem documents."""

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with pages for errors."""
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except middleware.BodyRefusedError:
                raise
            except NotSignedInError:
                return await _ask_to_sign_in(request)
            except Exception as error:  # noqa: BLE001 - every error becomes a page
                return problem_page(request, report_problem(request, error))

        return handle_page


def problem_page(request: Request, problem: ProblemError) -> Response:
    """Return the page of an error."""
    is_supplier = not request.url.path.startswith(HOME)
    error = error_words.page_error(problem, is_supplier=is_supplier)
    return page(
        "problem.html.jinja",
        status=problem.status,
        headers=problem.headers,
        error=error,
        problem=problem,
        request_id=middleware.request_id_of(request.scope),
        back="" if is_supplier else HOME,
    )


def page_router() -> APIRouter:
    """Return a router of pages, which are not part of the OpenAPI document."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)
