"""A webhook tried out, and the tries to deliver to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay_dagster.aws.dynamodb.cursors import to_cursor
from relay_dagster.runs.ports import utc_now
from relay_dagster.webhooks.model import EventType, Webhook
from support.api_world import ApiWorld, assert_problem, paths_of
from support.webhooks_world import due_events, event, stored_webhook, tried


@pytest.fixture
def receiver(world: ApiWorld) -> Webhook:
    world.store_config()
    return stored_webhook(world.platform)


def place_of(receiver: Webhook) -> str:
    return f"/v1/tenants/acme/webhooks/{receiver.webhook_id}"


def deliveries(
    world: ApiWorld, receiver: Webhook, **query: Any
) -> dict[str, Any]:
    response = world.client.get(
        f"{place_of(receiver)}/deliveries", params=query
    )
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def test_a_test_makes_an_event_for_that_webhook_alone(
    world: ApiWorld, receiver: Webhook
) -> None:
    other_webhook = stored_webhook(world.platform, events=receiver.events)
    response = world.client.post(f"{place_of(receiver)}/test")
    assert response.status_code == 202
    (due,) = due_events(world.platform.webhooks, utc_now())
    assert response.json() == {"delivery_id": due.event_id}
    assert (due.type, due.only_for) == (EventType.TEST, receiver.webhook_id)
    assert (receiver.wants(due), other_webhook.wants(due)) == (True, False)
    assert due.data == {
        "run_id": None,
        "tenant_id": "acme",
        "status": None,
        "error_code": None,
        "failure_class": None,
        "counts": None,
        "changes": None,
        "hold": None,
    }


def test_a_tenant_has_so_many_tests_a_minute(
    world: ApiWorld, receiver: Webhook
) -> None:
    another = stored_webhook(world.platform)
    answers = [
        world.client.post(f"{place_of(webhook)}/test")
        for webhook in (receiver, another) * 5 + (another,)
    ]
    assert [answer.status_code for answer in answers[:10]] == [202] * 10
    assert_problem(answers[10], 429, "RATE_LIMITED")
    assert 0 < int(answers[10].headers["Retry-After"]) <= 6
    world.store_config(tenant_id="other")
    foreign_webhook = stored_webhook(world.platform, tenant_id="other")
    path = f"/v1/tenants/other/webhooks/{foreign_webhook.webhook_id}/test"
    assert world.client.post(path).status_code == 202


def test_one_that_is_disabled_is_not_tried(
    world: ApiWorld, receiver: Webhook
) -> None:
    world.client.patch(place_of(receiver), json={"enabled": False})
    answer = world.client.post(f"{place_of(receiver)}/test")
    assert_problem(answer, 409, "WEBHOOK_DISABLED")
    assert due_events(world.platform.webhooks, utc_now()) == []


def listed_try(
    delivery_id: str, event_type: str, status_code: int | None, **changes: Any
) -> dict[str, Any]:
    """Return a try as the API lists it: the first one, made at noon."""
    return {
        "delivery_id": delivery_id,
        "event": event_type,
        "attempt": 1,
        "at": "2026-03-01T12:00:00Z",
        "status_code": status_code,
        "duration_ms": 12,
        "error": f"answered {status_code}",
        "next_attempt_at": None,
        **changes,
    }


def test_each_try_is_listed_the_last_first(
    world: ApiWorld, receiver: Webhook
) -> None:
    waits = tried(receiver.webhook_id, None, 503, goes_on=True)
    first = replace(
        event(),
        deliveries={receiver.webhook_id: tried(receiver.webhook_id, 200)},
    )
    second = replace(
        event(EventType.RUN_SUCCEEDED, after=5),
        deliveries={
            receiver.webhook_id: waits,
            "wh_other": tried("wh_other", 410),
        },
    )
    for new_event in (first, second):
        world.platform.webhooks.add_event(new_event)
    assert deliveries(world, receiver) == {
        "deliveries": [
            listed_try(
                second.event_id,
                "run.succeeded",
                503,
                attempt=2,
                at="2026-03-01T12:00:01Z",
                next_attempt_at="2026-03-01T12:05:00Z",
            ),
            listed_try(second.event_id, "run.succeeded", None),
            listed_try(first.event_id, "run.failed", 200, error=None),
        ],
        "next_cursor": None,
    }


def test_a_list_goes_on_at_its_cursor(
    world: ApiWorld, receiver: Webhook
) -> None:
    for number in range(3):
        three = tried(receiver.webhook_id, 500, 500, 200)
        stored_event = replace(
            event(after=number), deliveries={receiver.webhook_id: three}
        )
        world.platform.webhooks.add_event(stored_event)
    whole = deliveries(world, receiver)["deliveries"]
    ids = []
    cursor = None
    for _ in range(5):
        page = deliveries(
            world, receiver, limit=2, **({"cursor": cursor} if cursor else {})
        )
        ids += page["deliveries"]
        cursor = page["next_cursor"]
    assert (ids, len(ids), cursor) == (whole, 9, None)


def test_an_event_that_nobody_has_tried_yet_is_not_listed(
    world: ApiWorld, receiver: Webhook
) -> None:
    assert world.client.post(f"{place_of(receiver)}/test").status_code == 202
    assert deliveries(world, receiver) == {
        "deliveries": [],
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": "yesterday"}, "cursor"),
        ({"cursor": "x" * 300}, "cursor"),
        (
            {"cursor": to_cursor("2026-03-01T12:00:00.000000Z#msg_0#1")},
            "cursor",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    world: ApiWorld, receiver: Webhook, query: dict[str, Any], path: str
) -> None:
    response = world.client.get(
        f"{place_of(receiver)}/deliveries", params=query
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [path]


def test_the_longest_page_is_under_a_mebibyte(
    world: ApiWorld, receiver: Webhook
) -> None:
    long = replace(
        tried(receiver.webhook_id, *[500] * 8).attempts[0], error="e" * 1000
    )
    for number in range(13):
        delivery = replace(tried(receiver.webhook_id), attempts=(long,) * 8)
        stored_event = replace(
            event(after=number), deliveries={receiver.webhook_id: delivery}
        )
        world.platform.webhooks.add_event(stored_event)
    response = world.client.get(
        f"{place_of(receiver)}/deliveries", params={"limit": 100}
    )
    assert len(response.json()["deliveries"]) == 100
    assert len(response.content) < 1 << 20
