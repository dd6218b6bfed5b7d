"""The sensors as Dagster evaluates them."""

import uuid
from dataclasses import replace

import dagster as dg
import pytest
from standardwebhooks import Webhook

from relay_dagster.aws.job_queue import JobQueue, Message
from relay_dagster.aws.metrics import Metrics
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.orchestration.build import build_defs
from relay_dagster.runs.model import NewRun
from relay_dagster.settings import SettingsError
from relay_dagster.webhooks.model import EventType
from relay_dagster.wiring import Platform
from support.fakes import served_platform
from support.receivers import receiving
from support.webhooks_world import stored_webhook


def evaluate(
    name: str,
    platform: Platform,
    instance: dg.DagsterInstance,
    cursor: str | None = None,
) -> dg.SensorResult | dg.SkipReason:
    defs = build_defs(connect_tick=lambda: platform, wait_seconds=0)
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = defs.resolve_sensor_def(name)(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def posted(platform: Platform, tenant_id: str = "acme") -> str:
    run_id = str(uuid.uuid4())
    request = NewRun(
        run_id=run_id, tenant_id=tenant_id, config_version=4, request_id="q1"
    )
    record = platform.ledger.reserve(request).record
    platform.ledger.messages.mark_sent(
        record.run_id,
        platform.queue.send(record.job, request_id=record.request_id),
    )
    return record.run_id


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("sqs_run_sensor", 1),
        ("run_reconciler", 1),
        ("upload_sensor", 1),
        ("schedule_sensor", 1),
        ("webhook_sender", 1),
        ("housekeeping", 9),
    ],
)
def test_the_sensors_are_on_by_default_and_as_quick_as_they_must(
    name: str, seconds: int
) -> None:
    defs = build_defs()
    sensor = defs.resolve_sensor_def(name)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == seconds
    assert str(sensor.description).endswith(".")
    assert len(list(defs.sensors or [])) == 6


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("run_reconciler", "0 runs were due"),
        (
            "upload_sensor",
            "UPLOADS_QUEUE_URL is not set: uploads start nothing",
        ),
        ("schedule_sensor", "runs started: 0, pulls in hand: 0"),
        ("webhook_sender", "0 delivered, 0 failed, 0 open"),
    ],
)
def test_a_sensor_with_nothing_to_do_does_nothing_and_does_not_open_dagster_s_instance(
    name: str, told: str, platform: Platform
) -> None:
    settings = platform.settings.model_copy(update={"uploads_queue_url": None})
    idle = replace(platform, settings=settings)
    sensor = build_defs(
        connect_tick=lambda: idle, wait_seconds=0
    ).resolve_sensor_def(name)
    with dg.build_sensor_context() as context:
        result = sensor(context)
        assert isinstance(result, dg.SkipReason)
        assert result.skip_message == told
        assert context._instance is None


def test_a_run_that_has_ended_is_told_to_its_tenants_webhook(
    instance: dg.DagsterInstance,
) -> None:
    with served_platform() as served, receiving() as receiver:
        settings = served.settings.model_copy(
            update={"webhook_allow_loopback": True}
        )
        platform = replace(served, settings=settings)
        events = (EventType.RUN_CANCELLED,)
        webhook = stored_webhook(
            platform, url=receiver.url, events=events, tenant_id="acme"
        )
        run_id = str(uuid.uuid4())
        platform.ledger.reserve(NewRun(run_id=run_id, tenant_id="acme"))
        platform.ledger.request_cancel(run_id)
        result = evaluate("webhook_sender", platform, instance)
        assert isinstance(result, dg.SkipReason)
        assert result.skip_message == "1 delivered, 0 failed, 0 open"
        (request,) = receiver.requests
    payload = Webhook(webhook.secret).verify(request.body, request.headers)
    assert (payload["type"], payload["data"]["run_id"]) == (
        "run.cancelled",
        run_id,
    )


