"""How webhooks change, and which events each wants."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta, timezone

from relay_dagster.webhooks.changes import (
    delivered,
    disabled,
    failing,
    rotated,
    updated,
)
from relay_dagster.webhooks.model import DisabledReason, EventType, new_secret
from support.fakes import NOW
from support.webhooks_world import SECOND, event, webhook


def test_two_secrets_sign_for_a_day_and_a_third_takes_the_oldests_place() -> (
    None
):
    first = new_secret()
    second = new_secret()
    third = new_secret()
    once = rotated(second, NOW)(webhook(secret=first))
    day = timedelta(hours=24)
    assert once.signing_secrets(NOW + day - SECOND) == (second, first)
    assert once.signing_secrets(NOW + day) == (second,)
    twice = rotated(third, NOW + SECOND)(once)
    assert twice.signing_secrets(NOW + day) == (third, second)


def test_whoever_enables_or_moves_a_webhook_begins_anew() -> None:
    broken = disabled(DisabledReason.FAILING)(
        failing(NOW)(failing(NOW)(webhook()))
    )
    assert (broken.enabled, broken.failing_since) == (False, NOW)
    assert broken.disabled_reason is DisabledReason.FAILING
    enabled = updated(NOW, enabled=True)(broken)
    anew = replace(
        broken,
        enabled=True,
        enabled_at=NOW,
        failing_since=None,
        disabled_reason=None,
    )
    assert enabled == anew
    again = updated(NOW + SECOND, enabled=True)(enabled)
    assert again.enabled_at == NOW
    moved = updated(NOW, url="https://new.example.com/")(
        failing(NOW)(webhook())
    )
    assert moved.failing_since is None


def test_one_that_a_person_has_disabled_has_no_reason() -> None:
    off = updated(NOW, enabled=False)(webhook())
    assert (off.enabled, off.disabled_reason) == (False, None)
    assert disabled(DisabledReason.GONE)(off) == off


def test_a_webhook_wants_the_events_that_it_names_and_a_test_that_is_its_own() -> (
    None
):
    hook = webhook(events=(EventType.RUN_HELD,))
    trial = replace(event(EventType.TEST), only_for=hook.webhook_id)
    assert hook.wants(event(EventType.RUN_HELD))
    assert not hook.wants(event(EventType.RUN_FAILED))
    assert hook.wants(trial)
    assert not webhook().wants(trial)
    assert not replace(hook, enabled=False).wants(trial)


def test_the_first_failure_since_the_last_success_counts() -> None:
    twice = failing(NOW + SECOND)(failing(NOW)(webhook()))
    assert twice.failing_since == NOW
    assert failing(NOW + SECOND)(delivered(twice)).failing_since == NOW + SECOND


def test_a_secret_is_as_the_standard_writes_it() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert (
            len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
            == 32
        )


def test_neither_secret_is_shown_where_a_webhook_is_printed() -> None:
    assert "whsec_" not in repr(rotated(new_secret(), NOW)(webhook()))


def test_a_body_has_type_instant_and_data_and_is_the_same_every_time() -> None:
    zone = timezone(timedelta(hours=2))
    new_event = replace(
        event(),
        occurred_at=NOW.astimezone(zone),
        data={"run_id": "r", "b": "é"},
    )
    assert new_event.body == new_event.body
    assert new_event.body.decode() == (
        '{"type":"run.failed","timestamp":"2026-03-01T12:00:00Z","data":{"run_id":"r","b":"é"}}'
    )
