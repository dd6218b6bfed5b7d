"""The sender over real receivers, and over a DynamoDB that threads may share."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from standardwebhooks import Webhook as Verifier

from relay_dagster.aws.metrics import Metrics
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action, ActorKind
from relay_dagster.transfers.webhook_calls import WebhookClient
from relay_dagster.transfers.webhook_sender import POSTPONED_FOR, Sender
from relay_dagster.webhooks.changes import edited, removed, rotated, updated
from relay_dagster.webhooks.model import (
    Delivery,
    DisabledReason,
    Event,
    EventType,
    Webhook,
    new_event,
    new_secret,
)
from relay_dagster.webhooks.webhook_schedule import FAILING_FOR
from relay_dagster.wiring import Platform
from relay_dagster.work import limiter
from relay_dagster.work.item import LEASE
from support.fakes import FakeClock
from support.receivers import (
    Behavior,
    Counting,
    Receiver,
    answering,
    receiving,
    sending,
    waiting,
)
from support.webhooks_world import finish_due_events, stored_webhook


class World:
    """One tenant with its webhooks and events, and a sender whose clock is set by hand."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.tenant_id = f"t-{uuid.uuid4().hex[:12]}"
        self.clock = FakeClock(utc_now())
        self.failed: list[int] = []
        self.sender = self.new_sender()

    def new_sender(self, platform: Platform | None = None) -> Sender:
        return Sender(
            platform or self.platform,
            WebhookClient(seconds=2),
            clock=self.clock,
            rng=lambda: 0.5,
        )

    def webhook(self, receiver: Receiver, **changes: object) -> Webhook:
        defaults = {
            "url": receiver.url,
            "secret": new_secret(),
            "tenant_id": self.tenant_id,
        }
        defaults |= {"created_at": self.clock()}
        return stored_webhook(self.platform, **{**defaults, **changes})

    def event(
        self, event_type: EventType = EventType.RUN_FAILED, **changes: object
    ) -> Event:
        data = {
            "run_id": str(uuid.uuid4()),
            "tenant_id": self.tenant_id,
            "error_code": "x…",
        }
        event = new_event(event_type, self.tenant_id, data, self.clock())
        event = replace(event, **changes)  # type: ignore[arg-type]
        self.platform.webhooks.add_event(event)
        return event

    def now(self, event: Event) -> Event:
        event_now = self.platform.webhooks.event(event.event_id)
        assert event_now is not None
        return event_now

    def delivery(self, event: Event, webhook: Webhook) -> Delivery:
        deliveries = self.now(event).deliveries
        assert deliveries is not None
        return deliveries[webhook.webhook_id]

    def webhook_now(self, webhook: Webhook) -> Webhook:
        (current_webhook,) = (
            candidate
            for candidate in self.platform.webhooks.of_tenant(self.tenant_id)
            if candidate.webhook_id == webhook.webhook_id
        )
        return current_webhook

    def codes(self, event: Event, webhook: Webhook) -> list[int | None]:
        return [
            attempt.status_code
            for attempt in self.delivery(event, webhook).attempts
        ]


@pytest.fixture
def world(served: Platform) -> Iterator[World]:
    world = World(served)
    yield world
    # What a test leaves due is nothing of the next one's.
    world.clock.advance(days=60)
    finish_due_events(served, world.clock())


# --- what is sent -------------------------------------------------------------------------------


def test_an_event_reaches_a_webhook_that_can_verify_it(world: World) -> None:
    with receiving() as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        assert str(world.sender.run()) == "1 delivered, 0 failed, 0 open"
        (request,) = receiver.requests
    payload = Verifier(webhook.secret).verify(request.body, request.headers)
    assert payload == {
        "type": "run.failed",
        "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "data": dict(event.data),
    }
    assert request.headers["webhook-id"] == event.event_id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "Relay-Inventory-Webhooks/1"
    (attempt,) = world.delivery(event, webhook).attempts
    assert (attempt.at, attempt.status_code, attempt.error) == (
        world.clock(),
        204,
        None,
    )
    assert world.now(event).due_at is None


