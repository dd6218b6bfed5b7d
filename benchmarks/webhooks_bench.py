"""How soon webhooks arrive where one receiver of ten hangs: `make bench-webhooks`.

Two scenes, each of a thousand deliveries that are due at once, written straight into the store of
embedded AWS: a hundred tenants with a webhook at each of ten receivers, and a thousand tenants with
one webhook each, a tenth of them at the receiver that hangs. The sender is the real one and ticks
as its sensor does; the receivers are a process of their own. Told of each: the seconds until the
last of the nine hundred that can arrive has arrived, calls to AWS, what the sender's process used
of the processor meanwhile, and moto's. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import logging
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.api_bench import ApiStack, cpu_seconds
from benchmarks.goals import Goal
from relay_dagster.devstack.processes import HOST, MOTO
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import Settings
from relay_dagster.transfers.webhook_sender import Sender
from relay_dagster.webhooks.changes import Webhooks
from relay_dagster.webhooks.model import (
    EventType,
    Webhook,
    new_event,
    new_secret,
    new_webhook_id,
)
from relay_dagster.wiring import Platform, connect

RECEIVERS = 10
GOAL_SECONDS = 10.0
_MAX_SECONDS = 120.0
_STORING = 8


@dataclass(frozen=True)
class Scene:
    """So many tenants, each with so many webhooks; all of them go round the receivers."""

    name: str
    tenants: int
    webhooks: int

    def urls(self, tenant: int, ports: Sequence[int]) -> list[str]:
        """Return where a tenant's webhooks lead."""
        places = (
            tenant * self.webhooks + place for place in range(self.webhooks)
        )
        return [
            f"http://{HOST}:{ports[place % len(ports)]}/hook"
            for place in places
        ]

    @property
    def alive(self) -> int:
        """How many of its deliveries arrive."""
        return self.tenants * self.webhooks * (RECEIVERS - 1) // RECEIVERS


SCENES = (
    Scene("100 tenants, 10 webhooks each", 100, 10),
    Scene("1,000 tenants, 1 each", 1000, 1),
)


@dataclass(frozen=True)
class Cost:
    """What a scene came to."""

    scene: Scene
    seconds: float
    arrived: int
    calls: Counter[str]
    own_cpu: float
    moto_cpu: float
    ticks: int


