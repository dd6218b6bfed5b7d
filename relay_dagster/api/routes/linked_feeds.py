"""The feed behind a link.

It is for programs that can only download a plain URL, so it is streamed, without a key
or a redirect.
"""

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from relay_dagster.api.file_version import FileVersion, NotSatisfiableError
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind
from relay_dagster.feeds.pointer import FeedPointer, copy_name, file_of
from relay_dagster.http import middleware, problems
from relay_dagster.http.security.auth import Parts, PartsDep, link_of
from relay_dagster.services.feeds import lacking_channel


def read_linked_feed(token: str, request: Request, parts: PartsDep) -> Response:
    """Return the live feed behind a link, or the byte range that the request asks for.

    Raises:
        ProblemError: The link does not exist or has expired, or there is no feed yet
            (404); the link, its tenant, or the process has too many readers (503).
        RateLimitedError: The link is read too often, or its tenant makes too many
            requests (429).
    """
    link = link_of(request, parts, token, LinkKind.FEED)
    if link is None:
        message = "the link does not exist, has expired, or was revoked; ask for a new one"
        raise problems.ProblemError("NOT_FOUND", message)
    pointer = parts.platform.runs.feed(link.tenant_id)
    if pointer is None:
        raise _no_feed()
    return _feed_response(request, parts, link, pointer)


def _feed_response(
    request: Request, parts: Parts, link: Link, pointer: FeedPointer
) -> Response:
    """Return the response with a feed: 200, 206, 304 or 416."""
    feed = file_of(pointer.in_force, link.channel_id)
    if feed is None:
        raise lacking_channel(str(link.channel_id))
    objects = parts.platform.objects
    head = objects.head(feed.key)
    if head is None:
        raise _no_feed()
    version = FileVersion(f'"{feed.sha256}"', pointer.in_force.published_at)
    headers = {
        "ETag": version.etag,
        "Last-Modified": version.last_modified,
        "Cache-Control": "private, no-cache",
    }
    if version.matches(request.headers):
        return Response(status_code=304, headers=headers)
    file_name = copy_name(link.tenant_id, feed.suffix, link.channel_id)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": head.content_type,
        "Content-Disposition": f'attachment; filename="{file_name}"',
    }
    if request.method == "HEAD":
        headers["Content-Length"] = str(head.size)
        return Response(headers=headers)
    try:
        byte_range = version.requested_range(request.headers, head.size)
    except NotSatisfiableError:
        headers = {"Content-Range": f"bytes */{head.size}"}
        return Response(status_code=416, headers=headers)
    status = 200
    start, stop = byte_range or (0, head.size)
    if byte_range is not None:
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{head.size}"
    end_reading = parts.link_readers.begin(link.link_id, link.tenant_id)
    if end_reading is None:
        reason = "too many clients are reading the feed"
        raise problems.unavailable("FEED_LINKS_BUSY", reason)
    # From here on it is a reader, until the feed is sent or the client disconnects, and
    # no longer one of the tenant's requests in progress.
    request_in_progress = middleware.at_end(request.scope).pop_all()
    middleware.at_end(request.scope).callback(end_reading)
    headers["Content-Length"] = str(stop - start)
    with request_in_progress:
        chunks = objects.chunks(feed.key, start, stop)
    return StreamingResponse(chunks, status_code=status, headers=headers)


def _no_feed() -> problems.ProblemError:
    return problems.ProblemError("FEED_NOT_FOUND", "the tenant has no feed yet")
