"""Errors as problem documents (RFC 9457).

A problem document has no stack trace, no bucket name and no details of an AWS service.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.routing import Route

from relay_core.domain import errors as domain_errors
from relay_core.domain.cell_rules import cut
from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.cursors import BadCursorError
from relay_dagster.aws.secrets import SecretsUnavailableError
from relay_dagster.external_errors import (
    ExternalServiceError,
    RequestRejectedError,
)
from relay_dagster.http import error_codes
from relay_dagster.http.middleware import internal_error, request_id_of
from relay_dagster.http.security.rate_limits import RateLimitedError
from relay_dagster.logs import event_log
from relay_dagster.runs import errors as run_errors
from relay_dagster.tenants import errors as tenant_errors

_MAX_TEXT = 1000
_MAX_FAULTS_IN_DETAIL = 10
_SOURCES = frozenset(("body", "query", "path", "header", "cookie"))
_ENUM_MEMBER = re.compile(r"<[\w.]+: ('[^']*')>")
_ROUTING_CODES = {
    400: error_codes.INVALID_REQUEST,
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
}
_DENIED = (401, 403)
_PATHS: dict[type[Exception], str] = {
    domain_errors.UnsupportedSchemaVersionError: "schema_version",
    run_errors.IdempotencyKeyReusedError: "Idempotency-Key",
    BadCursorError: "cursor",
}
"""The path of the error in the request, for exceptions that do not have it."""
_log = event_log()


class ProblemError(Exception):
    """An error that a route answers instead of its result."""

    def __init__(
        self,
        error_code: str,  # the code that programs read, one of `CODES`
        detail: str,  # the sentence that people read: the error and the next step
        *,
        errors: Sequence[
            ConfigFault
        ] = (),  # the input's errors with their paths
        headers: Mapping[str, str] | None = None,  # the headers of the response
        members: Mapping[str, Any]
        | None = None,  # further members of the document
        status: int | None = None,  # the status, if it is not the code's
    ) -> None:
        self.status = status or error_codes.CODES[error_code].status
        self.error_code = error_code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        super().__init__(f"{self.status} {error_code}: {detail}")


def invalid_request(faults: Iterable[ConfigFault]) -> ProblemError:
    """Return the problem (422) of a request's first faults, with long texts cut.

    If there are more faults, the last one of the problem says how many.
    """
    first_faults = [
        ConfigFault(cut(fault.path, _MAX_TEXT), cut(fault.message, _MAX_TEXT))
        for fault in domain_errors.first_faults(faults)
    ]
    detail = _sentence_of(first_faults)
    return ProblemError(
        error_codes.INVALID_REQUEST, detail, errors=first_faults
    )


def _sentence_of(faults: Sequence[ConfigFault]) -> str:
    """Return the first faults as one sentence; ``errors`` has all of them."""
    sentence = "; ".join(map(str, faults[:_MAX_FAULTS_IN_DETAIL]))
    return (
        f"{sentence}; ..." if len(faults) > _MAX_FAULTS_IN_DETAIL else sentence
    )


def unavailable(
    error_code: str,
    reason: str,
    *,
    wait_seconds: int | None = None,
    **members: Any,
) -> ProblemError:
    """Return the problem of a request that may succeed later.

    ``wait_seconds`` defaults to the seconds of the code.
    """
    if wait_seconds is None:
        wait_seconds = error_codes.CODES[error_code].retry_after
    return ProblemError(
        error_code,
        f"{reason}; try again later",
        headers={"Retry-After": str(wait_seconds)},
        members=members,
    )


def faults_of(errors: Iterable[Mapping[str, Any]]) -> Iterator[ConfigFault]:
    """Yield Pydantic's errors as faults, with paths that begin with a field."""
    for error in errors:
        path = [str(part) for part in error["loc"]]
        if path and path[0] in _SOURCES:
            path = path[1:]
        # Clients send 'run.held', not <EventType.RUN_HELD: 'run.held'>.
        message = _ENUM_MEMBER.sub(r"\1", error["msg"])
        yield ConfigFault(".".join(path), message.removeprefix("Value error, "))


# --- from exceptions to problems ----------------------------------------------------


