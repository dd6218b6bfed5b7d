"""Runs of one tenant in memory, moved by the product's own rules: no AWS, no clock.

A `Run` is all that there is of one between two steps; `Model.steps` names each step that can
follow, for a run and what its tenant's `Others` are. Instants are one of two, *then* and *long
after*: whatever waits may be over or not, in any order. Facts that no later decision asks for are
dropped (`essential`), so that few states stand for many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_dagster.feeds import hold_rules
from relay_dagster.intake import decision as intake
from relay_dagster.maintenance import run_decision
from relay_dagster.runs import (
    attempt_rules,
    end_rules,
    message_rules,
    new_records,
)
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import (
    DueQueue,
    Fence,
    LockState,
    NewRun,
    Outcome,
    Release,
    RunRecord,
    Trigger,
)
from relay_dagster.runs.poll_schedule import LostAttempt, PollSchedule
from relay_dagster.runs.ports import AttemptState

THEN = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AFTER = THEN + timedelta(days=2)
RUN_ID = "00000000-0000-4000-8000-000000000000"
TENANT = "acme"
HELD = Outcome(
    feed_key="held", feed_sha256="0", guards=({"guard": "skus_removed"},)
)
PUBLISHED = Outcome(feed_key="published", feed_sha256="0")
Apply = Callable[[RunRecord], RunRecord]


class Execution(NamedTuple):
    """An attempt in Dagster: its number, its state there, and whether a process of it lives."""

    attempt: int
    state: str
    lives: bool


class Feed(StrEnum):
    """What a run's step does to the tenant's feed: publish another, or hold one back."""

    UNCHANGED = "unchanged"
    PUBLISHED = "published"
    HELD = "held"


class Run(NamedTuple):
    """A run's record, the copies of its message in the queue, and what Dagster has of it.

    ``place`` is the one at the tenant's lock: 0 has it, 1 waits longest; None is not there.
    """

    record: RunRecord | None = None
    copies: int = 0
    executions: tuple[Execution, ...] = ()
    place: int | None = None
    is_in_force: bool = False
    is_held: bool = False

    @property
    def known(self) -> RunRecord:
        """The record of a run that has begun."""
        if self.record is None:
            raise LostError
        return self.record


class Others(NamedTuple):
    """What a run's steps depend on of the tenant's other runs."""

    have_lock: bool = False
    waiting: int = 0
    have_feed: bool = False

    @property
    def leave_lock_free(self) -> bool:
        """Whether none of them has the lock or waits for it."""
        return not self.have_lock and not self.waiting


class Step(NamedTuple):
    """A step of a run: its name, whether it is a fault, the run after it and its change of feed."""

    name: str
    is_fault: bool
    after: Run
    feed: Feed


Named = Iterator[tuple[str, Run]]


class LostError(Exception):
    """A write's condition does not hold: nothing is written."""


