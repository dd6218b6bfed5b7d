"""The variables of the environment, typed. Only this module reads them, on first use.

boto3 reads the endpoints and credentials of AWS; the region is read here. A caller that
needs a few of the variables reads a smaller class, so that a bad value of another
variable does not matter.
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

_MAX_VISIBILITY_SECONDS = 12 * 60 * 60
"""The longest that SQS keeps a message out of sight."""

_HOST_NAME = re.compile(
    r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
)
"""A DNS name, or an IPv6 address."""


class SettingsError(Exception):
    """A variable is missing or has a bad value; the text is one line that names it."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"{name} {problem}")


def _words(value: Any) -> Any:
    """Return the words of a comma-separated text; other values are given from code."""
    if not isinstance(value, str):
        return value
    words = (word.strip() for word in value.split(","))
    return tuple(word for word in words if word)


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("Input should be a URL (http:// or https://)")
    return value


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(
            "Input should be host names without ports, comma-separated",
        )
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            "Input should be addresses or networks, comma-separated",
        ) from None


_MAX_RUNS = 1_000_000
"""The most runs at once."""

_Runs = Annotated[int, Field(ge=1, le=_MAX_RUNS)]
# The publications of a tenant are one item of DynamoDB.
_Kept = Annotated[int, Field(ge=1, le=1000)]
_Limit = Annotated[int, Field(ge=1)]
_LimitOrNone = Annotated[int, Field(ge=0)]
_Attempts = Annotated[int, Field(ge=1, le=1000)]
_Visibility = Annotated[int, Field(ge=1, le=_MAX_VISIBILITY_SECONDS)]
# Up to this number of days from now, a year still has four digits.
_Days = Annotated[int, Field(ge=1, le=100_000)]
_Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
_SecondsOrNone = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Hours = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
_Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    BeforeValidator(_words),
]
_HostNames = Annotated[
    tuple[Annotated[str, AfterValidator(_host_name)], ...],
    BeforeValidator(_words),
]
_Prefix = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*$"),
]
_Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
_Url = Annotated[str, AfterValidator(_url)]
_BaseUrl = Annotated[str, AfterValidator(_url), AfterValidator(_without_slash)]


class EnvironmentSettings(BaseModel):
    """Base of settings: values from an environment, or by their names from code."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        validate_default=True,
        defer_build=True,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the variables of an environment; by default that of the process.

        An empty variable counts as one that is not set.

        Raises:
            SettingsError: a variable is missing or has a bad value.
        """
        if environ is None:
            environ = os.environ
        values = {}
        for field in cls.model_fields.values():
            for variable in _variables_of(field):
                text = environ.get(variable, "").strip()
                if text:
                    values[variable] = text
                    break
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _first_problem(error) from None


def _variables_of(field: FieldInfo) -> list[str]:
    """Return the variables of a field; the first one that is set counts."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)]


# Replacements for Pydantic's sentences about parsing.
_PROBLEMS = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def _first_problem(error: ValidationError) -> SettingsError:
    """Return the first error, as one line."""
    first_error = error.errors(include_url=False)[0]
    variable = str(first_error["loc"][0])
    kind = first_error["type"]
    if kind == "missing":
        return SettingsError(
            variable,
            "is not set; `relay server bootstrap` prints a value for it",
        )
    message = first_error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be")
    problem = _PROBLEMS.get(kind, message)
    return SettingsError(variable, f"{problem}, not {first_error['input']!r}")


def _read(
    variable: str,
    default: Any = ...,
    description: str | None = None,
    **options: Any,
) -> Any:
    """Return the field that a variable sets; without a default, it is required."""
    return Field(
        default,
        validation_alias=variable,
        description=description,
        **options,
    )


# --- limits ---------------------------------------------------------------------------

_ENGINE_LIMITS = (
    "feed_bytes",
    "run_bytes",
    "sku_map_bytes",
    "columns",
    "cell_bytes",
    "vendors",
    "config_bytes",
)


def _engine_limit(name: str) -> Any:
    """Return the field of one of the engine's limits, which a variable sets."""
    default = getattr(DEFAULT_LIMITS, name)
    return _read(f"RELAY_MAX_{name.upper()}", default, MEANINGS[name])


