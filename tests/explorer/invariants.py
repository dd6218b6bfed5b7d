"""What must hold once a world has settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from explorer.settling import settle
from explorer.watch import ENDED, EVENT_OF, BrokenError
from explorer.world import CHANNEL, REFUSED, World


def check(world: World) -> None:
    """Raise `BrokenError` with all that does not hold; starts another run to see that it can."""
    broken = [*world.watch.broken, *_found(world)]
    if not broken and world.deletion() is None:
        broken += _of_next_run(world)
    if broken:
        raise BrokenError("; ".join(broken))


def _found(world: World) -> Iterator[str]:
    if (deletion := world.deletion()) is not None:
        yield from _of_deleted(world, str(deletion["state"]))
    else:
        yield from _of_runs(world)
        yield from _of_tenant(world)
        yield from _of_queues(world)
        yield from _of_feeds(world)
    yield from _of_events(world)
    yield from _of_audit(world)


def _of_runs(world: World) -> Iterator[str]:
    runs = {run["run_id"]: run for run in world.runs()}
    for run_id in world.accepted:
        if run_id not in runs or runs[run_id].get("hidden"):
            yield f"a lost run: {run_id} was accepted"
    for run_id, run in runs.items():
        if run["status"] not in ENDED:
            yield f"a lost run: {run_id} stays {run['status']}"
        elif "acknowledged_at" not in run:
            yield f"run {run_id} is {run['status']} and not settled"
        if run["lock_state"] != "none":
            yield f"run {run_id} has ended and its record says that it has the lock"


def _of_tenant(world: World) -> Iterator[str]:
    lock = world.lock()
    if lock.get("holder") or lock.get("waiters"):
        yield f"a stuck tenant: its lock is {lock}"


def _of_queues(world: World) -> Iterator[str]:
    if world.messages():
        yield f"{len(world.messages())} messages stay in the queue"
    poison = sum(1 for run in world.runs() if run.get("dlq_message_id"))
    if len(world.dead_letters()) < poison:
        yield f"{poison} runs are poison, {len(world.dead_letters())} are dead letters"


def _is_whole(run_id: str, names: set[str]) -> bool:
    """Return whether feed, state and channel of a run are published together."""
    suffixes = ("csv", "state.parquet", f"{CHANNEL}.csv")
    return {f"{run_id}.{suffix}" for suffix in suffixes} <= names


def _of_feeds(world: World) -> Iterator[str]:
    feed = world.feed()
    runs = {run["run_id"]: run for run in world.runs()}
    names = {copy.rpartition("/")[2] for copy in world.copies()}
    copies = {name.partition(".")[0] for name in names}
    if feed is not None:
        in_force = feed["publications"][0]
        if not _is_whole(in_force["run_id"], names):
            yield f"the live feed, of run {in_force['run_id']}, is not whole"
        held = feed.get("held_run_id")
        if held is not None and runs[held]["status"] != "HELD":
            yield f"the pointer holds run {held}, which is {runs[held]['status']}"
    for run_id, run in runs.items():
        if (
            run["status"] == "HELD"
            and (feed or {}).get("held_run_id") != run_id
        ):
            yield f"run {run_id} is HELD, and the pointer does not hold it"
        if run["status"] == "HELD" and not _is_whole(run_id, names):
            yield f"the feed of held run {run_id} is not whole"
        if run["status"] in ("FAILED", "CANCELLED") and run_id in copies:
            yield f"run {run_id} is {run['status']}, and its feed lies among the published"
        if run["status"] == "SUCCEEDED" and not world.watch.moves[run_id]:
            yield f"run {run_id} has succeeded, and its feed never came into force"


def _of_events(world: World) -> Iterator[str]:
    watch = world.watch
    expected = Counter(
        {(run_id, EVENT_OF[end]): n for (run_id, end), n in watch.ends.items()}
    )
    expected.update(
        {(run_id, "feed.published"): n for run_id, n in watch.moves.items()}
    )
    if expected != watch.events:
        lacks = expected - watch.events
        extra = watch.events - expected
        yield f"events that lack: {dict(lacks)}, that are too many: {dict(extra)}"
    twice = {key: n for key, n in watch.ends.items() if n > 1}
    if twice:
        yield f"runs that ended twice: {twice}"


def _of_audit(world: World) -> Iterator[str]:
    entries = Counter(
        (entry["action"], entry["target"]) for entry in world.audit()
    )
    expected = Counter(
        {("feed.rolled_back", k): n for k, n in world.watch.rollbacks.items()}
    )
    for run in world.runs():
        run_id = run["run_id"]
        if not run.get("hidden"):
            expected["run.posted", run_id] += 1
        if run.get("cancel_requested_at"):
            expected["run.cancelled", run_id] += 1
        if run.get("released_at"):
            expected["run.released", run_id] += 1
    if world.deletion() is None:
        relevant = {name for name, _ in expected} | {
            "run.cancelled",
            "run.released",
        }
        entries = Counter(
            {key: n for key, n in entries.items() if key[0] in relevant}
        )
        if entries != expected:
            lacks = dict(expected - entries)
            extra = dict(entries - expected)
            yield f"audit lacks {lacks}, has too many of {extra}"


def _of_deleted(world: World, state: str) -> Iterator[str]:
    if state != "DELETED":
        yield f"the deletion stays {state}"
    remaining = [
        tenant_item
        for tenant_item in world.tenant_items()
        if not tenant_item.startswith("DELETION#")
    ]
    if remaining:
        yield f"of the deleted tenant is left: {remaining}"
    actions = Counter(entry["action"] for entry in world.audit())
    for name in ("tenant.deletion_asked", "tenant.deleted"):
        if actions[name] != 1:
            yield f"the audit has {name} {actions[name]} times"


def _of_next_run(world: World) -> Iterator[str]:
    """Start another run, and see that it ends."""
    process = world.process()
    try:
        run_id = process.submit(ending="published")
    except REFUSED as error:
        yield f"a stuck tenant: no run can be started: {error}"
        return
    settle(world)
    run = world.run(run_id)
    if run is None or run["status"] != "SUCCEEDED":
        yield f"a stuck tenant: the next run is {run and run['status']}"
        return
    feed = world.feed()
    if feed is None or feed["publications"][0]["run_id"] != run_id:
        yield "the next run's feed is not in force"