def test_a_job_becomes_a_run_request_for_its_attempt(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    run_id = posted(platform)
    result = evaluate("sqs_run_sensor", platform, instance)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or []
    assert (request.run_key, request.partition_key) == (f"{run_id}:1", "acme")
    assert {
        "relay/run_id": run_id,
        "relay/tenant_id": "acme",
        "relay/config_version": "4",
        "relay/attempt": "1",
        "relay/request_id": "q1",
        "dagster/priority": "10",
    }.items() <= request.tags.items()


def test_the_next_free_slot_is_a_tenant_s_that_has_had_no_run_lately(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    """Dagster starts runs of a higher priority first."""

    def asked_for(*tenants: str) -> dict[str, str]:
        for tenant_id in tenants:
            posted(platform, tenant_id)
        result = evaluate("sqs_run_sensor", platform, instance)
        assert isinstance(result, dg.SensorResult)
        requests = result.run_requests or []
        return {
            str(request.partition_key): request.tags["dagster/priority"]
            for request in requests
        }

    assert asked_for("acme") == {"acme": "10"}
    (first,) = platform.runs.list_runs("acme").items
    platform.ledger.claim(first.run_id, 1, "d-1")
    platform.ledger.cancel(first.run_id)
    assert asked_for("acme", "globex") == {"acme": "5", "globex": "10"}


def test_the_tenants_partition_is_added_in_the_same_tick(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    posted(platform)
    evaluate("sqs_run_sensor", platform, instance)
    assert instance.get_dynamic_partitions("tenants") == ["acme"]


def test_a_tick_of_the_intake_that_fails_is_a_worker_error(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    metrics = WorkerErrors()
    broken = replace(
        platform, metrics=metrics, queue=BrokenQueue(platform.clients, "", "")
    )
    with pytest.raises(RuntimeError, match="a defect"):
        evaluate("sqs_run_sensor", broken, instance)
    assert metrics.types == ["internal_error"]


class WorkerErrors(Metrics):
    """Keeps the kinds of the errors that it was told of."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def worker_error(self, error_type: str) -> None:
        self.types.append(error_type)

    def count(self, name: str, number: int = 1) -> None:
        pass


class BrokenQueue(JobQueue):
    """A queue that nothing can be received from, for no reason that is known."""

    def receive(self, *_: object, **__: object) -> list[Message]:
        raise RuntimeError("a defect")


def test_no_room_is_no_receive(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    posted(platform)
    full = replace(
        platform,
        settings=platform.settings.model_copy(update={"intake_limit": 0}),
    )
    result = evaluate("sqs_run_sensor", full, instance)
    assert isinstance(result, dg.SkipReason)
    assert "RELAY_INTAKE_LIMIT" in str(result.skip_message)
    assert len(platform.queue.receive()) == 1


def test_the_reconciler_asks_for_no_run_and_tells_how_many_were_due(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.ledger.cancel(posted(platform))
    result = evaluate("run_reconciler", platform, instance)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "1 runs were due"


def test_where_places_are_few_queue_and_turns_come_first_by_turns(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    posted(platform)
    result = evaluate("sqs_run_sensor", platform, instance)
    assert isinstance(result, dg.SensorResult)
    assert result.cursor == "turns"


def test_a_tick_of_the_reconciler_that_fails_is_a_worker_error(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    metrics = WorkerErrors()
    platform.clients.dynamodb.delete_table(
        TableName=platform.settings.runs_table
    )
    with pytest.raises(MissingResourceError):
        evaluate("run_reconciler", replace(platform, metrics=metrics), instance)
    assert metrics.types == ["missing_resource"]


@pytest.mark.parametrize("name", ["sqs_run_sensor", "run_reconciler"])
def test_a_tick_without_the_variables_fails_with_the_line_that_names_the_first(
    name: str, instance: dg.DagsterInstance
) -> None:
    sensor = build_defs().resolve_sensor_def(name)
    with (
        dg.build_sensor_context(instance=instance) as context,
        pytest.raises(SettingsError, match="ARTIFACT_BUCKET is not set"),
    ):
        sensor(context)
