"""Breadth first through all states that the runs of a tenant can come to; what holds in each.

A state counts once, whatever led to it and however many faults did; runs are alike, so a state is
the bag of theirs. In the end, from each state the system alone must be able to come to rest.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from explorer.small_world import (
    Feed,
    Model,
    Others,
    Run,
    Step,
    essential,
    key_of,
)
from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import LockState

_BY_OTHERS = (
    "submitted",
    "adopted",
    "cancel",
    "release",
    "expire",
    "tombstone",
)
"""Steps that the system does not take by itself; nor does it make faults."""
MAX_BROKEN = 20
State = tuple[int, ...]
"""The numbers of the runs, sorted."""


@dataclass
class Found:
    """The states and steps that a search has seen, and what did not hold."""

    states: int = 0
    steps: int = 0
    broken: list[str] = field(default_factory=list)


class _RunStep(NamedTuple):
    """A step of a run beside others: the number of the run after it, what it does to the others.

    ``left_place`` is the one among those that wait which it leaves, 0 is none.
    """

    name: str
    is_own: bool
    after: int
    feed: Feed
    left_place: int
    broken: tuple[str, ...]


class Runs:
    """All that one run can be, each with a number, and the steps between them, each made once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.all: list[Run] = []
        self.broken: list[str] = []
        self._numbers: dict[Any, int] = {}
        self._steps: dict[tuple[int, Others], list[_RunStep]] = {}
        self._beside: dict[tuple[int, Feed, int], int] = {}

    def number(self, run: Run) -> int:
        """Return the number of a run, of its facts that count."""
        run = essential(run)
        key = key_of(run)
        if key not in self._numbers:
            self._numbers[key] = len(self.all)
            self.all.append(run)
        return self._numbers[key]

    def steps(self, number: int, others: Others) -> list[_RunStep]:
        """Return the steps of a run; what comes to the same is one step."""
        others = _relevant(self.all[number], others)
        steps = self._steps.get((number, others))
        if steps is None:
            steps = self._steps[number, others] = list(
                self._made(number, others)
            )
        return steps

    def _made(self, number: int, others: Others) -> Iterator[_RunStep]:
        run = self.all[number]
        outcomes = set[Any]()
        candidates = sorted(
            self._model.steps(run, others), key=lambda step: not is_own(step)
        )
        for step in candidates:
            after = self.number(step.after)
            broken = tuple(_broken(run, step.after))
            feed = step.feed
            has_left = bool(run.place) and not step.after.place
            if (after, feed, broken) not in outcomes and (
                after != number or broken
            ):
                outcomes.add((after, feed, broken))
                left_place = (run.place or 0) if has_left else 0
                yield _RunStep(
                    step.name, is_own(step), after, feed, left_place, broken
                )

    def beside(self, number: int, feed: Feed, left_place: int) -> int:
        """Return the number of a run after the step of another one."""
        key = (number, feed, left_place)
        if key not in self._beside:
            run = self.all[number]
            if feed is not Feed.UNCHANGED and run.is_held:
                run = self._model.supersede(run)
                self.broken += _broken(self.all[number], run)
            if feed is Feed.PUBLISHED:
                run = run._replace(is_in_force=False)
            if left_place and run.place is not None and run.place > left_place:
                run = run._replace(place=run.place - 1)
            self._beside[key] = self.number(run)
        return self._beside[key]


def is_own(step: Step) -> bool:
    """Return whether the system takes a step by itself, and without a fault."""
    return not step.is_fault and step.name not in _BY_OTHERS


def _relevant(run: Run, others: Others) -> Others:
    """Return so much of the others as the steps of a run depend on."""
    record = run.record
    if record is None:
        return others._replace(have_feed=False)
    if run.place == 0:
        return Others(have_feed=others.have_feed)
    if run.place is not None:
        return Others(have_lock=others.have_lock)
    return Others(
        have_lock=record.status is RunStatus.HELD and not others.leave_lock_free
    )