def test_nothing_is_done_where_nothing_is_due(world: World) -> None:
    assert str(world.sender.run()) == "0 delivered, 0 failed, 0 open"


def test_only_webhooks_that_want_an_event_are_told(world: World) -> None:
    with receiving() as receiver:
        world.webhook(receiver, events=(EventType.RUN_SUCCEEDED,))
        world.webhook(receiver, enabled=False)
        webhook = world.webhook(receiver)
        two = world.webhook(receiver)
        event = world.event()
        world.sender.run()
        assert len(receiver.requests) == 2
    assert set(world.now(event).deliveries or ()) == {
        webhook.webhook_id,
        two.webhook_id,
    }


def test_an_event_that_nobody_wants_is_not_kept(world: World) -> None:
    event = world.event()
    assert str(world.sender.run()) == "0 delivered, 0 failed, 0 open"
    assert world.platform.webhooks.event(event.event_id) is None


def test_a_test_goes_to_its_webhook_whatever_that_wants(world: World) -> None:
    with receiving() as receiver:
        world.webhook(receiver)
        deaf_webhook = world.webhook(receiver, events=())
        event = world.event(EventType.TEST, only_for=deaf_webhook.webhook_id)
        world.sender.run()
        (request,) = receiver.requests
    assert json.loads(request.body)["type"] == "webhook.test"
    assert world.codes(event, deaf_webhook) == [204]


def test_both_secrets_sign_while_one_is_rotated(world: World) -> None:
    with receiving() as receiver:
        old = world.webhook(receiver)
        new = new_secret()
        rotation = edited(
            world.tenant_id, old.webhook_id, rotated(new, world.clock())
        )
        world.platform.webhooks.change(world.tenant_id, rotation)
        world.event()
        world.sender.run()
        (request,) = receiver.requests
    for secret in (old.secret, new):
        Verifier(secret).verify(request.body, request.headers)


# --- tries --------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_with_the_same_id_and_body(
    world: World,
) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        assert str(world.sender.run()) == "0 delivered, 1 failed, 0 open"
        assert str(world.sender.run()) == "0 delivered, 0 failed, 0 open"
        world.clock.advance(seconds=30)
        receiver.behave = answering(200)
        assert str(world.sender.run()) == "1 delivered, 0 failed, 0 open"
        first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    apart = int(second.headers["webhook-timestamp"]) - int(
        first.headers["webhook-timestamp"]
    )
    assert apart == 30
    assert (
        first.headers["webhook-signature"]
        != second.headers["webhook-signature"]
    )
    assert world.codes(event, webhook) == [500, 200]


def test_a_failure_of_one_webhook_is_tried_again_with_that_one_alone(
    world: World,
) -> None:
    with receiving() as well, receiving(answering(503)) as ill:
        good = world.webhook(well)
        bad = world.webhook(ill)
        event = world.event()
        world.sender.run()
        world.clock.advance(seconds=10)
        world.sender.run()
    assert (world.codes(event, good), world.codes(event, bad)) == (
        [204],
        [503, 503],
    )


def test_it_is_given_up_after_eight_tries_in_a_day(world: World) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        began = world.clock()
        while (due_at := world.now(event).due_at) is not None:
            world.clock.now = max(due_at, began)
            world.sender.run()
        assert len(receiver.requests) == 8
        assert {
            request.headers["webhook-id"] for request in receiver.requests
        } == {event.event_id}
    assert world.clock() - began > timedelta(hours=27)
    assert world.delivery(event, webhook).next_attempt_at is None
    assert world.webhook_now(webhook).failing_since == began
    assert world.webhook_now(webhook).enabled


@pytest.mark.parametrize(
    "behave",
    [sending(b""), answering(302), answering(404)],
    ids=["closed", "moved", "unknown"],
)
def test_what_is_no_success_is_a_failure(
    world: World, behave: Behavior
) -> None:
    with receiving(behave) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        assert str(world.sender.run()) == "0 delivered, 1 failed, 0 open"
    (attempt,) = world.delivery(event, webhook).attempts
    assert attempt.error is not None
    assert attempt.error.startswith(("the receiver ", "the server "))


