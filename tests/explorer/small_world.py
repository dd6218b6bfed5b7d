"""Two runs of one tenant in memory, moved by the product's own rules: no AWS, no clock.

A `Small` is all that there is between two steps; `steps` names every step that can follow. Instants
are one of two, *then* and *long after*: whatever waits may be over or not, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_dagster.feeds import hold_rules as feed_rules
from relay_dagster.feeds.hold import Release
from relay_dagster.intake import decision as intake
from relay_dagster.maintenance import run_decision as reconciler
from relay_dagster.runs import message_state, transitions
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.model import DueQueue, Fence, LockState, NewRun, Outcome, RunRecord
from relay_dagster.runs.poll_schedule import PollSchedule
from relay_dagster.runs.ports import AttemptState
from relay_dagster.runs.retry_policy import Loss, RetryPolicy

THEN = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AFTER = THEN + timedelta(days=2)
ATTEMPTS, COPIES = 3, 2
TENANT = "acme"
HELD = Outcome(feed_key="held", feed_sha256="0", guards=({"guard": "skus_removed"},))
PUBLISHED = Outcome(feed_key="published", feed_sha256="0")
Apply = Callable[[RunRecord], RunRecord]
Execution = tuple[int, str, bool]
"""The attempt, its state in Dagster, and whether a process of it lives."""


@dataclass(frozen=True, slots=True)
class Small:
    """The records of the runs, what waits in the queue for each, and what Dagster has of each.

    ``holder`` and ``waiters`` are the tenant's lock; ``in_force`` the run whose feed is, ``held``
    the one whose feed is held back.
    """

    records: tuple[RunRecord | None, ...]
    copies: tuple[int, ...]
    executions: tuple[tuple[Execution, ...], ...]
    holder: int | None = None
    waiters: tuple[int, ...] = ()
    in_force: int | None = None
    held: int | None = None
    faults: int = 0


class LostError(Exception):
    """A write's condition does not hold: nothing is written."""


