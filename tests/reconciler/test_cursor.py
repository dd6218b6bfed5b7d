"""What the reconciler keeps from tick to tick."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relay_dagster.reconciler.cursor import ReconcilerCursor
from relay_dagster.runs.model import RunRecord

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RECORD = RunRecord(run_id="r1", tenant_id="acme", requested_at=NOW, attempt=1)


def test_silence_lasts_as_long_as_the_counter_stands_still() -> None:
    cursor = ReconcilerCursor()
    assert cursor.silence(RECORD, 4, "executing", NOW) == 0
    assert cursor.silence(RECORD, 4, "executing", NOW + timedelta(seconds=30)) == 30
    assert cursor.silence(RECORD, 5, "executing", NOW + timedelta(seconds=60)) == 0


def test_silence_is_of_one_attempt_in_one_state() -> None:
    cursor = ReconcilerCursor()
    cursor.silence(RECORD, 0, "waiting", NOW)
    assert cursor.silence(RECORD, 0, "executing", NOW + timedelta(hours=1)) == 0


def test_a_claim_is_a_sign_of_life() -> None:
    cursor = ReconcilerCursor()
    cursor.silence(RECORD, 0, "executing", NOW)
    claimed = replace(RECORD, dagster_run_id="d1")
    assert cursor.silence(claimed, 0, "executing", NOW + timedelta(seconds=80)) == 0
    assert cursor.silence(claimed, 0, "executing", NOW + timedelta(seconds=85)) == 5


def test_a_cursor_keeps_everything() -> None:
    cursor = ReconcilerCursor(page="p", tenants_at=5.0)
    cursor.silence(RECORD, 4, "executing", NOW)
    cursor.note_extended("r1", NOW)
    assert ReconcilerCursor.parse(cursor.dump()) == cursor


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", '{"beats": {"r1": 3}}', '{"other": 1}'])
def test_a_cursor_that_cannot_be_read_is_none(cursor: str | None) -> None:
    assert ReconcilerCursor.parse(cursor) == ReconcilerCursor()


def test_a_rarer_duty_is_due_once_in_its_time() -> None:
    cursor = ReconcilerCursor()
    assert cursor.is_due("dead_letters_at", 60, NOW)
    assert not cursor.is_due("dead_letters_at", 60, NOW + timedelta(seconds=59))
    assert cursor.is_due("dead_letters_at", 60, NOW + timedelta(seconds=60))


def test_a_settled_run_is_forgotten() -> None:
    cursor = ReconcilerCursor()
    cursor.silence(RECORD, 4, "executing", NOW)
    cursor.note_extended("r1", NOW)
    cursor.forget("r1")
    assert cursor == ReconcilerCursor()
