"""Signing in by a tenant's key, and out again; the files of the pages themselves."""

from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.datastructures import QueryParams

from relay_dagster.api.http.dependencies import KeyringDep, PlatformDep, RatesDep, SessionsDep
from relay_dagster.api.http.middleware import address_of, log_context
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.security.api_keys import KeyExpiredError
from relay_dagster.api.security.auth import begin_request
from relay_dagster.api.security.bearers import LIFE
from relay_dagster.api.web import frame

routes = frame.page_router()


@routes.get(frame.HOME)
def home(
    request: Request, platform: PlatformDep, sessions: SessionsDep, rates: RatesDep
) -> Response:
    """Lead to the overview who has signed in; ask others for a key."""
    try:
        visit = frame.begin_visit(request, platform, sessions, rates)
    except frame.NotSignedInError:
        return frame.sign_in_page(request)
    return frame.go_to(f"{frame.HOME}/tenants/{visit.tenant_id}")


@routes.post(f"{frame.HOME}/sign-in")
def sign_in(
    request: Request,
    keyring: KeyringDep,
    sessions: SessionsDep,
    rates: RatesDep,
    form: Annotated[QueryParams, Depends(frame.sent_form)],
) -> Response:
    """Open a session by a tenant's key; a wrong one counts as a wrong key."""
    name, secure = frame.cookie_of(request)
    try:
        caller = keyring.caller(form.get("key", "").strip(), address_of(request.scope) or "")
        if caller is not None and caller.tenant_id is not None:
            begin_request(request, rates, caller.tenant_id)
    except KeyExpiredError as error:
        message = f"This key has expired on {error.at:%Y-%m-%d}. Ask for a new one."
        return frame.sign_in_page(request, status=401, problem=message)
    if caller is None:
        message = "This key is not known here. Check that all of it was copied."
        return frame.sign_in_page(request, status=401, problem=message)
    log_context(request.scope)["caller"] = caller.id
    if caller.is_admin:
        raise ProblemError("FORBIDDEN", "an admin key does not sign in here; use a tenant's key")
    session_id = sessions.open(caller)
    if name in request.cookies:
        sessions.close(request.cookies[name])
    answer = frame.go_to(frame.next_path(form.get("next")))
    seconds = int(LIFE.total_seconds())
    answer.set_cookie(
        name, session_id, max_age=seconds, secure=secure, httponly=True, samesite="lax"
    )
    return answer


@routes.post(f"{frame.HOME}/sign-out")
def sign_out(request: Request, sessions: SessionsDep, form: frame.OwnForm) -> Response:
    """End the session."""
    name, secure = frame.cookie_of(request)
    sessions.close(request.cookies[name])
    answer = frame.go_to(frame.HOME)
    answer.delete_cookie(name, secure=secure, httponly=True, samesite="lax")
    return answer


@routes.get(f"{frame.HOME}/page.css")
def page_css() -> Response:
    """Return the stylesheet, which is the report's."""
    return Response(frame.stylesheet()[0], media_type="text/css", headers=frame.FOREVER)


@routes.get(frame.HOME + "/{path:path}")
def nothing(visit: Annotated[frame.Visit, Depends(frame.begin_visit)]) -> Response:
    """Answer for what no page is at."""
    raise ProblemError("NOT_FOUND", "there is no page at this address")