@dataclass(frozen=True)
class Model:
    """The steps of a run of so many attempts, whose message has so many copies at most.

    The name of a step that is a fault ends with an exclamation mark.
    """

    runs: int = 2
    attempts: int = 3
    copies: int = 2
    schedule: PollSchedule = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "schedule", PollSchedule(max_attempts=self.attempts)
        )

    def steps(self, run: Run, others: Others) -> Iterator[Step]:
        """Yield what can follow; a step that is refused changes nothing, and is none."""
        for name, after in self._all_steps(run, others):
            if after is not run:
                yield Step(
                    name.rstrip("!"),
                    name.endswith("!"),
                    after,
                    _feed(run, after),
                )

    def _all_steps(self, run: Run, others: Others) -> Named:
        if run.record is None:
            yield from self._asked_for(run, others)
            return
        if not run.known.status.is_final:
            yield from self._of_people(run, others)
        yield from self._of_queue(run, others)
        yield from self._of_dagster(run, others)
        yield from self._of_reconciler(run, others)

    # --- how a run begins -----------------------------------------------------------------------

    def _asked_for(self, run: Run, others: Others) -> Named:
        record = new_records.requested(
            NewRun(run_id=RUN_ID, tenant_id=TENANT), THEN, None
        )
        if others.leave_lock_free:
            submitted = self._put(run, others, record)
            yield "submitted, not sent!", submitted
            yield (
                "submitted",
                self._change(submitted, others, _sent)._replace(copies=1),
            )
        lock = LockState.OWNER if others.leave_lock_free else LockState.QUEUED
        adopted = new_records.adopted(record.job, THEN, None, lock)
        yield (
            "adopted",
            self._put(run, others, _received(adopted))._replace(copies=1),
        )

    def _of_people(self, run: Run, others: Others) -> Named:
        record = run.known
        if record.cancel_requested_at is None:
            yield from self._try(
                run, others, "cancel", end_rules.cancel_requested(THEN)
            )
        if record.hold is not None and others.leave_lock_free:
            decision = Release(
                record.hold.sha256, record.hold.guard_names, "why", "who"
            )
            yield from self._try(
                run, others, "release", hold_rules.released(decision, THEN)
            )
        if record.status is RunStatus.HELD:
            yield from self._try(run, others, "expire", hold_rules.expired(30))
        if record.message_id is None and record.attempt == 0:
            yield from self._try(
                run, others, "tombstone", end_rules.tombstoned(THEN)
            )

    # --- the queue and the intake ---------------------------------------------------------------

    def _of_queue(self, run: Run, others: Others) -> Named:
        record = run.known
        copies = run.copies
        if copies:
            yield "the queue loses!", run._replace(copies=copies - 1)
            for now in (THEN, LONG_AFTER):
                yield from self._received(run, others, now)
        if 0 < copies < self.copies:
            yield "the queue doubles!", run._replace(copies=copies + 1)
        if record.due_queue in (DueQueue.READY, DueQueue.TURN):
            facts = _message_facts(run, others, LONG_AFTER)
            action = intake.next_action(record, facts, self.attempts)
            if isinstance(action, intake.Dispatch):
                yield from self._dispatched(run, others, action, note=False)
        if record.due_queue is DueQueue.MESSAGE and not copies:
            yield (
                "sent again",
                self._change(run, others, _sent)._replace(copies=1),
            )

    def _received(self, run: Run, others: Others, now: datetime) -> Named:
        for action in intake.decide(
            _message_facts(run, others, now), self.attempts
        ):
            if isinstance(action, intake.Discard):
                yield "discard", run._replace(copies=run.copies - 1)
            elif isinstance(action, intake.KeepWaiting):
                yield from self._try(run, others, "keep", _received)
            elif isinstance(action, intake.Dispatch):
                yield from self._dispatched(run, others, action, note=True)

    def _dispatched(
        self, run: Run, others: Others, action: intake.Dispatch, *, note: bool
    ) -> Named:
        """The record first, then Dagster is asked; the daemon may die in between."""
        after = run
        if action.is_new:
            rule = attempt_rules.dispatched(action.attempt, THEN)
            combined: Apply = (
                (lambda each: _received(rule(each))) if note else rule
            )
            try:
                after = self._change(run, others, combined)
            except (RunError, LostError):
                return
            yield "dispatched, not asked for!", after
        yield "dispatched", _asked(after, action.attempt)

    # --- Dagster, and the runs' processes -------------------------------------------------------

    def _of_dagster(self, run: Run, others: Others) -> Named:
        for execution in run.executions:
            if execution.state == "waiting" and not execution.lives:
                yield from self._claims(run, others, execution)
            if execution.lives:
                yield "killed!", _moved(run, execution, "failed")
                yield "host lost!", _moved(run, execution, execution.state)
                yield from self._executes(run, others, execution)

    def _claims(self, run: Run, others: Others, execution: Execution) -> Named:
        attempt = execution.attempt
        executing = _moved(run, execution, "executing", lives=True)
        rule = attempt_rules.claimed(attempt, _dagster_id(attempt), THEN)
        try:
            yield "claimed", self._change(executing, others, rule)
        except RunError:
            yield "not claimed", _moved(run, execution, "failed")

    def _executes(
        self, run: Run, others: Others, execution: Execution
    ) -> Named:
        """The process ends the run, or gives it back; where its fence is lost it ends itself."""
        record = run.known
        attempt = execution.attempt
        fence = Fence(RUN_ID, attempt, _dagster_id(attempt))
        failure = RunFailure(
            "no_rows_parsed", "no rows parsed", Stage.MERGE_PRICE
        )
        ends: dict[str, Apply] = {
            "succeeded": end_rules.succeeded(fence, PUBLISHED, THEN),
            "failed": end_rules.failed(fence, failure, Outcome(), THEN),
            "given back!": attempt_rules.attempt_lost(
                _loss(attempt, fence), self.schedule
            ),
        }
        if others.have_feed:
            ends["held"] = hold_rules.held(fence, HELD, THEN)
        for name, rule in ends.items():
            try:
                after = self._change(run, others, rule)
            except CancelRequestedError:
                after = self._change(run, others, end_rules.cancelled(THEN))
            except RunError:
                after = run
            if (
                after is not run
                or not record.is_dispatched
                or record.attempt != attempt
            ):
                state = (
                    "succeeded" if name in ("succeeded", "held") else "failed"
                )
                yield name, _moved(after, execution, state)

    # --- the reconciler -------------------------------------------------------------------------

    def _of_reconciler(self, run: Run, others: Others) -> Named:
        """Check a run at each instant, silent or not; checks that decide the same are one."""
        record = run.known
        if record.due_queue not in (DueQueue.ATTEMPT, DueQueue.END):
            return
        is_its_turn = run.place == 1 and not others.have_lock
        lives = any(
            execution.lives
            for execution in run.executions
            if execution.attempt == record.attempt
        )
        decided: dict[tuple[Any, ...], bool] = {}
        for silent in (0.0, 1e5):
            for now in (THEN, LONG_AFTER):
                facts = run_decision.RunFacts(
                    record, _state(run), now, silent, is_its_turn
                )
                actions = run_decision.decide(facts, self.schedule)
                kinds = tuple(
                    action
                    if isinstance(action, run_decision.Act)
                    else type(action)
                    for action in actions
                )
                decided.setdefault(kinds, bool(silent) and lives)
        for kinds, is_false_alarm in decided.items():
            yield from self._checked(run, others, kinds, is_false_alarm)

    def _checked(
        self,
        run: Run,
        others: Others,
        kinds: tuple[Any, ...],
        is_false_alarm: bool,
    ) -> Named:
        """Carry out each action in its order; to die in between is a fault, as is a false alarm."""
        after = run
        for number, kind in enumerate(kinds, start=1):
            try:
                after = self._acted(after, others, kind, run.known)
            except (RunError, LostError):
                return
            mark = "!" if is_false_alarm or number < len(kinds) else ""
            name = (
                kind.name
                if isinstance(kind, run_decision.Act)
                else kind.__name__
            )
            yield f"reconciler: {name}{mark}", after

    def _acted(
        self, run: Run, others: Others, kind: Any, seen: RunRecord
    ) -> Run:
        act = run_decision.Act
        if kind is run_decision.Lose:
            loss = _loss(
                seen.attempt, seen.fence if seen.dagster_run_id else None
            )
            return self._change(
                run, others, attempt_rules.attempt_lost(loss, self.schedule)
            )
        if kind is run_decision.ReportFailed:
            return _ended_in_dagster(run, "failed")
        if kind in (act.TERMINATE, act.STOP):
            return _ended_in_dagster(run, "cancelled", only="waiting")
        if kind is act.FORCE_CANCELLED:
            return _ended_in_dagster(run, "cancelled")
        if kind in (act.SEND, act.REPLACE):
            return self._change(run, others, _sent)._replace(copies=1)
        if kind is act.HAND_OVER:
            queue = (
                DueQueue.TURN
                if seen.lock_state is LockState.QUEUED
                else DueQueue.READY
            )
            return run._replace(record=replace(run.known, due_queue=queue))
        if kind is act.SETTLE:
            settled = self._change(
                run, others, message_rules.acknowledged(THEN)
            )
            return settled._replace(copies=max(0, settled.copies - 1))
        rules: dict[Any, Apply] = {
            act.CANCEL: end_rules.cancelled(THEN),
            act.POISON: end_rules.poisoned("used up", THEN),
            act.SEND_TO_DLQ: message_rules.dead_lettered("dead letter"),
            act.REPORT: message_rules.reported(Outcome(), THEN),
        }
        return self._change(run, others, rules[kind]) if kind in rules else run

    # --- a write, and all that goes with it -----------------------------------------------------

    def supersede(self, held: Run) -> Run:
        """Give up a held feed for another run's, in the write that publishes or holds that one."""
        return self._change(held, Others(), hold_rules.superseded(RUN_ID))

    def _try(self, run: Run, others: Others, name: str, rule: Apply) -> Named:
        try:
            yield name, self._change(run, others, rule)
        except (RunError, LostError):
            return

    def _change(self, run: Run, others: Others, rule: Apply) -> Run:
        before = run.known
        after = rule(before)
        return run if after is before else self._put(run, others, after)

    def _put(self, run: Run, others: Others, after: RunRecord) -> Run:
        """Write a record with the lock and the feed, on the conditions of the real store."""
        before = run.record
        if before is None or before.status is not after.status:
            is_published = after.status is RunStatus.SUCCEEDED
            is_held = after.status is RunStatus.HELD
            run = run._replace(
                is_in_force=is_published or run.is_in_force, is_held=is_held
            )
        scheduled = self.schedule.scheduled(before, after, THEN)
        return run._replace(
            record=scheduled, place=_place(run, others, after.lock_state)
        )