class Receivers:
    """The process of receivers, and when it has answered."""

    def __init__(self) -> None:
        self.answered: list[float] = []
        command = [
            sys.executable,
            "-m",
            "benchmarks.webhook_receivers",
            str(RECEIVERS),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True
        )
        lines = iter(self._process.stdout or ())
        self.ports = [int(port) for port in next(lines, "").split()]
        if not self.ports:
            raise RuntimeError("the receivers did not start")
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.answered.append(float(line))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def main() -> int:
    """Measure both scenes and print the table; exit status 1 where a goal is missed."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "--share", type=int, default=1, help="one tenant in so many"
    )
    options.add_argument(
        "--profile",
        action="store_true",
        help="tell where ticks take their time",
    )
    chosen = options.parse_args()
    logging.getLogger("relay").setLevel(logging.CRITICAL)
    scenes = [
        Scene(scene.name, scene.tenants // chosen.share, scene.webhooks)
        for scene in SCENES
    ]
    costs = [_measure(scene, is_profiled=chosen.profile) for scene in scenes]
    print(f"{tables.machine()}\n")
    header = (
        "",
        "arrived",
        "last after s",
        "calls to AWS",
        "CPU s",
        "moto's CPU s",
        "ticks",
    )
    print(tables.table(header, [_row(cost) for cost in costs]))
    for cost in costs:
        print(f"\n{cost.scene.name}: {dict(cost.calls.most_common())}")
    reached = [
        Goal(f"seconds: {cost.scene.name}", GOAL_SECONDS, cost.seconds, "s")
        for cost in costs
    ] + [
        Goal(
            f"missing: {cost.scene.name}",
            0,
            cost.scene.alive - cost.arrived,
            "",
        )
        for cost in costs
    ]
    print(f"\n{tables.goals(reached)}")
    return int(not all(goal.met for goal in reached))


def _row(cost: Cost) -> tuple[str, ...]:
    figures = (cost.own_cpu, cost.moto_cpu)
    return (
        cost.scene.name,
        f"{cost.arrived:,}",
        f"{cost.seconds:.1f}",
        f"{cost.calls.total():,}",
        *(f"{figure:.1f}" for figure in figures),
        str(cost.ticks),
    )


def _measure(scene: Scene, *, is_profiled: bool) -> Cost:
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as folder,
        ApiStack(Path(folder)) as stack,
        contextlib.closing(Receivers()) as receivers,
    ):
        stack.start(MOTO)
        stack.bootstrap()
        # boto3 reads where AWS is by itself.
        os.environ.update(
            stack.process_environment(), RELAY_WEBHOOK_ALLOW_LOOPBACK="true"
        )
        platform = connect(Settings.from_env())
        _store(platform, scene, receivers.ports)
        calls = _counted(platform)
        own_cpu = time.process_time()
        moto_cpu = cpu_seconds(stack, MOTO)
        began = time.monotonic()
        with _profiled() if is_profiled else contextlib.nullcontext():
            ticks = _send(Sender(platform), scene, receivers)
        arrived = list(receivers.answered)
        return Cost(
            scene,
            max(arrived, default=began + _MAX_SECONDS) - began,
            len(arrived),
            calls,
            time.process_time() - own_cpu,
            cpu_seconds(stack, MOTO) - moto_cpu,
            ticks,
        )


def _send(sender: Sender, scene: Scene, receivers: Receivers) -> int:
    """Tick until all have arrived; return how many ticks those were."""
    until = time.monotonic() + _MAX_SECONDS
    ticks = 0
    while len(receivers.answered) < scene.alive and time.monotonic() < until:
        sender.run()
        ticks += 1
    return ticks


def _store(platform: Platform, scene: Scene, ports: Sequence[int]) -> None:
    """Store the tenants' webhooks, and an event of each tenant that is due."""

    def store_one(number: int) -> None:
        tenant_id = f"tenant-{number:04}"
        hooks = tuple(
            _webhook(tenant_id, url) for url in scene.urls(number, ports)
        )

        def rule(_: Webhooks) -> Webhooks:
            return hooks

        platform.webhooks.change(tenant_id, rule)
        now = utc_now()  # a webhook is told of nothing from before it was made
        data = {
            "run_id": f"run-{number}",
            "tenant_id": tenant_id,
            "status": "SUCCEEDED",
        }
        platform.webhooks.add_event(
            new_event(EventType.RUN_SUCCEEDED, tenant_id, data, now)
        )

    with ThreadPoolExecutor(_STORING) as pool:
        list(pool.map(store_one, range(scene.tenants)))


def _webhook(tenant_id: str, url: str) -> Webhook:
    return Webhook(
        webhook_id=new_webhook_id(),
        tenant_id=tenant_id,
        url=url,
        events=(EventType.RUN_SUCCEEDED,),
        secret=new_secret(),
        created_at=utc_now(),
    )


def _counted(platform: Platform) -> Counter[str]:
    """Return the calls to DynamoDB from now on, by their operations."""
    calls: Counter[str] = Counter()
    lock = threading.Lock()

    def count(model: Any, **_: Any) -> None:
        with lock:
            calls[model.name] += 1

    platform.clients.dynamodb.meta.events.register("before-call", count)
    return calls


@contextlib.contextmanager
def _profiled() -> Iterator[None]:
    """Tell where this thread takes its time; calls to receivers have threads of their own."""
    profile = cProfile.Profile()
    with profile:
        yield
    pstats.Stats(profile, stream=sys.stdout).sort_stats(
        "cumulative"
    ).print_stats(30)


if __name__ == "__main__":
    sys.exit(main())
