"""Errors of external services, by cause; a run tries again after any of them.

``aws/errors.py`` maps AWS errors to these.
"""

from typing import ClassVar

INTERNAL_ERROR = "internal_error"
"""The code of an exception without one: a defect of the program."""


def error_code_of(error: BaseException) -> str:
    """Return the code of any exception, also of a library's."""
    return str(getattr(error, "error_code", INTERNAL_ERROR))


class ExternalServiceError(Exception):
    """Base: an external service failed.

    ``operation`` names the call, as in ``dynamodb.GetItem``.
    """

    error_code: ClassVar[str] = "external_service_error"

    def __init__(self, operation: str, detail: str) -> None:
        self.operation = operation
        self.detail = detail
        super().__init__(f"{operation}: {detail}")


class ThrottledError(ExternalServiceError):
    """The service asked for fewer requests, or items were busy for too long."""

    error_code = "throttled"


class UnreachableError(ExternalServiceError):
    """There is no response: a time-out or a lost connection.

    The request may have been carried out.
    """

    error_code = "unreachable"


class ServiceFailedError(ExternalServiceError):
    """The service reported a failure of its own."""

    error_code = "service_failed"


class AccessRefusedError(ExternalServiceError):
    """Credentials are missing, expired or lack a permission."""

    error_code = "access_refused"


class MissingResourceError(ExternalServiceError):
    """A required bucket, table, queue or object does not exist."""

    error_code = "missing_resource"


class RequestRejectedError(ExternalServiceError):
    """The service rejected the request, or the client could not build it."""

    error_code = "request_rejected"


class ObjectChangedError(ExternalServiceError):
    """An object is no longer the one that was listed."""

    error_code = "object_changed"


class BaselineLostError(ExternalServiceError):
    """The baseline of a run is gone or damaged.

    No feed is published without the comparison with it.
    """

    error_code = "baseline_lost"


class UnreadableItemError(ExternalServiceError):
    """This release cannot read an item, which a newer one has written."""

    error_code = "unreadable"
