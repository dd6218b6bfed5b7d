from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from alarms import AlarmPlan, alarm_definitions, set_up_alarms
from integration.waiting import wait_for
from relay_core.domain.codes import FailureCode, RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.metrics import (
    DELIVERY_FAILED,
    DOCTOR_CUT_SHORT,
    INVARIANTS_BROKEN,
    PULL_FAILED,
    WEBHOOK_FAILED,
    WORKER_HEARTBEAT,
    Metrics,
)
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.service_level import SloEvent
from relay_dagster.wiring import Platform
from support.builders import RUN_ID

pytestmark = pytest.mark.platform(metrics_enabled=True, environment="staging")

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALL_RUNS = frozenset({("Environment", "staging")})
ACME = ALL_RUNS | {("TenantId", "acme")}


def record(
    status: RunStatus = RunStatus.SUCCEEDED, **changes: Any
) -> RunRecord:
    return replace(
        RunRecord(run_id=RUN_ID, tenant_id="acme", requested_at=BEGAN),
        status=status,
        started_at=BEGAN,
        finished_at=BEGAN + timedelta(seconds=42),
        counts={"total_rows": 1970, "record_count": 1900},
        **changes,
    )


def metrics(clients: Any, **changes: Any) -> Metrics:
    arguments = {
        "namespace": "RelayInventory",
        "environment": "staging",
        "enabled": True,
        "consecutive_failures": lambda tenant_id: 2,
        **changes,
    }
    return Metrics(cast(Clients, clients), **arguments)


class RecordingCloudWatch:
    """Stands for all clients: keeps each call, and answers as it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.error = error
        self.cloudwatch = self

    def put_metric_data(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        if self.error:
            raise self.error

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (
                datum["MetricName"],
                frozenset(
                    (dimension["Name"], dimension["Value"])
                    for dimension in datum["Dimensions"]
                ),
            ): datum.get("Value", datum.get("StatisticValues", {}).get("Sum"))
            for call in self.calls
            for datum in call["MetricData"]
        }


def written(
    platform: Platform,
) -> set[tuple[str, str, frozenset[tuple[str, str]]]]:
    metrics = platform.clients.cloudwatch.list_metrics()["Metrics"]
    return {
        (
            metric["Namespace"],
            metric["MetricName"],
            frozenset(
                (pair["Name"], pair["Value"]) for pair in metric["Dimensions"]
            ),
        )
        for metric in metrics
    }


def test_a_run_s_metrics_are_one_call_for_its_tenant_and_for_all() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).run_finished(
        record(RunStatus.FAILED, error_code="POISON_JOB")
    )
    assert len(cloudwatch.calls) == 1
    assert cloudwatch.calls[0]["Namespace"] == "RelayInventory"
    numbers = {
        "RunSucceeded": 0.0,
        "RunFailed": 1.0,
        "RunDurationSeconds": 42.0,
        "RowsProcessed": 1970.0,
    }
    assert cloudwatch.values() == {
        **{(name, ACME): value for name, value in numbers.items()},
        **{(name, ALL_RUNS): value for name, value in numbers.items()},
        ("ConsecutiveFailures", ACME): 2.0,
        **{("SloGood", tenant): 0.0 for tenant in (ACME, ALL_RUNS)},
        **{("SloBad", tenant): 1.0 for tenant in (ACME, ALL_RUNS)},
        ("SloBad", ALL_RUNS | {("FailureClass", "platform")}): 1.0,
    }


def slo_values(*records: RunRecord) -> dict[tuple[str, str], float]:
    """Return what a run's end says of the service level, by metric and the last dimension."""
    cloudwatch = RecordingCloudWatch()
    for record in records:
        metrics(cloudwatch).run_finished(record)
    return {
        (
            name,
            sorted(dimensions - ALL_RUNS)[0][1]
            if dimensions - ALL_RUNS
            else "all",
        ): value
        for (name, dimensions), value in cloudwatch.values().items()
        if name.startswith(("Slo", "PublishLag"))
    }


