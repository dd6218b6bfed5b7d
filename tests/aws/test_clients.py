from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relay_dagster.aws.clients import (
    LONG_POLL_SECONDS,
    LONG_TIMEOUTS,
    SHORT_TIMEOUTS,
    Clients,
    Timeouts,
)
from relay_dagster.settings import SettingsError
from support.fakes import embedded_platform

NAMES = ("dynamodb", "s3", "s3_links", "sqs", "sqs_polling", "cloudwatch")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_every_client_gets_the_region(name: str) -> None:
    client = getattr(Clients("eu-west-1"), name)
    assert client.meta.region_name == "eu-west-1"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "timeouts", [LONG_TIMEOUTS, SHORT_TIMEOUTS], ids=["long", "short"]
)
def test_every_client_gives_up_in_time(name: str, timeouts: Timeouts) -> None:
    config = getattr(Clients("eu-west-1", timeouts), name).meta.config
    assert config.connect_timeout == timeouts.connect_seconds
    assert config.read_timeout <= max(
        timeouts.read_seconds, LONG_POLL_SECONDS + 10
    )
    assert config.retries["total_max_attempts"] <= timeouts.tries


def test_a_long_poll_is_no_time_out_and_one_that_hangs_is_over_within_a_tick() -> (
    None
):
    config = Clients("eu-west-1", SHORT_TIMEOUTS).sqs_polling.meta.config
    assert config.read_timeout > LONG_POLL_SECONDS
    assert config.retries["total_max_attempts"] * (config.read_timeout + 2) < 30


def test_a_heartbeat_that_hangs_is_no_death() -> None:
    config = Clients("eu-west-1", LONG_TIMEOUTS).dynamodb_heartbeats.meta.config
    assert config.retries["total_max_attempts"] * (config.read_timeout + 2) < 10


def test_a_client_is_made_once() -> None:
    clients = Clients("eu-west-1")
    assert clients.sqs is clients.sqs
    assert clients.sqs is not clients.sqs_polling


def test_without_any_region_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(SettingsError, match=r"^AWS_REGION is not set"):
        _ = Clients(None).sqs


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"])
def test_an_endpoint_that_is_no_url_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nonsense")
    with pytest.raises(SettingsError, match=rf"^{name} .*nonsense"):
        _ = Clients("eu-west-1").sqs


def test_a_public_endpoint_that_is_no_url_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^RELAY_PUBLIC_S3_ENDPOINT_URL "):
        _ = Clients("eu-west-1", public_s3_endpoint_url="http://a b").s3_links


def test_a_region_that_is_none_is_named() -> None:
    with pytest.raises(
        SettingsError, match=r"^AWS_REGION is no region: 'no where'"
    ):
        _ = Clients("no where").sqs


def test_buckets_are_no_host_names_at_an_endpoint_of_ones_own() -> None:
    clients = Clients(
        "eu-west-1", environ={"AWS_ENDPOINT_URL_S3": "http://minio:9000"}
    )
    assert clients.s3.meta.config.s3 == {"addressing_style": "path"}
    aws = Clients("eu-west-1", environ={})
    assert aws.s3.meta.config.s3 == {"addressing_style": "auto"}


@pytest.mark.parametrize(
    ("bucket", "wanted"),
    [
        ("feeds", "https://feeds.s3.eu-south-2.amazonaws.com/k?"),
        ("my.feeds", "https://s3.eu-south-2.amazonaws.com/my.feeds/k?"),
    ],
)
def test_a_link_names_the_host_of_the_region_that_it_is_signed_for(
    monkeypatch: pytest.MonkeyPatch, bucket: str, wanted: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    links = Clients("eu-south-2", environ={}).s3_links
    parameters = {"Bucket": bucket, "Key": "k"}
    assert links.generate_presigned_url(
        "get_object", Params=parameters
    ).startswith(wanted)


def test_what_the_api_imports_of_aws_loads_no_frames() -> None:
    program = (
        "import sys, relay_dagster.wiring, relay_dagster.aws.provisioning.bootstrap\n"
        "heavy = {'dagster', 'dagster_aws', 'numpy', 'pandas', 'pandera', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"


def test_aws_says_who_runs_a_command_whatever_the_environment_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with embedded_platform() as platform:
        arn = platform.clients.caller_arn()
        monkeypatch.setenv("LOGNAME", "somebody-else")
        assert platform.clients.caller_arn() == arn
        assert arn.startswith("arn:aws:")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        assert (
            Clients("us-east-1", Timeouts(1, 1, 1)).caller_arn() == "unverified"
        )
