from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

import setup_cloudwatch_alarms
from alarms import AlarmKind
from relay_dagster.aws.clients import Clients

ENVIRON = {
    "ENVIRONMENT": "prod",
    "AWS_REGION": "us-east-1",
    "CLOUDWATCH_METRICS_ENABLED": "true",
    "SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/jobs-of-prod",
    "SQS_DLQ_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/letters-of-prod",
}
NO_BREACH = "notBreaching"
TOPIC = "arn:aws:sns:us-east-1:123456789012:on-call"


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield Clients("us-east-1")


def set_up(
    clients: Clients, *arguments: str, environ: dict[str, str] = ENVIRON
) -> int:
    return setup_cloudwatch_alarms.main(
        arguments, environ=environ, clients=clients
    )


def alarms(clients: Clients) -> dict[str, Any]:
    metric_alarms = clients.cloudwatch.describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in metric_alarms}


def test_one_call_creates_all_alarms_of_an_installation(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up(clients, "--sns-topic-arn", TOPIC) == 0
    created = alarms(clients)
    assert capsys.readouterr().out.splitlines() == [
        "created: relay-prod-consecutive-failures",
        "created: relay-prod-sqs-backlog",
        "created: relay-prod-worker-errors",
        "created: relay-prod-worker-heartbeat",
        "created: relay-prod-runs-held",
        "created: relay-prod-dead-letters",
        "created: relay-prod-rate-limited",
        "created: relay-prod-access-denied",
        "created: relay-prod-pulls-failed",
        "created: relay-prod-deliveries-failed",
        "created: relay-prod-invariants",
        "created: relay-prod-doctor-cut-short",
        "created: relay-prod-slo-fast-burn",
        "created: relay-prod-slo-slow-burn",
    ]
    assert set(created) == {
        "relay-prod-consecutive-failures",
        "relay-prod-sqs-backlog",
        "relay-prod-worker-errors",
        "relay-prod-worker-heartbeat",
        "relay-prod-runs-held",
        "relay-prod-dead-letters",
        "relay-prod-rate-limited",
        "relay-prod-access-denied",
        "relay-prod-pulls-failed",
        "relay-prod-deliveries-failed",
        "relay-prod-invariants",
        "relay-prod-doctor-cut-short",
        "relay-prod-slo-fast-burn",
        "relay-prod-slo-slow-burn",
    }
    assert all(
        alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
        for alarm in created.values()
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "relay-prod-consecutive-failures",
            (
                "RunFailed",
                "Maximum",
                "GreaterThanOrEqualToThreshold",
                1.0,
                3600,
                3,
                "ignore",
            ),
        ),
        (
            "relay-prod-sqs-backlog",
            (
                "ApproximateNumberOfMessagesVisible",
                "Maximum",
                "GreaterThanThreshold",
                100.0,
                60,
                15,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-worker-errors",
            (
                "WorkerError",
                "Sum",
                "GreaterThanThreshold",
                5.0,
                300,
                1,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-worker-heartbeat",
            (
                "WorkerHeartbeat",
                "Sum",
                "LessThanThreshold",
                1.0,
                60,
                5,
                "breaching",
            ),
        ),
        (
            "relay-prod-runs-held",
            (
                "RunsHeld",
                "Minimum",
                "GreaterThanOrEqualToThreshold",
                1.0,
                3600,
                1,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-dead-letters",
            (
                "ApproximateNumberOfMessagesVisible",
                "Maximum",
                "GreaterThanThreshold",
                0.0,
                300,
                1,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-access-denied",
            (
                "AccessDenied",
                "Sum",
                "GreaterThanThreshold",
                100.0,
                300,
                1,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-doctor-cut-short",
            (
                "DoctorCutShort",
                "Maximum",
                "GreaterThanThreshold",
                0.0,
                3600,
                1,
                "notBreaching",
            ),
        ),
        (
            "relay-prod-invariants",
            (
                "InvariantsBroken",
                "Maximum",
                "GreaterThanThreshold",
                0.0,
                3600,
                1,
                "notBreaching",
            ),
        ),
        *(
            (
                f"relay-prod-slo-{name}-burn",
                (
                    "SloBad",
                    "Average",
                    "GreaterThanOrEqualToThreshold",
                    share,
                    period,
                    1,
                    NO_BREACH,
                ),
            )
            for name, share, period in (
                ("fast", 0.144, 3600),
                ("slow", 0.06, 21600),
            )
        ),
    ],
)
def test_each_alarm_fires_for_what_it_is_named_after(
    clients: Clients, name: str, expected: tuple[Any, ...]
) -> None:
    set_up(clients)
    fields = (
        "MetricName",
        "Statistic",
        "ComparisonOperator",
        "Threshold",
        "Period",
        "EvaluationPeriods",
        "TreatMissingData",
    )
    alarm = alarms(clients)[name]
    assert tuple(alarm[field] for field in fields) == expected
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("relay-prod-sqs-backlog", "jobs-of-prod"),
        ("relay-prod-dead-letters", "letters-of-prod"),
    ],
)
def test_what_watches_a_queue_watches_the_program_s_own(
    clients: Clients, name: str, queue: str
) -> None:
    set_up(clients)
    assert alarms(clients)[name]["Dimensions"] == [
        {"Name": "QueueName", "Value": queue}
    ]


def test_blanks_around_a_variable_count_for_as_little_as_in_the_program(
    clients: Clients,
) -> None:
    set_up(
        clients, environ={name: f" {text} " for name, text in ENVIRON.items()}
    )
    created = alarms(clients)
    assert created["relay-prod-worker-heartbeat"]["Dimensions"] == [
        {"Name": "Environment", "Value": "prod"}
    ]
    assert created["relay-prod-sqs-backlog"]["Dimensions"] == [
        {"Name": "QueueName", "Value": "jobs-of-prod"}
    ]


def test_each_tenant_s_alarm_has_the_tenant_in_its_name(
    clients: Clients,
) -> None:
    set_up(
        clients,
        "--tenant",
        "acme",
        "--tenant",
        "beta",
        "--only",
        "consecutive-failures",
    )
    assert set(alarms(clients)) == {
        "relay-prod-consecutive-failures-acme",
        "relay-prod-consecutive-failures-beta",
    }


def test_running_again_changes_nothing_and_says_so(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(clients, "--sns-topic-arn", TOPIC)
    before = alarms(clients)
    capsys.readouterr()
    assert set_up(clients, "--sns-topic-arn", TOPIC) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(AlarmKind)
    assert all(line.startswith("unchanged: ") for line in lines)
    assert alarms(clients) == before


def test_running_again_with_other_flags_updates_what_they_change(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(clients)
    capsys.readouterr()
    set_up(
        clients,
        "--consecutive-failure-threshold",
        "5",
        "--backlog-threshold",
        "7",
    )
    output = capsys.readouterr().out
    assert (
        "updated: relay-prod-sqs-backlog (AlarmDescription, Threshold)"
        in output
    )
    assert "unchanged: relay-prod-worker-errors" in output
    updated = alarms(clients)
    assert updated["relay-prod-consecutive-failures"]["EvaluationPeriods"] == 5
    assert updated["relay-prod-sqs-backlog"]["Threshold"] == 7


def test_an_update_without_a_topic_keeps_whom_the_alarm_tells(
    clients: Clients,
) -> None:
    set_up(clients, "--sns-topic-arn", TOPIC)
    set_up(clients, "--backlog-threshold", "7")
    assert alarms(clients)["relay-prod-sqs-backlog"]["AlarmActions"] == [TOPIC]


def test_an_update_does_not_switch_an_alarm_on_that_somebody_switched_off(
    clients: Clients,
) -> None:
    set_up(clients)
    clients.cloudwatch.disable_alarm_actions(
        AlarmNames=["relay-prod-sqs-backlog"]
    )
    set_up(clients, "--backlog-threshold", "7")
    assert alarms(clients)["relay-prod-sqs-backlog"]["ActionsEnabled"] is False


def test_a_dry_run_tells_and_changes_nothing(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up(clients, "--dry-run") == 0
    assert (
        "would be created: relay-prod-consecutive-failures"
        in capsys.readouterr().out
    )
    assert alarms(clients) == {}


def test_more_than_a_hundred_tenants_get_their_alarms(clients: Clients) -> None:
    tenants = [
        word
        for number in range(130)
        for word in ("--tenant", f"tenant_{number}")
    ]
    set_up(clients, *tenants, "--only", "consecutive-failures")
    assert set_up(clients, *tenants, "--only", "consecutive-failures") == 0
    pages = clients.cloudwatch.get_paginator("describe_alarms").paginate()
    assert sum(len(page["MetricAlarms"]) for page in pages) == 130


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tenant", "no tenant"],
        ["--consecutive-failure-threshold", "0"],
        ["--consecutive-failure-period", "90"],
        [
            "--consecutive-failure-period",
            "86400",
            "--consecutive-failure-threshold",
            "8",
        ],
        ["--backlog-minutes", "2000"],
        ["--only", "nothing"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_exit_status_2_and_creates_nothing(
    clients: Clients, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as system_exit:
        set_up(clients, *arguments)
    assert system_exit.value.code == 2
    assert alarms(clients) == {}


def test_it_tells_when_the_program_s_metrics_are_off(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(clients, environ={**ENVIRON, "CLOUDWATCH_METRICS_ENABLED": "false"})
    assert "CLOUDWATCH_METRICS_ENABLED is not true" in capsys.readouterr().err


def test_the_variable_is_read_as_the_program_reads_it(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        set_up(clients, environ={**ENVIRON, "CLOUDWATCH_METRICS_ENABLED": "1"})
        == 0
    )
    assert capsys.readouterr().err == ""
    assert (
        set_up(
            clients, environ={**ENVIRON, "CLOUDWATCH_METRICS_ENABLED": "maybe"}
        )
        == 2
    )
    assert (
        "CLOUDWATCH_METRICS_ENABLED must be true or false"
        in capsys.readouterr().err
    )


def test_an_aws_that_cannot_be_reached_is_one_line_and_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert setup_cloudwatch_alarms.main([], environ=ENVIRON) == 1
    line = capsys.readouterr().err.splitlines()
    assert len(line) == 1
    assert line[0].startswith("setup_cloudwatch_alarms: ")


def test_a_region_that_is_missing_is_one_line_and_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    without = {
        name: value for name, value in ENVIRON.items() if "REGION" not in name
    }
    assert setup_cloudwatch_alarms.main([], environ=without) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("setup_cloudwatch_alarms: AWS_REGION ")
