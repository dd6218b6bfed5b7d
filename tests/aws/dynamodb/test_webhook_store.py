"""Webhooks and events in their tables: read as written, changed only where they are as read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from relay_dagster.aws.dynamodb.codec import unmarshal
from relay_dagster.aws.dynamodb.cursors import BadCursorError, to_cursor
from relay_dagster.aws.dynamodb.schema import SHARDS
from relay_dagster.tenants.audit import SYSTEM, Action
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.webhooks.changes import (
    UnknownWebhookError,
    added,
    edited,
    removed,
    updated,
)
from relay_dagster.webhooks.model import DisabledReason, new_secret
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE, LeaseLostError
from relay_dagster.work.queue import LeasedItem
from support.fakes import NOW, CallCounter, served_platform
from support.webhooks_world import (
    SECOND,
    due_events,
    event,
    store_event,
    stored_webhook,
    tried,
    webhook,
)

# --- webhooks -----------------------------------------------------------------------------------


def test_a_webhook_is_read_as_it_was_written(platform: Platform) -> None:
    first = stored_webhook(platform, description="shöp", created_by="admin:ops")
    second = stored_webhook(
        platform,
        enabled=False,
        previous_secret=new_secret(),
        previous_secret_until=NOW + timedelta(microseconds=1),
        failing_since=NOW,
        disabled_reason=DisabledReason.GONE,
    )
    assert platform.webhooks.of_tenant("acme") == (first, second)
    assert platform.webhooks.of_tenant("other") == ()


def test_webhooks_of_many_tenants_are_one_read(platform: Platform) -> None:
    mine = stored_webhook(platform)
    other_hook = stored_webhook(platform, tenant_id="other")
    calls = CallCounter(platform)
    hooks = platform.webhooks.of_tenants(["acme", "other", "nobody"])
    assert hooks == {"acme": (mine,), "other": (other_hook,), "nobody": ()}
    assert dict(calls) == {"dynamodb.BatchGetItem": 1}


def test_the_item_is_found_by_whose_it_is(platform: Platform) -> None:
    stored_webhook(platform)
    table = platform.settings.tenants_table
    (item,) = platform.clients.dynamodb.scan(TableName=table)["Items"]
    plain = unmarshal(item)
    assert (plain["pk"], plain["tenant_id"], plain["revision"]) == (
        "WEBHOOKS#acme",
        "acme",
        1,
    )


def test_a_change_is_told_in_its_own_transaction(platform: Platform) -> None:
    hook = webhook()
    entry = SYSTEM.entry(Action.WEBHOOK_CREATED, "acme", hook.webhook_id, NOW)
    assert platform.webhooks.change("acme", added(hook), entry) == (hook,)
    assert platform.audit.list_entries("acme").items == (entry,)


def test_what_changes_nothing_or_is_refused_is_not_told(
    platform: Platform,
) -> None:
    hook = stored_webhook(platform)
    entry = SYSTEM.entry(Action.WEBHOOK_CHANGED, "acme", hook.webhook_id, NOW)
    same = edited("acme", hook.webhook_id, updated(NOW, url=hook.url))
    assert platform.webhooks.change("acme", same, entry) == (hook,)
    with pytest.raises(UnknownWebhookError, match="acme has no webhook wh_1"):
        platform.webhooks.change("acme", removed("acme", "wh_1"), entry)
    assert platform.audit.list_entries("acme").items == ()


def test_a_tenant_has_ten_at_the_most(platform: Platform) -> None:
    for _ in range(10):
        stored_webhook(platform)
    with pytest.raises(
        QuotaExceededError, match="acme has the maximum of 10 webhooks"
    ):
        stored_webhook(platform)
    gone = platform.webhooks.of_tenant("acme")[3]
    platform.webhooks.change("acme", removed("acme", gone.webhook_id))
    last = stored_webhook(platform)
    hooks = platform.webhooks.of_tenant("acme")
    assert len(hooks) == 10
    assert (hooks[-1], gone in hooks) == (last, False)


def test_the_last_one_goes_and_another_comes(platform: Platform) -> None:
    hook = stored_webhook(platform)
    assert (
        platform.webhooks.change("acme", removed("acme", hook.webhook_id)) == ()
    )
    two = stored_webhook(platform)
    assert platform.webhooks.of_tenant("acme") == (two,)


def test_changes_at_once_are_all_kept_and_the_eleventh_is_refused() -> None:
    with served_platform() as platform, ThreadPoolExecutor(12) as threads:
        futures = [threads.submit(stored_webhook, platform) for _ in range(12)]
        errors = [future.exception() for future in futures]
        hooks = platform.webhooks.of_tenant("acme")
    assert [type(error) for error in errors if error is not None] == [
        QuotaExceededError
    ] * 2
    stored = {
        future.result() for future in futures if future.exception() is None
    }
    assert (len(hooks), set(hooks)) == (10, stored)


# --- events -------------------------------------------------------------------------------------


def test_a_new_event_is_due_at_once_and_read_as_it_was_written(
    platform: Platform,
) -> None:
    new_event = replace(
        event(), data={"run_id": "r", "counts": {"rows": 3}, "hold": None}
    )
    platform.webhooks.add_event(new_event)
    assert platform.webhooks.event(new_event.event_id) == new_event
    assert due_events(platform.webhooks, NOW) == [new_event]
    assert due_events(platform.webhooks, NOW - SECOND) == []


def test_the_longest_due_come_first(platform: Platform) -> None:
    events = [event(after=number) for number in range(12)]
    for due_event in reversed(events):
        platform.webhooks.add_event(due_event)
    calls = CallCounter(platform)
    assert due_events(platform.webhooks, NOW + 20 * SECOND, 5) == events[:5]
    assert dict(calls) == {"dynamodb.Query": SHARDS, "dynamodb.BatchGetItem": 1}


def test_an_event_is_due_until_its_deliveries_are_over(
    platform: Platform,
) -> None:
    new_event = event()
    platform.webhooks.add_event(new_event)
    later = NOW + 60 * SECOND
    waits = replace(
        new_event,
        deliveries={"wh_1": tried("wh_1", 500, goes_on=True)},
        due_at=later,
    )
    stored = store_event(platform.webhooks, waits, NOW)
    assert stored == replace(waits, revision=3)
    assert due_events(platform.webhooks, NOW) == []
    assert due_events(platform.webhooks, later) == [stored]
    over = replace(
        waits, deliveries={"wh_1": tried("wh_1", 500, 200)}, due_at=None
    )
    assert store_event(platform.webhooks, over, later) == replace(
        over, revision=5
    )
    assert due_events(platform.webhooks, later) == []
    assert platform.webhooks.event(new_event.event_id) == replace(
        over, revision=5
    )


@pytest.mark.parametrize("is_removed", [False, True])
def test_an_event_that_another_sender_has_changed_stays_as_it_is(
    platform: Platform, *, is_removed: bool
) -> None:
    new_event = event()
    platform.webhooks.add_event(new_event)
    queue = platform.webhooks.queue
    (item,) = queue.due(NOW, 10)
    slow = queue.take(item, NOW)
    assert slow is not None
    changed = replace(new_event, deliveries={"wh_1": tried("wh_1", 500)})
    first = store_event(platform.webhooks, changed, NOW + LEASE)
    assert first is not None
    with pytest.raises(LeaseLostError):
        LeasedItem(queue, slow, lambda: NOW).finish(
            lambda value: None if is_removed else replace(value, due_at=None)
        )
    assert platform.webhooks.event(new_event.event_id) == first


def test_an_event_that_nobody_is_told_of_is_not_kept(
    platform: Platform,
) -> None:
    new_event = event()
    platform.webhooks.add_event(new_event)
    assert (
        store_event(platform.webhooks, replace(new_event, deliveries={}), NOW)
        is None
    )
    assert platform.webhooks.event(new_event.event_id) is None


def test_an_event_is_no_run_and_lives_for_thirty_days(
    platform: Platform,
) -> None:
    platform.webhooks.add_event(event())
    (item,) = platform.clients.dynamodb.scan(
        TableName=platform.settings.runs_table
    )["Items"]
    assert unmarshal(item)["expires_at"] == int(
        (NOW + timedelta(days=30)).timestamp()
    )
    assert platform.runs.list_runs("acme").items == ()
    assert platform.runs.list_runs().items == ()


def test_events_are_listed_by_tenant_the_last_first(platform: Platform) -> None:
    events = [event(after=number) for number in range(7)]
    for new_event in [*events, event(tenant_id="other")]:
        platform.webhooks.add_event(new_event)
    pages = []
    cursor = None
    while not pages or cursor is not None:
        page = platform.webhooks.events_of("acme", limit=3, cursor=cursor)
        cursor = page.next_cursor
        pages.append(page.items)
    assert list(map(len, pages)) == [3, 3, 1]
    assert [listed for page in pages for listed in page] == events[::-1]


# --- tries --------------------------------------------------------------------------------------


def stored_tries(
    platform: Platform, *codes: tuple[int | None, ...]
) -> list[tuple[str, int]]:
    """Store an event with tries for each group of codes; return what a list is to show of them."""
    tries: list[tuple[str, int]] = []
    for number, group in enumerate(codes):
        deliveries = {"wh_1": tried("wh_1", *group), "wh_2": tried("wh_2", 410)}
        stored_event = replace(event(after=number), deliveries=deliveries)
        platform.webhooks.add_event(stored_event)
        tries += [
            (stored_event.event_id, number)
            for number in range(1, len(group) + 1)
        ]
    return tries[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7, 50])
def test_tries_are_listed_one_by_one_the_last_first(
    platform: Platform, limit: int
) -> None:
    expected = stored_tries(platform, (200,), (500, None, 200), (), (503, 503))
    pages = []
    cursor = None
    while not pages or cursor is not None:
        page = platform.webhooks.tries_of(
            "acme", "wh_1", limit=limit, cursor=cursor
        )
        cursor = page.next_cursor
        pages.append(
            [
                (delivery_try.event_id, delivery_try.number)
                for delivery_try in page.items
            ]
        )
    assert [listed for page in pages for listed in page] == expected
    assert max(map(len, pages)) <= limit


def test_a_page_that_goes_on_is_not_moved_by_what_comes_meanwhile(
    platform: Platform,
) -> None:
    expected = stored_tries(platform, (200,), (500, 500, 500))
    first = platform.webhooks.tries_of("acme", "wh_1", limit=2)
    newer = replace(event(after=90), deliveries={"wh_1": tried("wh_1", 200)})
    platform.webhooks.add_event(newer)
    next_page = platform.webhooks.tries_of(
        "acme", "wh_1", limit=5, cursor=first.next_cursor
    )
    listed = [
        (delivery_try.event_id, delivery_try.number)
        for delivery_try in (*first.items, *next_page.items)
    ]
    assert listed == expected


def test_only_the_last_try_tells_of_the_next(platform: Platform) -> None:
    new_event = replace(
        event(), deliveries={"wh_1": tried("wh_1", None, 500, goes_on=True)}
    )
    platform.webhooks.add_event(new_event)
    page = platform.webhooks.tries_of("acme", "wh_1", limit=10)
    assert [delivery_try.next_attempt_at for delivery_try in page.items] == [
        NOW + 300 * SECOND,
        None,
    ]
    assert [
        delivery_try.attempt.status_code for delivery_try in page.items
    ] == [500, None]


def test_a_webhook_without_tries_among_many_events_ends_its_pages_early(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "relay_dagster.aws.dynamodb.webhook_store._EVENTS_AT_ONCE", 5
    )
    for number in range(31):
        other_event = replace(
            event(after=number), deliveries={"wh_2": tried("wh_2", 200)}
        )
        platform.webhooks.add_event(other_event)
    page = platform.webhooks.tries_of("acme", "wh_1", limit=10)
    assert page.items == ()
    next_page = platform.webhooks.tries_of(
        "acme", "wh_1", limit=10, cursor=page.next_cursor
    )
    assert (
        page.next_cursor is None,
        next_page.items,
        next_page.next_cursor,
    ) == (
        False,
        (),
        None,
    )


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "RUN",
        "msg_" + "g" * 32,
        "msg_" + "a" * 32 + "#0",
        "msg_" + "a" * 32 + "#x",
    ],
)
def test_a_cursor_that_no_list_returned_is_refused(
    platform: Platform, rest: str
) -> None:
    cursor = to_cursor(f"2026-03-01T12:00:00.000000Z#{rest}")
    with pytest.raises(BadCursorError):
        platform.webhooks.tries_of("acme", "wh_1", limit=10, cursor=cursor)


def test_a_cursor_leads_to_no_other_tenants_event(platform: Platform) -> None:
    foreign = replace(
        event(tenant_id="other"),
        deliveries={"wh_1": tried("wh_1", 200, 200, 200)},
    )
    platform.webhooks.add_event(foreign)
    cursor = to_cursor(f"2026-03-01T12:00:00.000000Z#{foreign.event_id}#3")
    page = platform.webhooks.tries_of("acme", "wh_1", limit=10, cursor=cursor)
    assert page.items == ()
