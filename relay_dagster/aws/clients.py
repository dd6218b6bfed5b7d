"""boto3 clients, made when first used: a region, time-outs, retries; the rest by its variables."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, InvalidRegionError, NoRegionError
from botocore.utils import parse_timestamp

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

    region: str | None  # passed to every client; None leaves it to boto3's own configuration
    timeouts: Timeouts = LONG_TIMEOUTS  # the limits of calls
    _: KW_ONLY
    # The host in presigned links, where it is not boto3's own
    public_s3_endpoint_url: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)  # that boto3 reads
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
        style = {"addressing_style": "path" if url or self._has_endpoint() else "virtual"}
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

    def _client(self, service: str, *, endpoint_url: str | None = None, **config: Any) -> Any:
        with self._making:
            if self._session is None:
                own = botocore.session.get_session()
                parsers = own.get_component("response_parser_factory")
                parsers.set_parser_defaults(timestamp_parser=_instant)
                self._session = boto3.Session(region_name=self.region, botocore_session=own)
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
                raise SettingsError("AWS_REGION", "is not set, nor is AWS_DEFAULT_REGION") from None
            except InvalidRegionError:
                raise SettingsError("AWS_REGION", f"is no region: {self.region!r}") from None
            except ValueError as error:
                # botocore has no kind of its own for an endpoint that is no URL.
                named = f"AWS_ENDPOINT_URL_{service.upper()}"
                variable = named if self.environ.get(named) else "AWS_ENDPOINT_URL"
                if endpoint_url is not None:
                    variable = "RELAY_PUBLIC_S3_ENDPOINT_URL"
                raise SettingsError(variable, str(error)) from None
