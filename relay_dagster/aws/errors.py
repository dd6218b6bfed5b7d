"""Maps botocore's errors to those of external services, and repeats failed calls.

`maps_aws_errors` and `adapter` apply the mapping, and `retrying` is the only retry
policy. It repeats calls that botocore takes for failed: of items that another writer is
changing, keys that were left unread, and a table that is not ready.
"""

import functools
import time
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import islice
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

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

# Codes that adapters distinguish. The response to HEAD has no body, so its code is the
# status.
_NOT_FOUND = frozenset({"404", "NotFound"})
NO_OBJECT = _NOT_FOUND | {"NoSuchKey"}
NO_BUCKET = _NOT_FOUND | {"NoSuchBucket"}
NO_QUEUE = frozenset(
    {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"},
)
PRECONDITION_FAILED = frozenset({"412", "PreconditionFailed"})
WRITE_CONFLICT = frozenset({"409", "ConditionalRequestConflict"})
CONDITION_FAILED = frozenset({"ConditionalCheckFailedException"})
TRANSACTION_COLLIDED = frozenset(
    {"TransactionConflictException", "TransactionInProgressException"},
)

_THROTTLED = TRANSACTION_COLLIDED | {
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
}
_ACCESS_REFUSED = frozenset(
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
    },
)
_CODES: dict[type[ExternalServiceError], frozenset[str]] = {
    ThrottledError: _THROTTLED,
    UnreachableError: frozenset({"RequestTimeout", "RequestTimeoutException"}),
    AccessRefusedError: _ACCESS_REFUSED,
    MissingResourceError: (
        NO_OBJECT | NO_BUCKET | NO_QUEUE | {"ResourceNotFoundException"}
    ),
    ObjectChangedError: PRECONDITION_FAILED | WRITE_CONFLICT,
}

# The first base class that an error has decides. The families are listed, so that each
# new one is a decision.
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

_KINDS_BY_STATUS = {
    401: AccessRefusedError,
    403: AccessRefusedError,
    404: MissingResourceError,
    429: ThrottledError,
}
_FIRST_PAUSE_SECONDS = 0.02


def error_code(error: ClientError) -> str:
    """Return the service's code of an error response, or "" if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def has_answered(*codes: str) -> Callable[[BaseException], bool]:
    """Return a predicate that is true for an error response with one of the codes."""

    def is_answer(error: BaseException) -> bool:
        return isinstance(error, ClientError) and error_code(error) in codes

    return is_answer


def unless(
    codes: Container[str],
    call: Callable[..., _R],
    *values: Any,
    **arguments: Any,
) -> _R | None:
    """Return the result of a call with the values and the named arguments.

    Return None if the response is an error with one of the codes.
    """
    try:
        return call(*values, **arguments)
    except ClientError as error:
        if error_code(error) in codes:
            return None
        raise


def external_error_of(
    error: Exception,
    operation: str,
) -> ExternalServiceError | None:
    """Return the error of an external service for an error of botocore or boto3.

    Return None for any other error.
    """
    if isinstance(error, ClientError):
        kind = _kind_of_response(error)
        detail = f"{error_code(error)}: {error}"
        return kind(f"{operation} ({error.operation_name})", detail)
    description = f"{type(error).__name__}: {error}"
    if isinstance(error, Boto3Error):
        # boto3's transfers wrap the error that stopped them.
        wrapped_error = error.__cause__ or error.__context__
        if isinstance(wrapped_error, Exception):
            external_error = external_error_of(wrapped_error, operation)
            if external_error is not None:
                return external_error
        return RequestRejectedError(operation, description)
    for family, kind in _FAMILIES:
        if isinstance(error, family):
            return kind(operation, description)
    return None


def _kind_of_response(error: ClientError) -> type[ExternalServiceError]:
    """Return the class of an error response, by its code or else by its status."""
    code = error_code(error).rpartition("#")[2]
    for kind, codes in _CODES.items():
        if code in codes:
            return kind
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0) or 0)
    if status in _KINDS_BY_STATUS:
        return _KINDS_BY_STATUS[status]
    return RequestRejectedError if 400 <= status < 500 else ServiceFailedError


def maps_aws_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function raise an `ExternalServiceError` instead of botocore's errors."""

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            external_error = external_error_of(error, function.__qualname__)
            if external_error is None:
                raise
            raise external_error from error

    return wrapper


def adapter(kind: type[_Adapter]) -> type[_Adapter]:
    """Apply `maps_aws_errors` to the public methods of a class."""
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
    """Return a caller that repeats a call after errors for which ``on`` is true.

    The last of its ``tries`` raises the error. The pauses grow and are random.
    """
    return Retrying(
        retry=retry_if_exception(on),
        wait=wait_random_exponential(
            multiplier=_FIRST_PAUSE_SECONDS,
            max=max_pause_seconds,
        ),
        stop=stop_after_attempt(tries),
        sleep=sleep,
        reraise=True,
    )


def in_batches(
    size: int,
    entries: Iterable[Any],
    call: Callable[[Sequence[Any]], Any],
    sleep: Callable[[float], None],
) -> None:
    """Call with batches of entries, and again with the entries that the call returns.

    Raises:
        ThrottledError: A call returned entries many times.
    """
    remaining_entries = iter(entries)
    while batch := list(islice(remaining_entries, size)):
        tries = retrying(
            lambda error: isinstance(error, ThrottledError),
            sleep=sleep,
        )
        for attempt in tries:
            with attempt:
                batch = call(batch)
                if batch:
                    message = "some stayed unprocessed"
                    raise ThrottledError("dynamodb.Batch", message)
