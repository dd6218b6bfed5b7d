"""Which AWS error is which fault of the world, said once. `speaks_aws` applies it to a method."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError

from relay_dagster.external_errors import (
    AccessRefusedError,
    MissingResourceError,
    ObjectChangedError,
    RequestRejectedError,
    ServiceFailedError,
    ThrottledError,
    UnreachableError,
    WorldError,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")

_CODES: dict[type[WorldError], frozenset[str]] = {
    ThrottledError: frozenset(
        {
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "KMSThrottlingException",
            "KmsThrottled",
            "LimitExceededException",
            "OverLimit",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionConflictException",
            "TransactionInProgressException",
        }
    ),
    UnreachableError: frozenset({"RequestTimeout", "RequestTimeoutException"}),
    AccessRefusedError: frozenset(
        {
            "AccessDenied",
            "AccessDeniedException",
            "AllAccessDisabled",
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "KmsAccessDenied",
            "MissingAuthenticationToken",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        }
    ),
    MissingResourceError: frozenset(
        {
            "AWS.SimpleQueueService.NonExistentQueue",
            "NoSuchBucket",
            "NoSuchKey",
            "NotFound",
            "QueueDoesNotExist",
            "ResourceNotFoundException",
        }
    ),
    ObjectChangedError: frozenset({"PreconditionFailed", "ConditionalRequestConflict"}),
}

# The first base that fits counts. Families are listed, so that a new one is a decision.
_FAMILIES: tuple[tuple[type[Exception], type[WorldError]], ...] = (
    (botocore_errors.HTTPClientError, UnreachableError),
    (botocore_errors.ConnectionError, UnreachableError),
    (botocore_errors.IncompleteReadError, UnreachableError),
    (botocore_errors.ResponseStreamingError, UnreachableError),
    (botocore_errors.ChecksumError, UnreachableError),
    (botocore_errors.FlexibleChecksumError, UnreachableError),
    (botocore_errors.MetadataRetrievalError, UnreachableError),
    (botocore_errors.NoCredentialsError, AccessRefusedError),
    (botocore_errors.PartialCredentialsError, AccessRefusedError),
    (botocore_errors.CredentialRetrievalError, AccessRefusedError),
    (botocore_errors.TokenRetrievalError, AccessRefusedError),
    (botocore_errors.NoAuthTokenError, AccessRefusedError),
    (botocore_errors.SSOError, AccessRefusedError),
    (botocore_errors.RefreshWithMFAUnsupportedError, AccessRefusedError),
    (botocore_errors.InfiniteLoopConfigError, AccessRefusedError),
    (botocore_errors.WaiterError, ServiceFailedError),
    (BotoCoreError, RequestRejectedError),
)


def error_code(error: ClientError) -> str:
    """Return the service's code of an error response."""
    return str(error.response.get("Error", {}).get("Code", ""))


def fault_of(error: Exception, operation: str) -> WorldError | None:
    """Return the fault that an exception of botocore stands for, or None for any other."""
    if isinstance(error, ClientError):
        kind = _kind_of_response(error)
        return kind(f"{operation} ({error.operation_name})", f"{error_code(error)}: {error}")
    if isinstance(error, Boto3Error):
        # Transfers wrap what went wrong.
        inner = error.__cause__ or error.__context__
        found = fault_of(inner, operation) if isinstance(inner, Exception) else None
        return found or RequestRejectedError(operation, f"{type(error).__name__}: {error}")
    for family, kind in _FAMILIES:
        if isinstance(error, family):
            return kind(operation, f"{type(error).__name__}: {error}")
    return None


def _kind_of_response(error: ClientError) -> type[WorldError]:
    code = error_code(error).rpartition("#")[2]
    for kind, codes in _CODES.items():
        if code in codes:
            return kind
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    if status == 429:
        return ThrottledError
    by_status = {401: AccessRefusedError, 403: AccessRefusedError, 404: MissingResourceError}
    if status in by_status:
        return by_status[status]
    return RequestRejectedError if 400 <= status < 500 else ServiceFailedError


def speaks_aws(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn what botocore raises inside a function into a `WorldError`; the cause is kept."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            fault = fault_of(error, function.__qualname__)
            if fault is None:
                raise
            raise fault from error

    return wrapped