class LimitSettings(EnvironmentSettings):
    """The limits of inputs and runs.

    A description says what the limit is for, and how an input beyond it fails.
    """

    max_feed_bytes: _Limit = _engine_limit("feed_bytes")
    max_run_bytes: _Limit = _engine_limit("run_bytes")
    max_sku_map_bytes: _Limit = _engine_limit("sku_map_bytes")
    max_columns: _Limit = _engine_limit("columns")
    max_cell_bytes: _Limit = _engine_limit("cell_bytes")
    max_vendors: _Limit = _engine_limit("vendors")
    max_config_bytes: _Limit = _engine_limit("config_bytes")
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
        """Return the engine's limits."""
        limits = {name: getattr(self, f"max_{name}") for name in _ENGINE_LIMITS}
        memory_bytes = self.max_run_memory_mb << 20
        return Limits(**limits, reader_bytes=memory_bytes // 3)


class RegionSettings(EnvironmentSettings):
    """The region of AWS.

    None leaves it to boto3, which does not read the first of the variables.
    """

    region: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
    )


class MetricsSettings(RegionSettings):
    """The switch of metrics."""

    metrics_enabled: bool = _read("CLOUDWATCH_METRICS_ENABLED", False)


class CatalogSettings(EnvironmentSettings):
    """The facts that Dagster's asset catalog shows besides the data.

    The source is linked only if both its address and its commit are known.
    """

    asset_owners: _Words = _read("RELAY_ASSET_OWNERS", ())
    source_url: _BaseUrl | None = _read("RELAY_SOURCE_URL", None)
    source_commit: _Commit | None = _read("RELAY_SOURCE_COMMIT", None)


class ConcurrencySettings(EnvironmentSettings):
    """The number of Dagster runs that execute at once."""

    max_concurrency: _Runs = _read("WORKER_MAX_CONCURRENCY", 2)


class ProvisioningSettings(RegionSettings, ConcurrencySettings):
    """The properties of AWS resources.

    The attempts of a run are the job queue's ``maxReceiveCount``.
    """

    max_attempts: _Attempts = _read("WORKER_POISON_MAX_RECEIVES", 3)
    visibility_timeout_seconds: _Visibility = _read(
        "WORKER_VISIBILITY_TIMEOUT_SECONDS",
        300,
    )
    retention_days: _Days = _read("RETENTION_DAYS", 30)


def audit_table_beside(tenants_table: str) -> str:
    """Return the default name of the audit table, which goes with the tenants table."""
    return f"{tenants_table.removesuffix('-tenants')}-audit"


class UiSettings(RegionSettings):
    """The settings of `relay server ui`: its host names, its proxy, and where reports are."""

    dagster_home: str | None = _read("DAGSTER_HOME", None)
    dagster_webserver_url: _BaseUrl | None = _read(
        "DAGSTER_WEBSERVER_URL",
        None,
    )
    ui_hosts: _HostNames = _read("RELAY_UI_HOSTS", ())
    ui_behind_proxy: bool = _read("RELAY_UI_BEHIND_PROXY", False)
    artifact_bucket: str | None = _read("ARTIFACT_BUCKET", None)
    public_s3_endpoint_url: _BaseUrl | None = _read(
        "RELAY_PUBLIC_S3_ENDPOINT_URL",
        None,
    )

    @property
    def hosts_of_ui(self) -> frozenset[str]:
        """Return the host names of Dagster's pages besides loopback, in lower case."""
        host_names = set(self.ui_hosts)
        webserver_host = urlsplit(self.dagster_webserver_url or "").hostname
        if webserver_host:
            host_names.add(webserver_host)
        return frozenset(host_names)