def problem_of(error: Exception, *, for_admin: bool = False) -> ProblemError:
    """Return the problem of an exception. Admins may see more of some than tenants."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request(faults_of(error.errors()))
    code = _code_of(error)
    if code == error_codes.INTERNAL_ERROR:
        return ProblemError(
            code,
            "an unexpected error occurred; search the log for the request_id",
        )
    if code == error_codes.DEPENDENCY_UNAVAILABLE:
        return unavailable(code, error_codes.CODES[code].meaning)
    detail = str(error)
    wait_seconds = getattr(error, "wait_seconds", None)
    if wait_seconds is not None:
        # The caller is over one of its rate limits or quotas.
        return unavailable(code, detail, wait_seconds=math.ceil(wait_seconds))
    if error_codes.CODES[code].retry_after is not None:
        if (
            isinstance(error, run_errors.RunCreationPausedError)
            and not for_admin
        ):
            detail = error.public
        return unavailable(code, detail)
    faults = _faults_of_exception(error)
    if len(faults) > _MAX_FAULTS_IN_DETAIL:
        detail = _sentence_of(faults)
    return ProblemError(code, detail, errors=faults, members=_members_of(error))


def _code_of(error: Exception) -> str:
    """Return the code of an exception, or `INTERNAL_ERROR` if it has none."""
    if isinstance(error, BadCursorError):
        return error_codes.INVALID_REQUEST
    is_external = isinstance(error, ExternalServiceError)
    if is_external and not isinstance(error, RequestRejectedError):
        return error_codes.DEPENDENCY_UNAVAILABLE
    code = str(getattr(error, "error_code", error_codes.INTERNAL_ERROR))
    return code if code in error_codes.CODES else error_codes.INTERNAL_ERROR


def _faults_of_exception(error: Exception) -> Sequence[ConfigFault]:
    if isinstance(
        error, domain_errors.ConfigError | run_errors.UnknownVendorError
    ):
        return error.faults
    for kind, path in _PATHS.items():
        if isinstance(error, kind):
            return [ConfigFault(path, str(error))]
    return ()


def _members_of(error: Exception) -> dict[str, Any]:
    """Return the members that an exception adds to its problem document."""
    if isinstance(error, run_errors.TenantBusyError):
        return {"active_run_id": error.active_run_id}
    if isinstance(error, tenant_errors.VersionMismatchError):
        return {"config_version": error.latest}
    return {}


# --- responses ----------------------------------------------------------------------


def problem_response(request: Request, problem: ProblemError) -> JSONResponse:
    """Return the response with a problem document."""
    body = error_codes.problem_body(
        problem.error_code,
        problem.detail,
        request_id=request_id_of(request.scope),
        status=problem.status,
        errors=[
            {"path": fault.path, "message": fault.message}
            for fault in problem.errors
        ],
        members=problem.members,
    )
    return JSONResponse(
        body,
        status_code=problem.status,
        headers=problem.headers,
        media_type=error_codes.PROBLEM_TYPE,
    )


def report_problem(request: Request, error: Exception) -> ProblemError:
    """Return the problem of a request's exception, after logging and counting it.

    Only failures of the API or of a dependency are logged. Exceeded rate limits and
    denied access are counted.
    """
    if isinstance(error, ExternalServiceError):
        _log.error(
            "dependency_failed",
            request_id=request_id_of(request.scope),
            error=str(error)[:500],
        )
    is_admin = getattr(request.state, "is_admin", False)
    problem = problem_of(error, for_admin=is_admin)
    if problem.status == 500:
        internal_error(request.scope, error)
    metrics = request.app.state.parts.platform.metrics
    if problem.error_code == "RATE_LIMITED":
        metrics.rate_limited()
    if problem.status in _DENIED:
        metrics.access_denied()
    return problem


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods that a path accepts, over all of its routes."""
    methods: set[str] = set()
    for route in app.routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods |= set(route.methods or ())
    return sorted(methods) or ["GET"]


async def _answer_exception(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request, report_problem(request, error))


async def _answer_routing_error(
    request: Request, error: Exception
) -> JSONResponse:
    """Answer a request that no route accepts: its path or its method is unknown."""
    status = int(getattr(error, "status_code", 404))
    headers = {}
    detail = "the request is not valid HTTP"
    if status == 404:
        detail = "the path does not exist; see /openapi.json for all paths"
    if status == 405:
        methods = ", ".join(allowed_methods(request.app, request.url.path))
        headers["Allow"] = methods
        detail = f"the path does not support this method; use {methods}"
    code = _ROUTING_CODES[status]
    problem = ProblemError(code, detail, headers=headers, status=status)
    return problem_response(request, problem)


_EXCEPTIONS: tuple[type[Exception], ...] = (
    ProblemError,
    SecretsUnavailableError,
    domain_errors.RelayError,
    tenant_errors.RefusedError,
    ExternalServiceError,
    BadCursorError,
    RateLimitedError,
    RequestValidationError,
)


def install(app: FastAPI) -> None:
    """Make every error of an app a problem document."""
    for kind in _EXCEPTIONS:
        app.add_exception_handler(kind, _answer_exception)
    for status in _ROUTING_CODES:
        app.add_exception_handler(status, _answer_routing_error)
