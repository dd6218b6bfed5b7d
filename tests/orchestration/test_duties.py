"""The duties that are about no single run, as Dagster evaluates their sensors."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest
from standardwebhooks import Webhook

from relay_dagster.aws.cloudwatch.metrics import Metrics
from relay_dagster.orchestration.build import build_defs
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.webhooks.model import EventType
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.builders import config_document
from support.fakes import FakeClock, embedded_platform, served_platform
from support.receivers import receiving
from support.webhooks_world import stored_webhook

DUTIES = [
    "tenant_partitions",
    "tenant_deletions",
    "lost_messages",
    "dead_letters",
    "queue_settings",
    "held_runs",
    "upload_sensor",
    "schedule_sensor",
    "webhook_sender",
    "feed_ages",
    "dagster_history",
]


@pytest.fixture
def platform() -> Iterator[Platform]:
    changes = {"message_lost_seconds": 60, "uploads_queue_url": None}
    with embedded_platform(FakeClock(utc_now()), **changes) as platform:
        yield platform


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def evaluate(
    name: str, platform: Platform, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[str, str | None]:
    """Return what a duty has done, and its cursor."""
    sensor = build_defs(connect_tick=lambda: platform).resolve_sensor_def(name)
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = sensor(context)
        assert isinstance(result, dg.SkipReason)
        return str(result.skip_message), context.cursor


@pytest.mark.parametrize("name", DUTIES)
def test_a_duty_is_a_sensor_that_is_on_by_default(name: str) -> None:
    sensor = build_defs().resolve_sensor_def(name)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert str(sensor.description).endswith(".")


@pytest.mark.parametrize("name", DUTIES)
def test_a_duty_with_nothing_to_do_does_nothing(
    name: str, platform: Platform, instance: dg.DagsterInstance
) -> None:
    done, _ = evaluate(name, platform, instance)
    assert done in {
        "partitions added: 0",
        "deletions looked at: 0",
        "messages sent again: 0",
        "0 dead letters",
        "queue_misconfigured: no",
        "runs held: 0",
        "UPLOADS_QUEUE_URL is not set: uploads start nothing",
        "runs started: 0",
        "0 delivered, 0 failed, 0 open",
        "feeds told of: 0",
        "old runs deleted: 0",
    }


def test_new_tenants_get_their_partition(platform: Platform, instance: dg.DagsterInstance) -> None:
    _, cursor = evaluate("tenant_partitions", platform, instance)
    platform.tenants.put("acme", json.dumps(config_document()))
    done, _ = evaluate("tenant_partitions", platform, instance, cursor)
    assert done == "partitions added: 1"
    assert instance.get_dynamic_partitions("tenants") == ["acme"]


def test_a_tenant_that_is_being_deleted_gets_no_partition(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.tenants.put("acme", json.dumps(config_document()))
    platform.closing.ask("acme")
    for cursor in (None, json.dumps({"known_until": utc_now().timestamp(), "compared_at": 9e9})):
        assert evaluate("tenant_partitions", platform, instance, cursor)[0] == "partitions added: 0"
    platform.closing.restore("acme")
    assert evaluate("tenant_partitions", platform, instance)[0] == "partitions added: 1"


def test_a_tenant_whose_time_has_come_is_deleted(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.tenants.put("acme", json.dumps(config_document()))
    platform.deletions.ask("acme", timedelta(0))
    assert evaluate("tenant_deletions", platform, instance)[0] == "deletions looked at: 1"
    assert platform.tenants.latest_version("acme") is None


def test_held_runs_are_counted(platform: Platform, instance: dg.DagsterInstance) -> None:
    ApiWorld(platform).hold_one()
    assert evaluate("held_runs", platform, instance)[0] == "runs held: 1"


def test_strays_are_settled(platform: Platform, instance: dg.DagsterInstance) -> None:
    stray = Job(str(uuid.uuid4()), "acme")
    platform.clients.sqs.send_message(QueueUrl=platform.queue.dlq_url, MessageBody=stray.body())
    done, _ = evaluate("dead_letters", platform, instance)
    assert done == "1 of 1 dead letters settled"


def test_a_run_that_has_ended_is_told_to_its_tenants_webhook(
    instance: dg.DagsterInstance,
) -> None:
    with served_platform() as served, receiving() as receiver:
        settings = served.settings.model_copy(update={"webhook_allow_loopback": True})
        platform = replace(served, settings=settings)
        events = (EventType.RUN_CANCELLED,)
        webhook = stored_webhook(platform, url=receiver.url, events=events, tenant_id="acme")
        run_id = str(uuid.uuid4())
        platform.ledger.reserve(NewRun(run_id=run_id, tenant_id="acme"))
        platform.ledger.request_cancel(run_id)
        assert evaluate("webhook_sender", platform, instance)[0] == "1 delivered, 0 failed, 0 open"
        (request,) = receiver.requests
    told = Webhook(webhook.secret).verify(request.body, request.headers)
    assert (told["type"], told["data"]["run_id"]) == ("run.cancelled", run_id)


def test_the_cursor_tells_the_next_tick_when_the_queue_was_empty(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme"))
    _, cursor = evaluate("lost_messages", platform, instance)
    assert len(json.loads(str(cursor))["empty_at"]) == 1


def test_a_duty_that_fails_is_a_worker_error_and_a_failed_tick(
    platform: Platform, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    class Told(Metrics):
        def __init__(self) -> None:
            self.types: list[str] = []

        def worker_error(self, error_type: str) -> None:
            self.types.append(error_type)

    told = Told()
    platform.clients.dynamodb.delete_table(TableName=platform.settings.tenants_table)
    with pytest.raises(Exception, match="ResourceNotFound"):
        evaluate("tenant_partitions", replace(platform, metrics=told), instance)
    assert told.types == ["missing_resource"]
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["duty"]) == ("duty_error", "tenant_partitions")
