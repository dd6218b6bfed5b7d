"""The duties of housekeeping: each by itself, and all as Dagster evaluates their sensor."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from relay_dagster import cli
from relay_dagster.aws.metrics import Metrics
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.maintenance.messages import QueueWatch
from relay_dagster.orchestration.build import build_defs
from relay_dagster.orchestration.duties import DUTIES, Duty, keep_house
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.builders import config_document
from support.fakes import NOW, FakeClock, embedded_platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    changes = {"message_lost_seconds": 60, "uploads_queue_url": None}
    with embedded_platform(FakeClock(utc_now()), **changes) as platform:
        yield platform


def evaluate(
    name: str,
    platform: Platform,
    instance: dg.DagsterInstance,
    memory: dict[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Do one duty; return what it tells, and what it remembers."""
    (duty,) = [candidate for candidate in DUTIES if candidate.name == name]
    cursor = json.dumps({name: {"due_at": 0, "memory": memory or {}}})
    text, after = keep_house(platform, lambda: instance, cursor, duties=[duty])
    return text.removeprefix(f"{name}: "), json.loads(after)[name]["memory"]


def test_with_nothing_to_do_the_duties_do_nothing(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    sensor = build_defs(connect_tick=lambda: platform).resolve_sensor_def(
        "housekeeping"
    )
    with dg.build_sensor_context(instance=instance) as context:
        result = sensor(context)
        assert isinstance(result, dg.SkipReason)
        assert set(json.loads(str(context.cursor))) == {
            duty.name for duty in DUTIES
        }
    assert str(result.skip_message).splitlines() == [
        "tenant_partitions: partitions added: 0",
        "tenant_deletions: deletions looked at: 0",
        "lost_messages: messages sent again: 0",
        "dead_letters: 0 dead letters",
        "queue_settings: queue_misconfigured: no",
        "held_runs: runs held: 0",
        "publications: publications reported: 0",
        "feed_ages: feeds reported: 0, verdicts changed: 0",
        "dagster_history: old runs deleted: 0",
        "invariants: invariants broken: 0",
        "run_records: records expired: 0",
        "config_versions: configs expired: 0",
    ]


def closed() -> dg.DagsterInstance:
    raise AssertionError("nothing asks Dagster")


def test_each_duty_comes_again_after_its_own_interval(
    platform: Platform,
) -> None:
    clock = FakeClock()
    names = list[str]()

    def noted(name: str) -> Callable[[Occasion, Memory], str]:
        return lambda _, __: names.append(name) or "done"

    table = [
        Duty("often", 0, 9, noted("often")),
        Duty("seldom", 60, 9, noted("seldom")),
    ]
    cursor = None
    for _ in range(7):
        _, cursor = keep_house(
            platform, closed, cursor, clock=clock, duties=table
        )
        clock.advance(seconds=10)
    assert Counter(names) == {"often": 7, "seldom": 2}


def test_the_duty_that_has_waited_longest_comes_first(
    platform: Platform,
) -> None:
    names: list[str] = []
    table = [
        Duty(name, 60, 9, lambda on, _, name=name: names.append(name) or "done")
        for name in ("a", "b", "c")
    ]
    cursor = json.dumps(
        {"a": {"due_at": 3}, "b": {"due_at": 1}, "c": {"due_at": 2}}
    )
    keep_house(platform, closed, cursor, duties=table)
    assert names == ["b", "c", "a"]


def test_a_duty_has_no_longer_than_its_own_time_and_that_of_the_tick(
    platform: Platform,
) -> None:
    seconds: list[float] = []

    def act(on: Occasion, _: Memory) -> str:
        seconds.append(on.deadline.at - on.deadline.monotonic())
        return "done"

    keep_house(
        platform,
        closed,
        None,
        duties=[Duty("a", 0, 5, act), Duty("b", 0, 500, act)],
    )
    assert 4 < seconds[0] <= 5
    assert 40 < seconds[1] <= 45


def test_the_last_tick_of_which_no_one_knows_is_none(
    platform: Platform,
) -> None:
    duty = Duty("a", 60, 5, lambda _, __: "done")
    for cursor in (
        "{",
        "[]",
        "3",
        '{"a": 4}',
        '{"a": {"due_at": "soon", "memory": 3}}',
    ):
        assert (
            keep_house(platform, closed, cursor, duties=[duty])[0] == "a: done"
        )


def test_new_tenants_get_their_partition(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _, memory = evaluate("tenant_partitions", platform, instance)
    platform.tenants.put("acme", json.dumps(config_document()))
    text, _ = evaluate("tenant_partitions", platform, instance, memory)
    assert text == "partitions added: 1"
    assert instance.get_dynamic_partitions("tenants") == ["acme"]


def test_a_tenant_that_is_being_deleted_gets_no_partition(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.tenants.put("acme", json.dumps(config_document()))
    platform.closing.ask("acme")
    for memory in (
        None,
        {"known_until": utc_now().timestamp(), "compared_at": 9e9},
    ):
        assert (
            evaluate("tenant_partitions", platform, instance, memory)[0]
            == "partitions added: 0"
        )
    platform.deletions.restore("acme")
    assert (
        evaluate("tenant_partitions", platform, instance)[0]
        == "partitions added: 1"
    )


def test_a_tenant_whose_time_has_come_is_deleted(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.tenants.put("acme", json.dumps(config_document()))
    platform.deletions.ask("acme", timedelta(0))
    assert (
        evaluate("tenant_deletions", platform, instance)[0]
        == "deletions looked at: 1"
    )
    assert platform.tenants.latest_version("acme") is None


def test_another_process_deletes_what_is_left_to_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    platform.tenants.put("acme", json.dumps(config_document()))
    platform.deletions.ask("acme", timedelta(0))
    apart = platform.settings.model_copy(update={"deletions_apart": True})
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        answer = evaluate(
            "tenant_deletions", replace(platform, settings=apart), instance
        )
        assert answer[0] == "left to relay server deletions"
        assert platform.tenants.latest_version("acme") == 1
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: instance)
        monkeypatch.setattr("relay_dagster.wiring.connect", lambda _: platform)
        monkeypatch.setattr(Settings, "from_env", lambda: platform.settings)
        result = CliRunner().invoke(cli.app, ["server", "deletions", "--once"])
    assert (result.exit_code, result.stdout) == (0, "deletions looked at: 1\n")
    assert platform.tenants.latest_version("acme") is None


def test_held_runs_are_counted(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    ApiWorld(platform).hold_one()
    assert evaluate("held_runs", platform, instance)[0] == "runs held: 1"


def test_strays_are_settled(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    stray = Job(str(uuid.uuid4()), "acme")
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.dlq_url, MessageBody=stray.body()
    )
    text, _ = evaluate("dead_letters", platform, instance)
    assert text == "1 of 1 dead letters resolved"


def test_what_is_remembered_tells_the_next_time_when_the_queue_was_empty(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme"))
    _, memory = evaluate("lost_messages", platform, instance)
    assert len(memory["empty_at"]) == 1


def test_a_duty_that_fails_is_a_worker_error_and_holds_up_no_other(
    platform: Platform,
    instance: dg.DagsterInstance,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Told(Metrics):
        def __init__(self) -> None:
            self.types: list[str] = []

        def worker_error(self, error_type: str) -> None:
            self.types.append(error_type)

    def fail(_: Occasion, memory: QueueWatch) -> str:
        memory.empty_at.append(9.0)
        raise MissingResourceError("the table", "it is gone")

    metrics = Told()
    before = {"due_at": 0, "memory": {"empty_at": [1.0]}}
    table = [
        Duty("fails", 60, 9, fail, QueueWatch),
        Duty("works", 60, 9, lambda _, __: "done"),
    ]
    lines, cursor = keep_house(
        replace(platform, metrics=metrics),
        lambda: instance,
        json.dumps({"fails": before}),
        clock=FakeClock(),
        duties=table,
    )
    assert [line.partition(":")[0] for line in lines.splitlines()] == [
        "fails FAILED",
        "works",
    ]
    assert metrics.types == ["missing_resource"]
    (line,) = [
        json.loads(line) for line in capsys.readouterr().err.splitlines()
    ]
    assert (line["event"], line["duty"]) == ("duty_error", "fails")
    after = json.loads(cursor)["fails"]
    assert after == {"due_at": NOW.timestamp() + 60, "memory": before["memory"]}
