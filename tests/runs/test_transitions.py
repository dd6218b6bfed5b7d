"""The table of statuses and transitions, held against what the rules really do to records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import next_action
from relay_dagster.feeds import hold_rules
from relay_dagster.runs import (
    attempt_rules,
    end_rules,
    message_rules,
    new_records,
)
from relay_dagster.runs.errors import (
    HoldMismatchError,
    RunError,
    RunNotHeldError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    NOTHING_KNOWN,
    Fence,
    Hold,
    LockState,
    NewRun,
    Release,
    RunRecord,
)
from relay_dagster.runs.poll_schedule import LostAttempt, PollSchedule
from relay_dagster.runs.transitions import TRANSITIONS, Rule
from relay_dagster.tenants.audit import Action, dagster_origin
from support.builders import REQUESTED_AT, RUN_ID
from support.state_diagram import STATUSES, state_diagram

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOW = REQUESTED_AT + timedelta(minutes=5)
POLICY = PollSchedule(max_attempts=2)
FAILURE = RunFailure("DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE)
DAGSTER_RUN_ID = "dagster-1"

# --- records of every kind, and every rule ------------------------------------------------------

QUEUED = RunRecord(
    run_id=RUN_ID,
    tenant_id="acme",
    requested_at=REQUESTED_AT,
    lock_state=LockState.OWNER,
)
DISPATCHED = replace(QUEUED, attempt=1, dispatched_at=REQUESTED_AT)
RUNNING = replace(
    DISPATCHED,
    status=RunStatus.RUNNING,
    stage=Stage.FETCH_INPUTS,
    dagster_run_id=DAGSTER_RUN_ID,
)
UNFINISHED = {
    "queued": QUEUED,
    "received": replace(QUEUED, message_id="m", receipt_handle="h"),
    "between attempts": replace(QUEUED, attempt=1, next_attempt_at=NOW),
    "dispatched": DISPATCHED,
    "dispatched for the last time": replace(DISPATCHED, attempt=2),
    "running": RUNNING,
    "running for the last time": replace(RUNNING, attempt=2),
    "merging": replace(RUNNING, stage=Stage.MERGE_PRICE),
}
FINAL = {
    str(status): replace(RUNNING, status=status, finished_at=NOW)
    for status in RunStatus
    if status.is_final
}
HOLD = Hold(
    "ab12", "baseline-run", ({"guard": "skus_removed"}, {"guard": "price_drop"})
)
HELD = replace(
    RUNNING,
    status=RunStatus.HELD,
    stage=Stage.WRITE_OUTPUTS,
    hold=HOLD,
    finished_at=NOW,
)
DECISION = Release(HOLD.sha256, HOLD.guard_names, "a planned sale", "ops")
RECORDS = {
    **UNFINISHED,
    "held": HELD,
    **{
        f"{name}, cancel requested": replace(record, cancel_requested_at=NOW)
        for name, record in UNFINISHED.items()
    },
    **FINAL,
}


def fence(record: RunRecord) -> Fence:
    return Fence(record.run_id, record.attempt, DAGSTER_RUN_ID)


def loss(record: RunRecord) -> LostAttempt:
    owned = fence(record) if record.dagster_run_id else None
    return LostAttempt(
        attempt=record.attempt,
        fence=owned,
        error_code="throttled",
        message="slow down",
        now=NOW,
        retry_at=NOW + timedelta(seconds=10),
    )


RULES: Mapping[str, Callable[[RunRecord], Rule]] = {
    "tombstoned": lambda _: end_rules.tombstoned(NOW),
    "dispatched": lambda r: attempt_rules.dispatched(r.attempt + 1, NOW),
    "claimed": lambda r: attempt_rules.claimed(r.attempt, DAGSTER_RUN_ID, NOW),
    "entered": lambda r: attempt_rules.entered(
        fence(r), Stage.WRITE_OUTPUTS, NOW
    ),
    "pinned": lambda r: attempt_rules.pinned(fence(r), 3, "baseline-run"),
    "succeeded": lambda r: end_rules.succeeded(fence(r), NOTHING_KNOWN, NOW),
    "failed": lambda r: end_rules.failed(fence(r), FAILURE, NOTHING_KNOWN, NOW),
    "attempt_lost": lambda r: attempt_rules.attempt_lost(loss(r), POLICY),
    "poisoned": lambda _: end_rules.poisoned("it is broken", NOW),
    "cancel_requested": lambda _: end_rules.cancel_requested(NOW),
    "cancelled": lambda _: end_rules.cancelled(NOW),
    "held": lambda r: hold_rules.held(fence(r), NOTHING_KNOWN, NOW),
    "released": lambda _: hold_rules.released(DECISION, NOW),
    "superseded": lambda _: hold_rules.superseded("newer-run"),
    "expired": lambda _: hold_rules.expired(30),
}
"""Every rule by the move that it is called after, as the record's rightful owner would apply it."""

