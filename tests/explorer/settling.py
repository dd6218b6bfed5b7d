"""The world goes on: ticks until nothing is left to do, the clock moved to what is due next."""

from __future__ import annotations

from datetime import datetime, timedelta

from explorer.watch import ENDED
from explorer.world import Process, World
from relay_dagster.runs.model import DueQueue

MAX_ROUNDS = 120
DUE_QUEUE = "due_lane"
"""The stored name of a run's due queue."""


class NeverSettledError(AssertionError):
    """The world does not come to rest."""


def settle(world: World, *, patient: bool = False) -> None:
    """Let everything tick until all is quiet.

    Args:
        world: as whatever has just happened left it.
        patient: wait until holds expire, too.
    """
    process = world.process()
    for _ in range(MAX_ROUNDS):
        _tick_all(world, process)
        if _has_anything_now(world):
            continue
        upcoming = _next_instant(world, patient=patient)
        if upcoming is None:
            return
        world.clock.now = max(upcoming, world.clock.now + timedelta(seconds=1))
        if patient:
            process.expire_holds()
    raise NeverSettledError(
        f"not quiet after {MAX_ROUNDS} rounds: {_left(world)}"
    )


def _tick_all(world: World, process: Process) -> None:
    queues = _due_queues(world)
    if queues & {DueQueue.READY, DueQueue.TURN} or any(
        message.visible for message in world.messages()
    ):
        process.intake()
    process.execute_waiting()
    if _due_queues(world) & {DueQueue.ATTEMPT, DueQueue.END}:
        process.reconcile()
    if world.dead_letters():
        process.sweep()
    if DueQueue.MESSAGE in queues or not world.messages():
        _send_lost(world, process)
    if _is_due((world.deletion() or {}).get("due_at"), world):
        process.delete_due()
    if world.has_webhooks() and any(
        _is_due(event.get("due_at"), world) for event in world.events()
    ):
        process.send_webhooks()


def _send_lost(world: World, process: Process) -> None:
    if any(run.get(DUE_QUEUE) == DueQueue.MESSAGE for run in world.runs()):
        process.send_lost()


def _due_queues(world: World) -> set[str]:
    return {
        str(run[DUE_QUEUE])
        for run in world.runs()
        if _is_due(run.get("due_at"), world)
    }


def _is_due(instant: str | None, world: World) -> bool:
    return instant is not None and _read(instant) <= world.clock.now


def _has_anything_now(world: World) -> bool:
    """Return whether another round at the same instant finds something to do."""
    is_visible = any(message.visible for message in world.messages())
    at_once = _due_queues(world) - {DueQueue.DEAD_LETTER, DueQueue.MESSAGE}
    return bool(at_once) or is_visible or bool(world.dagster.waiting())


def _next_instant(world: World, *, patient: bool) -> datetime | None:
    """Return when something is due next; None where nothing is, ever."""
    now = world.clock.now
    runs = [
        run
        for run in world.runs()
        if run.get(DUE_QUEUE) not in (None, DueQueue.DEAD_LETTER)
    ]
    instants = [_read(run["due_at"]) for run in runs]
    instants = [
        max(instant, now + timedelta(minutes=6)) if instant <= now else instant
        for instant in instants
    ]
    instants += [
        datetime.fromtimestamp(message.visible_at / 1000 + 0.001, now.tzinfo)
        for message in world.messages()
        if message.visible_at
    ]
    due_at = (world.deletion() or {}).get("due_at")
    instants += [] if due_at is None else [_read(due_at)]
    if world.has_webhooks():
        instants += [
            _read(event["due_at"])
            for event in world.events()
            if event.get("due_at")
        ]
    if patient and world.held_run() is not None:
        instants.append(now + timedelta(days=31))
    return min(instants, default=None)


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _left(world: World) -> list[str]:
    open_runs = [run for run in world.runs() if "acknowledged_at" not in run]
    descriptions = [
        f"{open_run['run_id'][:8]} {open_run['status']} attempt {open_run['attempt']} "
        f"due queue {open_run.get(DUE_QUEUE)} at {open_run.get('due_at')}"
        for open_run in open_runs
    ]
    has_ended = all(open_run["status"] in ENDED for open_run in open_runs)
    state = "" if has_ended else " (not ended)"
    return [
        *descriptions,
        f"messages {len(world.messages())}{state}",
        f"deletion {world.deletion()}",
    ]