@dataclass(frozen=True)
class Model:
    """The steps of a world of so many runs and attempts, in which so many faults happen.

    The name of a step that is a fault ends with an exclamation mark.
    """

    runs: int = 2
    attempts: int = ATTEMPTS
    copies: int = COPIES
    faults: int = 2
    policy: PollSchedule = field(init=False)

    def __post_init__(self) -> None:
        retries = RetryPolicy(max_attempts=self.attempts)
        object.__setattr__(self, "policy", PollSchedule(retries=retries))

    def empty(self) -> Small:
        return Small((None,) * self.runs, (0,) * self.runs, ((),) * self.runs)

    def steps(self, world: Small) -> Iterator[tuple[str, Small]]:
        """Yield what can follow; a step that is refused changes nothing, and is none."""
        for name, after in self._all_steps(world):
            if not name.endswith("!"):
                yield name, after
            elif world.faults < self.faults:
                yield name, replace(after, faults=world.faults + 1)

    def _all_steps(self, world: Small) -> Iterator[tuple[str, Small]]:
        for run in range(self.runs):
            if world.records[run] is None:
                yield from self._asked_for(world, run)
                continue
            yield from self._of_people(world, run)
            yield from self._of_queue(world, run)
            yield from self._of_dagster(world, run)
            yield from self._of_reconciler(world, run)

    # --- how a run begins -----------------------------------------------------------------------

    def _asked_for(self, world: Small, run: int) -> Iterator[tuple[str, Small]]:
        wanted = NewRun(run_id=_id(run), tenant_id=TENANT)
        record = transitions.requested(wanted, THEN, None)
        if world.holder is None and not world.waiters:
            made = self._created(world, run, record)
            yield "submitted, not sent!", made
            yield "submitted", _with_copies(self._change(made, run, _sent), run, 1)
        job = record.job
        free = world.holder is None and not world.waiters
        lock = LockState.OWNER if free else LockState.QUEUED
        adopted = transitions.adopted(job, THEN, None, lock)
        received = message_state.received("m", "h", THEN, THEN)(adopted)
        yield "adopted", _with_copies(self._created(world, run, received), run, 1)

    def _created(self, world: Small, run: int, record: RunRecord) -> Small:
        return self._put(world, run, None, record)

    def _of_people(self, world: Small, run: int) -> Iterator[tuple[str, Small]]:
        record = _record(world, run)
        if record.cancel_requested_at is None:
            yield from self._try(world, run, "cancel", transitions.cancel_requested(THEN))
        if record.hold is not None and world.holder is None and not world.waiters:
            decision = Release(record.hold.sha256, record.hold.guard_names, "why", "who")
            yield from self._try(world, run, "release", feed_rules.released(decision, THEN))
        if record.status is RunStatus.HELD:
            yield from self._try(world, run, "expire", feed_rules.expired(30))
        if record.message_id is None and record.attempt == 0:
            yield from self._try(world, run, "tombstone", transitions.tombstoned(THEN))

    # --- the queue and the intake ---------------------------------------------------------------

    def _of_queue(self, world: Small, run: int) -> Iterator[tuple[str, Small]]:
        record, copies = _record(world, run), world.copies[run]
        if copies:
            yield "the queue loses!", _with_copies(world, run, copies - 1)
            for now in (THEN, LONG_AFTER):
                yield from self._received(world, run, now)
        if 0 < copies < self.copies:
            yield "the queue doubles!", _with_copies(world, run, copies + 1)
        if record.due_queue in (DueQueue.READY, DueQueue.TURN):
            action = intake.next_action(record, self._facts(world, run, LONG_AFTER), _INTAKE(self))
            if isinstance(action, intake.Dispatch):
                yield from self._dispatched(world, run, action, note=False)
        if record.due_queue is DueQueue.MESSAGE and not copies:
            yield "sent again", _with_copies(self._change(world, run, _sent), run, 1)

    def _received(self, world: Small, run: int, now: datetime) -> Iterator[tuple[str, Small]]:
        facts = self._facts(world, run, now)
        for action in intake.decide(facts, _INTAKE(self)):
            if isinstance(action, intake.Discard):
                yield "discard", _with_copies(world, run, world.copies[run] - 1)
            elif isinstance(action, intake.KeepWaiting):
                yield from self._try(world, run, "keep", _received)
            elif isinstance(action, intake.Dispatch):
                yield from self._dispatched(world, run, action, note=True)

    def _dispatched(
        self, world: Small, run: int, action: intake.Dispatch, *, note: bool
    ) -> Iterator[tuple[str, Small]]:
        """The record first, then Dagster is asked; the daemon may die in between."""
        after = world
        if action.is_new:
            rule = transitions.dispatched(action.attempt, THEN)
            both: Apply = (lambda each: _received(rule(each))) if note else rule
            try:
                after = self._change(world, run, both)
            except (RunError, LostError):
                return
            yield "dispatched, not asked for!", after
        yield "dispatched", _asked(after, run, action.attempt)

    def _facts(self, world: Small, run: int, now: datetime) -> intake.MessageFacts:
        turn = world.holder is None and (world.waiters or (run,))[0] == run
        record = _record(world, run)
        is_mine = record.lock_state is not LockState.QUEUED or turn
        return intake.MessageFacts(1, now, record, None, is_mine, _state(world, run))

    # --- Dagster, and the runs' processes -------------------------------------------------------

    def _of_dagster(self, world: Small, run: int) -> Iterator[tuple[str, Small]]:
        for execution in world.executions[run]:
            attempt, state, lives = execution
            if state == "waiting" and not lives:
                yield from self._claims(world, run, attempt)
            if lives:
                yield "killed!", _moved(world, run, execution, "failed", lives=False)
                yield "host lost!", _moved(world, run, execution, state, lives=False)
                yield from self._executes(world, run, execution)

    def _claims(self, world: Small, run: int, attempt: int) -> Iterator[tuple[str, Small]]:
        execution = next(each for each in world.executions[run] if each[0] == attempt)
        begun = _moved(world, run, execution, "executing", lives=True)
        rule = transitions.claimed(attempt, _dagster_id(run, attempt), THEN)
        try:
            yield "claimed", self._change(begun, run, rule)
        except RunError:
            yield "not claimed", _moved(begun, run, (attempt, "executing", True), "failed")

    def _executes(
        self, world: Small, run: int, execution: Execution
    ) -> Iterator[tuple[str, Small]]:
        """The process ends the run, or gives it back; where its fence is lost it ends itself."""
        record, attempt = _record(world, run), execution[0]
        fence = Fence(_id(run), attempt, _dagster_id(run, attempt))
        failure = RunFailure("no_rows_parsed", "no rows parsed", Stage.MERGE_PRICE)
        loss = _loss(attempt, fence)
        ends: dict[str, Apply] = {
            "succeeded": transitions.succeeded(fence, PUBLISHED, THEN),
            "failed": transitions.failed(fence, failure, Outcome(), THEN),
            "given back!": transitions.attempt_lost(loss, self.policy.retries),
        }
        if world.in_force is not None:
            ends["held"] = feed_rules.held(fence, HELD, THEN)
        for name, rule in ends.items():
            try:
                after = self._change(world, run, rule)
            except transitions.CancelRequestedError:
                after = self._change(world, run, transitions.cancelled(THEN))
            except RunError:
                after = world
            if after is not world or not record.is_dispatched or record.attempt != attempt:
                state = "succeeded" if name in ("succeeded", "held") else "failed"
                yield name, _moved(after, run, execution, state, lives=False)

    # --- the reconciler -------------------------------------------------------------------------

    def _of_reconciler(self, world: Small, run: int) -> Iterator[tuple[str, Small]]:
        record = _record(world, run)
        if record.due_queue not in (DueQueue.ATTEMPT, DueQueue.END):
            return
        for now in (THEN, LONG_AFTER):
            for silent in (0.0, 1e5):
                yield from self._looked_at(world, run, now, silent)

    def _looked_at(
        self, world: Small, run: int, now: datetime, silent: float
    ) -> Iterator[tuple[str, Small]]:
        """Carry out each action in its order; to die in between is a fault, as is a false alarm."""
        turn = world.holder is None and (world.waiters or (None,))[0] == run
        record = _record(world, run)
        facts = reconciler.RunFacts(record, _state(world, run), now, silent, turn)
        is_false = bool(silent) and any(lives for _, _, lives in world.executions[run])
        after, way = world, []
        for action in reconciler.decide(facts, self.policy):
            try:
                after = self._acted(after, run, action, record)
            except (RunError, LostError):
                break
            name = getattr(action, "name", type(action).__name__)
            way.append((f"reconciler: {name}", after))
        for number, (name, each) in enumerate(way, start=1):
            is_fault = is_false or number < len(way)
            if each is not world:
                yield f"{name}!" if is_fault else name, each

    def _acted(self, world: Small, run: int, action: Any, seen: RunRecord) -> Small:
        act = reconciler.Act
        if isinstance(action, reconciler.Lose):
            fence = seen.fence if seen.dagster_run_id else None
            loss = _loss(seen.attempt, fence)
            return self._change(world, run, transitions.attempt_lost(loss, self.policy.retries))
        if isinstance(action, reconciler.ReportFailed):
            return _ended_in_dagster(world, run, "failed")
        if action in (act.TERMINATE, act.STOP):
            return _ended_in_dagster(world, run, "cancelled", only="waiting")
        if action is act.FORCE_CANCELLED:
            return _ended_in_dagster(world, run, "cancelled")
        if action in (act.SEND, act.REPLACE):
            return _with_copies(self._change(world, run, _sent), run, 1)
        if action is act.HAND_OVER:
            queue = DueQueue.TURN if seen.lock_state is LockState.QUEUED else DueQueue.READY
            return _with_record(world, run, replace(_record(world, run), due_queue=queue))
        if action is act.SETTLE:
            settled = self._change(world, run, message_state.acknowledged(THEN))
            return _with_copies(settled, run, max(0, settled.copies[run] - 1))
        rules: dict[Any, Apply] = {
            act.CANCEL: transitions.cancelled(THEN),
            act.POISON: transitions.poisoned("used up", THEN),
            act.SEND_TO_DLQ: message_state.dead_lettered("letter"),
            act.REPORT: message_state.reported(Outcome(), THEN),
        }
        return self._change(world, run, rules[action]) if action in rules else world

    # --- a write, and all that goes with it -----------------------------------------------------

    def _try(self, world: Small, run: int, name: str, rule: Apply) -> Iterator[tuple[str, Small]]:
        try:
            after = self._change(world, run, rule)
        except (RunError, LostError):
            return
        if after is not world:
            yield name, after

    def _change(self, world: Small, run: int, rule: Apply) -> Small:
        before = _record(world, run)
        after = rule(before)
        return world if after is before else self._put(world, run, before, after)

    def _put(self, world: Small, run: int, before: RunRecord | None, after: RunRecord) -> Small:
        """Write a record with the lock and the feed, on the conditions of the real store."""
        world = _with_lock(world, run, before, after)
        is_new_end = before is None or before.status is not after.status
        if is_new_end and after.status in (RunStatus.SUCCEEDED, RunStatus.HELD):
            world = self._with_feed(world, run, after)
        elif is_new_end and world.held == run:
            world = replace(world, held=None)
        return _with_record(world, run, _timeless(self.policy.scheduled(before, after, THEN)))

    def _with_feed(self, world: Small, run: int, after: RunRecord) -> Small:
        held = world.held
        if held is not None and held != run:
            given_up = feed_rules.superseded(_id(run))(_record(world, held))
            scheduled = self.policy.scheduled(_record(world, held), given_up, THEN)
            world = _with_record(world, held, _timeless(scheduled))
        if after.status is RunStatus.HELD:
            return replace(world, held=run)
        return replace(world, in_force=run, held=None)


