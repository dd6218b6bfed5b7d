from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay_dagster.webhooks.model import (
    Delivery,
    DeliveryAttempt,
    Event,
    EventType,
    new_event,
)
from relay_dagster.webhooks.webhook_schedule import (
    FAILING_FOR,
    addressed,
    due,
    ended,
    is_failing_for_good,
    is_given_up,
    postponed,
    tried,
    wait_after,
)
from support.fakes import NOW
from support.webhooks_world import SECOND, event, webhook

FAILED = DeliveryAttempt(NOW, 500, 1000, "the receiver answered 500")
DELIVERED = DeliveryAttempt(NOW, 204, 12, None)


def addressed_event(*names: str) -> Event:
    return addressed(event(), [webhook(webhook_id=name) for name in names], NOW)


def test_the_waits_are_those_of_the_contract() -> None:
    waits = [wait_after(tries, 0.5) for tries in range(9)]
    hours = timedelta(hours=1)
    assert waits == [
        timedelta(0),
        5 * SECOND,
        300 * SECOND,
        0.5 * hours,
        2 * hours,
        5 * hours,
        10 * hours,
        10 * hours,
        None,
    ]


def test_a_wait_is_spread_by_a_fifth_either_way() -> None:
    assert [wait_after(1, jitter) for jitter in (0, 0.25, 1)] == [
        4 * SECOND,
        4.5 * SECOND,
        6 * SECOND,
    ]


def test_an_event_goes_to_each_webhook_that_wants_it_at_its_first_look() -> (
    None
):
    webhooks = [
        webhook(webhook_id="a"),
        webhook(webhook_id="other_events", events=(EventType.FEED_PUBLISHED,)),
        webhook(webhook_id="disabled", enabled=False),
        webhook(webhook_id="b"),
    ]
    after = addressed(event(), webhooks, NOW + SECOND)
    assert after.deliveries == {
        webhook_id: Delivery(webhook_id, next_attempt_at=NOW + SECOND)
        for webhook_id in ("a", "b")
    }
    assert after.due_at == NOW + SECOND
    assert due(after, NOW + SECOND) == ["a", "b"]


def test_an_event_that_nobody_wants_is_not_due_again() -> None:
    after = addressed(event(), [], NOW)
    assert (after.deliveries, after.due_at, due(after, NOW)) == ({}, None, [])


def test_a_test_goes_to_its_own_webhook_alone() -> None:
    webhooks = [webhook(webhook_id="a"), webhook(webhook_id="b")]
    trial = new_event(
        EventType.TEST, "acme", {"run_id": None}, NOW, only_for="b"
    )
    assert list(addressed(trial, webhooks, NOW).deliveries or ()) == ["b"]


def test_a_webhook_that_comes_after_the_first_look_is_not_told() -> None:
    before = addressed_event("a")
    assert (
        addressed(
            before, [webhook(webhook_id="a"), webhook(webhook_id="new")], NOW
        )
        == before
    )


@pytest.mark.parametrize(
    "left", [[], [webhook(webhook_id="a", enabled=False)]], ids=["gone", "off"]
)
def test_what_waits_for_a_webhook_that_is_deleted_or_disabled_ends(
    left: list,
) -> None:
    after = addressed(addressed_event("a"), left, NOW)
    assert after.deliveries == {"a": Delivery("a")}
    assert after.due_at is None
    assert not is_given_up(after, "a")


def test_later_tries_go_on_whatever_events_the_webhook_wants_now() -> None:
    before = addressed_event("a")
    assert (
        addressed(
            before, [webhook(webhook_id="a", events=(EventType.RUN_HELD,))], NOW
        )
        == before
    )


def test_a_success_ends_the_delivery() -> None:
    after = tried(addressed_event("a", "b"), "a", DELIVERED, 0.5)
    assert after.deliveries is not None
    assert after.deliveries["a"] == Delivery("a", (DELIVERED,))
    assert (after.due_at, due(after, NOW)) == (NOW, ["b"])
    assert not is_given_up(after, "a")


def test_the_wait_begins_when_the_try_has_ended() -> None:
    after = tried(addressed_event("a"), "a", FAILED, 0.5)
    assert after.due_at == NOW + 6 * SECOND
    assert due(after, NOW + 5.9 * SECOND) == []
    assert due(after, NOW + 6 * SECOND) == ["a"]


def test_after_the_eighth_failure_it_is_given_up() -> None:
    now = NOW
    current = addressed_event("a")
    instants = []
    while current.due_at is not None:
        assert not is_given_up(current, "a")
        now = current.due_at
        instants.append(now - NOW)
        current = tried(
            current, "a", replace(FAILED, at=now, duration_ms=0), 0.5
        )
    assert is_given_up(current, "a")
    assert len(instants) == 8
    assert instants[-1] == timedelta(hours=27, minutes=35, seconds=5)


def test_what_is_postponed_is_due_later_and_has_no_try_more() -> None:
    after = postponed(addressed_event("a", "b"), {"a": NOW + 20 * SECOND})
    assert (due(after, NOW), after.due_at) == (["b"], NOW)
    assert (
        postponed(after, {"b": NOW + 30 * SECOND}).due_at == NOW + 20 * SECOND
    )
    assert due(after, NOW + 20 * SECOND) == ["a", "b"]
    assert after.deliveries is not None
    assert after.deliveries["a"].attempts == ()


def test_what_is_over_is_not_postponed() -> None:
    over = ended(addressed_event("a"), {"a"})
    assert postponed(over, {"a": NOW + SECOND}) == over


def test_nothing_but_failures_for_five_days_is_for_good() -> None:
    since = NOW - FAILING_FOR
    assert timedelta(days=5) == FAILING_FOR
    assert is_failing_for_good(webhook(failing_since=since), NOW)
    assert not is_failing_for_good(webhook(failing_since=since + SECOND), NOW)
    assert not is_failing_for_good(webhook(), NOW)