def _place(run: Run, others: Others, lock_state: LockState) -> int | None:
    """Return the place at the lock that goes with a record."""
    if lock_state is LockState.OWNER:
        if others.have_lock:
            raise LostError
        return 0
    if lock_state is LockState.QUEUED:
        return others.waiting + 1 if run.place is None else run.place
    return None


def _feed(before: Run, after: Run) -> Feed:
    if after.is_in_force and not before.is_in_force:
        return Feed.PUBLISHED
    return Feed.HELD if after.is_held and not before.is_held else Feed.UNCHANGED


# --- the parts of a run ---------------------------------------------------------------------------


def _sent(record: RunRecord) -> RunRecord:
    return message_rules.sent("m", THEN)(replace(record, message_id=None))


def _received(record: RunRecord) -> RunRecord:
    return message_rules.received("m", "h", THEN, THEN)(record)


def _loss(attempt: int, fence: Fence | None) -> LostAttempt:
    return LostAttempt(
        attempt=attempt,
        fence=fence,
        error_code="lost",
        message="",
        now=THEN,
        retry_at=THEN,
    )


def _dagster_id(attempt: int) -> str:
    return f"dagster-{attempt}"


def _message_facts(
    run: Run, others: Others, now: datetime
) -> intake.MessageFacts:
    is_its_turn = run.place in (None, 0) or (
        run.place == 1 and not others.have_lock
    )
    return intake.MessageFacts(
        1, now, run.known, None, is_its_turn, _state(run)
    )