@pytest.mark.parametrize(("minutes", "bad"), [(15, 0.0), (16, 1.0)])
def test_a_feed_that_was_too_long_on_its_way_is_bad(
    minutes: int, bad: float
) -> None:
    published = record(published_at=BEGAN + timedelta(minutes=minutes))
    values = slo_values(published)
    assert {values["SloBad", tenant] for tenant in ("acme", "all")} == {bad}
    assert {values["SloGood", tenant] for tenant in ("acme", "all")} == {
        1 - bad
    }
    assert (
        values["PublishLagSeconds", "acme"]
        == values["PublishLagSeconds", "all"]
        == 60 * minutes
    )
    assert (("SloBad", "platform") in values) is bool(bad)


def test_the_way_of_a_feed_begins_with_the_last_upload_where_uploads_have_started_the_run() -> (
    None
):
    uploads = tuple(
        VendorResult(name, "used", BEGAN - timedelta(minutes=ago), 0, 1, 0, 1)
        for name, ago in (("a", 9), ("b", 4))
    )
    run = record(
        published_at=BEGAN + timedelta(minutes=1), vendor_results=uploads
    )
    assert slo_values(run)["PublishLagSeconds", "acme"] == 60
    by_upload = replace(run, trigger=Trigger.UPLOAD)
    assert slo_values(by_upload)["PublishLagSeconds", "acme"] == 5 * 60


@pytest.mark.parametrize(
    ("ended", "fault"),
    [
        ({"status": RunStatus.HELD}, "hold"),
        (
            {"status": RunStatus.FAILED, "error_code": "validation_errors"},
            "vendor_data",
        ),
        (
            {
                "status": RunStatus.FAILED,
                "error_code": FailureCode.EMPTY_OUTPUT,
            },
            "tenant_config",
        ),
    ],
)
def test_what_others_have_to_mend_is_set_apart(
    ended: dict[str, Any], fault: str
) -> None:
    assert slo_values(replace(record(), **ended)) == {("SloBad", fault): 1.0}


def test_a_run_of_some_vendors_promises_nothing() -> None:
    assert slo_values(record(RunStatus.FAILED, vendors=("a",))) == {}


def test_the_feeds_of_all_tenants_are_one_value_whose_average_is_the_bad_share() -> (
    None
):
    cloudwatch = RecordingCloudWatch()
    faults = {
        "acme": None,
        "beta": "platform",
        "gamma": None,
        "delta": "vendor_data",
    }
    metrics(cloudwatch).feeds_judged(
        [SloEvent(*fault) for fault in faults.items()]
    )
    (call,) = cloudwatch.calls
    totals = {
        datum["MetricName"]: datum["StatisticValues"]
        for datum in call["MetricData"]
        if "StatisticValues" in datum
    }
    assert totals["SloBad"] == {
        "SampleCount": 3,
        "Sum": 1,
        "Minimum": 0,
        "Maximum": 1,
    }
    assert totals["SloGood"] == {
        "SampleCount": 3,
        "Sum": 2,
        "Minimum": 0,
        "Maximum": 1,
    }
    assert (
        cloudwatch.values()[
            "SloBad", ALL_RUNS | {("FailureClass", "vendor_data")}
        ]
        == 1.0
    )


def test_a_success_writes_that_it_did_not_fail() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).run_finished(record(RunStatus.SUCCEEDED))
    values = cloudwatch.values()
    assert (values["RunSucceeded", ACME], values["RunFailed", ACME]) == (
        1.0,
        0.0,
    )


def test_a_run_that_never_started_lasts_from_its_request_to_its_end() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).run_finished(
        replace(record(RunStatus.FAILED), started_at=None)
    )
    assert cloudwatch.values()["RunDurationSeconds", ALL_RUNS] == 42.0


@pytest.mark.parametrize(
    "status", [RunStatus.CANCELLED, RunStatus.RUNNING, RunStatus.QUEUED]
)
def test_only_a_run_that_succeeded_or_failed_is_told_of(
    status: RunStatus,
) -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).run_finished(record(status))
    assert cloudwatch.calls == []


