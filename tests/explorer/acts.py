"""Who acts, and from which beginning: each begins in a world of its own, and acts in a process.

A beginning prepares a world and returns the act, which may be done again: it asks for the same.
"""

from __future__ import annotations

from collections.abc import Callable

from explorer.settling import settle
from explorer.watch import ENDED
from explorer.world import REFUSED, Process, World

Act = Callable[[Process], object]
Beginning = Callable[[World], Act]


def begin(world: World, *endings: str) -> list[str]:
    """Store a config, and let runs end so, one after the other; return their ids."""
    process = world.process()
    process.store_config()
    run_ids = []
    for ending in endings:
        run_ids.append(process.submit(ending=ending))
        settle(world)
    world.next_ending = "published"
    return run_ids


def _submit(world: World) -> Act:
    begin(world, "published")
    return lambda process: process.submit(key="a request")


def _intake(world: World) -> Act:
    begin(world, "published")
    world.process().submit()
    return lambda process: process.intake()


def _intake_of_jobs(world: World) -> Act:
    """Two jobs straight to the queue: one gets the tenant, the other waits."""
    begin(world)
    for _ in range(2):
        world.process().send_job()
    return lambda process: process.intake()


def _run(world: World, *endings: str, unseen: bool = False) -> Act:
    """The last of the endings is that of the run that is to be executed."""
    begin(world, *endings[:-1])
    world.process().submit(ending=endings[-1])
    world.process().intake()
    return lambda process: process.execute_waiting(unseen=unseen)


def _last_attempt(world: World) -> Act:
    """Dagster says that a run's last attempt has failed: it is poison."""
    begin(world, "published")
    world.process().submit()
    for _ in range(world.settings.max_attempts):
        _kill_next(world)
    return lambda process: process.reconcile()


def _dead_run(world: World) -> Act:
    begin(world, "published")
    world.process().submit()
    _kill_next(world)
    return lambda process: process.reconcile()


def _kill_next(world: World) -> None:
    """Let the next attempt begin, and be killed; the check of it is due."""
    process = world.process()
    while not world.dagster.waiting():
        process.intake()
        world.clock.advance(20)
        process.reconcile()
    for execution in world.dagster.waiting():
        process.platform.ledger.claim(
            execution.run_id, execution.attempt, execution.dagster_run_id
        )
        execution.state = "failed"
    world.clock.advance(20)


def _settle_run(world: World) -> Act:
    """A run has ended, and another one waits for its tenant."""
    begin(world, "published")
    process = world.process()
    process.submit()
    process.intake()
    process.send_job()
    process.intake()
    process.execute_waiting()
    return lambda process: process.reconcile()


def _release(world: World) -> Act:
    _, held = begin(world, "published", "held")
    return lambda process: process.release(held)


def _roll_back(world: World) -> Act:
    first, *_ = begin(world, "published", "published", "held")
    return lambda process: process.roll_back(first)


def _expire(world: World) -> Act:
    begin(world, "published", "held")
    world.clock.advance(31 * 86400)
    return lambda process: process.expire_holds()


def _cancel_queued(world: World) -> Act:
    begin(world, "published")
    run_id = world.process().submit()
    return lambda process: process.cancel(run_id)


def _cancel_dispatched(world: World) -> Act:
    begin(world, "published")
    run_id = world.process().submit()
    world.process().intake()
    return lambda process: process.cancel(run_id)


def _cancel_held(world: World) -> Act:
    _, held = begin(world, "published", "held")
    return lambda process: process.cancel(held)


def _settle_discarded(world: World) -> Act:
    """A held run has been cancelled: its copies among the published go."""
    _, held = begin(world, "published", "held")
    world.process().cancel(held)
    return lambda process: process.reconcile()


def _reconcile_cancelled(world: World) -> Act:
    """A cancel is wished, and the run's host is dead."""
    begin(world, "published")
    process = world.process()
    run_id = process.submit()
    process.intake()
    (execution,) = world.dagster.waiting()
    process.platform.ledger.claim(run_id, 1, execution.dagster_run_id)
    execution.state = "executing"
    process.cancel(run_id)
    world.clock.advance(100)
    return lambda process: process.reconcile()


def _send_unsent(world: World) -> Act:
    """The submitter has died before it sent the message."""
    begin(world, "published")
    world.process().submit()
    world.lose_messages()
    world.forget_sending()
    world.clock.advance(100)
    return lambda process: process.reconcile()


