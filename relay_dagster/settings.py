"""The environment, read once when it is first needed, typed. The only reader of these variables.

AWS endpoints and credentials are boto3's own business and are not read here; the region is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

_T = TypeVar("_T")
_YES = {"true", "1", "yes", "on"}
_NO = {"false", "0", "no", "off"}
# SQS keeps no message invisible for longer.
_MAX_VISIBILITY_SECONDS = 12 * 60 * 60


class SettingsError(Exception):
    """A variable is missing or bad; the message is one line that names it."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"{name} {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the environment says. ``region`` None leaves the region to boto3."""

    artifact_bucket: str
    runs_table: str
    tenants_table: str
    queue_url: str
    dlq_url: str
    region: str | None = None
    api_keys: tuple[str, ...] = ()
    allow_anonymous: bool = False
    metrics_enabled: bool = False
    metrics_namespace: str = "RelayInventory"
    environment: str = "unknown"
    max_attempts: int = 3
    max_concurrency: int = 2
    intake_limit: int = 4
    visibility_timeout_seconds: int = 300
    backoff_base_seconds: float = 10
    backoff_max_seconds: float = 300
    heartbeat_seconds: float = 5
    heartbeat_stale_seconds: float = 90
    retention_days: int = 30
    public_s3_endpoint_url: str | None = None
    dagster_webserver_url: str | None = None

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, require_api: bool = False
    ) -> Self:
        """Read the variables; an empty one is as if it were not set.

        Args:
            environ: read instead of the process's environment.
            require_api: ask for what only the API needs, its keys.

        Raises:
            SettingsError: one is missing or bad.
        """
        env = _Environment(os.environ if environ is None else environ)
        concurrency = env.whole("WORKER_MAX_CONCURRENCY", 2)
        settings = cls(
            artifact_bucket=env.required("ARTIFACT_BUCKET"),
            runs_table=env.required("RUNS_TABLE"),
            tenants_table=env.required("TENANTS_TABLE"),
            queue_url=env.url("SQS_QUEUE_URL", env.required("SQS_QUEUE_URL")),
            dlq_url=env.url("SQS_DLQ_URL", env.required("SQS_DLQ_URL")),
            region=region_from(env.environ),
            api_keys=env.words("API_KEYS"),
            allow_anonymous=env.flag("RELAY_ALLOW_ANONYMOUS"),
            metrics_enabled=metrics_enabled_from(env.environ),
            metrics_namespace=env.text("CLOUDWATCH_METRICS_NAMESPACE") or "RelayInventory",
            environment=env.text("ENVIRONMENT") or "unknown",
            max_attempts=max_attempts_from(env.environ),
            max_concurrency=concurrency,
            intake_limit=env.whole("RELAY_INTAKE_LIMIT", 2 * concurrency),
            visibility_timeout_seconds=visibility_timeout_from(env.environ),
            backoff_base_seconds=env.seconds("WORKER_BACKOFF_BASE_SECONDS", 10, zero=True),
            backoff_max_seconds=env.seconds("WORKER_BACKOFF_MAX_SECONDS", 300, zero=True),
            heartbeat_seconds=env.seconds("RELAY_HEARTBEAT_SECONDS", 5),
            heartbeat_stale_seconds=env.seconds("RELAY_HEARTBEAT_STALE_SECONDS", 90),
            retention_days=retention_days_from(env.environ),
            public_s3_endpoint_url=env.optional_url("RELAY_PUBLIC_S3_ENDPOINT_URL"),
            dagster_webserver_url=env.optional_url("DAGSTER_WEBSERVER_URL"),
        )
        settings._check(require_api)
        return settings

    def _check(self, require_api: bool) -> None:
        if self.heartbeat_stale_seconds <= self.heartbeat_seconds:
            raise SettingsError(
                "RELAY_HEARTBEAT_STALE_SECONDS", "must be more than RELAY_HEARTBEAT_SECONDS"
            )
        if require_api and not self.api_keys and not self.allow_anonymous:
            raise SettingsError(
                "API_KEYS",
                "is not set; set it to the admin keys, comma-separated "
                "(or RELAY_ALLOW_ANONYMOUS=true, for toys)",
            )


def region_from(environ: Mapping[str, str]) -> str | None:
    """Return the AWS region: ``AWS_REGION``, else ``AWS_DEFAULT_REGION``, else None."""
    env = _Environment(environ)
    return env.text("AWS_REGION") or env.text("AWS_DEFAULT_REGION")


def metrics_enabled_from(environ: Mapping[str, str]) -> bool:
    """Return whether metrics are written."""
    return _Environment(environ).flag("CLOUDWATCH_METRICS_ENABLED")


def max_attempts_from(environ: Mapping[str, str]) -> int:
    """Return how many attempts a run has, which is also the queue's ``maxReceiveCount``."""
    return _Environment(environ).whole("WORKER_POISON_MAX_RECEIVES", 3, most=1000)


def max_concurrency_from(environ: Mapping[str, str]) -> int:
    """Return how many Dagster runs execute at once."""
    return _Environment(environ).whole("WORKER_MAX_CONCURRENCY", 2)


def visibility_timeout_from(environ: Mapping[str, str]) -> int:
    """Return the queue's visibility timeout in seconds."""
    return _Environment(environ).whole(
        "WORKER_VISIBILITY_TIMEOUT_SECONDS", 300, most=_MAX_VISIBILITY_SECONDS
    )


def retention_days_from(environ: Mapping[str, str]) -> int:
    """Return for how many days the artifacts of a run are kept."""
    return _Environment(environ).whole("RETENTION_DAYS", 30)


@dataclass(frozen=True, slots=True)
class _Environment:
    """Typed reads of one environment; each failure names the variable."""

    environ: Mapping[str, str]

    def text(self, name: str) -> str | None:
        return self.environ.get(name, "").strip() or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise SettingsError(name, "is not set; `relay bootstrap` prints a value for it")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        pieces = (piece.strip() for piece in (self.text(name) or "").split(","))
        return tuple(piece for piece in pieces if piece)

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "false").lower()
        if value not in _YES | _NO:
            raise SettingsError(name, f"must be true or false, not {value!r}")
        return value in _YES

    def whole(self, name: str, default: int, *, most: int = 1_000_000) -> int:
        value = self._number(name, int)
        if value is None:
            return default
        if not 1 <= value <= most:
            raise SettingsError(name, f"must be a whole number from 1 to {most}, not {value}")
        return value

    def seconds(self, name: str, default: float, *, zero: bool = False) -> float:
        value = self._number(name, float)
        if value is None:
            return default
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise SettingsError(name, f"must be a number of seconds, not {value}")
        return value

    def optional_url(self, name: str) -> str | None:
        value = self.text(name)
        return None if value is None else self.url(name, value).rstrip("/")

    def url(self, name: str, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise SettingsError(name, f"must be a URL (http:// or https://), not {value!r}")
        return value

    def _number(self, name: str, kind: Callable[[str], _T]) -> _T | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            raise SettingsError(name, f"must be a number, not {value!r}") from None