def search(model: Model, max_states: int = 4_000_000) -> Found:
    """Go through all states.

    Args:
        model: how many runs, attempts and copies there are.
        max_states: more of them are too many; that is recorded as broken.
    """
    result = Found()
    runs = Runs(model)
    first = (runs.number(Run()),) * model.runs
    ids: dict[State, int] = {first: 0}
    ways: list[tuple[int, str]] = [(0, "")]
    sources = array("i")
    targets = array("i")
    frontier = deque([first])
    while frontier and len(result.broken) <= MAX_BROKEN:
        state = frontier.popleft()
        number = ids[state]
        for step, after in _steps(runs, state):
            result.steps += 1
            number_after = ids.get(after)
            if number_after is None:
                number_after = ids[after] = len(ids)
                ways.append((number, step.name))
                frontier.append(after)
                way = _way(ways, number_after)
                result.broken += [
                    f"{fault}, after {way}" for fault in _of(runs, after)
                ]
            if step.is_own:
                sources.append(number)
                targets.append(number_after)
            result.broken += [
                f"{fault}, after {_way(ways, number)} > {step.name}"
                for fault in step.broken
            ]
        if len(ids) > max_states:
            result.broken.append(f"more than {max_states} states")
            break
    else:
        at_rest = [n for state, n in ids.items() if _is_at_rest(runs, state)]
        stuck = _cannot_rest(len(ids), sources, targets, at_rest)
        result.broken += [
            f"it cannot come to rest after {_way(ways, state_number)}"
            for state_number in stuck[:5]
        ]
    result.states = len(ids)
    result.broken += runs.broken
    return result


def _steps(runs: Runs, state: State) -> Iterator[tuple[_RunStep, State]]:
    for place, number in enumerate(state):
        if place and number == state[place - 1]:
            continue  # the same run again
        other_numbers = state[:place] + state[place + 1 :]
        for step in runs.steps(number, _others(runs, other_numbers)):
            if step.feed is Feed.UNCHANGED and not step.left_place:
                yield step, tuple(sorted((step.after, *other_numbers)))
            else:
                beside = [
                    runs.beside(other_number, step.feed, step.left_place)
                    for other_number in other_numbers
                ]
                yield step, tuple(sorted((step.after, *beside)))


def _others(runs: Runs, rest: State) -> Others:
    other_runs = [runs.all[number] for number in rest]
    return Others(
        have_lock=any(run.place == 0 for run in other_runs),
        waiting=sum(1 for run in other_runs if run.place),
        have_feed=any(run.is_in_force for run in other_runs),
    )


def _cannot_rest(
    states: int, sources: array[int], targets: array[int], at_rest: list[int]
) -> list[int]:
    """Return the states from which the system alone comes to no rest, the nearest first."""
    back: list[list[int]] = [[] for _ in range(states)]
    for source, target in zip(sources, targets, strict=True):
        back[target].append(source)
    can = set(at_rest)
    frontier = deque(at_rest)
    while frontier:
        for previous in back[frontier.popleft()]:
            if previous not in can:
                can.add(previous)
                frontier.append(previous)
    return [number for number in range(states) if number not in can]


def _way(ways: list[tuple[int, str]], number: int) -> str:
    names: list[str] = []
    while number:
        number, name = ways[number]
        names.append(name)
    return " > ".join(reversed(names))


def _is_at_rest(runs: Runs, state: State) -> bool:
    return all(_rests(runs.all[number]) for number in state)


def _rests(run: Run) -> bool:
    if run.record is None:
        return True
    settled = run.record.has_ended and run.record.acknowledged_at is not None
    return settled and run.place is None and not run.copies


def _of(runs: Runs, state: State) -> Iterator[str]:
    """Yield what does not hold of the runs of a state together."""
    all_runs = [runs.all[number] for number in state]
    places = sorted(run.place for run in all_runs if run.place is not None)
    if len(set(places)) < len(places):
        yield f"two runs have one place at the lock: {places}"
    if sum(run.is_in_force for run in all_runs) > 1:
        yield "two feeds are in force"
    if sum(run.is_held for run in all_runs) > 1:
        yield "the pointer holds two runs"


def _broken(before: Run, after: Run) -> Iterator[str]:
    """Yield what does not hold of a run, or of the step to it."""
    was = before.record
    now = after.known
    if was is not None and was.status.is_final and now.status is not was.status:
        yield f"a second end: {was.status} becomes {now.status}"
    if was is not None and now.attempt - was.attempt not in (0, 1):
        yield f"attempt {now.attempt} follows {was.attempt}"
    if now.has_ended and now.lock_state is not LockState.NONE:
        yield f"a run is {now.status} and {now.lock_state}"
    if (now.lock_state is LockState.OWNER) is not (after.place == 0):
        yield f"the lock has a run at place {after.place}, by its record it is {now.lock_state}"
    if now.acknowledged_at is not None and not now.has_ended:
        yield f"a run is settled and {now.status}"
    if (now.status is RunStatus.HELD) is not after.is_held:
        yield f"a run is {now.status}, and the pointer holds it: {after.is_held}"
    if after.is_in_force and now.status is not RunStatus.SUCCEEDED:
        yield f"the live feed is of a run that is {now.status}"
    if now.due_queue is None and now.acknowledged_at is None:
        yield f"nobody ever checks a run that is {now.status}"