def _send_lost(world: World) -> Act:
    begin(world, "published")
    world.process().submit()
    world.lose_messages()
    world.process().send_lost()
    world.clock.advance(2 * 3600)
    return lambda process: process.send_lost()


def _sweep(world: World) -> Act:
    """The queue itself has moved a message to the dead letters."""
    begin(world, "published")
    world.process().submit()
    world.redrive()
    return lambda process: process.sweep()


def _delete(world: World) -> Act:
    begin(world, "published", "held")
    world.process().submit()
    return lambda process: process.delete_tenant()


def _deletion(world: World) -> Act:
    """All steps, tick after tick, until the tenant is gone."""
    begin(world, "published", "held")
    world.process().add_webhook()
    world.process().delete_tenant()
    settle_runs(world)

    def act(process: Process) -> None:
        world.clock.advance(3700)
        for _ in range(12):
            process.delete_due()
            world.clock.advance(31)

    return act


def settle_runs(world: World) -> None:
    """Let all runs be settled, and nothing else go on."""
    for _ in range(20):
        world.process().reconcile()
        if all("acknowledged_at" in run for run in world.runs()):
            return
        world.clock.advance(10)


def _send_webhooks(world: World) -> Act:
    begin(world)
    world.process().add_webhook()
    process = world.process()
    process.submit()
    process.intake()
    process.execute_waiting()
    return lambda process: process.send_webhooks()


BEGINNINGS: dict[str, Beginning] = {
    "submit": _submit,
    "intake": _intake,
    "intake of jobs": _intake_of_jobs,
    "run, first": lambda world: _run(world, "published"),
    "run, over a held one": lambda world: _run(
        world, "published", "held", "published"
    ),
    "run, held": lambda world: _run(world, "published", "held"),
    "run, held again": lambda world: _run(world, "published", "held", "held"),
    "run, failed": lambda world: _run(world, "published", "failed"),
    "run, host lost": lambda world: _run(
        world, "published", "published", unseen=True
    ),
    "release": _release,
    "roll back": _roll_back,
    "cancel, queued": _cancel_queued,
    "cancel, dispatched": _cancel_dispatched,
    "cancel, held": _cancel_held,
    "cancel, carried out": _reconcile_cancelled,
    "expiry": _expire,
    "settle": _settle_run,
    "settle, discarded": _settle_discarded,
    "dead run": _dead_run,
    "last attempt": _last_attempt,
    "unsent message": _send_unsent,
    "lost message": _send_lost,
    "dead letters": _sweep,
    "delete": _delete,
    "deletion": _deletion,
    "webhooks": _send_webhooks,
}


# --- what somebody else does meanwhile ----------------------------------------------------------


def _whole_run(process: Process) -> None:
    process.submit()
    process.intake()
    process.execute_waiting()


def _held_run(process: Process) -> None:
    process.submit(ending="held")
    process.intake()
    process.execute_waiting()


def _cancel_open(process: Process) -> None:
    for run in process.world.runs():
        if run["status"] not in ENDED or run["status"] == "HELD":
            process.cancel(run["run_id"])


def _release_held(process: Process) -> None:
    held = process.world.held_run()
    if held is not None:
        process.release(held)


def _roll_back_one(process: Process) -> None:
    feed = process.world.feed()
    if feed is not None and len(feed["publications"]) > 1:
        process.roll_back(feed["publications"][1]["run_id"])


def _ticks(process: Process) -> None:
    process.intake()
    process.execute_waiting()
    process.reconcile()


def _time_passes(process: Process) -> None:
    """The process that is interrupted takes too long: the others take it for dead."""
    for _ in range(4):
        process.world.clock.advance(100)
        process.reconcile()
    process.intake()
    process.execute_waiting()


def _copies(process: Process) -> None:
    """Each message is delivered twice."""
    for run in process.world.runs():
        process.send_copy(run["run_id"])
    process.intake()


SECONDS: dict[str, Act] = {
    "a whole run": _whole_run,
    "a held run": _held_run,
    "cancel": _cancel_open,
    "release": _release_held,
    "roll back": _roll_back_one,
    "ticks": _ticks,
    "time passes": _time_passes,
    "copies": _copies,
    "expiry": lambda process: process.expire_holds(),
    "a job": lambda process: (process.send_job(), process.intake()),
    "delete": lambda process: process.delete_tenant(),
}


def act_or_be_refused(act: Act, process: Process) -> None:
    """Act; what is refused is an answer like any other."""
    try:
        act(process)
    except REFUSED:
        return
