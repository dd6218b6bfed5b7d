"""Errors as problem documents (RFC 9457), without stack traces, buckets or a service's details."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.routing import Route

from relay_core.domain.cell_rules import cut
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    RelayError,
    UnsupportedSchemaVersionError,
    first_faults,
)
from relay_dagster.api.http import error_codes
from relay_dagster.api.http.middleware import internal_error, request_id_of
from relay_dagster.api.security.rate_limits import RateLimitedError
from relay_dagster.aws.dynamodb.cursors import BadCursorError
from relay_dagster.aws.secrets import SecretsUnavailableError
from relay_dagster.external_errors import ExternalServiceError, RequestRejectedError
from relay_dagster.logs import event_log
from relay_dagster.runs import errors as run_errors
from relay_dagster.tenants import errors as tenant_errors

_MAX_TEXT = 1000
_MAX_SHOWN = 10
_log = event_log()

_ROUTING_CODES = {
    400: error_codes.INVALID_REQUEST,
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
}


class ProblemError(Exception):
    """The error that a route answers in place of its result."""

    def __init__(
        self,
        error_code: str,  # the code that programs look at; `CODES` has its status
        detail: str,  # the sentence that people read: what is wrong and what to do
        *,
        errors: Sequence[ConfigFault] = (),  # faults of the input with their paths
        headers: Mapping[str, str] | None = None,  # headers of the answer
        members: Mapping[str, Any] | None = None,  # further members of the document
        status: int | None = None,  # in place of the code's own
    ) -> None:
        self.status = status or error_codes.CODES[error_code].status
        self.error_code = error_code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        super().__init__(f"{self.status} {error_code}: {detail}")


def invalid_request(faults: Iterable[ConfigFault]) -> ProblemError:
    """Return the problem of a request's first faults, texts cut; a last one counts the rest."""
    listed = [
        ConfigFault(cut(each.path, _MAX_TEXT), cut(each.message, _MAX_TEXT))
        for each in first_faults(faults)
    ]
    return ProblemError(error_codes.INVALID_REQUEST, _first_of(listed), errors=listed)


def _first_of(faults: Sequence[ConfigFault]) -> str:
    """Return the first faults as one sentence; ``errors`` has all of them."""
    shown = "; ".join(map(str, faults[:_MAX_SHOWN]))
    return f"{shown}; ..." if len(faults) > _MAX_SHOWN else shown


def faults_of(errors: Iterable[Mapping[str, Any]]) -> Iterator[ConfigFault]:
    """Yield Pydantic's errors as faults; a path names the field alone, not where it was sent."""
    sources = {"body", "query", "path", "header", "cookie"}
    for error in errors:
        place = [str(part) for part in error["loc"]]
        path = place[1:] if place and place[0] in sources else place
        # A literal's members as they are sent: 'run.held', not <EventType.RUN_HELD: 'run.held'>.
        message = re.sub(r"<[\w.]+: ('[^']*')>", r"\1", error["msg"]).removeprefix(
            "Value error, "
        )
        yield ConfigFault(".".join(path), message)


_PATHS: dict[type[Exception], str] = {
    UnsupportedSchemaVersionError: "schema_version",
    run_errors.IdempotencyKeyReusedError: "Idempotency-Key",
    BadCursorError: "cursor",
}
"""The part of a request that is at fault, for errors that do not name it."""