def test_a_worker_error_counts_in_all_and_by_its_type() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).worker_error("throttled")
    assert cloudwatch.values() == {
        ("WorkerError", ALL_RUNS): 1.0,
        ("WorkerError", ALL_RUNS | {("ErrorType", "throttled")}): 1.0,
    }


def test_holds_that_wait_count_for_each_tenant_that_has_any_and_in_all() -> (
    None
):
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).runs_held({"acme": 1, "beta": 2})
    beta = ALL_RUNS | {("TenantId", "beta")}
    assert cloudwatch.values() == {
        ("RunsHeld", ALL_RUNS): 3.0,
        ("RunsHeld", ACME): 1.0,
        ("RunsHeld", beta): 2.0,
    }


def test_where_nothing_is_held_that_is_told_too() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).runs_held({})
    assert cloudwatch.values() == {("RunsHeld", ALL_RUNS): 0.0}


def test_how_old_feeds_are_is_told_of_each_tenant_and_of_the_oldest() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).feed_ages({"acme": 60.0, "beta": 7200.5})
    assert cloudwatch.values() == {
        ("FeedAgeSeconds", ALL_RUNS): 7200.5,
        ("FeedAgeSeconds", ACME): 60.0,
        ("FeedAgeSeconds", ALL_RUNS | {("TenantId", "beta")}): 7200.5,
    }


def test_what_webhooks_are_not_told_counts_in_all() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).count(WEBHOOK_FAILED, 3)
    assert cloudwatch.values() == {("WebhookFailed", ALL_RUNS): 3.0}


def test_where_no_tenant_has_a_schedule_no_age_is_told() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).feed_ages({})
    assert cloudwatch.calls == []


def test_no_call_has_more_metrics_than_cloudwatch_takes() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).runs_held(
        {f"tenant_{number}": 1 for number in range(2000)}
    )
    assert [len(call["MetricData"]) for call in cloudwatch.calls] == [
        1000,
        1000,
        1,
    ]


def test_nothing_is_sent_where_metrics_are_not_enabled() -> None:
    cloudwatch = RecordingCloudWatch()
    quiet = metrics(cloudwatch, enabled=False)
    quiet.run_finished(record())
    quiet.count(WORKER_HEARTBEAT)
    quiet.worker_error("throttled")
    quiet.runs_held({"acme": 1})
    assert cloudwatch.calls == []


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "Throttling"}}, "PutMetricData"),
        ConnectionError("no way"),
        ValueError("not of AWS at all"),
    ],
    ids=["AWS refuses", "no network", "anything"],
)
def test_a_metric_that_cannot_be_sent_is_logged_and_raises_nothing(
    error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics(RecordingCloudWatch(error)).run_finished(record())
    line = json.loads(capfd.readouterr().err)
    assert line["event"] == "metric_not_sent"
    assert type(error).__name__ in line["error"]


def test_a_count_of_failures_that_cannot_be_read_raises_nothing() -> None:
    def unreadable(tenant_id: str) -> int:
        raise TimeoutError(tenant_id)

    failed = record(RunStatus.FAILED)
    metrics(
        RecordingCloudWatch(), consecutive_failures=unreadable
    ).run_finished(failed)


def test_a_success_has_no_failures_before_it() -> None:
    cloudwatch = RecordingCloudWatch()
    metrics(cloudwatch).run_finished(record(RunStatus.SUCCEEDED))
    assert cloudwatch.values()[("ConsecutiveFailures", ACME)] == 0


def test_a_cloudwatch_that_hangs_delays_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    answered = threading.Event()

    class Hanging(RecordingCloudWatch):
        def put_metric_data(self, **arguments: Any) -> None:
            answered.wait()

    began = time.monotonic()
    metrics(Hanging(), time_limit_seconds=0.05).run_finished(record())
    took = time.monotonic() - began
    answered.set()
    assert took < 2
    assert "no answer within 0.05 s" in capfd.readouterr().err


def write_what_alarms_watch(platform: Platform) -> None:
    """Have the program write a value of each metric that an alarm may watch."""
    platform.metrics.run_finished(
        record(RunStatus.FAILED, error_code="POISON_JOB")
    )
    platform.metrics.count(WORKER_HEARTBEAT)
    platform.metrics.worker_error("throttled")
    platform.metrics.runs_held({})
    platform.metrics.count(INVARIANTS_BROKEN, 0)
    platform.metrics.count(DOCTOR_CUT_SHORT)
    platform.metrics.count(PULL_FAILED)
    platform.metrics.count(DELIVERY_FAILED)
    metrics(platform.clients, gathering_seconds=0).rate_limited()
    metrics(platform.clients, gathering_seconds=0).access_denied()
    wait_for(
        "refusals are sent",
        lambda: (
            {"RateLimited", "AccessDenied"}
            <= {name for _, name, _ in written(platform)}
        ),
        within=10,
    )


def watched_metrics(
    platform: Platform,
) -> set[tuple[str, str, frozenset[tuple[str, str]]]]:
    """Set up all alarms, and return the metrics that they watch."""
    settings = platform.settings
    everything = AlarmPlan(
        environment=settings.environment,
        namespace=settings.metrics_namespace,
        queue_name=settings.queue_url.rpartition("/")[2],
        dlq_name=settings.dlq_url.rpartition("/")[2],
    )
    for plan in (everything, replace(everything, tenants=["acme"])):
        set_up_alarms(plan, platform.clients)
    alarms = platform.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    return {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset(
                (pair["Name"], pair["Value"]) for pair in alarm["Dimensions"]
            ),
        )
        for alarm in alarms
    }


