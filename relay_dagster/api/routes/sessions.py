"""Sessions of the pages: list a tenant's signed-in browsers, and sign them out."""

from typing import Annotated

from fastapi import Path

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import Limit, TenantId
from relay_dagster.aws.dynamodb.api_key_store import BrowserSession, SessionEnd
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.cursors import page_by_time
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import MayMakeKeys
from relay_dagster.logs import event_log
from relay_dagster.services.tenants import require_tenant
from relay_dagster.wire import access as wire

routes = request_parsing.router("api keys")
_log = event_log()


@routes.get("/v1/tenants/{tenant_id}/sessions")
def list_sessions(
    tenant_id: TenantId,
    call: MayMakeKeys,
    limit: Limit = 100,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(max_length=200)
    ] = None,
) -> wire.SessionList:
    """List the browsers that are signed in with the tenant's keys, oldest first.

    A session that was opened or ended a moment ago may not be reflected yet.
    """
    require_tenant(call.platform, tenant_id)
    sessions = call.platform.sessions.of_tenant(tenant_id)
    sessions_by_time = {
        by_time(session.created_at, session.digest): session
        for session in sessions
    }
    page, next_cursor = page_by_time(sessions_by_time, limit, cursor)
    return wire.SessionList(
        sessions=[_listed(session) for session in page],
        next_cursor=next_cursor,
    )


def _listed(session: BrowserSession) -> wire.ListedSession:
    return wire.ListedSession(
        session_id=session.session_id,
        key_id=session.key_id,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.ends_at,
    )


@routes.delete("/v1/tenants/{tenant_id}/sessions/{session_id}", status_code=204)
@responds_with("SESSION_NOT_FOUND")
def delete_session(
    tenant_id: TenantId,
    session_id: Annotated[str, Path(description="The session's ID.")],
    call: MayMakeKeys,
) -> None:
    """End a session. The browser has to sign in again."""
    store = call.platform.sessions
    session = store.by_id(tenant_id, session_id)
    if session is None or not store.end(
        session, SessionEnd.DELETED, call.origin
    ):
        message = f"tenant {tenant_id} has no open session {session_id}; check the session ID"
        raise ProblemError("SESSION_NOT_FOUND", message)
    _log.info("session_ended", tenant_id=tenant_id, session_id=session_id)
