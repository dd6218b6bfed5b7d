"""The variables of the environment, typed, read once when they are first needed, and only here.

boto3 reads endpoints and credentials of AWS; the region is read here. A caller that needs a few of
the variables reads a smaller class, so a bad one of the others does not matter.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo

from relay_core.domain.limits import DEFAULT_LIMITS, MEANINGS, Limits

# SQS keeps no message invisible for longer.
_MAX_VISIBILITY_SECONDS = 12 * 60 * 60


class SettingsError(Exception):
    """A variable is missing or bad; the message is one line that names it."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"{name} {problem}")


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(piece for each in value.split(",") if (piece := each.strip()))


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("Input should be a URL (http:// or https://)")
    return value


def _host_name(text: str) -> str:
    if not re.fullmatch(
        r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text
    ):
        raise ValueError("Input should be host names without ports, comma-separated")
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            "Input should be addresses or networks, comma-separated"
        ) from None


_MAX_RUNS = 1_000_000  # at once
_Runs = Annotated[int, Field(ge=1, le=_MAX_RUNS)]
_Kept = Annotated[int, Field(ge=1, le=1000)]  # they are one item of DynamoDB
_Limit = Annotated[int, Field(ge=1)]
_LimitOrNone = Annotated[int, Field(ge=0)]
_Attempts = Annotated[int, Field(ge=1, le=1000)]
_Visibility = Annotated[int, Field(ge=1, le=_MAX_VISIBILITY_SECONDS)]
# So long from now a year still has four digits, either way.
_Days = Annotated[int, Field(ge=1, le=100_000)]
_Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
_SecondsOrNone = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Hours = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
_Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_words)
]
_HostNames = Annotated[
    tuple[Annotated[str, AfterValidator(_host_name)], ...], BeforeValidator(_words)
]
_Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*$")]
_Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
_Url = Annotated[str, AfterValidator(_url)]
_BaseUrl = Annotated[
    str, AfterValidator(_url), AfterValidator(lambda url: url.rstrip("/"))
]


