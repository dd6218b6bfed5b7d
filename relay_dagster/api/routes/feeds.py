"""The stable place of a tenant's feed: where the last good run of all vendors left it.

The feed itself comes from S3 by a link; the pointer to it is moved by the ledger alone.
"""

from typing import Annotated, Any

from fastapi import Header, Response

from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import answers, carrying
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.security.auth import MayRead
from relay_dagster.runs.identifiers import is_id

routes = router("tenants")

_KEPT = ("ETag", "X-Run-Id", "Cache-Control")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **carrying(302, "Location", *_KEPT, description="The feed lies at `Location` for an hour."),
    **carrying(304, *_KEPT, description="The feed is the one that `If-None-Match` names."),
    **answers("TENANT_NOT_FOUND", "FEED_NOT_FOUND"),
}


@routes.get(
    "/v1/tenants/{tenant_id}/feed", status_code=302, response_class=Response, responses=_ANSWERS
)
def get_feed(
    tenant_id: TenantId,
    caller: MayRead,
    platform: PlatformDep,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="The ETag of a feed.")
    ] = None,
) -> Response:
    """Redirect to the merged feed of the last run of all vendors that succeeded."""
    pointer = platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    if pointer is None:
        raise ProblemError("FEED_NOT_FOUND", f"tenant {tenant_id} has no feed yet")
    feed = pointer.in_force
    tag = f'"{feed.sha256}"'
    headers = {"ETag": tag, "X-Run-Id": feed.run_id, "Cache-Control": "no-store"}
    if if_none_match is not None and (if_none_match.strip() == "*" or tag in if_none_match):
        return Response(status_code=304, headers=headers)
    link = platform.objects.presign(feed.key)
    return Response(status_code=302, headers={**headers, "Location": link})
