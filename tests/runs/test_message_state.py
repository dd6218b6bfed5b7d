"""What is noted of a message and of reports, final record or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.runs import message_rules
from relay_dagster.runs.errors import (
    RunAlreadyFinishedError,
    TransitionRefusedError,
)
from relay_dagster.runs.model import NOTHING_KNOWN, RunRecord
from support.builders import REQUESTED_AT, RUN_ID

MINUTE = timedelta(seconds=60)
NOW = REQUESTED_AT + MINUTE
LATER = NOW + 5 * MINUTE
QUEUED = RunRecord(run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT)
RECEIVED = replace(
    QUEUED, message_id="m1", receipt_handle="h1", received_at=REQUESTED_AT
)
FAILED = replace(RECEIVED, status=RunStatus.FAILED)
POISONED = replace(FAILED, error_code="POISON_JOB")


def test_another_message_voids_what_was_known_of_the_first() -> None:
    after = message_rules.sent("m2", NOW)(RECEIVED)
    assert (after.message_id, after.sent_at) == ("m2", NOW)
    assert (after.receipt_handle, after.received_at) == (None, None)


@pytest.mark.parametrize(
    "record", [RECEIVED, FAILED], ids=["the same message", "a final run"]
)
def test_a_send_that_says_nothing_new_changes_nothing(
    record: RunRecord,
) -> None:
    assert message_rules.sent("m1", NOW)(record) is record


def test_the_right_to_send_is_taken_once_a_minute() -> None:
    claimed = message_rules.send_claimed(NOW, MINUTE)(QUEUED)
    assert claimed.send_claimed_at == NOW
    with pytest.raises(TransitionRefusedError, match="being sent"):
        message_rules.send_claimed(NOW + timedelta(seconds=59), MINUTE)(claimed)
    assert (
        message_rules.send_claimed(NOW + MINUTE, MINUTE)(
            claimed
        ).send_claimed_at
        == NOW + MINUTE
    )


def test_a_final_run_sends_nothing() -> None:
    with pytest.raises(RunAlreadyFinishedError):
        message_rules.send_claimed(NOW, MINUTE)(FAILED)


def test_the_first_receive_tells_that_the_message_was_sent() -> None:
    after = message_rules.received("m1", "h1", NOW, LATER)(QUEUED)
    assert (after.sent_at, after.received_at) == (NOW, NOW)
    again = message_rules.received("m1", "h2", NOW + MINUTE, LATER)(after)
    assert (again.sent_at, again.receipt_handle) == (NOW, "h2")


def test_reports_are_those_of_a_final_run() -> None:
    assert (
        message_rules.reported(NOTHING_KNOWN, NOW)(FAILED).reports_written_at
        == NOW
    )
    with pytest.raises(TransitionRefusedError):
        message_rules.reported(NOTHING_KNOWN, NOW)(RECEIVED)


@pytest.mark.parametrize(
    "record", [RECEIVED, POISONED], ids=["unfinished", "not in the DLQ"]
)
def test_what_is_not_settled_is_not_acknowledged(record: RunRecord) -> None:
    with pytest.raises(TransitionRefusedError, match="not settled"):
        message_rules.acknowledged(NOW)(record)


def test_poison_is_acknowledged_once_it_is_in_the_dlq() -> None:
    buried = message_rules.dead_lettered("d1")(POISONED)
    assert message_rules.acknowledged(NOW)(buried).acknowledged_at == NOW


def test_the_first_acknowledgement_counts() -> None:
    settled = message_rules.acknowledged(NOW)(FAILED)
    assert message_rules.acknowledged(NOW + MINUTE)(settled) is settled
