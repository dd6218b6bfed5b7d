"""The ways through a beginning: deaths, lost answers and pairs, each at every call."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from explorer.acts import BEGINNINGS, SECONDS, Act, act_or_be_refused
from explorer.invariants import check
from explorer.settling import settle
from explorer.wire import (
    Plan,
    ProcessDiedError,
    dies,
    interrupted,
    loses,
    repeats,
)
from explorer.world import REFUSED, UNSURE, Process, World

TRIES = 3


@dataclass
class Tally:
    """What was gone through, and what did not hold."""

    worlds: int = 0
    calls: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.worlds += other.worlds
        self.calls += other.calls
        self.seconds += other.seconds
        self.broken += other.broken


@dataclass(frozen=True)
class Part:
    """How many of the ways are taken: each ``every``-th, from the ``offset``-th on."""

    every: int = 1
    offset: int = 0

    def takes(self, number: int) -> bool:
        return number % self.every == self.offset


EVERYTHING = Part()


class Explorer:
    """Goes through worlds that begin the same, and differ by one plan.

    Args:
        world: where; it is empty.
        name: the beginning.
        spoil: a fault that is put in.
    """

    def __init__(
        self,
        world: World,
        name: str,
        spoil: Callable[[World], None] = lambda _: None,
    ) -> None:
        self._world = world
        self._name = name
        self._act = BEGINNINGS[name](world)
        spoil(world)
        self._saved = world.save()
        self._process = world.process("a")
        self._process.begin()
        act_or_be_refused(self._act, self._process)
        self._operations = list(self._process.wire.calls)

    def deaths(self, part: Part = EVERYTHING) -> Tally:
        """Let the actor die before and after each of its calls; then the world goes on."""
        plans = {"dies before": _dies_before, "dies after": _dies_after}
        return self._each_call(plans, part)

    def lost_answers(self, part: Part = EVERYTHING) -> Tally:
        """Let each answer be lost once it took effect, and whoever asked ask again."""
        return self._each_call(
            {"loses": loses, "repeats": repeats}, part, tries=TRIES
        )

    def pairs(self, second: str, part: Part = EVERYTHING) -> Tally:
        """Let somebody else act before each call of the actor."""
        process = self._world.process("b")

        def plan_of(at: int) -> Plan:
            return interrupted(
                at, lambda: act_or_be_refused(SECONDS[second], process)
            )

        return self._each_call({second: plan_of}, part)

    def _each_call(
        self,
        plans: dict[str, Callable[[int], Plan]],
        part: Part,
        tries: int = 1,
    ) -> Tally:
        tally = Tally()
        started = time.perf_counter()
        ways = [
            (at, label)
            for at in range(len(self._operations))
            for label in plans
        ]
        for number, (at, label) in enumerate(ways):
            if part.takes(number):
                self._world.restore(self._saved)
                self._process.wire.reset(plans[label](at))
                place = f"{self._name}: {label} at call {at}, {self._operations[at]}"
                self._one(tally, place, tries)
        tally.seconds = time.perf_counter() - started
        return tally

    def _one(self, tally: Tally, where: str, tries: int) -> None:
        tally.worlds += 1
        calls_before = self._world.calls()
        try:
            _go(self._act, self._process, tries)
            settle(self._world)
            check(self._world)
        except Exception as error:  # noqa: BLE001 - one broken world must not end the others
            tally.broken.append(f"{where}: {described(error)}")
        tally.calls += self._world.calls() - calls_before


def described(error: BaseException) -> str:
    """Return what broke a world: what does not hold, or an error that nobody expects, whole."""
    if isinstance(error, AssertionError) and str(error):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _go(act: Act, process: Process, tries: int) -> None:
    """Act; who has no answer asks again."""
    for _ in range(tries):
        try:
            act(process)
        except UNSURE:
            continue
        except (*REFUSED, ProcessDiedError):
            return
        return


def _dies_before(at: int) -> Plan:
    return dies(at, after=False)


def _dies_after(at: int) -> Plan:
    return dies(at, after=True)
