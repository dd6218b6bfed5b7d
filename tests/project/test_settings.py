"""The environment as the program reads it: defaults, kinds, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from relay_core.domain.limits import Limits
from relay_dagster.settings import (
    ConcurrencySettings,
    LimitSettings,
    MetricsSettings,
    ProvisioningSettings,
    Settings,
    SettingsError,
)

REQUIRED = {
    "ARTIFACT_BUCKET": "bucket",
    "RUNS_TABLE": "runs",
    "TENANTS_TABLE": "tenants",
    "SQS_QUEUE_URL": "http://127.0.0.1:5000/1/jobs",
    "SQS_DLQ_URL": "http://127.0.0.1:5000/1/dead",
}


def read(**variables: str) -> Settings:
    return Settings.from_env({**REQUIRED, **variables})


def problem(variables: dict[str, str], **options: bool) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(variables, **options)
    return str(caught.value)


def test_only_five_variables_have_no_default() -> None:
    assert {
        name
        for name, field in Settings.model_fields.items()
        if field.is_required()
    } == {
        "artifact_bucket",
        "runs_table",
        "tenants_table",
        "queue_url",
        "dlq_url",
    }
    assert (
        read().artifact_bucket,
        read().runs_table,
        read().tenants_table,
    ) == (
        "bucket",
        "runs",
        "tenants",
    )


def test_what_is_not_set_is_as_the_contract_says() -> None:
    settings = read()
    assert (
        settings.max_attempts,
        settings.max_concurrency,
        settings.intake_limit,
    ) == (
        3,
        2,
        4,
    )
    assert (settings.backoff_base_seconds, settings.backoff_max_seconds) == (
        10,
        300,
    )
    assert (settings.heartbeat_seconds, settings.heartbeat_stale_seconds) == (
        5,
        90,
    )
    assert (settings.visibility_timeout_seconds, settings.retention_days) == (
        300,
        30,
    )
    assert settings.dagster_retention_days == 3
    assert (settings.metrics_enabled, settings.metrics_namespace) == (
        False,
        "RelayInventory",
    )
    assert (settings.environment, settings.allow_anonymous) == (
        "unknown",
        False,
    )
    assert settings.webhook_allow_loopback is False
    assert (settings.run_timeout_seconds, settings.max_run_memory_mb) == (
        3600,
        0,
    )
    assert settings.limits == Limits()
    assert (settings.max_feed_bytes, settings.max_sku_map_bytes) == (
        2 << 30,
        256 << 20,
    )
    assert (settings.max_columns, settings.max_cell_bytes) == (1_000, 1 << 20)
    assert (settings.max_vendors, settings.max_config_bytes) == (200, 390_000)


def test_dagster_keeps_runs_no_longer_than_their_files_are_kept() -> None:
    assert read(RETENTION_DAYS="2").dagster_retention_days == 2
    assert read(RELAY_DAGSTER_RETENTION_DAYS="30").dagster_retention_days == 30


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_one_line_that_names_it(name: str) -> None:
    message = problem({k: v for k, v in REQUIRED.items() if k != name})
    assert message.startswith(name)
    assert "\n" not in message


@pytest.mark.parametrize("name", REQUIRED)
def test_an_empty_variable_is_as_if_it_were_not_set(name: str) -> None:
    assert problem({**REQUIRED, name: "  "}).startswith(f"{name} is not set")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_POISON_MAX_RECEIVES", "0"),
        ("WORKER_POISON_MAX_RECEIVES", "three"),
        ("WORKER_POISON_MAX_RECEIVES", "1001"),
        ("WORKER_MAX_CONCURRENCY", "-1"),
        ("WORKER_MAX_CONCURRENCY", "1.5"),
        ("RELAY_INTAKE_LIMIT", "0"),
        ("RELAY_KEEP_PUBLISHED", "1001"),
        ("WORKER_VISIBILITY_TIMEOUT_SECONDS", "43201"),
        ("WORKER_BACKOFF_BASE_SECONDS", "-1"),
        ("WORKER_BACKOFF_MAX_SECONDS", "nan"),
        ("RELAY_HEARTBEAT_SECONDS", "0"),
        ("RELAY_HEARTBEAT_STALE_SECONDS", "inf"),
        ("RELAY_HEARTBEAT_STALE_SECONDS", "5"),
        ("RELAY_MAX_BODY_BYTES", "0"),
        ("RELAY_RATE_LIMIT_PER_MINUTE", "0"),
        ("RELAY_TRUSTED_PROXIES", "10.0.0.1, proxy.example"),
        ("RELAY_MAX_RUNS_PER_HOUR", "0"),
        ("RELAY_MAX_CONFIG_VERSIONS_PER_DAY", "-1"),
        ("RETENTION_DAYS", "a month"),
        ("RETENTION_DAYS", "100001"),
        ("RELAY_MESSAGE_LOST_SECONDS", "1000000000000"),
        ("RELAY_RUN_TIMEOUT_SECONDS", "nan"),
        ("RELAY_DAGSTER_RETENTION_DAYS", "31"),
        ("RELAY_DAGSTER_RETENTION_DAYS", "0"),
        ("RELAY_ALLOW_ANONYMOUS", "maybe"),
        ("CLOUDWATCH_METRICS_ENABLED", "2"),
        ("RELAY_PUBLIC_S3_ENDPOINT_URL", "localhost:9000"),
        ("DAGSTER_WEBSERVER_URL", "ftp://dagster"),
        ("RELAY_UI_HOSTS", "ui.example.com:3000"),
        ("RELAY_UI_HOSTS", "ui.example.com, https://ui.example.com"),
        ("RELAY_UI_HOSTS", "*"),
        ("RELAY_UI_BEHIND_PROXY", "nginx"),
        ("RELAY_WEBHOOK_ALLOW_LOOPBACK", "localhost"),
        ("SQS_QUEUE_URL", "relay-inventory-jobs"),
    ],
)
def test_a_bad_variable_is_one_line_that_names_it(
    name: str, value: str
) -> None:
    message = problem({**REQUIRED, name: value})
    assert message.startswith(f"{name} must be")
    assert "\n" not in message


def test_the_intake_limit_follows_the_concurrency() -> None:
    assert read(WORKER_MAX_CONCURRENCY="5").intake_limit == 10
    assert (
        read(WORKER_MAX_CONCURRENCY="5", RELAY_INTAKE_LIMIT="7").intake_limit
        == 7
    )
    assert read(WORKER_MAX_CONCURRENCY="1000000").intake_limit == 1_000_000


def test_trusted_proxies_are_addresses_and_networks() -> None:
    proxies = read(
        RELAY_TRUSTED_PROXIES="10.0.0.1, 192.168.7.9/16,::1"
    ).trusted_proxies
    assert proxies == ("10.0.0.1/32", "192.168.0.0/16", "::1/128")


def test_aws_region_comes_before_the_default_region() -> None:
    assert (
        read(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="us-east-1").region
        == "eu-west-1"
    )
    assert read(AWS_DEFAULT_REGION="us-east-1").region == "us-east-1"
    assert read().region is None


def test_the_api_needs_keys() -> None:
    assert problem(REQUIRED, require_api=True).startswith("API_KEYS is not set")
    assert problem(
        {**REQUIRED, "API_KEYS": " , "}, require_api=True
    ).startswith("API_KEYS")


def test_the_api_needs_no_keys_where_anybody_may_come() -> None:
    environment = {**REQUIRED, "RELAY_ALLOW_ANONYMOUS": "true"}
    assert Settings.from_env(environment, require_api=True).allow_anonymous


def test_everybody_is_not_let_in_beside_keys() -> None:
    environment = {
        **REQUIRED,
        "RELAY_ALLOW_ANONYMOUS": "true",
        "API_KEYS": "secret",
    }
    message = problem(environment, require_api=True)
    assert message.startswith(
        "RELAY_ALLOW_ANONYMOUS must not be true beside API_KEYS"
    )
    assert "secret" not in message
    # What has no API does not mind.
    assert Settings.from_env(environment).allow_anonymous


def test_api_keys_are_separated_by_commas() -> None:
    assert read(API_KEYS="one, two,,three ").api_keys == ("one", "two", "three")


def test_a_base_url_has_no_slash_at_its_end() -> None:
    assert (
        read(DAGSTER_WEBSERVER_URL="http://d:3000/").dagster_webserver_url
        == "http://d:3000"
    )


def test_the_ui_has_the_names_that_it_is_given_and_its_url_s() -> None:
    settings = read(
        RELAY_UI_HOSTS="UI.example.com, ::1",
        DAGSTER_WEBSERVER_URL="http://D:3000/x",
    )
    assert settings.hosts_of_ui == {"ui.example.com", "::1", "d"}
    assert (read().hosts_of_ui, read().ui_behind_proxy) == (frozenset(), False)


def test_the_process_environment_is_read_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENVIRONMENT", "staging")
    assert Settings.from_env().environment == "staging"


def test_no_environment_is_read_by_code_that_names_its_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKER_MAX_CONCURRENCY", "9")
    assert ConcurrencySettings().max_concurrency == 2
    assert ConcurrencySettings(max_concurrency=5).max_concurrency == 5


@pytest.mark.parametrize(
    "kind", [ConcurrencySettings, MetricsSettings, ProvisioningSettings]
)
def test_a_smaller_class_asks_for_its_own_variables_alone(
    kind: type[MetricsSettings],
) -> None:
    assert kind.from_env({"RELAY_INTAKE_LIMIT": "bad"}) == kind()


def test_a_smaller_class_names_a_bad_variable_of_its_own() -> None:
    with pytest.raises(SettingsError, match=r"^WORKER_MAX_CONCURRENCY must be"):
        ConcurrencySettings.from_env({"WORKER_MAX_CONCURRENCY": "many"})


@pytest.mark.parametrize(
    ("text", "enabled"),
    [("TRUE", True), ("yes", True), ("0", False), ("off", False), ("", False)],
)
def test_a_flag_may_be_said_in_several_words(text: str, enabled: bool) -> None:
    read_back = MetricsSettings.from_env({"CLOUDWATCH_METRICS_ENABLED": text})
    assert read_back.metrics_enabled is enabled


def test_keys_are_not_shown_with_the_settings() -> None:
    assert "secret" not in repr(read(API_KEYS="secret"))


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
@pytest.mark.parametrize(
    "field", LimitSettings.model_fields.values(), ids=LimitSettings.model_fields
)
def test_a_limit_is_a_positive_whole_number_or_0_where_its_default_is(
    field: FieldInfo, value: str
) -> None:
    name = str(field.validation_alias)
    if value == "0" and field.default == 0:
        read(**{name: value})
    else:
        assert problem({**REQUIRED, name: value}).startswith(f"{name} must be ")


def test_the_page_about_deployment_names_every_variable_that_is_no_limit_of_inputs() -> (
    None
):
    page = (
        Path(__file__).resolve().parents[2] / "docs" / "DEPLOY.md"
    ).read_text("utf-8")
    for name, field in Settings.model_fields.items():
        if name in LimitSettings.model_fields:
            continue
        alias = field.validation_alias
        for name in (
            alias.choices if isinstance(alias, AliasChoices) else [alias]
        ):
            assert f"`{name}" in page, name