ALSO_MAKES = {
    "attempt_lost": {"poisoned"},
    "cancel_requested": {"cancelled", "discarded"},
}
NOTES: Mapping[str, Rule] = {
    "sent": message_rules.sent("m2", NOW),
    "send_claimed": message_rules.send_claimed(NOW, timedelta(seconds=60)),
    "received": message_rules.received("m2", "h2", NOW, NOW),
    "dead_lettered": message_rules.dead_lettered("d"),
    "reported": message_rules.reported(NOTHING_KNOWN, NOW),
    "acknowledged": message_rules.acknowledged(NOW),
}


def applied(rule: Rule, record: RunRecord) -> RunRecord | None:
    """Return the record after a rule, None where it is refused or as it was."""
    try:
        after = rule(record)
    except RunError:
        return None
    return None if after is record else after


def changes(name: str) -> Iterator[tuple[RunStatus, RunStatus]]:
    """Yield from which status to which a rule changes the records that it changes at all."""
    for record in RECORDS.values():
        after = applied(RULES[name](record), record)
        if after is not None:
            yield record.status, after.status


def allowed(*names: str) -> set[tuple[RunStatus, RunStatus]]:
    return {
        (source, TRANSITIONS[name].target or source)
        for name in names
        for source in TRANSITIONS[name].sources
    }


# --- the table against the rules ----------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_a_rule_makes_only_moves_of_the_table(name: str) -> None:
    moves = set(changes(name))
    assert moves
    assert moves <= allowed(name, *ALSO_MAKES.get(name, ()))


@pytest.mark.parametrize("name", RULES)
def test_every_move_of_the_table_is_made_by_its_rule_from_each_of_its_statuses(
    name: str,
) -> None:
    assert allowed(name) <= set(changes(name))


def test_every_rule_and_every_move_has_a_name_in_the_other() -> None:
    births = {"requested", "adopted", "started_by_hand"}
    further_moves = set().union(*ALSO_MAKES.values())
    assert set(RULES) | births | further_moves == set(TRANSITIONS)
    assert {
        move.name for move in TRANSITIONS.values() if not move.sources
    } == births


def test_the_table_names_where_records_begin() -> None:
    new = {
        "requested": new_records.requested(
            NewRun(run_id=RUN_ID, tenant_id="acme"), NOW, None
        ),
        "adopted": new_records.adopted(
            Job(RUN_ID, "acme"), NOW, None, LockState.QUEUED
        ),
        "started_by_hand": new_records.started_by_hand(
            RUN_ID, "acme", NOW, None
        ),
    }
    assert {name: record.status for name, record in new.items()} == {
        name: TRANSITIONS[name].target for name in new
    }


@pytest.mark.parametrize(
    "record", [pytest.param(r, id=name) for name, r in RECORDS.items()]
)
@pytest.mark.parametrize("note", NOTES)
def test_a_note_leaves_the_status_as_it_is(
    note: str, record: RunRecord
) -> None:
    after = applied(NOTES[note], record)
    assert after is None or (after.status, after.stage) == (
        record.status,
        record.stage,
    )


