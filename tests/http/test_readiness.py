"""Looks at the dependencies: one at a time, and none while an answer stands."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

from relay_dagster.external_errors import UnreachableError
from relay_dagster.http.readiness import ReadinessProbe, States
from relay_dagster.wiring import Platform
from support.fakes import Seconds


class CountedRuns:
    """A table that counts who touches it, lets them wait, and answers or does not."""

    def __init__(self) -> None:
        self.touched = 0
        self.answers = True
        self.open = threading.Event()
        self.open.set()

    def check(self) -> None:
        self.touched += 1
        self.open.wait(10)
        if not self.answers:
            raise UnreachableError("dynamodb.GetItem", "timed out")


def test_an_answer_stands_for_a_while_good_or_bad(platform: Platform) -> None:
    clock = Seconds()
    runs = CountedRuns()
    database = replace(platform.database, runs=runs)
    probe = ReadinessProbe(replace(platform, database=database), 2, clock)

    async def states_over_time() -> list[str]:
        checked = []
        for runs.answers in (True, False, True):
            checked.append((await probe.states())["runs_table"].state)
            clock.now += 1.5
        clock.now += 0.5
        return [*checked, (await probe.states())["runs_table"].state]

    assert asyncio.run(states_over_time()) == ["ok", "ok", "ok", "ok"]
    assert runs.touched == 3
    runs.answers = False
    clock.now += 2
    assert asyncio.run(probe.states())["runs_table"].state == "unreachable"


def test_who_asks_during_a_look_waits_for_it_and_who_leaves_does_not_end_it(
    platform: Platform,
) -> None:
    runs = CountedRuns()
    runs.open.clear()
    probe = ReadinessProbe(
        replace(platform, database=replace(platform.database, runs=runs)), 2
    )

    async def a_crowd() -> list[States]:
        waiting = [asyncio.create_task(probe.states()) for _ in range(100)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        runs.open.set()
        return list(await asyncio.gather(*waiting[1:]))

    answers = asyncio.run(a_crowd())
    assert {answer["runs_table"].state for answer in answers} == {"ok"}
    assert runs.touched == 1
