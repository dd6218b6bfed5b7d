"""The rules of a tenant's deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import SWEPT_AFTER, TenantState
from relay_dagster.tenants.errors import RestoreTooLateError
from support.fakes import NOW

HOUR = timedelta(hours=1)
ASKED = rules.asked("acme", "ops", NOW, HOUR)


def test_what_is_asked_for_is_due_at_once_and_again_when_its_time_has_come() -> (
    None
):
    assert (ASKED.state, ASKED.due_at, ASKED.delete_after) == (
        TenantState.CLOSING,
        NOW,
        NOW + HOUR,
    )
    assert rules.stopped(ASKED, NOW).due_at == ASKED.delete_after


def test_it_can_be_taken_back_until_its_time_has_come() -> None:
    ASKED.refuse_late(NOW + HOUR - timedelta(microseconds=1))
    for late in (ASKED, rules.begun(ASKED, NOW)):
        with pytest.raises(RestoreTooLateError, match="tenant acme"):
            late.refuse_late(NOW + HOUR)
    with pytest.raises(RestoreTooLateError):
        rules.begun(ASKED, NOW).refuse_late(NOW)


def test_steps_are_counted_by_their_names_and_over_a_round() -> None:
    started = rules.begun(ASKED, NOW)
    after = rules.noted(
        rules.noted(started, "files", 2, "runs"), "files", 3, None
    )
    assert (after.removed, after.found, after.step) == ({"files": 5}, 5, None)
    assert rules.next_round(after).found == 0
    assert rules.next_round(after).removed == {"files": 5}


def test_a_tombstone_tells_of_no_person_and_is_swept_once() -> None:
    counted = rules.noted(rules.begun(ASKED, NOW), "files", 2, None)
    tombstone = rules.done(counted, NOW)
    assert (tombstone.state, tombstone.asked_by) == (TenantState.DELETED, None)
    assert (tombstone.due_at, tombstone.found) == (NOW + SWEPT_AFTER, 0)
    assert not tombstone.is_under_way
    assert rules.sweeping(tombstone).is_swept
    over = rules.swept(rules.sweeping(tombstone))
    assert (over.is_swept, over.due_at, over.removed) == (
        False,
        None,
        {"files": 2},
    )
