"""Bodies of requests: their bytes up to a limit, and the error of a body that is not valid."""

from fastapi import Request
from pydantic import ValidationError

from relay_dagster.http.middleware import BodyRefusedError
from relay_dagster.http.problems import (
    ProblemError,
    faults_of,
    invalid_request,
)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the bytes of a body that may have fewer than other bodies.

    Raises:
        BodyRefusedError: The body has more than ``max_bytes`` (413), or did not arrive
            in time.
    """
    detail = f"this body has at most {max_bytes:,} bytes"
    too_large = BodyRefusedError("PAYLOAD_TOO_LARGE", detail)
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > max_bytes:
        raise too_large
    chunks = []
    remaining_bytes = max_bytes
    async for chunk in request.stream():
        remaining_bytes -= len(chunk)
        if remaining_bytes < 0:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def invalid_body(error: ValidationError) -> ProblemError:
    """Return the problem (422) of a body that its model does not accept."""
    details = error.errors(
        include_url=False, include_context=False, include_input=False
    )
    return invalid_request(faults_of(map(dict, details)))