@cache
def _INTAKE(model: Model) -> intake.IntakePolicy:  # noqa: N802 - a constant of each model
    return intake.IntakePolicy(max_receives=model.attempts, max_attempts=model.attempts)


# --- parts of a world ---------------------------------------------------------------------------


def _sent(record: RunRecord) -> RunRecord:
    return message_state.sent("m", THEN)(replace(record, message_id=None))


def _received(record: RunRecord) -> RunRecord:
    return message_state.received("m", "h", THEN, THEN)(record)


def _loss(attempt: int, fence: Fence | None) -> Loss:
    return Loss(
        attempt=attempt, fence=fence, error_code="lost", message="", now=THEN, retry_at=THEN
    )


def _id(run: int) -> str:
    return f"00000000-0000-4000-8000-{run:012}"


def _dagster_id(run: int, attempt: int) -> str:
    return f"dagster-{run}-{attempt}"


def _record(world: Small, run: int) -> RunRecord:
    record = world.records[run]
    if record is None:
        raise LostError
    return record


def _with_record(world: Small, run: int, record: RunRecord) -> Small:
    """Put a record in its place; what is left of earlier attempts and decides nothing is gone."""
    kept = tuple(
        each
        for each in world.executions[run]
        if each[2] or each[0] == record.attempt or each[1] == "waiting"
    )
    executions = _set(world.executions, run, kept)
    return replace(world, records=_set(world.records, run, record), executions=executions)


