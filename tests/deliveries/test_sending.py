"""Deliveries by their rules alone: when they are due, what they send, and what becomes of a try."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.deliveries import requests, sending
from relay_dagster.deliveries.events import event_of_failure
from relay_dagster.deliveries.file_names import file_name
from relay_dagster.deliveries.model import (
    DeliveryState,
    PublicationMark,
    SentFile,
)
from support.builders import RUN_ID
from support.config_documents import DELIVERY

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NEW = DeliveryState(tenant_id="acme", delivery_id="marketplace")


def entry(**changes: Any) -> DeliveryConfig:
    return DeliveryConfig(**{**DELIVERY, **changes})


FEED = entry()
CHANGES = entry(what="changes")


def mark(seq: int) -> PublicationMark:
    return PublicationMark(f"run-{seq}", seq, NOON)


def due(
    seq: int,
    state: DeliveryState = NEW,
    delivery: DeliveryConfig = FEED,
) -> DeliveryState:
    after = requests.published(delivery, mark(seq), NOON)(state)
    assert after is not None
    return after


def sent_file(
    seq: int, delivery: DeliveryConfig = FEED, **changes: Any
) -> SentFile:
    sent = SentFile(mark(seq), delivery.digest, f"key-{seq}", "feed", 7)
    return replace(sent, **changes)


def delivered(
    seq: int,
    state: DeliveryState | None = None,
    delivery: DeliveryConfig = FEED,
    **changes: Any,
) -> DeliveryState:
    sending_state = sending.begun(state or due(seq, delivery=delivery))
    sent = sent_file(seq, delivery, **changes)
    return sending.delivered(sent, NOON)(sending_state)


def failed(state: DeliveryState, **changes: Any) -> DeliveryState:
    sending_state = sending.begun(state)
    rule = sending.failed(
        changes.get("tried", sending_state),
        "no",
        NOON,
        is_doubtful=changes.get("is_doubtful", False),
    )
    return rule(changes.get("now", sending_state))


# --- when it is due -------------------------------------------------------------------------------


def test_a_publication_is_due_at_once() -> None:
    state = due(1)
    assert (state.pending, state.due_at) == (mark(1), NOON)
    assert (state.source, state.host) == (FEED.digest, "files.example.com")


def test_one_that_is_known_changes_nothing() -> None:
    again = requests.published(FEED, mark(1), NOON)
    assert again(due(1)) is None
    assert again(delivered(1)) is None
    assert again(due(2)) is None


def test_a_newer_publication_replaces_one_that_waits() -> None:
    waiting = failed(failed(due(1)))
    assert waiting.due_at == NOON + 5 * MINUTE
    state = due(2, waiting)
    assert (state.pending, state.due_at, state.tries) == (mark(2), NOON, 0)
    assert state.failures == 2


def test_a_changed_entry_waits_for_the_next_publication() -> None:
    changed = entry(file_name="other.csv")
    assert requests.published(changed, mark(1), NOON)(delivered(1)) is None
    state = requests.shown(failed(due(1)), changed)
    assert (state.pending, state.due_at, state.last_error) == (None, None, None)
    assert requests.shown(failed(due(1)), FEED) == failed(due(1))
    assert due(2, delivered(1), changed).source == changed.digest


def test_waits_are_1_5_and_15_minutes_and_then_an_hour() -> None:
    state = due(1)
    waits = []
    for _ in range(5):
        state = failed(state)
        assert state.due_at is not None
        waits.append((state.due_at - NOON) / MINUTE)
    assert waits == [1, 5, 15, 60, 60]


def test_a_try_that_fails_after_it_was_replaced_is_followed_at_once() -> None:
    sending_state = sending.begun(due(1))
    now = due(2, sending_state)
    state = failed(due(1), tried=sending_state, now=now)
    assert (state.pending, state.due_at, state.tries) == (mark(2), NOON, 0)
    assert state.failures == 1


def test_a_file_that_is_there_after_it_was_replaced_is_followed_at_once() -> (
    None
):
    sending_state = sending.begun(due(1))
    state = sending.delivered(sent_file(1), NOON)(due(2, sending_state))
    assert (state.pending, state.due_at) == (mark(2), NOON)
    assert state.delivered == sent_file(1)


def test_one_that_is_asked_for_meanwhile_follows_at_once() -> None:
    sending_state = sending.begun(due(1))
    requested = requests.asked(FEED, mark(1), NOON)(sending_state)
    state = sending.delivered(sent_file(1), NOON)(requested)
    assert (state.pending, state.due_at) == (mark(1), NOON)
    assert state.asked_at == NOON
    delivered_state = delivered(1, state, asked_at=NOON)
    assert (
        delivered_state.pending,
        delivered_state.due_at,
        delivered_state.asked_at,
    ) == (None, None, None)


def test_a_failure_that_is_not_tried_again_waits_for_a_publication() -> None:
    sending_state = sending.begun(due(1))
    state = sending.refused(sending_state, "no such channel", NOON)(
        sending_state
    )
    assert (state.pending, state.due_at) == (None, None)
    assert (state.failures, state.last_error) == (1, "no such channel")
    assert due(2, state).due_at == NOON


def test_an_entry_that_is_gone_is_removed_unless_it_is_due_again() -> None:
    sending_state = sending.begun(due(1))
    assert sending.removed(sending_state, NOON)(sending_state) is None
    again = sending.removed(sending_state, NOON)(due(2, sending_state))
    assert again is not None
    assert again.due_at == NOON
    dropped = sending.dropped(sending_state, NOON)(sending_state)
    assert (dropped.pending, dropped.due_at) == (None, None)


# --- the whole, or the changes --------------------------------------------------------------------


def base(
    state: DeliveryState,
    seq: int,
    delivery: DeliveryConfig = CHANGES,
    now: datetime = NOON,
) -> SentFile | None:
    return sending.base_of_changes(state, delivery, mark(seq), now)


def test_changes_are_against_the_file_that_was_delivered_last() -> None:
    state = delivered(1, delivery=CHANGES)
    assert base(due(2, state, CHANGES), 2) == sent_file(1, CHANGES)


def test_the_whole_is_sent_the_first_time_and_for_a_feed() -> None:
    assert base(due(1, delivery=CHANGES), 1) is None
    assert base(due(2, delivered(1)), 2, FEED) is None


def test_the_whole_is_sent_after_a_change_of_the_entry() -> None:
    changed = entry(what="changes", secret="other")
    state = delivered(1, delivery=CHANGES)
    assert base(due(2, state, changed), 2, changed) is None


def test_the_whole_is_sent_on_request() -> None:
    state = delivered(1, delivery=CHANGES)
    requested = requests.asked(CHANGES, mark(1), NOON)(state)
    assert base(requested, 1) is None


@pytest.mark.parametrize(
    ("hours", "age", "is_whole"),
    [(24, 24, True), (24, 23, False), (None, 10_000, False), (1, 1, True)],
)
def test_the_whole_is_sent_after_some_hours(
    hours: int | None, age: int, is_whole: bool
) -> None:
    delivery = entry(what="changes", whole_every_hours=hours)
    state = delivered(1, delivery=delivery)
    base_seq = base(
        due(2, state, delivery), 2, delivery, NOON + timedelta(hours=age)
    )
    assert (base_seq is None) is is_whole


def test_changes_do_not_put_off_the_next_whole_file() -> None:
    state = delivered(1, delivery=CHANGES)
    later = replace(state, last_whole_at=NOON - HOUR)
    after = delivered(2, due(2, later, CHANGES), CHANGES, what="changes")
    assert after.last_whole_at == NOON - HOUR
    assert delivered(3, due(3, after)).last_whole_at == NOON


# --- files that a server may have -----------------------------------------------------------------


def test_no_changes_are_sent_against_a_file_that_another_may_have_replaced() -> (
    None
):
    state = delivered(1, delivery=CHANGES)
    doubtful = failed(due(2, state, CHANGES), is_doubtful=True)
    assert doubtful.doubtful_seqs == (2,)
    assert base(doubtful, 2) == sent_file(1, CHANGES)
    assert base(due(3, doubtful, CHANGES), 3) is None


def test_a_process_that_died_leaves_doubt() -> None:
    died = sending.begun(due(2, delivered(1, delivery=CHANGES), CHANGES))
    retried = sending.begun(due(3, died, CHANGES))
    assert (retried.doubtful_seqs, retried.tried_seq) == ((2,), 3)
    assert base(retried, 3) is None


def test_a_plain_failure_leaves_none_and_takes_none_away() -> None:
    state = delivered(1, delivery=CHANGES)
    assert failed(due(2, state, CHANGES)).doubtful_seqs == ()
    doubtful = failed(due(2, state, CHANGES), is_doubtful=True)
    again = failed(due(3, doubtful, CHANGES))
    assert again.doubtful_seqs == (2,)


def test_doubt_ends_with_the_next_file_and_stays_small() -> None:
    state = due(1)
    for seq in range(2, 9):
        state = due(seq, failed(state, is_doubtful=True))
    assert state.doubtful_seqs == (6, 7)
    assert delivered(8, state).doubtful_seqs == ()


# --- failures in a row ----------------------------------------------------------------------------


def test_three_failures_in_a_row_are_one_event_until_a_success() -> None:
    state = due(1)
    events = []
    for _ in range(5):
        after = failed(state)
        events.append(event_of_failure(state, after, NOON))
        state = after
    assert [event is not None for event in events] == [
        *(False, False, True, False, False)
    ]
    (event,) = filter(None, events)
    assert event.type == "feed.delivery_failed"
    assert event.data == {
        "tenant_id": "acme",
        "delivery_id": "marketplace",
        "run_id": "run-1",
        "failures": 3,
        "last_error": "no",
    }
    delivered_state = delivered(1, state)
    assert (
        delivered_state.failures,
        delivered_state.last_error,
        delivered_state.is_reported,
    ) == (
        0,
        None,
        False,
    )


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, f"{RUN_ID}.csv"),
        ({"what": "changes"}, f"changes-{RUN_ID}.csv"),
        (
            {"file_name": "{tenant_id}.{channel_id}.{seq}.{what}.{date}{time}"},
            "acme.feed.7.changes.20260301120000",
        ),
    ],
)
def test_a_file_has_its_name_from_the_publication(
    changes: dict[str, Any], name: str
) -> None:
    publication = PublicationMark(RUN_ID, 7, NOON)
    key = f"published/acme/{RUN_ID}.csv"
    sent_name = file_name(entry(**changes), "acme", publication, key, "changes")
    assert sent_name == name