def test_every_alarm_watches_a_metric_that_the_program_writes(
    platform: Platform,
) -> None:
    write_what_alarms_watch(platform)
    watched = watched_metrics(platform)
    of_the_queues = {
        (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            frozenset({("QueueName", name)}),
        )
        for name in ("relay-inventory-jobs", "relay-inventory-jobs-dlq")
    }
    assert of_the_queues <= watched
    assert watched - of_the_queues <= written(platform)
    assert {
        name for space, name, _ in watched if space == "RelayInventory"
    } == {
        "RunFailed",
        "RunsHeld",
        "WorkerError",
        "WorkerHeartbeat",
        "RateLimited",
        "AccessDenied",
        "DoctorCutShort",
        "PullFailed",
        "DeliveryFailed",
        "InvariantsBroken",
        "SloBad",
    }


def test_the_tenant_s_alarm_and_the_global_one_see_the_failure_that_was_written(
    platform: Platform,
) -> None:
    platform.metrics.run_finished(
        record(RunStatus.FAILED, error_code="POISON_JOB")
    )
    plan = AlarmPlan(
        environment="staging",
        namespace="RelayInventory",
        queue_name="jobs",
        dlq_name="d",
    )
    tenant = replace(plan, tenants=["acme"])
    now = datetime.now(UTC)
    for alarm in (alarm_definitions(plan)[0], alarm_definitions(tenant)[0]):
        answer = platform.clients.cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm["Dimensions"],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=alarm["Period"],
            Statistics=[alarm["Statistic"]],
        )
        assert [point["Maximum"] for point in answer["Datapoints"]] == [
            alarm["Threshold"]
        ]


def test_refusals_are_counted_and_sent_together() -> None:
    cloudwatch = RecordingCloudWatch()
    sender = metrics(cloudwatch, gathering_seconds=0.1)
    for _ in range(3):
        sender.rate_limited()
    sender.access_denied()
    wait_for("refusals are sent", lambda: cloudwatch.calls, within=10)
    (call,) = cloudwatch.calls
    values = {
        datum["MetricName"]: datum["Value"] for datum in call["MetricData"]
    }
    assert values == {"RateLimited": 3, "AccessDenied": 1}
    datum = call["MetricData"][0]
    assert datum["Dimensions"] == [{"Name": "Environment", "Value": "staging"}]