def _with_copies(world: Small, run: int, count: int) -> Small:
    return replace(world, copies=_set(world.copies, run, count))


def _asked(world: Small, run: int, attempt: int) -> Small:
    """Ask Dagster for an attempt; a run key that it has had starts nothing."""
    known = world.executions[run]
    if any(each[0] == attempt for each in known):
        return world
    return replace(
        world, executions=_set(world.executions, run, (*known, (attempt, "waiting", False)))
    )


def _state(world: Small, run: int) -> AttemptState:
    record = _record(world, run)
    found = (each for each in world.executions[run] if each[0] == record.attempt)
    return AttemptState(next((state for _, state, _ in found), "absent"))


def _moved(
    world: Small, run: int, execution: Execution, state: str, *, lives: bool = False
) -> Small:
    """Move an execution on; one that Dagster calls ended stays what it is there."""
    attempt, was, _ = execution
    final = was if was in ("failed", "cancelled", "succeeded") else state
    after = tuple(
        (attempt, final, lives) if each[0] == attempt else each for each in world.executions[run]
    )
    return replace(world, executions=_set(world.executions, run, after))


def _ended_in_dagster(world: Small, run: int, state: str, only: str = "") -> Small:
    record = _record(world, run)
    after = tuple(
        (attempt, state, lives)
        if attempt == record.attempt and was in ((only,) if only else ("waiting", "executing"))
        else (attempt, was, lives)
        for attempt, was, lives in world.executions[run]
    )
    return replace(world, executions=_set(world.executions, run, after))


def _with_lock(world: Small, run: int, before: RunRecord | None, after: RunRecord) -> Small:
    was = LockState.NONE if before is None else before.lock_state
    now = after.lock_state
    if was is now:
        return world
    waiters = tuple(each for each in world.waiters if each != run)
    if now is LockState.QUEUED:
        return replace(world, waiters=(*waiters, run))
    if now is LockState.OWNER:
        if world.holder is not None:
            raise LostError
        return replace(world, holder=run, waiters=waiters)
    holder = None if world.holder == run else world.holder
    return replace(world, holder=holder, waiters=waiters)


_INSTANTS = [each.name for each in fields(RunRecord) if str(each.type).startswith("datetime")]
_NOISE: dict[str, Any] = {
    **{
        "revision": 0,
        "write_id": "",
        "pending_audit": None,
        "stage_entered_at": {},
        "artifacts": {},
    },
    **{"started_at": None, "stage": Stage.QUEUE, "failed_stage": None, "attempt_code": None},
    **{"feed_key": None, "feed_sha256": None, "watched_as": None, "watched_at": None},
}
"""What no decision asks for."""


def _timeless(record: RunRecord) -> RunRecord:
    """Return a record whose instants are all the same, so that there are not too many of them."""
    instants = {name: THEN for name in _INSTANTS if getattr(record, name) is not None}
    words: dict[str, Any] = {"error_message": None, "next_action": None}
    if record.error_code != "POISON_JOB":
        words["error_code"] = None
    return replace(record, **{**instants, **words, **_NOISE})


def _set(values: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*values[:place], value, *values[place + 1 :])
