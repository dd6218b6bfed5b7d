"""Worlds by seed: acts at random, on processes that die and calls that fail, a queue that errs."""

from __future__ import annotations

import random
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

from explorer.acts import SECONDS, Act, act_or_be_refused, begin
from explorer.exploring import Tally, described
from explorer.invariants import check
from explorer.settling import settle
from explorer.wire import Call, Plan, ProcessDiedError, Send, unreliable
from explorer.world import REFUSED, UNSURE, Process, World, new_world

STEPS = 120
BETWEEN_CHECKS = 30
SHARE = 0.03
"""Of the calls that something happens to."""
INTERRUPTED = 0.05
"""Of the calls that somebody else acts before."""

_ACTS: tuple[Act, ...] = (
    *(second for name, second in SECONDS.items() if name != "delete"),
    lambda process: process.submit(key=str(process.world.clock.now.minute % 5)),
    lambda process: process.submit(ending="failed"),
    lambda process: process.intake(),
    lambda process: process.execute_waiting(),
    lambda process: process.execute_waiting(unseen=True),
    lambda process: process.reconcile(),
    lambda process: process.sweep(),
    lambda process: process.send_lost(),
    lambda process: process.send_webhooks(),
)
_JUMPS = (0, 0, 1, 1, 7, 30, 65, 100, 400, 4000, 50_000)


def random_world(seed: int, steps: int = STEPS) -> Tally:
    """Let a world go its way, settle it now and then, and see that all holds."""
    rng = random.Random(seed)
    tally = Tally()
    started = time.perf_counter()
    with _repeatable(seed), new_world() as world:
        begin(world, "published", "published")
        world.process().add_webhook()
        for step in range(1, steps + 1):
            try:
                _step(world, rng)
                if step % BETWEEN_CHECKS == 0:
                    tally.worlds += 1
                    _settle(world)
            except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the table
                tally.broken.append(
                    f"seed {seed}, step {step}: {described(error)}"
                )
                if not isinstance(error, AssertionError):
                    break
        tally.calls = world.calls()
    tally.seconds = time.perf_counter() - started
    return tally


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Let the ids that are made at random be the same for the same seed."""
    ids = random.Random(f"ids of {seed}")
    with (
        patch.object(
            uuid,
            "uuid4",
            lambda: uuid.UUID(int=ids.getrandbits(128), version=4),
        ),
        patch.object(
            secrets, "token_hex", lambda size=32: ids.randbytes(size).hex()
        ),
    ):
        yield


def _step(world: World, rng: random.Random) -> None:
    process = world.process("a")
    second = world.process("b")
    process.begin()
    process.wire.plan = _interrupted_at_random(
        rng, unreliable(rng, SHARE), second
    )
    with suppress(*REFUSED, UNSURE, ProcessDiedError):
        rng.choice(_ACTS)(process)
    _happens(world, rng)
    world.clock.advance(rng.choice(_JUMPS))


def _interrupted_at_random(
    rng: random.Random, plan: Plan, other: Process
) -> Plan:
    def interrupted(call: Call, send: Send) -> Any:
        if rng.random() < INTERRUPTED:
            act_or_be_refused(rng.choice(_ACTS), other)
        return plan(call, send)

    return interrupted


def _happens(world: World, rng: random.Random) -> None:
    """Let the queue lose its messages, deliver some twice, or move them to the dead letters."""
    errs: list[Callable[[], None]] = [
        world.lose_messages,
        world.redrive,
        lambda: SECONDS["copies"](world.process()) and None,
        world.show_messages,
    ]
    if rng.random() < 0.1:
        rng.choice(errs)()


def _settle(world: World) -> None:
    process = world.process("a")
    process.begin()
    settle(world)
    # One that loses its run while it copies the feed, and dies, leaves copies until the next day.
    process.sweep_copies()
    check(world)
