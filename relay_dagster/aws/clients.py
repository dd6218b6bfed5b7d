"""boto3 clients, made when first used, and their errors: mapped to those of external services.

A client has a region, time-outs and retries; the rest is by boto3's variables. `maps_aws_errors`
and `adapter` apply the one mapping, `retrying` is the one retry policy. botocore itself retries
where it is throttled or gets no answer. It takes others as final: items that another writer is
changing, keys left unread, a table that is not ready.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore_errors
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidRegionError,
    NoRegionError,
)
from botocore.utils import parse_timestamp
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
from relay_dagster.settings import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

LONG_POLL_SECONDS = 5
"""The longest wait of one call: between two calls the intake takes attempts without a message."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limits of a call: seconds to connect, seconds without an answer, tries in all."""

    connect_seconds: float = 3
    read_seconds: float = 20
    tries: int = 4


LONG_TIMEOUTS = Timeouts()
"""For runs: a throttled or slow service gets its time."""
SHORT_TIMEOUTS = Timeouts(connect_seconds=2, read_seconds=5, tries=3)
"""For ticks and requests, which have seconds."""


def _tries(number: int) -> dict[str, Any]:
    return {"mode": "standard", "total_max_attempts": number}


def _instant(value: Any) -> datetime:
    """Return an answer's instant: by dateutil it would be more than half of a listing's cost."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):  # seconds, or the words of a header
        return parse_timestamp(value)


@dataclass(eq=False)
class Clients:
    """One client of each service, shared by threads."""

    region: (
        str | None
    )  # passed to every client; None leaves it to boto3's own configuration
    timeouts: Timeouts = LONG_TIMEOUTS  # the limits of calls
    _: KW_ONLY
    # The host in presigned links, where it is not boto3's own
    public_s3_endpoint_url: str | None = None
    environ: Mapping[str, str] = field(
        default_factory=lambda: os.environ
    )  # that boto3 reads
    # Making a client is not thread-safe, using one is.
    _making: threading.RLock = field(default_factory=threading.RLock)
    _session: boto3.Session | None = None

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        return self._client("dynamodb")

    @cached_property
    def dynamodb_heartbeats(self) -> DynamoDBClient:
        """DynamoDB for heartbeats: one that hangs must not hold up the next."""
        return self._client(
            "dynamodb",
            connect_timeout=SHORT_TIMEOUTS.connect_seconds,
            read_timeout=SHORT_TIMEOUTS.read_seconds,
            retries=_tries(1),
        )

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        # Buckets as host names need DNS, which an endpoint of one's own rarely has.
        style = {"addressing_style": "path" if self._has_endpoint() else "auto"}
        return self._client("s3", s3=style)

    @cached_property
    def s3_links(self) -> S3Client:
        """S3 as seen by those who follow presigned links; SigV4. Signs, sends nothing."""
        url = self.public_s3_endpoint_url
        # With "auto" botocore signs links to the host of us-east-1, which leads to no newer region.
        style = {
            "addressing_style": "path" if url or self._has_endpoint() else "virtual"
        }
        return self._client("s3", endpoint_url=url, signature_version="s3v4", s3=style)

    @cached_property
    def sqs(self) -> SQSClient:
        """SQS, for everything but long polls."""
        return self._client("sqs")

    @cached_property
    def sqs_polling(self) -> SQSClient:
        """SQS for long polls: no answer for longer than a poll is a fault, seen within a tick."""
        timeout = LONG_POLL_SECONDS + 5
        return self._client("sqs", read_timeout=timeout, retries=_tries(2))

    def caller_arn(self) -> str:
        """Return the ARN of the credentials, by STS; ``unverified`` where it does not answer."""
        try:
            return str(self._client("sts").get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError):
            return "unverified"

    @cached_property
    def secrets(self) -> SecretsManagerClient:
        """Secrets Manager."""
        return self._client("secretsmanager")

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """CloudWatch."""
        return self._client("cloudwatch")

    def _has_endpoint(self) -> bool:
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        return any(self.environ.get(name) for name in names)

    def _client(
        self, service: str, *, endpoint_url: str | None = None, **config: Any
    ) -> Any:
        with self._making:
            if self._session is None:
                own = botocore.session.get_session()
                parsers = own.get_component("response_parser_factory")
                parsers.set_parser_defaults(timestamp_parser=_instant)
                self._session = boto3.Session(
                    region_name=self.region, botocore_session=own
                )
            defaults = {
                "connect_timeout": self.timeouts.connect_seconds,
                "read_timeout": self.timeouts.read_seconds,
                "retries": _tries(self.timeouts.tries),
                "max_pool_connections": 32,
            }
            try:
                return self._session.client(
                    service,  # type: ignore[call-overload]
                    region_name=self.region,
                    endpoint_url=endpoint_url,
                    config=Config(**{**defaults, **config}),
                )
            except NoRegionError:
                raise SettingsError(
                    "AWS_REGION", "is not set, nor is AWS_DEFAULT_REGION"
                ) from None
            except InvalidRegionError:
                raise SettingsError(
                    "AWS_REGION", f"is no region: {self.region!r}"
                ) from None
            except ValueError as error:
                # botocore has no kind of its own for an endpoint that is no URL.
                named = f"AWS_ENDPOINT_URL_{service.upper()}"
                variable = named if self.environ.get(named) else "AWS_ENDPOINT_URL"
                if endpoint_url is not None:
                    variable = "RELAY_PUBLIC_S3_ENDPOINT_URL"
                raise SettingsError(variable, str(error)) from None


# --- errors ---------------------------------------------------------------------------------------


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
TRANSACTION_COLLIDED = frozenset(
    {"TransactionConflictException", "TransactionInProgressException"}
)

_CODES: dict[type[ExternalServiceError], frozenset[str]] = {
    ThrottledError: frozenset(
        {
            *(
                "BandwidthLimitExceeded",
                "EC2ThrottledException",
                "KMSThrottlingException",
            ),
            *("KmsThrottled", "LimitExceededException", "OverLimit"),
            *(
                "ProvisionedThroughputExceededException",
                "RequestLimitExceeded",
                "RequestThrottled",
            ),
            *(
                "RequestThrottledException",
                "SlowDown",
                "ThrottledException",
                "Throttling",
            ),
            *("ThrottlingException", "TooManyRequestsException"),
            *TRANSACTION_COLLIDED,
        }
    ),
    UnreachableError: frozenset({"RequestTimeout", "RequestTimeoutException"}),
    AccessRefusedError: frozenset(
        {
            *(
                "AccessDenied",
                "AccessDeniedException",
                "AllAccessDisabled",
                "AuthFailure",
            ),
            *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId"),
            *("InvalidClientTokenId", "InvalidSignatureException", "InvalidToken"),
            *("KmsAccessDenied", "MissingAuthenticationToken", "RequestTimeTooSkewed"),
            *("SignatureDoesNotMatch", "UnrecognizedClientException"),
        }
    ),
    MissingResourceError: NO_OBJECT
    | NO_BUCKET
    | NO_QUEUE
    | {"ResourceNotFoundException"},
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
        return kind(
            f"{operation} ({error.operation_name})", f"{error_code(error)}: {error}"
        )
    if isinstance(error, Boto3Error):
        # Transfers wrap what went wrong.
        inner = error.__cause__ or error.__context__
        found = (
            external_error_of(inner, operation)
            if isinstance(inner, Exception)
            else None
        )
        return found or RequestRejectedError(
            operation, f"{type(error).__name__}: {error}"
        )
    for family, kind in _FAMILIES:
        if isinstance(error, family):
            return kind(operation, f"{type(error).__name__}: {error}")
    return None


def _kind_of_response(error: ClientError) -> type[ExternalServiceError]:
    code = error_code(error).rpartition("#")[2]
    for kind, codes in _CODES.items():
        if code in codes:
            return kind
    status = int(
        error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0
    )
    if status == 429:
        return ThrottledError
    by_status = {
        401: AccessRefusedError,
        403: AccessRefusedError,
        404: MissingResourceError,
    }
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
        wait=wait_random_exponential(
            multiplier=_FIRST_PAUSE_SECONDS, max=max_pause_seconds
        ),
        stop=stop_after_attempt(tries),
        sleep=sleep,
        reraise=True,
    )
