"""Errors of AWS: mapped to errors of external services, and tried again where they pass.

`maps_aws_errors` and `adapter` apply the one mapping, `retrying` is the one retry policy. botocore
itself retries where it is throttled or gets no answer. It takes others as final: items that another
writer is changing, keys left unread, a table that is not ready.
"""

import functools
import time
from collections.abc import Callable, Container
from types import FunctionType
from typing import ParamSpec, TypeVar

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from relay_dagster.external_errors import (
    AccessRefusedError,
    ExternalServiceError,
    MissingResourceError,
    ObjectChangedError,
    RequestRejectedError,
    ServiceFailedError,
    ThrottledError,
    UnreachableError,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Adapter = TypeVar("_Adapter")

# Codes that adapters decide by; a HEAD has no body, so its code is the status.
_NOT_FOUND = frozenset({"404", "NotFound"})
NO_OBJECT = _NOT_FOUND | {"NoSuchKey"}
NO_BUCKET = _NOT_FOUND | {"NoSuchBucket"}
NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
PRECONDITION_FAILED = frozenset({"412", "PreconditionFailed"})
WRITE_CONFLICT = frozenset({"409", "ConditionalRequestConflict"})
CONDITION_FAILED = frozenset({"ConditionalCheckFailedException"})
TRANSACTION_COLLIDED = frozenset({"TransactionConflictException", "TransactionInProgressException"})

_CODES: dict[type[ExternalServiceError], frozenset[str]] = {
    ThrottledError: frozenset(
        {
            *("BandwidthLimitExceeded", "EC2ThrottledException", "KMSThrottlingException"),
            *("KmsThrottled", "LimitExceededException", "OverLimit"),
            *("ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled"),
            *("RequestThrottledException", "SlowDown", "ThrottledException", "Throttling"),
            *("ThrottlingException", "TooManyRequestsException"),
            *TRANSACTION_COLLIDED,
        }
    ),
    UnreachableError: frozenset({"RequestTimeout", "RequestTimeoutException"}),
    AccessRefusedError: frozenset(
        {
            *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthFailure"),
            *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId"),
            *("InvalidClientTokenId", "InvalidSignatureException", "InvalidToken"),
            *("KmsAccessDenied", "MissingAuthenticationToken", "RequestTimeTooSkewed"),
            *("SignatureDoesNotMatch", "UnrecognizedClientException"),
        }
    ),
    MissingResourceError: NO_OBJECT | NO_BUCKET | NO_QUEUE | {"ResourceNotFoundException"},
    ObjectChangedError: PRECONDITION_FAILED | WRITE_CONFLICT,
}

# The first base that fits counts. Families are listed, so that a new one is a decision.
_FAMILIES: tuple[tuple[type[Exception], type[ExternalServiceError]], ...] = (
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
_FIRST_PAUSE_SECONDS = 0.02


def error_code(error: ClientError) -> str:
    """Return the service's code of an error response."""
    return str(error.response.get("Error", {}).get("Code", ""))


def has_answered(*codes: str) -> Callable[[BaseException], bool]:
    """Return a predicate: the exception is an error response with one of these codes."""
    return lambda error: isinstance(error, ClientError) and error_code(error) in codes


def unless(codes: Container[str], call: Callable[[], _R]) -> _R | None:
    """Return the result of a call; None where the service answers with one of these codes."""
    try:
        return call()
    except ClientError as error:
        if error_code(error) in codes:
            return None
        raise


def external_error_of(error: Exception, operation: str) -> ExternalServiceError | None:
    """Return the external error for an exception of botocore; None for any other exception."""
    if isinstance(error, ClientError):
        kind = _kind_of_response(error)
        return kind(f"{operation} ({error.operation_name})", f"{error_code(error)}: {error}")
    if isinstance(error, Boto3Error):
        # Transfers wrap what went wrong.
        inner = error.__cause__ or error.__context__
        found = external_error_of(inner, operation) if isinstance(inner, Exception) else None
        return found or RequestRejectedError(operation, f"{type(error).__name__}: {error}")
    for family, kind in _FAMILIES:
        if isinstance(error, family):
            return kind(operation, f"{type(error).__name__}: {error}")
    return None


def _kind_of_response(error: ClientError) -> type[ExternalServiceError]:
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


def maps_aws_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function raise an `ExternalServiceError` for errors of botocore, with their cause."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            found = external_error_of(error, function.__qualname__)
            if found is None:
                raise
            raise found from error

    return wrapped


def adapter(kind: type[_Adapter]) -> type[_Adapter]:
    """Make each public method of a class raise as `maps_aws_errors` has a function raise."""
    for name, method in list(vars(kind).items()):
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(kind, name, maps_aws_errors(method))
    return kind


def retrying(
    on: Callable[[BaseException], bool],
    *,
    tries: int = 12,
    max_pause_seconds: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """Return a caller that calls again after errors that ``on`` accepts, until its tries are up."""
    return Retrying(
        retry=retry_if_exception(on),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=max_pause_seconds),
        stop=stop_after_attempt(tries),
        sleep=sleep,
        reraise=True,
    )
