"""Creates the boto3 clients, each when it is first used.

The clients have a region, timeouts, and retries. boto3's own variables decide the rest.
botocore repeats a call that is throttled or gets no response. `aws/errors.py` says what
an error means and repeats the calls that botocore takes for failed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidRegionError,
    NoRegionError,
)
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from relay_dagster.settings import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

LONG_POLL_SECONDS = 5
"""The longest wait of one poll. Between two polls, the intake starts attempts."""

_MAX_CONNECTIONS = 32
_COMMON_MODELS = (
    "endpoints",
    "partitions",
    "sdk-default-configuration",
    "_retry",
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limits of a call."""

    # The seconds in which a connection must be established
    connect_seconds: float = 3
    # The seconds without any data after which a call has failed
    read_seconds: float = 20
    # The number of attempts, the first included
    tries: int = 4


LONG_TIMEOUTS = Timeouts()
"""The limits for runs, which can wait for a throttled or slow service."""

SHORT_TIMEOUTS = Timeouts(connect_seconds=2, read_seconds=5, tries=3)
"""The limits for ticks and requests, which have seconds."""


def _tries(number: int) -> dict[str, Any]:
    """Return the options of a client that makes a number of attempts."""
    return {"mode": "standard", "total_max_attempts": number}


def _instant(value: Any) -> datetime:
    """Return an instant of a response.

    botocore's own parser takes more than half of the time of a listing.
    """
    try:
        return datetime.fromisoformat(value)
    except (
        TypeError,
        ValueError,
    ):  # a number of seconds, or the text of a header
        return parse_timestamp(value)


@cache
def _models(data_path: str | None) -> Loader:
    """Return a reader of the services' descriptions, which keeps all that it reads."""
    return create_loader(data_path)


def load_models(services: Iterable[str]) -> None:
    """Read the descriptions of services, which otherwise their first client reads."""
    session = botocore.session.get_session()
    models = _models(session.get_config_variable("data_path"))
    for name in _COMMON_MODELS:
        models.load_data_with_path(name)
    for service in services:
        for kind in ("service-2", "endpoint-rule-set-1"):
            models.load_service_model(service, kind, api_version=None)


@dataclass(eq=False)
class Clients:
    """One client of each service, shared by threads."""

    # The region of every client; None leaves it to boto3's own configuration
    region: str | None
    # The limits of calls
    timeouts: Timeouts = LONG_TIMEOUTS
    _: KW_ONLY
    # The address in presigned links, if it is not boto3's own
    public_s3_endpoint_url: str | None = None
    # The environment that boto3 reads
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    # Creating a client is not thread-safe, but using one is.
    _creation_lock: threading.RLock = field(default_factory=threading.RLock)
    _session: boto3.Session | None = None

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        return self._client("dynamodb")

    @cached_property
    def dynamodb_heartbeats(self) -> DynamoDBClient:
        """DynamoDB for heartbeats, where a call that hangs must not delay the next one."""
        return self._client(
            "dynamodb",
            connect_timeout=SHORT_TIMEOUTS.connect_seconds,
            read_timeout=SHORT_TIMEOUTS.read_seconds,
            retries=_tries(1),
        )

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        # Buckets in host names need DNS, which an endpoint other than AWS rarely has.
        addressing_style = "path" if self._has_s3_endpoint() else "auto"
        return self._client("s3", s3={"addressing_style": addressing_style})

    @cached_property
    def s3_links(self) -> S3Client:
        """S3 at the address of presigned links. It signs links and sends nothing."""
        endpoint_url = self.public_s3_endpoint_url
        # With "auto", links would have the host of us-east-1, which serves only the
        # older regions.
        has_endpoint = bool(endpoint_url) or self._has_s3_endpoint()
        addressing_style = "path" if has_endpoint else "virtual"
        return self._client(
            "s3",
            endpoint_url=endpoint_url,
            signature_version="s3v4",
            s3={"addressing_style": addressing_style},
        )

    @cached_property
    def sqs(self) -> SQSClient:
        """SQS, except for long polls."""
        return self._client("sqs")

    @cached_property
    def sqs_polling(self) -> SQSClient:
        """SQS for long polls. A poll without a response fails within a tick."""
        read_timeout = LONG_POLL_SECONDS + 5
        return self._client("sqs", read_timeout=read_timeout, retries=_tries(2))

    @cached_property
    def secrets(self) -> SecretsManagerClient:
        """Secrets Manager."""
        return self._client("secretsmanager")

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """CloudWatch."""
        return self._client("cloudwatch")

    def caller_arn(self) -> str:
        """Return the ARN of the credentials, or ``unverified`` if STS does not return it."""
        try:
            return str(self._client("sts").get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError):
            return "unverified"

    def _has_s3_endpoint(self) -> bool:
        """Return True if the environment names an endpoint for S3."""
        variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        return any(self.environ.get(variable) for variable in variables)

    def _client(
        self,
        service: str,
        *,
        endpoint_url: str | None = None,
        **options: Any,
    ) -> Any:
        """Return a new client.

        Raises:
            SettingsError: There is no region, or the region or an endpoint is invalid.
        """
        defaults = {
            "connect_timeout": self.timeouts.connect_seconds,
            "read_timeout": self.timeouts.read_seconds,
            "retries": _tries(self.timeouts.tries),
            "max_pool_connections": _MAX_CONNECTIONS,
        }
        config = Config(**{**defaults, **options})
        with self._creation_lock:
            if self._session is None:
                self._session = self._new_session()
            try:
                return self._session.client(
                    service,  # type: ignore[call-overload]
                    region_name=self.region,
                    endpoint_url=endpoint_url,
                    config=config,
                )
            except NoRegionError:
                message = "is not set, nor is AWS_DEFAULT_REGION"
                raise SettingsError("AWS_REGION", message) from None
            except InvalidRegionError:
                message = f"is no region: {self.region!r}"
                raise SettingsError("AWS_REGION", message) from None
            except ValueError as error:
                # botocore has no error of its own for an endpoint that is not a URL.
                variable = self._endpoint_variable(service, endpoint_url)
                raise SettingsError(variable, str(error)) from None

    def _new_session(self) -> boto3.Session:
        session = botocore.session.get_session()
        models = _models(session.get_config_variable("data_path"))
        session.register_component("data_loader", models)
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=_instant)
        boto3_session = boto3.Session(
            region_name=self.region,
            botocore_session=session,
        )
        # Each session of boto3 adds its own folder once more.
        models.search_paths[:] = dict.fromkeys(models.search_paths)
        return boto3_session

    def _endpoint_variable(self, service: str, endpoint_url: str | None) -> str:
        """Return the variable that holds the endpoint of a service's client."""
        if endpoint_url is not None:
            return "RELAY_PUBLIC_S3_ENDPOINT_URL"
        service_variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        if self.environ.get(service_variable):
            return service_variable
        return "AWS_ENDPOINT_URL"
