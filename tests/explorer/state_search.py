"""Breadth first through all states that `small_world` can come to; what must hold in each.

A state counts once, whatever led to it. In the end, from each state the system alone must be able
to come to rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from explorer.small_world import Model, Small
from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import LockState, RunRecord

_NOT_ITS_OWN = ("submitted", "adopted", "cancel", "release", "expire", "tombstone")
"""What the system does not do by itself; nor does it make faults."""


@dataclass
class Found:
    """What a search has seen: how many states and steps, and what did not hold."""

    states: int = 0
    steps: int = 0
    broken: list[str] = field(default_factory=list)


def search(model: Model, most: int = 2_000_000) -> Found:
    """Go through all states, or so many of them.

    Args:
        model: how many runs, attempts and copies there are.
        most: more states than that are too many.
    """
    found, first = Found(), model.empty()
    ids: dict[Any, int] = {_key(first): 0}
    ways: list[tuple[int, str]] = [(0, "")]
    back: list[list[int]] = [[]]
    at_rest: list[int] = []
    left: deque[tuple[int, Small]] = deque([(0, first)])
    while left:
        number, world = left.popleft()
        if _is_at_rest(world):
            at_rest.append(number)
        for name, after in model.steps(world):
            found.steps += 1
            key = _key(after)
            known = ids.get(key)
            if known is None:
                known = ids[key] = len(ids)
                ways.append((number, name))
                back.append([])
                left.append((known, after))
            if name not in _NOT_ITS_OWN and not name.endswith("!"):
                back[known].append(number)
            found.broken += [
                f"{each}, after {_way(ways, number)} > {name}" for each in _broken(world, after)
            ]
        if len(ids) > most or len(found.broken) > 20:
            break
    else:
        stuck = _cannot_rest(back, at_rest)
        found.broken += [f"it cannot come to rest after {_way(ways, each)}" for each in stuck[:5]]
    found.states = len(ids)
    return found


def _cannot_rest(back: list[list[int]], at_rest: list[int]) -> list[int]:
    """Return the states from which the system alone comes to no rest, the nearest first."""
    can, left = set(at_rest), deque(at_rest)
    while left:
        for each in back[left.popleft()]:
            if each not in can:
                can.add(each)
                left.append(each)
    return [each for each in range(len(back)) if each not in can]


def _way(ways: list[tuple[int, str]], number: int) -> str:
    names: list[str] = []
    while number:
        number, name = ways[number]
        names.append(name)
    return " > ".join(reversed(names))


def _is_at_rest(world: Small) -> bool:
    records = [each for each in world.records if each is not None]
    settled = all(each.has_ended and each.acknowledged_at is not None for each in records)
    return settled and world.holder is None and not world.waiters and not any(world.copies)


def _broken(before: Small, after: Small) -> Iterator[str]:
    """Yield what does not hold of a state, or of the step to it."""
    for run, record in enumerate(after.records):
        if record is not None:
            yield from _of_run(run, before.records[run], record, after)
    owners = [run for run, each in enumerate(after.records) if _owns(each)]
    if owners != ([] if after.holder is None else [after.holder]):
        yield f"the lock is of {after.holder}, by their records of {owners}"
    if after.in_force is not None and _status(after, after.in_force) is not RunStatus.SUCCEEDED:
        yield f"the feed in force is of a run that is {_status(after, after.in_force)}"
    if after.held is not None and _status(after, after.held) is not RunStatus.HELD:
        yield f"the pointer holds a run that is {_status(after, after.held)}"


def _of_run(run: int, was: RunRecord | None, now: RunRecord, world: Small) -> Iterator[str]:
    if was is not None and was.status.is_final and now.status is not was.status:
        yield f"a second end: {was.status} becomes {now.status}"
    if was is not None and now.attempt - was.attempt not in (0, 1):
        yield f"attempt {now.attempt} follows {was.attempt}"
    if now.has_ended and now.lock_state is not LockState.NONE:
        yield f"run {run} is {now.status} and {now.lock_state}"
    if now.acknowledged_at is not None and not now.has_ended:
        yield f"run {run} is settled and {now.status}"
    if now.status is RunStatus.HELD and world.held != run:
        yield f"run {run} is HELD, and the pointer holds {world.held}"
    if now.due_at is None and now.acknowledged_at is None:
        yield f"nobody ever looks at run {run}, which is {now.status}"


def _owns(record: RunRecord | None) -> bool:
    return record is not None and record.lock_state is LockState.OWNER


def _status(world: Small, run: int) -> RunStatus | None:
    record = world.records[run]
    return None if record is None else record.status


_TOLD = [each.name for each in fields(RunRecord) if "Mapping" not in str(each.type)]


def _key(world: Small) -> Any:
    """Return what tells a state from others, in a form that can be hashed."""
    records = tuple(None if each is None else _record_key(each) for each in world.records)
    lock = (world.holder, world.waiters)
    return (
        records,
        world.copies,
        world.executions,
        *lock,
        world.in_force,
        world.held,
        world.faults,
    )


def _record_key(record: RunRecord) -> Any:
    return tuple(
        getattr(record, name) if name != "hold" else record.hold is not None for name in _TOLD
    )