def test_a_webhook_that_has_moved_gets_later_tries_where_it_is(
    world: World,
) -> None:
    with receiving(answering(500)) as old, receiving() as new:
        webhook = world.webhook(old)
        event = world.event()
        world.sender.run()
        moved = edited(
            world.tenant_id,
            webhook.webhook_id,
            updated(world.clock(), url=new.url),
        )
        world.platform.webhooks.change(world.tenant_id, moved)
        world.clock.advance(seconds=30)
        world.sender.run()
        assert (len(old.requests), len(new.requests)) == (1, 1)
    assert world.codes(event, webhook) == [500, 204]


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_what_waits_for_a_webhook_that_is_gone_ends_quietly(
    world: World, how: str
) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        world.sender.run()
        change = (
            removed(world.tenant_id, webhook.webhook_id)
            if how == "deleted"
            else edited(
                world.tenant_id,
                webhook.webhook_id,
                updated(world.clock(), enabled=False),
            )
        )
        world.platform.webhooks.change(world.tenant_id, change)
        world.clock.advance(seconds=30)
        assert str(world.sender.run()) == "0 delivered, 0 failed, 0 open"
        assert len(receiver.requests) == 1
    assert world.now(event).due_at is None


def test_a_url_that_may_not_be_called_any_more_is_a_failure(
    world: World,
) -> None:
    strict = world.platform.settings.model_copy(
        update={"webhook_allow_loopback": False}
    )
    with receiving() as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        world.new_sender(replace(world.platform, settings=strict)).run()
        assert receiver.requests == []
    (attempt,) = world.delivery(event, webhook).attempts
    assert attempt.error == "the URL must begin with https://"
    assert world.now(event).due_at is not None


# --- how a webhook stands -----------------------------------------------------------------------


def audit_of(world: World) -> list[tuple[str, str | None, dict[str, object]]]:
    page = world.platform.audit.list_entries(world.tenant_id)
    assert {entry.actor.kind for entry in page.items} <= {ActorKind.SYSTEM}
    return [
        (entry.action, entry.target, dict(entry.details))
        for entry in page.items
    ]


def test_a_receiver_that_is_gone_disables_its_webhook_at_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(answering(410)) as receiver:
        webhook = world.webhook(receiver)
        events = [world.event() for _ in range(3)]
        world.sender.run()
        world.clock.advance(days=1)
        world.sender.run()
        assert len(receiver.requests) == 1
    now = world.webhook_now(webhook)
    assert (now.enabled, now.disabled_reason) == (False, DisabledReason.GONE)
    assert [world.now(event).due_at for event in events] == [None] * 3
    details = {
        "changed": ["enabled"],
        "enabled": False,
        "reason": "receiver_gone",
    }
    assert audit_of(world) == [
        (Action.WEBHOOK_CHANGED, webhook.webhook_id, details)
    ]
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["webhook_disabled"]


def test_what_waits_behind_an_answer_that_says_gone_is_not_sent(
    world: World,
) -> None:
    with receiving(answering(410)) as receiver:
        webhook = world.webhook(receiver)
        events = [world.event() for _ in range(20)]
        world.sender.run()
        assert len(receiver.requests) == 1
        receiver.behave = answering(204)
        anew = edited(
            world.tenant_id,
            webhook.webhook_id,
            updated(world.clock(), enabled=True),
        )
        world.platform.webhooks.change(world.tenant_id, anew)
        world.event()
        assert str(world.sender.run()) == "1 delivered, 0 failed, 0 open"
    assert [world.now(event).due_at for event in events] == [None] * 20