@pytest.mark.parametrize(
    "record", [pytest.param(r, id=name) for name, r in FINAL.items()]
)
@pytest.mark.parametrize("name", RULES)
def test_nothing_leaves_a_final_status(name: str, record: RunRecord) -> None:
    assert applied(RULES[name](record), record) is None


def test_the_table_has_every_status_and_lets_none_that_is_final_go() -> None:
    assert set(STATUSES) == set(RunStatus)
    assert not [
        move
        for move in TRANSITIONS.values()
        for source in move.sources
        if source.is_final
    ]


# --- what a move leaves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["succeeded", "failed", "poisoned", "cancelled"]
)
def test_an_end_frees_the_tenant_and_tells_the_stage_it_came_in(
    name: str,
) -> None:
    over = RULES[name](RUNNING)(RUNNING)
    assert (over.lock_state, over.finished_at) == (LockState.NONE, NOW)
    stages = {"succeeded": None, "failed": FAILURE.stage}
    assert over.failed_stage is stages.get(name, RUNNING.stage)


def test_a_run_that_fails_says_what_to_do_and_whose_it_is() -> None:
    failed = RULES["failed"](RUNNING)(RUNNING)
    assert (failed.failure_class, failed.next_action) == (
        "vendor_data",
        next_action(FAILURE),
    )
    assert (RUNNING.failure_class, RUNNING.next_action) == (None, None)


@pytest.mark.parametrize(
    ("attempt_code", "whose"),
    [("invalid_config", "tenant_config"), ("throttled", "platform")],
)
def test_poison_is_whose_the_last_attempt_was(
    attempt_code: str, whose: str
) -> None:
    """Whether it ends with the last attempt, or where it waits for one more than it may have."""
    last_loss = replace(loss(RUNNING), error_code=attempt_code)
    last = attempt_rules.attempt_lost(last_loss, PollSchedule(max_attempts=1))(
        RUNNING
    )
    waiting = attempt_rules.attempt_lost(last_loss, POLICY)(RUNNING)
    for poison in (
        last,
        end_rules.poisoned("no attempt is left", NOW)(waiting),
    ):
        assert (poison.error_code, poison.failure_class) == (
            "POISON_JOB",
            whose,
        )
        assert poison.next_action == next_action(poison.failure)
    assert waiting.failure_class is None


def test_what_is_held_is_released_by_who_has_seen_it_and_once() -> None:
    released = hold_rules.released(DECISION, NOW)(HELD)
    assert (released.status, released.stage, released.failed_stage) == (
        RunStatus.SUCCEEDED,
        Stage.COMPLETE,
        None,
    )
    assert (released.released_at, released.released_by) == (NOW, "ops")
    assert (released.release_reason, released.finished_at) == (
        "a planned sale",
        HELD.finished_at,
    )
    assert (
        hold_rules.released(replace(DECISION, reason="again"), NOW)(released)
        is released
    )


@pytest.mark.parametrize(
    ("decision", "record", "error"),
    [
        (replace(DECISION, sha256="other"), HELD, HoldMismatchError),
        (
            replace(DECISION, guards=frozenset({"price_drop"})),
            HELD,
            HoldMismatchError,
        ),
        (DECISION, FINAL["SUCCEEDED"], RunNotHeldError),
        (DECISION, replace(HELD, status=RunStatus.CANCELLED), RunNotHeldError),
        (
            replace(DECISION, sha256="x"),
            replace(HELD, status=RunStatus.SUCCEEDED),
            RunNotHeldError,
        ),
        (DECISION, RUNNING, RunNotHeldError),
    ],
)
def test_a_release_that_does_not_fit_is_refused(
    decision: Release, record: RunRecord, error: type[RunError]
) -> None:
    with pytest.raises(error):
        hold_rules.released(decision, NOW)(record)