def _asked(run: Run, attempt: int) -> Run:
    """Ask Dagster for an attempt; a run key that it has had starts nothing."""
    if any(execution.attempt == attempt for execution in run.executions):
        return run
    return run._replace(
        executions=(*run.executions, Execution(attempt, "waiting", lives=False))
    )


def _state(run: Run) -> AttemptState:
    attempt = run.known.attempt
    states = (
        execution.state
        for execution in run.executions
        if execution.attempt == attempt
    )
    return AttemptState(next(states, "absent"))


def _moved(
    run: Run, execution: Execution, state: str, *, lives: bool = False
) -> Run:
    """Move an execution on; one that Dagster calls ended stays what it is there."""
    was = execution.state
    final = was if was in ("failed", "cancelled", "succeeded") else state
    at = run.executions.index(execution)
    moved = Execution(execution.attempt, final, lives)
    return run._replace(
        executions=(*run.executions[:at], moved, *run.executions[at + 1 :])
    )


def _ended_in_dagster(run: Run, state: str, only: str = "") -> Run:
    from_states = (only,) if only else ("waiting", "executing")
    attempt = run.known.attempt
    after = tuple(
        execution._replace(state=state)
        if execution.attempt == attempt and execution.state in from_states
        else execution
        for execution in run.executions
    )
    return run if after == run.executions else run._replace(executions=after)