def test_five_days_of_failures_disable_and_a_success_begins_anew(
    world: World,
) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        for days in (0, 4.9):
            began = world.clock.advance(days=days)
            world.event()
            world.sender.run()
        assert world.webhook_now(webhook).failing_since is not None
        receiver.behave = answering(200)
        world.event()
        world.sender.run()
        assert world.webhook_now(webhook).failing_since is None
        receiver.behave = answering(500)
        again = world.clock.advance(hours=20)
        world.event()
        world.sender.run()
        assert world.webhook_now(webhook).failing_since == again > began
        assert world.webhook_now(webhook).enabled
        world.clock.now = again + FAILING_FOR
        world.event()
        world.sender.run()
    now = world.webhook_now(webhook)
    assert (now.enabled, now.disabled_reason) == (False, DisabledReason.FAILING)
    details = {
        "changed": ["enabled"],
        "enabled": False,
        "reason": "receiver_failing",
    }
    assert audit_of(world) == [
        (Action.WEBHOOK_CHANGED, webhook.webhook_id, details)
    ]


@pytest.mark.parametrize("changes", [{"enabled": True}, {"url": None}])
def test_one_that_fails_after_a_change_is_disabled_five_days_later(
    world: World, changes: dict[str, object]
) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        world.event()
        world.sender.run()
        world.clock.advance(hours=40)
        there = {
            name: value or f"{receiver.url}/new"
            for name, value in changes.items()
        }
        edit = edited(
            world.tenant_id, webhook.webhook_id, updated(world.clock(), **there)
        )
        world.platform.webhooks.change(world.tenant_id, edit)
        again = world.clock.advance(hours=1)
        for now in (again, again + FAILING_FOR):
            world.clock.now = now
            world.event()
            world.sender.run()
            assert world.webhook_now(webhook).failing_since == again
    assert world.webhook_now(webhook).disabled_reason is DisabledReason.FAILING


def test_a_failure_behind_a_success_disables_none_however_long_it_had_failed(
    world: World,
) -> None:
    answers = iter([500, 200, 500])
    with receiving() as receiver:
        receiver.behave = lambda connection: answering(next(answers))(
            connection
        )
        webhook = world.webhook(receiver)
        for days in (0, 5):
            world.clock.advance(days=days)
            world.event()
            world.sender.run()
        assert len(receiver.requests) == 3
    assert world.webhook_now(webhook).enabled


def test_a_success_after_a_failure_that_was_read_before_it_counts(
    world: World,
) -> None:
    answers = iter([500, 200, 200])
    with receiving() as receiver:
        receiver.behave = lambda connection: answering(next(answers))(
            connection
        )
        webhook = world.webhook(receiver)
        for _ in range(3):
            world.event()
        world.sender.run()
        assert len(receiver.requests) == 3
    assert world.webhook_now(webhook).failing_since is None


def test_a_webhook_that_has_moved_is_not_disabled_for_where_it_was(
    world: World,
) -> None:
    with receiving() as receiver:
        webhook = world.webhook(receiver)

        def move(connection: object) -> None:
            there = updated(world.clock(), url=f"{receiver.url}/new")
            moved = edited(world.tenant_id, webhook.webhook_id, there)
            world.platform.webhooks.change(world.tenant_id, moved)
            answering(410)(connection)  # type: ignore[arg-type]

        receiver.behave = move
        world.event()
        world.sender.run()
    assert world.webhook_now(webhook).enabled


# --- receivers that hang ------------------------------------------------------------------------