def test_a_held_feed_that_is_given_up_ends_the_run_where_it_was_held() -> None:
    settled = replace(HELD, acknowledged_at=NOW)
    for rule in (
        end_rules.cancel_requested(NOW),
        hold_rules.superseded("newer-run"),
    ):
        over = rule(settled)
        assert (over.status, over.failed_stage) == (
            RunStatus.CANCELLED,
            Stage.WRITE_OUTPUTS,
        )
        assert (over.finished_at, over.acknowledged_at) == (
            HELD.finished_at,
            None,
        )
    assert (
        hold_rules.superseded("newer-run")(settled).error_code
        == "HOLD_SUPERSEDED"
    )


def test_a_message_of_any_length_fits_into_the_record() -> None:
    poison = end_rules.poisoned("x" * 50_000, NOW)(RUNNING)
    assert len(str(poison.error_message)) < 25_000
    lost = attempt_rules.attempt_lost(
        replace(loss(RUNNING), message="x" * 20_001), POLICY
    )(RUNNING)
    for record in (poison, lost):
        assert str(record.error_message).endswith("x" * 1000 + "...")
    assert str(lost.error_message) == "x" * 20_000 + "..."


def test_a_run_in_place_of_a_dead_letter_s_is_told_as_such_and_others_as_posted() -> (
    None
):
    request = NewRun(run_id=RUN_ID, tenant_id="acme", vendors=("v1",))
    redriven = replace(request, in_place_of="earlier")
    entries = (
        new_records.requested(new_request, NOW, None).pending_audit
        for new_request in (request, redriven)
    )
    facts = [
        (entry.action, entry.target, entry.details.get("vendors"))
        for entry in entries
        if entry is not None
    ]
    assert facts == [
        (Action.RUN_POSTED, RUN_ID, ["v1"]),
        (Action.DEAD_LETTER_REDRIVEN, "earlier", None),
    ]


def test_a_run_that_has_had_an_attempt_is_not_hidden_for_a_message_that_was_not_sent() -> (
    None
):
    assert end_rules.tombstoned(NOW)(DISPATCHED) is DISPATCHED
    assert end_rules.tombstoned(NOW)(QUEUED).hidden


def test_a_run_that_was_terminated_in_dagster_has_an_entry_and_one_that_was_cancelled_none() -> (
    None
):
    over = end_rules.cancelled(NOW)(RUNNING)
    entry = end_rules.terminated_entry(over)
    assert entry is not None
    assert (entry.tenant_id, entry.target, entry.occurred_at) == (
        "acme",
        RUN_ID,
        NOW,
    )
    assert entry.actor == dagster_origin(DAGSTER_RUN_ID).actor
    assert (
        end_rules.terminated_entry(replace(over, cancel_requested_at=NOW))
        is None
    )
    assert end_rules.terminated_entry(RUNNING) is None


# --- its picture --------------------------------------------------------------------------------


def test_the_picture_has_an_arrow_for_every_move() -> None:
    drawn = state_diagram().splitlines()
    assert drawn[0] == "stateDiagram-v2"
    for move in TRANSITIONS.values():
        for source in move.sources or ("[*]",):
            (arrow,) = [
                line
                for line in drawn
                if f"    {source} --> {move.target or source} :" in line
            ]
            assert move.name.replace("_", " ") in arrow
    assert sum(line.endswith("--> [*]") for line in drawn) == len(FINAL)


def test_the_documentation_shows_the_picture_as_it_is() -> None:
    pages = [
        page
        for page in DOCS.glob("*.md")
        if "stateDiagram-v2" in page.read_text("utf-8")
    ]
    assert [page.name for page in pages] == ["ARCHITECTURE.md"]
    assert f"```mermaid\n{state_diagram()}\n```\n" in pages[0].read_text(
        "utf-8"
    )
