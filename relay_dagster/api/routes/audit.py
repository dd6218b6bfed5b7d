"""The audit log, which is read-only."""

from typing import Annotated

from fastapi import Query

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.security.auth import MayRead
from relay_dagster.tenants import audit
from relay_dagster.wire import access as wire

routes = request_parsing.router("audit")
# The rest of a response, around its entries, is shorter than this.
_ENVELOPE_BYTES = 1024
_PAUSE_ACTIONS = (audit.Action.RUNS_PAUSED, audit.Action.RUNS_RESUMED)


@routes.get("/v1/audit")
@responds_with("TENANT_NOT_FOUND")
def list_audit(
    call: MayRead,
    tenant_id: request_parsing.TenantFilter = None,
    action: Annotated[
        audit.Action | None,
        Query(description="Filter by action. The default is every action."),
    ] = None,
    limit: request_parsing.Limit = 50,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(pattern=audit.AUDIT_ID_PATTERN)
    ] = None,
) -> wire.AuditList:
    """List the entries of the audit log, newest first.

    Entries are kept for 400 days. A page may have fewer entries than `limit`; as long
    as `next_cursor` is set, there may be more.
    """
    if tenant_id is not None:
        call.caller.require(tenant_id)
    page = call.platform.audit.list_entries(
        tenant_id or call.caller.tenant_id, action, limit=limit, after=cursor
    )
    items: list[wire.AuditItem] = []
    remaining_bytes = DEFAULT_API_LIMITS.answer_bytes - _ENVELOPE_BYTES
    for entry in page.items:
        document = entry.to_document()
        # Only admins may see why runs are paused.
        if not call.caller.is_admin and entry.action in _PAUSE_ACTIONS:
            del document["details"]["reason"]
        item = wire.AuditItem.model_validate(document)
        remaining_bytes -= len(item.model_dump_json().encode())
        if remaining_bytes < 0:
            return wire.AuditList(audit=items, next_cursor=items[-1].audit_id)
        items.append(item)
    return wire.AuditList(audit=items, next_cursor=page.next_cursor)