class Settings(
    MetricsSettings,
    ProvisioningSettings,
    LimitSettings,
    UiSettings,
):
    """The settings that Relay reads from the environment."""

    artifact_bucket: str = _read("ARTIFACT_BUCKET")
    keep_published: _Kept = _read("RELAY_KEEP_PUBLISHED", 10)
    dagster_retention_days: _Days = _read(
        "RELAY_DAGSTER_RETENTION_DAYS",
        default_factory=lambda values: min(3, values["retention_days"]),
    )
    deletion_grace_hours: _Hours = _read("RELAY_DELETION_GRACE_HOURS", 168)
    deletions_apart: bool = _read("RELAY_DELETIONS_APART", False)
    transfers_apart: bool = _read("RELAY_TRANSFERS_APART", False)
    runs_table: str = _read("RUNS_TABLE")
    tenants_table: str = _read("TENANTS_TABLE")
    audit_table: str = _read(
        "AUDIT_TABLE",
        default_factory=lambda values: audit_table_beside(
            values["tenants_table"],
        ),
    )
    queue_url: _Url = _read("SQS_QUEUE_URL")
    dlq_url: _Url = _read("SQS_DLQ_URL")
    uploads_queue_url: _Url | None = _read("UPLOADS_QUEUE_URL", None)
    api_keys: _Words = _read("API_KEYS", (), repr=False)
    read_only_admins: _Words = _read("RELAY_READ_ONLY_ADMINS", ())
    allow_anonymous: bool = _read("RELAY_ALLOW_ANONYMOUS", False)
    trusted_proxies: _Networks = _read("RELAY_TRUSTED_PROXIES", ())
    webhook_allow_loopback: bool = _read("RELAY_WEBHOOK_ALLOW_LOOPBACK", False)
    pull_allow_loopback: bool = _read("RELAY_PULL_ALLOW_LOOPBACK", False)
    metrics_namespace: str = _read(
        "CLOUDWATCH_METRICS_NAMESPACE",
        "RelayInventory",
    )
    environment: str = _read("ENVIRONMENT", "unknown")
    intake_limit: _Runs = _read(
        "RELAY_INTAKE_LIMIT",
        default_factory=lambda values: min(
            2 * values["max_concurrency"],
            _MAX_RUNS,
        ),
    )
    backoff_base_seconds: _SecondsOrNone = _read(
        "WORKER_BACKOFF_BASE_SECONDS",
        10,
    )
    backoff_max_seconds: _SecondsOrNone = _read(
        "WORKER_BACKOFF_MAX_SECONDS",
        300,
    )
    message_lost_seconds: _Seconds = _read("RELAY_MESSAGE_LOST_SECONDS", 3600)
    heartbeat_seconds: _Seconds = _read("RELAY_HEARTBEAT_SECONDS", 5)
    heartbeat_stale_seconds: _Seconds = _read(
        "RELAY_HEARTBEAT_STALE_SECONDS",
        90,
    )
    run_timeout_seconds: _Seconds = _read(
        "RELAY_RUN_TIMEOUT_SECONDS",
        3600,
        "Seconds of one attempt. A longer attempt ends its run with `RUN_TIMEOUT`, and the run "
        "is not attempted again",
    )
    given_secrets_prefix: _Prefix | None = _read(
        "RELAY_SECRETS_PREFIX",
        None,
        repr=False,
    )
    public_url: _BaseUrl | None = _read("RELAY_PUBLIC_URL", None)

    @property
    def secrets_prefix(self) -> str:
        """Return the beginning of the names of tenants' secrets in Secrets Manager."""
        return self.given_secrets_prefix or f"relay/{self.environment}"

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        require_api: bool = False,
    ) -> Self:
        """Read the variables of an environment; by default that of the process.

        ``require_api`` also checks the variables that only the API needs.

        Raises:
            SettingsError: a variable is missing or has a bad value.
        """
        settings = super().from_env(environ)
        if settings.heartbeat_stale_seconds <= settings.heartbeat_seconds:
            problem = "must be more than RELAY_HEARTBEAT_SECONDS"
            raise SettingsError("RELAY_HEARTBEAT_STALE_SECONDS", problem)
        if settings.dagster_retention_days > settings.retention_days:
            raise SettingsError(
                "RELAY_DAGSTER_RETENTION_DAYS",
                "must be at most RETENTION_DAYS",
            )
        if require_api:
            _require_one_way_in(settings)
        return settings


def _require_one_way_in(settings: Settings) -> None:
    """Refuse an API that has both admin keys and anonymous admins, or neither."""
    if settings.api_keys and settings.allow_anonymous:
        raise SettingsError(
            "RELAY_ALLOW_ANONYMOUS",
            "must not be true beside API_KEYS: it lets everybody in as an admin; "
            "unset one",
        )
    if not settings.api_keys and not settings.allow_anonymous:
        raise SettingsError(
            "API_KEYS",
            "is not set; set it to the admin keys, comma-separated "
            "(or RELAY_ALLOW_ANONYMOUS=true, for toys)",
        )
