"""The feed behind a link, for programs that take a plain URL: no key, no redirect, streamed."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from relay_dagster.api.http.conditional import FileVersion, NotSatisfiableError
from relay_dagster.api.http.dependencies import LinkReadersDep, PlatformDep
from relay_dagster.api.http.middleware import address_of, log_context
from relay_dagster.api.http.problems import ProblemError, exceeded, unavailable
from relay_dagster.api.security.rate_limits import RateLimitedError


def read_linked_feed(
    token: str, request: Request, platform: PlatformDep, readers: LinkReadersDep
) -> Response:
    """Return the feed in force, or the part of it that is asked for.

    Raises:
        ProblemError: 404, the link is nobody's, or there is no feed; 429 and 503, too many reads.
    """
    try:
        link = readers.link(token, address_of(request.scope) or "")
    except RateLimitedError as error:
        message = "too many requests with this link, or wrong ones from this address"
        raise exceeded("RATE_LIMITED", message, wait_seconds=error.wait_seconds) from error
    if link is None:
        raise ProblemError("NOT_FOUND", "the link is nobody's, has expired or was revoked")
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
        return Response(status_code=416, headers={"Content-Range": f"bytes */{head.size}"})
    if part is not None:
        status, (start, stop) = 206, part
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{head.size}"
    end = readers.begin(link.link_id)
    if end is None:
        raise unavailable("FEED_LINKS_BUSY", "too many read the feed just now")
    try:
        chunks = platform.objects.chunks(feed.key, start, stop)
    except BaseException:
        end()
        raise
    headers["Content-Length"] = str(stop - start)
    return _Reading(chunks, end, status_code=status, headers=headers)


class _Reading(StreamingResponse):
    """A feed on its way to a reader, who counts until it is there or broken off."""

    def __init__(self, chunks: Iterator[bytes], end: Callable[[], None], **described: Any) -> None:
        super().__init__(chunks, **described)
        self._end = end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()