# --- the facts that decide ------------------------------------------------------------------------

_INSTANTS = [
    field.name
    for field in fields(RunRecord)
    if str(field.type).startswith("datetime")
]
_NEVER_ASKED: dict[str, Any] = {
    **{
        "trigger": Trigger.API,
        "stage": Stage.QUEUE,
        "revision": 0,
        "write_id": "",
    },
    **{"stage_entered_at": {}, "artifacts": {}, "counts": {}},
    **dict.fromkeys(
        ("pending_audit", "due_at", "sent_at", "started_at", "finished_at")
    ),
    **dict.fromkeys(
        (
            "error_message",
            "next_action",
            "failed_stage",
            "attempt_code",
            "expires_at",
        )
    ),
    **dict.fromkeys(("feed_key", "feed_sha256", "watched_as", "watched_at")),
    **dict.fromkeys(("released_at", "released_by", "release_reason")),
}
"""The facts of a record that no decision of these steps asks for."""
_ENDED: dict[str, Any] = dict.fromkeys(
    (
        "dispatched_at",
        "dagster_run_id",
        "message_id",
        "receipt_handle",
        "received_at",
        "hidden_until",
    )
)
_FINAL: dict[str, Any] = {"hold": None, "cancel_requested_at": None}
_SETTLED: dict[str, Any] = {
    **{
        "attempt": 0,
        "error_code": None,
        "dlq_message_id": None,
        "due_queue": None,
    },
    **{"reports_written_at": None, "hidden": False},
}


def essential(run: Run) -> Run:
    """Return a run without the facts that no later step asks for: it stands for all like it.

    Instants are all the same. Of an ended run its message and attempts do not count, of a settled
    one hardly anything: it is as good as cancelled, unless its feed is in force. Of an attempt that
    is over it does not matter which it was, only whether it may still begin or end.
    """
    record = run.record
    if record is None:
        return run
    changes: dict[str, Any] = {
        name: THEN for name in _INSTANTS if getattr(record, name) is not None
    }
    changes |= _NEVER_ASKED
    if record.error_code != "POISON_JOB":
        changes["error_code"] = None
    if record.has_ended:
        changes |= _ENDED | {"attempt": min(record.attempt, 1)}
    if record.status.is_final:
        changes |= _FINAL
    if (
        is_settled := record.status.is_final
        and record.acknowledged_at is not None
    ):
        status = RunStatus.SUCCEEDED if run.is_in_force else RunStatus.CANCELLED
        changes |= _SETTLED | {"status": status}
    after = replace(record, **changes)
    executions = [
        _essential(execution, record, after.attempt, is_settled=is_settled)
        for execution in run.executions
    ]
    return run._replace(
        record=after,
        executions=tuple(
            sorted(execution for execution in executions if execution)
        ),
    )


def _essential(
    execution: Execution, record: RunRecord, attempt: int, *, is_settled: bool
) -> Execution | None:
    """Return an execution as it counts; None is one that changes nothing any more."""
    may_be_seen = record.is_dispatched or (
        execution.state == "executing" and not is_settled
    )
    if execution.attempt == record.attempt and may_be_seen:
        return execution._replace(attempt=attempt)
    is_waiting = execution.state == "waiting" and not execution.lives
    if not is_waiting and not execution.lives:
        return None
    return Execution(
        attempt - 1, "waiting" if is_waiting else "executing", execution.lives
    )


_FACTS = attrgetter(
    *(
        field.name
        for field in fields(RunRecord)
        if "Mapping" not in str(field.type) and field.name != "hold"
    )
)


def key_of(run: Run) -> Any:
    """Return what tells a run from others, in a form that can be hashed."""
    record = run.record
    return (
        run
        if record is None
        else (_FACTS(record), record.hold is not None, *run[1:])
    )