def problem_of(error: Exception, *, for_admin: bool = False) -> ProblemError:
    """Return the problem document of an error; an admin's may say more than a tenant's."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request(faults_of(error.errors()))
    code, detail = _code_of(error), str(error)
    if code == error_codes.INTERNAL_ERROR:
        return ProblemError(code, "an unexpected error; it is in the log")
    if code == error_codes.DEPENDENCY_UNAVAILABLE:
        return unavailable(code, error_codes.CODES[code].meaning)
    wait_seconds = getattr(error, "wait_seconds", None)
    if wait_seconds is not None:  # the caller is over one of its limits for now
        return unavailable(code, detail, wait_seconds=math.ceil(wait_seconds))
    if error_codes.CODES[code].retry_after is not None:
        if isinstance(error, run_errors.RunCreationPausedError) and not for_admin:
            detail = error.public
        return unavailable(code, detail)
    errors = _errors_of(error)
    detail = _first_of(errors) if len(errors) > _MAX_SHOWN else detail
    members: dict[str, Any] = {}
    if isinstance(error, run_errors.TenantBusyError):
        members = {"active_run_id": error.active_run_id}
    if isinstance(error, tenant_errors.VersionMismatchError):
        members = {"config_version": error.latest}
    return ProblemError(code, detail, errors=errors, members=members)


def _code_of(error: Exception) -> str:
    """Return the code of an error, `INTERNAL_ERROR` where it has none of the API's."""
    if isinstance(error, BadCursorError):
        return error_codes.INVALID_REQUEST
    if isinstance(error, ExternalServiceError) and not isinstance(
        error, RequestRejectedError
    ):
        return error_codes.DEPENDENCY_UNAVAILABLE
    code = str(getattr(error, "error_code", error_codes.INTERNAL_ERROR))
    return code if code in error_codes.CODES else error_codes.INTERNAL_ERROR


def unavailable(
    error_code: str, reason: str, *, wait_seconds: int | None = None, **members: Any
) -> ProblemError:
    """Return the problem of a request that may succeed later: by default when its code says."""
    if wait_seconds is None:
        wait_seconds = error_codes.CODES[error_code].retry_after
    return ProblemError(
        error_code,
        f"{reason}; try again later",
        headers={"Retry-After": str(wait_seconds)},
        members=members,
    )


def _errors_of(error: Exception) -> Sequence[ConfigFault]:
    if isinstance(error, ConfigError | run_errors.UnknownVendorError):
        return error.faults
    path = next(
        (path for kind, path in _PATHS.items() if isinstance(error, kind)), None
    )
    return () if path is None else [ConfigFault(path, str(error))]


# --- answers ------------------------------------------------------------------------------------


def answer(request: Request, problem: ProblemError) -> JSONResponse:
    """Return the response that tells a problem."""
    body = error_codes.problem_body(
        problem.error_code,
        problem.detail,
        request_id=request_id_of(request.scope),
        status=problem.status,
        errors=[
            {"path": each.path, "message": each.message} for each in problem.errors
        ],
        members=problem.members,
    )
    return JSONResponse(
        body,
        status_code=problem.status,
        headers=problem.headers,
        media_type=error_codes.PROBLEM_TYPE,
    )


async def _answer_domain(request: Request, error: Exception) -> JSONResponse:
    return answer(request, noted_problem(request, error))


def noted_problem(request: Request, error: Exception) -> ProblemError:
    """Return the problem that a request ends in, logged and counted where it is one of ours."""
    if isinstance(error, ExternalServiceError):
        _log.error(
            "dependency_failed",
            request_id=request_id_of(request.scope),
            error=str(error)[:500],
        )
    problem = problem_of(error, for_admin=getattr(request.state, "is_admin", False))
    if problem.status == 500:
        internal_error(request.scope, error)
    if problem.error_code == "RATE_LIMITED":
        request.app.state.parts.platform.metrics.rate_limited()
    return problem


async def _answer_routing(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that no route takes: of an unknown path, or of another method."""
    status = int(getattr(error, "status_code", 404))
    headers, detail = {}, "the request is not understood"
    if status == 404:
        detail = "there is nothing at this path"
    if status == 405:
        allowed = ", ".join(allowed_methods(request.app, request.url.path))
        headers, detail = {"Allow": allowed}, f"this path takes {allowed}"
    return answer(
        request,
        ProblemError(_ROUTING_CODES[status], detail, headers=headers, status=status),
    )


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods that a path takes, over all of its routes."""
    routes = (each for each in app.routes if isinstance(each, Route))
    fitting = (each.methods or () for each in routes if each.path_regex.match(path))
    return sorted(set().union(*fitting)) or ["GET"]


_FAMILIES = (
    *(ProblemError, SecretsUnavailableError),
    *(RelayError, tenant_errors.RefusedError, ExternalServiceError),
    *(BadCursorError, RateLimitedError, RequestValidationError),
)


def install(app: FastAPI) -> None:
    """Make every error of an app a problem document."""
    for kind in _FAMILIES:
        app.add_exception_handler(kind, _answer_domain)
    for status in _ROUTING_CODES:
        app.add_exception_handler(status, _answer_routing)
