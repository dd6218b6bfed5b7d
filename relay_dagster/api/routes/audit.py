"""Who did what: the audit, to be read alone. Whatever changes something adds its own entry."""

from typing import Annotated

from fastapi import Query

from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import INVALID_REQUEST, answers
from relay_dagster.api.http.request_parsing import CURSOR, router
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.security.auth import MayRead
from relay_dagster.runs.identifiers import ID_PATTERN
from relay_dagster.tenants.audit import AUDIT_ID_PATTERN, Action
from relay_dagster.wire.access import AuditItem, AuditList

routes = router("audit")

# What stands around the entries of a list is short.
_BYTES_OF_ENTRIES = DEFAULT_API_LIMITS.answer_bytes - 1024


@routes.get("/v1/audit", responses=answers("TENANT_NOT_FOUND", INVALID_REQUEST))
def list_audit(
    caller: MayRead,
    platform: PlatformDep,
    tenant_id: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="None is every one you reach.")
    ] = None,
    action: Annotated[Action | None, Query(description="None is any.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at the most.")] = 50,
    cursor: Annotated[str | None, Query(pattern=AUDIT_ID_PATTERN, description=CURSOR)] = None,
) -> AuditList:
    """List who did what, newest first; entries are kept for 400 days.

    A page may be shorter than `limit`; as long as it has a `next_cursor` there may be more.
    """
    if tenant_id is not None:
        caller.require(tenant_id)
    whose = tenant_id or caller.tenant_id
    page = platform.audit.list_entries(whose, action, limit=limit, after=cursor)
    shown: list[AuditItem] = []
    left = _BYTES_OF_ENTRIES
    for entry in page.entries:
        document = entry.to_document()
        # Why runs are paused is for admins alone.
        if not caller.is_admin and entry.action in (Action.RUNS_PAUSED, Action.RUNS_RESUMED):
            del document["details"]["reason"]
        item = AuditItem.model_validate(document)
        left -= len(item.model_dump_json().encode())
        if left < 0:
            return AuditList(audit=shown, next_cursor=shown[-1].audit_id)
        shown.append(item)
    return AuditList(audit=shown, next_cursor=page.next_after)
