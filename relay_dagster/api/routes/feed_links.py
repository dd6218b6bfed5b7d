"""Links to a tenant's feed and for its suppliers: made, listed, revoked; the feed behind a link.

A link is shown where it is made, and once. The feed is for programs that take a plain URL: no key,
no redirect, streamed.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import Path, Request, Response
from starlette.responses import StreamingResponse

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.middleware import address_of, at_end, log_context
from relay_dagster.api.http.problems import ProblemError, invalid_request, unavailable
from relay_dagster.api.http.request_parsing import (
    Limit,
    TenantId,
    cursor_query,
    request_body,
    router,
)
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.routes.uploads import prefix_of
from relay_dagster.api.security.auth import (
    Call,
    MayConfigure,
    MayRead,
    MayUpload,
    PartsDep,
)
from relay_dagster.aws.dynamodb.codec import by_time, digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, link_id_of
from relay_dagster.aws.dynamodb.table import read_cursor, to_cursor
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import access as wire

routes = router("feeds")
_log = event_log()
_MAX_LIFE = timedelta(days=366)
_REFUSED = ("TENANT_CLOSING", "LINK_QUOTA_EXCEEDED", "PUBLIC_URL_MISSING")
_PATHS = {LinkKind.FEED: "/f/", LinkKind.SUPPLIER: "/s/"}
_LinkId = Annotated[str, Path(description="What `POST` named it.")]


@routes.post("/v1/tenants/{tenant_id}/feed-links", status_code=201)
@responds_with(*_REFUSED, headers=("Cache-Control",))
def create_feed_link(
    tenant_id: TenantId,
    call: MayConfigure,
    asked: Annotated[wire.FeedLinkRequest, request_body(wire.FeedLinkRequest)],
) -> wire.NewFeedLink:
    """Make a link that gives whoever has it the feed in force. It is shown this once."""
    require_tenant(call.platform, tenant_id)
    return wire.NewFeedLink(**_made(call, tenant_id, LinkKind.FEED, asked))


def _made(
    call: Call,
    tenant_id: str,
    kind: LinkKind,
    asked: wire.FeedLinkRequest | wire.SupplierLinkRequest,
    vendor_id: str | None = None,
) -> dict[str, str]:
    """Store a link; return its id and its URL, whose token is shown this once."""
    now, public_url = utc_now(), call.platform.settings.public_url
    if asked.expires_at is not None and asked.expires_at <= now:
        message = "lies in the past; name a later instant"
        raise invalid_request([ConfigFault("expires_at", message)])
    if public_url is None:
        message = "a link needs RELAY_PUBLIC_URL, where this API is reached, in its environment"
        raise ProblemError("PUBLIC_URL_MISSING", message)
    token = secrets.token_urlsafe(32)
    digest = digest_of(token)
    link = Link(
        link_id=link_id_of(digest),
        tenant_id=tenant_id,
        kind=kind,
        digest=digest,
        name=asked.name,
        created_at=now,
        created_by=call.caller.id,
        expires_at=asked.expires_at,
        vendor_id=vendor_id,
    )
    call.platform.links.add(link, call.origin)
    _log.info(f"{kind}_link_created", tenant_id=tenant_id, link_id=link.link_id)
    call.response.headers["Cache-Control"] = "no-store"
    return {"link_id": link.link_id, "url": f"{public_url}{_PATHS[kind]}{token}"}


@routes.get("/v1/tenants/{tenant_id}/feed-links")
def list_feed_links(tenant_id: TenantId, call: MayRead) -> wire.FeedLinkList:
    """List a tenant's links to its feed, the oldest first, without their URLs."""
    require_tenant(call.platform, tenant_id)
    found = call.platform.links.of_tenant(tenant_id, LinkKind.FEED)
    return wire.FeedLinkList(feed_links=[*map(wire.ListedFeedLink.of, found)])


@routes.delete("/v1/tenants/{tenant_id}/feed-links/{link_id}", status_code=204)
@responds_with("LINK_NOT_FOUND")
def delete_feed_link(tenant_id: TenantId, link_id: _LinkId, call: MayConfigure) -> None:
    """Revoke a link to a tenant's feed; from now on it is nobody's."""
    _revoke(call, tenant_id, link_id, LinkKind.FEED)


def _revoke(call: Call, tenant_id: str, link_id: str, kind: LinkKind) -> None:
    if not call.platform.links.remove(tenant_id, link_id, kind, call.origin):
        raise ProblemError(
            "LINK_NOT_FOUND", f"tenant {tenant_id} has no link {link_id}"
        )
    _log.info(f"{kind}_link_deleted", tenant_id=tenant_id, link_id=link_id)


@routes.post("/v1/tenants/{tenant_id}/supplier-links", status_code=201)
@responds_with(*_REFUSED, "UNKNOWN_VENDOR", *STORED_CONFIG, headers=("Cache-Control",))
def create_supplier_link(
    tenant_id: TenantId,
    call: MayUpload,
    asked: Annotated[wire.SupplierLinkRequest, request_body(wire.SupplierLinkRequest)],
) -> wire.NewSupplierLink:
    """Make a link to a page by which a vendor's supplier uploads lists. It is shown this once."""
    prefix_of(asked.vendor_id, find_config(call.platform, tenant_id), call.platform)
    if asked.expires_at > utc_now() + _MAX_LIFE:
        raise invalid_request(
            [ConfigFault("expires_at", "lies more than a year ahead")]
        )
    made = _made(call, tenant_id, LinkKind.SUPPLIER, asked, asked.vendor_id)
    return wire.NewSupplierLink(**made)