class EnvironmentSettings(BaseModel):
    """Base: values from an environment, or by their names from code."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        validate_default=True,
        defer_build=True,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the variables of an environment, by default of the process; an empty one is not set.

        `SettingsError`: one is missing or bad.
        """
        environ = os.environ if environ is None else environ
        texts = {name: text for name in environ if (text := environ[name].strip())}
        first = (
            next(filter(texts.get, _names(one)), None)
            for one in cls.model_fields.values()
        )
        given = {name: texts[name] for name in first if name is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _first_problem(error) from None


def _names(field: FieldInfo) -> list[str]:
    """Return the variables that a field is read from, the first one first."""
    alias = field.validation_alias
    return [
        str(each)
        for each in (alias.choices if isinstance(alias, AliasChoices) else [alias])
    ]


# Replacements for Pydantic's sentences about parsing.
_PROBLEMS = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def _first_problem(error: ValidationError) -> SettingsError:
    """Return the first fault, as one line."""
    found = error.errors(include_url=False)[0]
    name = str(found["loc"][0])
    if found["type"] == "missing":
        return SettingsError(
            name, "is not set; `relay bootstrap` prints a value for it"
        )
    said = (
        found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    )
    return SettingsError(
        name, f"{_PROBLEMS.get(found['type'], said)}, not {found['input']!r}"
    )


def _read(
    variable: str, default: Any = ..., description: str | None = None, **more: Any
) -> Any:
    """Return the field that a variable sets; one without a default must be set."""
    return Field(default, validation_alias=variable, description=description, **more)


# --- limits -------------------------------------------------------------------------------------

_OF_ENGINE = (
    *("feed_bytes", "run_bytes", "sku_map_bytes", "columns"),
    *("cell_bytes", "vendors", "config_bytes"),
)


def _of_engine(name: str) -> Any:
    """Return the field of a limit of the engine's that a variable sets."""
    return _read(
        f"RELAY_MAX_{name.upper()}", getattr(DEFAULT_LIMITS, name), MEANINGS[name]
    )


class LimitSettings(EnvironmentSettings):
    """The limits of inputs and runs; each description says of what, and what is over it."""

    max_feed_bytes: _Limit = _of_engine("feed_bytes")
    max_run_bytes: _Limit = _of_engine("run_bytes")
    max_sku_map_bytes: _Limit = _of_engine("sku_map_bytes")
    max_columns: _Limit = _of_engine("columns")
    max_cell_bytes: _Limit = _of_engine("cell_bytes")
    max_vendors: _Limit = _of_engine("vendors")
    max_config_bytes: _Limit = _of_engine("config_bytes")
    max_run_memory_mb: _LimitOrNone = _read(
        "RELAY_MAX_RUN_MEMORY_MB",
        0,
        "MiB of memory for a run's process, on top of its code. 0 means no limit. A feed that "
        "needs more is `feed_too_large`, or the run is attempted again if its process ends",
    )
    max_body_bytes: _Limit = _read(
        "RELAY_MAX_BODY_BYTES",
        1 << 20,
        "Bytes of a request's body. A larger body is rejected with 413 `PAYLOAD_TOO_LARGE`",
    )

    rate_limit_per_minute: _Limit = _read(
        "RELAY_RATE_LIMIT_PER_MINUTE",
        600,
        "Requests of a tenant, with all its keys, to one process of the API in a minute. Up to "
        "100 of them may come at once. An admin key may send ten times as many of both. More are "
        "rejected with 429 `RATE_LIMITED`",
    )

    max_runs_per_hour: _Limit = _read(
        "RELAY_MAX_RUNS_PER_HOUR",
        120,
        "Runs of a tenant that `POST /v1/runs` creates in an hour of the UTC clock, including "
        "cancelled runs. More are rejected with 429 `RUN_QUOTA_EXCEEDED`",
    )
    max_config_versions_per_day: _Limit = _read(
        "RELAY_MAX_CONFIG_VERSIONS_PER_DAY",
        500,
        "Config versions that a tenant stores in a UTC day. More are rejected with 429 "
        "`CONFIG_QUOTA_EXCEEDED`",
    )
    max_upload_links_per_day: _Limit = _read(
        "RELAY_MAX_UPLOAD_LINKS_PER_DAY",
        10_000,
        "Upload links that a tenant creates in a UTC day. More are rejected with 429 "
        "`UPLOAD_QUOTA_EXCEEDED`",
    )

    @property
    def limits(self) -> Limits:
        """The engine's limits."""
        given = {name: getattr(self, f"max_{name}") for name in _OF_ENGINE}
        return Limits(**given, reader_bytes=(self.max_run_memory_mb << 20) // 3)


class RegionSettings(EnvironmentSettings):
    """Where AWS is. ``region`` None leaves it to boto3, which does not read the first variable."""

    region: str | None = Field(
        None, validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION")
    )


class MetricsSettings(RegionSettings):
    """Whether metrics are written."""

    metrics_enabled: bool = _read("CLOUDWATCH_METRICS_ENABLED", False)


class CatalogSettings(EnvironmentSettings):
    """The facts that Dagster's asset catalog shows besides the data.

    The source is linked only where both its address and its commit are known.
    """

    asset_owners: _Words = _read("RELAY_ASSET_OWNERS", ())
    source_url: _BaseUrl | None = _read("RELAY_SOURCE_URL", None)
    source_commit: _Commit | None = _read("RELAY_SOURCE_COMMIT", None)


class ConcurrencySettings(EnvironmentSettings):
    """How many Dagster runs execute at once."""

    max_concurrency: _Runs = _read("WORKER_MAX_CONCURRENCY", 2)


class ProvisioningSettings(RegionSettings, ConcurrencySettings):
    """What AWS resources are made with; attempts of a run are the queue's ``maxReceiveCount``."""

    max_attempts: _Attempts = _read("WORKER_POISON_MAX_RECEIVES", 3)
    visibility_timeout_seconds: _Visibility = _read(
        "WORKER_VISIBILITY_TIMEOUT_SECONDS", 300
    )
    retention_days: _Days = _read("RETENTION_DAYS", 30)


def audit_table_beside(tenants_table: str) -> str:
    """Return the name of the audit table that goes with a tenants table, where none is given."""
    return f"{tenants_table.removesuffix('-tenants')}-audit"


class UiSettings(RegionSettings):
    """What `relay ui` reads: which host names it has, who logs people in, where reports lie."""

    dagster_home: str | None = _read("DAGSTER_HOME", None)
    dagster_webserver_url: _BaseUrl | None = _read("DAGSTER_WEBSERVER_URL", None)
    ui_hosts: _HostNames = _read("RELAY_UI_HOSTS", ())
    ui_behind_proxy: bool = _read("RELAY_UI_BEHIND_PROXY", False)
    artifact_bucket: str | None = _read("ARTIFACT_BUCKET", None)
    public_s3_endpoint_url: _BaseUrl | None = _read(
        "RELAY_PUBLIC_S3_ENDPOINT_URL", None
    )

    @property
    def hosts_of_ui(self) -> frozenset[str]:
        """The names that Dagster's pages have beside loopback's, in small letters."""
        own = urlsplit(self.dagster_webserver_url or "").hostname
        return frozenset((*self.ui_hosts, own) if own else self.ui_hosts)


class Settings(MetricsSettings, ProvisioningSettings, LimitSettings, UiSettings):
    """Everything that the environment says."""

    artifact_bucket: str = _read("ARTIFACT_BUCKET")
    keep_published: _Kept = _read("RELAY_KEEP_PUBLISHED", 10)
    dagster_retention_days: _Days = _read(
        "RELAY_DAGSTER_RETENTION_DAYS",
        default_factory=lambda read: min(3, read["retention_days"]),
    )
    deletion_grace_hours: _Hours = _read("RELAY_DELETION_GRACE_HOURS", 168)
    deletions_apart: bool = _read("RELAY_DELETIONS_APART", False)
    runs_table: str = _read("RUNS_TABLE")
    tenants_table: str = _read("TENANTS_TABLE")
    audit_table: str = _read(
        "AUDIT_TABLE",
        default_factory=lambda read: audit_table_beside(read["tenants_table"]),
    )
    queue_url: _Url = _read("SQS_QUEUE_URL")
    dlq_url: _Url = _read("SQS_DLQ_URL")
    uploads_queue_url: _Url | None = _read("UPLOADS_QUEUE_URL", None)
    api_keys: _Words = _read("API_KEYS", (), repr=False)
    allow_anonymous: bool = _read("RELAY_ALLOW_ANONYMOUS", False)
    trusted_proxies: _Networks = _read("RELAY_TRUSTED_PROXIES", ())
    webhook_allow_loopback: bool = _read("RELAY_WEBHOOK_ALLOW_LOOPBACK", False)
    pull_allow_loopback: bool = _read("RELAY_PULL_ALLOW_LOOPBACK", False)
    metrics_namespace: str = _read("CLOUDWATCH_METRICS_NAMESPACE", "RelayInventory")
    environment: str = _read("ENVIRONMENT", "unknown")
    intake_limit: _Runs = _read(
        "RELAY_INTAKE_LIMIT",
        default_factory=lambda read: min(2 * read["max_concurrency"], _MAX_RUNS),
    )
    backoff_base_seconds: _SecondsOrNone = _read("WORKER_BACKOFF_BASE_SECONDS", 10)
    backoff_max_seconds: _SecondsOrNone = _read("WORKER_BACKOFF_MAX_SECONDS", 300)
    message_lost_seconds: _Seconds = _read("RELAY_MESSAGE_LOST_SECONDS", 3600)
    heartbeat_seconds: _Seconds = _read("RELAY_HEARTBEAT_SECONDS", 5)
    heartbeat_stale_seconds: _Seconds = _read("RELAY_HEARTBEAT_STALE_SECONDS", 90)
    run_timeout_seconds: _Seconds = _read(
        "RELAY_RUN_TIMEOUT_SECONDS",
        3600,
        "Seconds of one attempt. A longer attempt ends its run with `RUN_TIMEOUT`, and the run "
        "is not attempted again",
    )
    given_secrets_prefix: _Prefix | None = _read(
        "RELAY_SECRETS_PREFIX", None, repr=False
    )
    public_url: _BaseUrl | None = _read("RELAY_PUBLIC_URL", None)

    @property
    def secrets_prefix(self) -> str:
        """What the names of tenants' secrets begin with in Secrets Manager."""
        return self.given_secrets_prefix or f"relay/{self.environment}"

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, require_api: bool = False
    ) -> Self:
        """Read the environment or another; ``require_api`` asks for what only the API needs.

        `SettingsError`: one is missing or bad.
        """
        settings = super().from_env(environ)
        keys, everybody = settings.api_keys, settings.allow_anonymous
        if settings.heartbeat_stale_seconds <= settings.heartbeat_seconds:
            problem = "must be more than RELAY_HEARTBEAT_SECONDS"
            raise SettingsError("RELAY_HEARTBEAT_STALE_SECONDS", problem)
        if settings.dagster_retention_days > settings.retention_days:
            raise SettingsError(
                "RELAY_DAGSTER_RETENTION_DAYS", "must be at most RETENTION_DAYS"
            )
        if require_api and keys and everybody:
            problem = (
                "must not be true beside API_KEYS: it lets everybody in as an admin; "
                "unset one"
            )
            raise SettingsError("RELAY_ALLOW_ANONYMOUS", problem)
        if require_api and not keys and not everybody:
            problem = "is not set; set it to the admin keys, comma-separated"
            toys = "(or RELAY_ALLOW_ANONYMOUS=true, for toys)"
            raise SettingsError("API_KEYS", f"{problem} {toys}")
        return settings
