"""Signing in and out, the stylesheet, and addresses without a page."""

from fastapi import Request, Response

from relay_core.report import display
from relay_dagster.aws.dynamodb.api_key_store import SessionEnd
from relay_dagster.http import middleware
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.api_keys import Caller, KeyExpiredError
from relay_dagster.http.security.auth import (
    Parts,
    PartsDep,
    begin_request,
    origin_of,
)
from relay_dagster.http.security.sessions import SESSION_LIFE, form_token
from relay_dagster.logs import event_log
from relay_dagster.services import tenants
from relay_dagster.tenants.scopes import Scope
from relay_dagster.web import frame, visits
from relay_dagster.web.error_words import FieldError
from relay_dagster.web.late_forms import LateForm

routes = frame.page_router()
_log = event_log()


@routes.get("/")
def root() -> Response:
    """Redirect the bare address of the server to the pages."""
    return frame.go_to(frame.HOME)


@routes.get(frame.HOME)
def home(request: Request, parts: PartsDep) -> Response:
    """Redirect signed-in users to the overview; show everyone else the sign-in form."""
    try:
        visit = visits.begin_visit(request, parts)
    except visits.NotSignedInError:
        return frame.sign_in_page(request)
    root = f"{frame.HOME}/tenants/{visit.tenant_id}"
    # A tenant without vendors begins with its first one.
    if visit.may(Scope.CONFIG) and not _has_vendors(visit):
        return frame.go_to(f"{root}/settings/new-vendor")
    return frame.go_to(root)


def _has_vendors(visit: visits.Visit) -> bool:
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return bool(tenants.stored_document(stored).get("vendors"))


@routes.post(f"{frame.HOME}/sign-in")
def sign_in(
    request: Request, parts: PartsDep, form: visits.SignInForm
) -> Response:
    """Open a session for a tenant's key. The form must be of the same browser."""
    late_form = None
    if form.get("form"):
        late_form = LateForm(form.get("form_path", ""), form["form"])

    def refuse(text: str, hint: str, *, status: int = 401) -> Response:
        _log.warning("sign_in_failed", status=status, reason=text)
        parts.platform.metrics.access_denied()
        return frame.sign_in_page(
            request,
            status=status,
            problem=FieldError(text, hint),
            next_path=form.get("next"),
            late_form=late_form,
        )

    if not frame.is_sign_in_form(request, form.get("token", "")):
        return refuse(
            "This form has expired.",
            "Enter the key again. The browser must accept cookies.",
            status=403,
        )
    address = middleware.address_of(request.scope) or ""
    try:
        caller = parts.keyring.caller(form.get("key", "").strip(), address)
    except KeyExpiredError as error:
        date = display.day(error.at)
        return refuse(
            f"This key expired on {date}.",
            "Ask your administrator for a new key.",
        )
    if caller is None:
        return refuse(
            "This key is not valid.", "Check that you copied the whole key."
        )
    if caller.tenant_id is not None:
        begin_request(request, parts.rates, caller.tenant_id)
    middleware.log_context(request.scope)["caller"] = caller.id
    if caller.is_admin:
        return refuse(
            "This is an admin key.", "Use a tenant key to sign in.", status=403
        )
    return _signed_in(request, parts, caller, form.get("next"), late_form)


def _signed_in(
    request: Request,
    parts: Parts,
    caller: Caller,
    next_path: str | None,
    late_form: LateForm | None,
) -> Response:
    """Open a session, and lead the browser with its cookie to the next page.

    That is the page of a late form, if the caller can send it again.
    """
    origin = origin_of(request, caller)
    earlier_secret = visits.session_secret_of(request)
    if earlier_secret:
        # The browser had a session already, of this key or of another one.
        parts.sessions.close(earlier_secret, SessionEnd.REPLACED, origin)
    secret = parts.sessions.open(caller, origin)
    cookie_name, is_secure = visits.cookie_of(request)
    response = frame.go_to(frame.page_after_sign_in(next_path))
    if late_form is not None and late_form.can_be_sent_by(caller.tenant_id):
        visit = visits.Visit(caller, origin, parts, token=form_token(secret))
        response = frame.page(
            "late_form.html.jinja", visit, late_form=late_form
        )
    response.set_cookie(
        cookie_name,
        secret,
        max_age=int(SESSION_LIFE.total_seconds()),
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )
    return response


@routes.post(f"{frame.HOME}/sign-out")
def sign_out(
    request: Request, visit: visits.AnyVisit, form: visits.OwnForm
) -> Response:
    """Close the session."""
    visit.parts.sessions.close(
        visits.session_secret_of(request), SessionEnd.SIGNED_OUT, visit.origin
    )
    cookie_name, is_secure = visits.cookie_of(request)
    response = frame.go_to(frame.HOME)
    response.delete_cookie(
        cookie_name, secure=is_secure, httponly=True, samesite="lax"
    )
    return response


@routes.get(f"{frame.HOME}/page.css")
def page_css() -> Response:
    """Return the stylesheet of all pages."""
    text, _ = frame.stylesheet()
    return Response(text, media_type="text/css", headers=frame.CACHE_FOREVER)


@routes.get(frame.HOME + "/{path:path}")
def unknown_page(visit: visits.AnyVisit) -> Response:
    """Answer a request for a page that does not exist."""
    raise ProblemError("NOT_FOUND", "there is no page at this address")