@routes.get("/v1/tenants/{tenant_id}/supplier-links")
def list_supplier_links(
    tenant_id: TenantId,
    call: MayRead,
    limit: Limit = 100,
    cursor: Annotated[str | None, cursor_query(max_length=200)] = None,
) -> wire.SupplierLinkList:
    """List a tenant's links for suppliers, the oldest first, without their URLs."""
    require_tenant(call.platform, tenant_id)
    begin = "" if cursor is None else "#".join(read_cursor(cursor))
    found = call.platform.links.of_tenant(tenant_id, LinkKind.SUPPLIER)
    places = {by_time(each.created_at, each.link_id): each for each in found}
    left = [place for place in places if place >= begin]
    return wire.SupplierLinkList(
        supplier_links=[
            wire.ListedSupplierLink.of(places[each]) for each in left[:limit]
        ],
        next_cursor=to_cursor(left[limit]) if left[limit:] else None,
    )


@routes.delete("/v1/tenants/{tenant_id}/supplier-links/{link_id}", status_code=204)
@responds_with("LINK_NOT_FOUND")
def delete_supplier_link(
    tenant_id: TenantId, link_id: _LinkId, call: MayUpload
) -> None:
    """Revoke a supplier's link; from now on it is nobody's."""
    _revoke(call, tenant_id, link_id, LinkKind.SUPPLIER)


def read_linked_feed(token: str, request: Request, parts: PartsDep) -> Response:
    """Return the feed in force, or the part of it that is asked for.

    404: the link is nobody's, or there is no feed; 429 and 503: there are too many reads.
    """
    platform, readers = parts.platform, parts.link_readers
    link = readers.link(token, address_of(request.scope) or "")
    if link is None:
        raise ProblemError(
            "NOT_FOUND", "the link is nobody's, has expired or was revoked"
        )
    log_context(request.scope)["caller"] = f"feed_link:{link.link_id}"
    platform.links.note_use(link)
    pointer = platform.runs.feed(link.tenant_id)
    feed = None if pointer is None else pointer.in_force
    head = None if feed is None else platform.objects.head(feed.key)
    if feed is None or head is None:
        raise ProblemError("FEED_NOT_FOUND", "there is no feed yet")
    version = FileVersion(f'"{feed.sha256}"', feed.published_at)
    headers = {
        "ETag": version.etag,
        "Last-Modified": version.last_modified,
        "Cache-Control": "private, no-cache",
    }
    if version.is_known(request.headers):
        return Response(status_code=304, headers=headers)
    name = f"{link.tenant_id}{PurePosixPath(feed.key).suffix}"
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": head.content_type,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(head.size)})
    status, start, stop = 200, 0, head.size
    try:
        part = version.wanted(request.headers, head.size)
    except NotSatisfiableError:
        return Response(
            status_code=416, headers={"Content-Range": f"bytes */{head.size}"}
        )
    if part is not None:
        status, (start, stop) = 206, part
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{head.size}"
    end = readers.begin(link.link_id)
    if end is None:
        raise unavailable("FEED_LINKS_BUSY", "too many read the feed just now")
    at_end(request.scope).callback(
        end
    )  # once the feed is there, or its sending is broken off
    headers["Content-Length"] = str(stop - start)
    chunks = platform.objects.chunks(feed.key, start, stop)
    return StreamingResponse(chunks, status_code=status, headers=headers)


_RANGE = re.compile(r"bytes=\s*([0-9]{0,99})\s*-\s*([0-9]{0,99})\s*", re.IGNORECASE)


class NotSatisfiableError(Exception):
    """No byte of the file lies in the range that is asked for."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file."""

    etag: str  # strong, with its quotes
    modified_at: datetime  # since when it is this one

    @property
    def last_modified(self) -> str:
        """The instant as a header has it, in whole seconds."""
        return format_datetime(self._second, usegmt=True)

    @property
    def _second(self) -> datetime:
        return self.modified_at.astimezone(UTC).replace(microsecond=0)

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request names this version: 304 will do."""
        given = headers.get("if-none-match")
        if given is not None:
            tags = (tag.strip().removeprefix("W/") for tag in given.split(","))
            return given.strip() == "*" or self.etag in tags
        since = _instant(headers.get("if-modified-since"))
        return since is not None and self._second <= since

    def wanted(self, headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
        """Return the part that a request asks for, from and up to; None for the whole.

        Several ranges, and what is no range of bytes, ask for the whole. `NotSatisfiableError`: the
        file ends before the range begins.
        """
        asked = _RANGE.fullmatch(headers.get("range", "").strip())
        if (
            asked is None
            or not any(asked.groups())
            or not self._still(headers.get("if-range"))
        ):
            return None
        first, last = asked.groups()
        if not first:
            start, stop = max(size - int(last), 0), size
        else:
            start, stop = int(first), min(int(last) + 1 if last else size, size)
            if last and int(last) < int(first):
                return None
        if start >= size or start >= stop:
            raise NotSatisfiableError
        return start, stop

    def _still(self, if_range: str | None) -> bool:
        """Return whether the part that a client has is of this version."""
        if if_range is None:
            return True
        return if_range.strip() == self.etag or _instant(if_range) == self._second


def _instant(text: str | None) -> datetime | None:
    try:
        found = None if text is None else parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return (
        found.replace(tzinfo=UTC)
        if found is not None and found.tzinfo is None
        else found
    )
