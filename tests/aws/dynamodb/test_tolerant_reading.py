"""Items of a release that knows more than this one: read one by one, and left as they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.trigger_store import TriggerStore
from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.external_errors import UnreadableItemError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import DueQueue, NewRun, Outcome
from relay_dagster.tenants import deletion as deletion_rules
from relay_dagster.triggers.rules import TriggerQueue
from relay_dagster.webhooks.changes import edited, updated
from relay_dagster.wiring import Platform
from support.builders import RUN_ID
from support.deletions import change_deletion, due_deletions
from support.fakes import NOW, FakeClock, embedded_platform
from support.webhooks_world import (
    due_events,
    event,
    store_event,
    stored_webhook,
    tried,
)

LATER = {"colour": {"S": "blue"}, "shade": {"M": {"of": {"L": [{"N": "3"}]}}}}


class World:
    """A platform whose stores count the items that they cannot read."""

    def __init__(self, platform: Platform, clock: FakeClock) -> None:
        self.platform = platform
        self.clock = clock
        self.unreadable = 0
        database = Database.of(platform.clients, platform.settings, self.count)
        database = replace(database, clock=clock)
        self.runs = RunStore(database)
        self.triggers = TriggerStore(database)
        self.webhooks = WebhookStore(database)
        self.deletions = DeletionStore(database)
        self.ledger = platform.ledger

    def count(self) -> None:
        self.unreadable += 1

    def table_of(self, key: str) -> str:
        names = self.platform.settings
        of_tenants = key.startswith(("WEBHOOKS#", "DELETION#", "TENANT#"))
        return names.tenants_table if of_tenants else names.runs_table

    def item(self, key: str) -> dict[str, Any]:
        answer = self.platform.clients.dynamodb.get_item(
            TableName=self.table_of(key), Key={"pk": {"S": key}}
        )
        return dict(answer["Item"])

    def write(self, key: str, **attributes: Any) -> None:
        """Change attributes of an item as another release would."""
        self.platform.clients.dynamodb.put_item(
            TableName=self.table_of(key), Item={**self.item(key), **attributes}
        )


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with embedded_platform(clock) as platform:
        yield World(platform, clock)


# --- what is not known of an item that is written again -------------------------------------------


def run_of(world: World) -> str:
    world.ledger.reserve(NewRun(run_id=RUN_ID, tenant_id="acme"))
    return f"RUN#{RUN_ID}"


def dispatch(world: World) -> None:
    world.ledger.dispatch(RUN_ID, 1, message_id="m", receipt_handle="h")
    record = world.runs.get(RUN_ID)
    assert record is not None
    assert world.runs.note_check(replace(record, watched_as="1"))


def feed_of(world: World) -> str:
    run_of(world)
    dispatch(world)
    fence = world.ledger.claim(RUN_ID, 1, "d").fence
    world.ledger.succeed(fence, Outcome(feed_key="k", feed_sha256="ab" * 32))
    return "FEED#acme"


def publish_another(world: World) -> None:
    run_id = str(uuid.uuid4())
    world.ledger.reserve(NewRun(run_id=run_id, tenant_id="acme"))
    world.ledger.dispatch(run_id, 1)
    fence = world.ledger.claim(run_id, 1, "e").fence
    world.ledger.succeed(fence, Outcome(feed_key="l", feed_sha256="cd" * 32))


def trigger_of(world: World) -> str:
    world.triggers.update("acme", lambda state: replace(state, due_at=NOW))
    return "TRIGGER#acme"


def change_trigger(world: World) -> None:
    assert world.triggers.update(
        "acme", lambda state: replace(state, due_at=None, cron="* * * * *")
    )


def event_of(world: World) -> str:
    new_event = event()
    world.webhooks.add_event(new_event)
    return f"EVENT#{new_event.event_id}"


def change_event(world: World) -> None:
    (before,) = due_events(world.webhooks, NOW)
    deliveries = {"wh": tried("wh", 200)}
    assert store_event(
        world.webhooks, replace(before, deliveries=deliveries, due_at=None), NOW
    )


def webhooks_of(world: World) -> str:
    stored_webhook(world.platform)
    return "WEBHOOKS#acme"


def change_webhook(world: World) -> None:
    (hook,) = world.webhooks.of_tenant("acme")
    rule = edited("acme", hook.webhook_id, updated(NOW, description="new"))
    assert world.webhooks.change("acme", rule)[0].description == "new"


def deletion_of(world: World) -> str:
    world.platform.tenants.put("acme", "{}")
    world.deletions.ask("acme", timedelta(hours=1))
    return "DELETION#acme"


def stop_deletion(world: World) -> None:
    change_deletion(
        world.deletions, "acme", lambda each: deletion_rules.stopped(each, NOW)
    )


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (run_of, dispatch),
        (feed_of, publish_another),
        (trigger_of, change_trigger),
        (event_of, change_event),
        (webhooks_of, change_webhook),
        (deletion_of, stop_deletion),
    ],
    ids=["run", "feed", "trigger", "event", "webhooks", "deletion"],
)
def test_what_this_release_does_not_know_of_an_item_stays_in_it(
    world: World, make: Callable[[World], str], change: Callable[[World], None]
) -> None:
    key = make(world)
    world.write(key, **LATER)
    before = world.item(key)
    change(world)
    after = world.item(key)
    assert after != before
    assert {name: after[name] for name in LATER} == LATER
    assert world.unreadable == 0


def test_what_is_not_known_of_one_webhook_stays_and_so_does_one_that_cannot_be_read(
    world: World,
) -> None:
    webhooks_of(world)
    stored_webhook(world.platform)
    mine, unreadable_hook = json.loads(
        world.item("WEBHOOKS#acme")["webhooks"]["S"]
    )
    mine = {**mine, "colour": "blue"}
    unreadable_hook = {**unreadable_hook, "events": ["run.dreamt"]}
    world.write(
        "WEBHOOKS#acme", webhooks={"S": json.dumps([mine, unreadable_hook])}
    )
    change_webhook(world)
    assert world.unreadable > 0
    stored = json.loads(world.item("WEBHOOKS#acme")["webhooks"]["S"])
    assert stored == [{**mine, "description": "new"}, unreadable_hook]


# --- what this release cannot read --------------------------------------------------------------


def two_runs(world: World) -> tuple[str, str]:
    first, second = (
        world.ledger.adopt(Job(str(uuid.uuid4()), tenant_id)).run_id
        for tenant_id in ("a", "b")
    )
    return first, second


def test_a_run_that_cannot_be_read_is_postponed_and_the_others_are_found(
    world: World,
) -> None:
    unreadable, readable = two_runs(world)
    world.write(f"RUN#{unreadable}", trigger={"S": "sftp"})
    until = world.clock.advance(hours=2)
    assert [run.run_id for run in world.runs.due(DueQueue.MESSAGE, until)] == []
    due = [run for queue in DueQueue for run in world.runs.due(queue, until)]
    assert [run.run_id for run in due] == [readable]
    assert world.unreadable == 1  # and then no more: it is due later
    assert (
        len([run for queue in DueQueue for run in world.runs.due(queue, until)])
        == 1
    )
    assert world.unreadable == 1
    world.write(f"RUN#{unreadable}", trigger={"S": "queue"})
    until += timedelta(minutes=5)
    assert (
        len([run for queue in DueQueue for run in world.runs.due(queue, until)])
        == 2
    )


def test_a_run_that_cannot_be_read_is_left_out_of_a_listing(
    world: World,
) -> None:
    unreadable, readable = two_runs(world)
    world.write(f"RUN#{unreadable}", status={"S": "PONDERING"})
    assert [run.run_id for run in world.runs.list_runs().items] == [readable]
    assert world.unreadable == 1


def test_a_run_that_cannot_be_read_is_not_taken_for_none(world: World) -> None:
    unreadable, _ = two_runs(world)
    world.write(f"RUN#{unreadable}", stage={"S": "PONDER"})
    with pytest.raises(UnreadableItemError, match="PONDER"):
        world.runs.get(unreadable)


def test_an_event_that_cannot_be_read_is_postponed_and_the_others_are_found(
    world: World,
) -> None:
    key = event_of(world)
    readable = event(after=1)
    world.webhooks.add_event(readable)
    world.write(key, event={"S": "run.dreamt"})
    until = NOW + timedelta(minutes=1)
    for _ in range(2):
        assert due_events(world.webhooks, until) == [readable]
    assert world.unreadable == 1


def test_triggers_that_cannot_be_read_are_postponed_and_the_others_are_found(
    world: World,
) -> None:
    key = trigger_of(world)
    world.triggers.update("other", lambda state: replace(state, due_at=NOW))
    world.write(key, wanted={"S": "moon"})
    for _ in range(2):
        (entry,) = world.triggers.queue(TriggerQueue.DUE).due(NOW, 9)
        assert entry.value.tenant_id == "other"
    assert world.unreadable == 1


def test_a_deletion_that_cannot_be_read_is_postponed_and_the_others_are_found(
    world: World,
) -> None:
    key = deletion_of(world)
    world.platform.tenants.put("other", "{}")
    readable = world.deletions.ask("other", timedelta(hours=1))
    world.write(key, state={"S": "PONDERED"})
    for _ in range(2):
        assert due_deletions(world.deletions, NOW) == [readable]
    assert world.unreadable == 1
