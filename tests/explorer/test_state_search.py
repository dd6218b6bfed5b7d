"""The search through all states, that it finds faults, and that the states it counts as one are."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from explorer.small_world import Apply, Feed, Model, Others, Run, key_of
from explorer.state_search import Runs, is_own, search
from relay_dagster.maintenance.run_decision import Act
from relay_dagster.runs.model import LockState, RunRecord


def test_no_state_breaks_a_rule_and_from_each_all_comes_to_rest() -> None:
    result = search(Model(runs=2, attempts=3, copies=2))
    assert result.broken == []
    assert result.states > 50_000


def test_more_states_than_there_may_be_are_broken() -> None:
    assert search(Model(), max_states=100).broken == ["more than 100 states"]


class _KeepsLock(Model):
    def _put(self, run: Run, others: Others, after: RunRecord) -> Run:
        record = (
            replace(after, lock_state=LockState.OWNER)
            if after.has_ended
            else after
        )
        return super()._put(run, others, record)


class _EndsTwice(Model):
    def _change(self, run: Run, others: Others, rule: Apply) -> Run:
        if run.known.status.is_final:
            return super()._change(
                run, others, lambda each: _uncancelled(rule(each))
            )
        return super()._change(run, others, rule)


def _uncancelled(record: RunRecord) -> RunRecord:
    return replace(
        record, status=type(record.status).QUEUED, acknowledged_at=None
    )


class _NeverPoisons(Model):
    def _acted(
        self, run: Run, others: Others, kind: Any, seen: RunRecord
    ) -> Run:
        return (
            run
            if kind is Act.SEND_TO_DLQ
            else super()._acted(run, others, kind, seen)
        )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            _KeepsLock, "CANCELLED and owner", id="a lock that is not freed"
        ),
        pytest.param(_EndsTwice, "a second end", id="a second end"),
        pytest.param(
            _NeverPoisons,
            "it cannot come to rest",
            id="a dead letter not written",
        ),
    ],
)
def test_a_fault_that_is_put_in_is_found(
    model: type[Model], expected: str
) -> None:
    result = search(model(runs=2, attempts=1, copies=1))
    assert any(expected in fault for fault in result.broken)


_OTHERS = (
    Others(),
    Others(have_feed=True),
    Others(have_lock=True),
    Others(waiting=1),
)


def test_runs_that_count_as_one_go_on_alike() -> None:
    """Each run that there can be, with all of its facts, goes where the one goes it counts as."""
    model = Model(attempts=2, copies=1)
    runs = Runs(model)
    first = Run()
    facts_seen = {_all_facts(first)}
    frontier = deque([first])
    while frontier:
        run = frontier.popleft()
        number = runs.number(run)
        for surroundings in _OTHERS:
            if run.place == 0 and surroundings.have_lock:
                continue  # a lock has one owner
            expected: dict[tuple[int, Feed], bool] = {}
            for step in model.steps(run, surroundings):
                after = (runs.number(step.after), step.feed)
                expected[after] = expected.get(after, False) or is_own(step)
                if (facts := _all_facts(step.after)) not in facts_seen:
                    facts_seen.add(facts)
                    frontier.append(step.after)
            expected.pop((number, Feed.UNCHANGED), None)
            steps = runs.steps(number, surroundings)
            assert {
                (step.after, step.feed): step.is_own for step in steps
            } == expected
        if run.is_held:
            assert runs.beside(number, Feed.HELD, 0) == runs.number(
                model.supersede(run)
            )
    assert len(facts_seen) > 4 * len(runs.all)


def _all_facts(run: Run) -> Any:
    record = run.record
    return key_of(
        run
        if record is None
        else run._replace(record=replace(record, pending_audit=None))
    )