def test_a_receiver_that_hangs_delays_no_tick_and_no_other(
    world: World, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tick waits for results as long as a slow call may take: by itself no receiver is slow here.
    monkeypatch.setattr(limiter, "SLOW_SECONDS", 1_000.0)
    ahead = [0.0]
    with receiving(waiting(over)) as dead, receiving() as alive:
        hung = world.webhook(dead)
        well = world.webhook(alive)
        events = [world.event() for _ in range(20)]
        sender = Sender(
            world.platform,
            WebhookClient(seconds=60),
            clock=world.clock,
            monotonic=lambda: time.monotonic() + ahead[0],
        )
        began = time.monotonic()
        assert str(sender.run(Deadline.after(30))).startswith(
            "20 delivered, 0 failed, "
        )
        # The receiver that hangs would take 60.
        assert time.monotonic() - began < 50
        assert (len(alive.requests), len(dead.requests)) == (20, 1)
        assert all(world.codes(event, well) == [204] for event in events)
        # A sender that dies now leaves them due: later, and without a try.
        assert all(world.codes(event, hung) == [] for event in events)
        assert {world.now(event).due_at for event in events} == {
            world.clock() + LEASE
        }
        # One call is under way and one waits; the others are in nobody's hands.
        ahead[0] += 2_000
        assert str(sender.run()) == "0 delivered, 0 failed, 2 open"
        world.clock.advance(minutes=1)
        assert str(sender.run()) == "0 delivered, 0 failed, 2 open"
        looks = sorted(
            world.now(event).due_at or world.clock() for event in events
        )[2:]
        waits = [look - world.clock() for look in looks]
        assert set(waits) == {POSTPONED_FOR}


def test_a_result_that_comes_after_the_tick_is_written_by_the_next(
    world: World, over: threading.Event
) -> None:
    with receiving(waiting(over)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        assert str(world.sender.run()) == "0 delivered, 0 failed, 1 open"
        over.set()
        assert str(world.sender.run()) == "0 delivered, 1 failed, 0 open"
    assert world.codes(event, webhook) == [None]


def test_webhooks_of_100_tenants_arrive_beside_a_tenant_that_floods_their_host(
    world: World, over: threading.Event
) -> None:
    with receiving(waiting(over)) as host:
        world.webhook(host)
        for _ in range(30):
            world.event()
        sender = Sender(
            world.platform, WebhookClient(seconds=60), clock=world.clock
        )
        assert str(sender.run()) == "0 delivered, 0 failed, 30 open"
        host.behave = answering(204)
        for number in range(100):
            tenant_id = f"{world.tenant_id}-{number}"
            world.webhook(host, tenant_id=tenant_id)
            world.event(tenant_id=tenant_id)
        assert str(sender.run()).startswith("100 delivered, 0 failed, ")
        assert len(host.requests) == 101
        over.set()


@pytest.mark.parametrize("how", ["made", "enabled", "enabled_between_tries"])
def test_a_webhook_is_not_told_of_what_was_before(
    world: World, how: str
) -> None:
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        if how == "enabled":
            webhook = world.webhook(receiver, enabled=False)
        event = world.event()
        if how == "enabled_between_tries":
            world.sender.run()
        world.clock.advance(seconds=30)
        if how == "made":
            webhook = world.webhook(receiver)
        for enabled in (False, True) if how != "made" else ():
            change = updated(world.clock(), enabled=enabled)
            world.platform.webhooks.change(
                world.tenant_id,
                edited(world.tenant_id, webhook.webhook_id, change),
            )
        world.sender.run()
        assert len(receiver.requests) == 1
        receiver.behave = answering(204)
        later = world.event()
        world.sender.run()
    tries = world.now(event).tries_of(webhook.webhook_id)
    assert len(tries) == (1 if how == "enabled_between_tries" else 0)
    assert world.codes(later, webhook) == [204]


def test_a_receiver_is_called_by_one_at_a_time(world: World) -> None:
    counting = Counting(answering(204), seconds=0.003)
    with receiving(counting) as receiver:
        for _ in range(10):
            world.webhook(receiver)
        for _ in range(10):
            world.event()
        assert str(world.sender.run()) == "100 delivered, 0 failed, 0 open"
        assert (len(receiver.requests), counting.most) == (100, 1)


# --- faults -------------------------------------------------------------------------------------


def test_a_sender_that_dies_loses_nothing_and_sends_by_the_same_id(
    world: World, over: threading.Event
) -> None:
    with receiving(waiting(over)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        world.sender.run()
        receiver.behave = answering(204)
        other_sender = world.new_sender()
        assert str(other_sender.run()) == "0 delivered, 0 failed, 0 open"
        world.clock.now += LEASE
        assert str(other_sender.run()) == "1 delivered, 0 failed, 0 open"
        # What the first one finds out later is of no consequence.
        over.set()
        world.sender.run()
        assert {
            request.headers["webhook-id"] for request in receiver.requests
        } == {event.event_id}
    assert world.codes(event, webhook) == [204]


def test_two_senders_side_by_side_send_each_event_once(world: World) -> None:
    with receiving(answering(204)) as receiver:
        webhook = world.webhook(receiver)
        events = [world.event() for _ in range(30)]
        senders = [world.sender, world.new_sender()]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda sender: sender.run(), senders))
        ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert sum(outcome.delivered for outcome in outcomes) == 30
    assert sorted(ids) == sorted(event.event_id for event in events)
    assert all(world.codes(event, webhook) == [204] for event in events)


def test_an_event_is_nobody_else_s_as_long_as_a_call_of_it_hangs(
    world: World, over: threading.Event
) -> None:
    with receiving(waiting(over)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        sender = Sender(
            world.platform, WebhookClient(seconds=60), clock=world.clock
        )
        other_sender = world.new_sender()
        assert str(sender.run()) == "0 delivered, 0 failed, 1 open"
        for _ in range(3):
            world.clock.now += LEASE * 0.6
            assert str(sender.run()) == "0 delivered, 0 failed, 1 open"
            assert str(other_sender.run()) == "0 delivered, 0 failed, 0 open"
        over.set()
        assert str(sender.run()) == "0 delivered, 1 failed, 0 open"
        assert len(receiver.requests) == 1
    assert world.codes(event, webhook) == [None]


def test_what_cannot_be_written_is_kept_and_not_sent_again(
    world: World,
) -> None:
    faults = list[bool]()

    def refuse(**_: object) -> None:
        if faults:
            raise ExternalServiceError("dynamodb.UpdateItem", "refused")

    def answer(connection: socket.socket) -> None:
        faults.append(True)
        answering(204)(connection)

    client = world.platform.clients.dynamodb
    client.meta.events.register("before-call.dynamodb.UpdateItem", refuse)
    try:
        with receiving(answer) as receiver:
            webhook = world.webhook(receiver)
            event = world.event()
            with pytest.raises(ExternalServiceError):
                world.sender.run()
            with pytest.raises(ExternalServiceError):
                world.sender.run()
            assert world.now(event).deliveries is None
            faults.clear()
            world.sender.run()
            assert len(receiver.requests) == 1
    finally:
        client.meta.events.unregister("before-call.dynamodb.UpdateItem", refuse)
    assert world.codes(event, webhook) == [204]


def test_an_update_of_health_that_cannot_be_written_holds_up_no_result(
    world: World,
) -> None:
    faults = [True]

    def refuse(**_: object) -> None:
        if faults:
            raise ExternalServiceError("dynamodb.TransactWriteItems", "refused")

    client = world.platform.clients.dynamodb
    with receiving(answering(500)) as receiver:
        webhook = world.webhook(receiver)
        event = world.event()
        client.meta.events.register(
            "before-call.dynamodb.TransactWriteItems", refuse
        )
        try:
            world.sender.run()
            assert world.codes(event, webhook) == [500]
            assert world.webhook_now(webhook).failing_since is None
            faults.clear()
            again = world.clock.advance(seconds=30)
            world.sender.run()
        finally:
            client.meta.events.unregister(
                "before-call.dynamodb.TransactWriteItems", refuse
            )
    assert world.webhook_now(webhook).failing_since == again


def test_what_fails_for_good_is_counted(world: World) -> None:
    class Counted(Metrics):
        def __init__(self) -> None:
            self.failed: list[int] = []

        def count(self, name: str, count: int = 1) -> None:
            self.failed.append(count)

    counted = Counted()
    sender = world.new_sender(replace(world.platform, metrics=counted))
    with receiving(answering(500)) as ill, receiving(answering(410)) as gone:
        world.webhook(ill)
        world.webhook(gone)
        event = world.event()
        sender.run()
        assert counted.failed == [1]
        while (due_at := world.now(event).due_at) is not None:
            world.clock.now = due_at
            sender.run()
    assert counted.failed == [1, 1]


def test_two_ticks_at_once_are_one(world: World, over: threading.Event) -> None:
    with receiving(waiting(over)) as receiver:
        world.webhook(receiver)
        world.event()
        first = threading.Thread(target=world.sender.run)
        first.start()
        receiver.wait_for(1)
        assert str(world.sender.run()) == "another tick sends"
        over.set()
        first.join(30)
    assert not first.is_alive()
