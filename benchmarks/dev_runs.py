"""Runs on the quiet stack of ``relay server dev``: what a user waits for after the button."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
from rich.console import Console

from benchmarks.goals import Goal
from benchmarks.run_timing import Instants, percentile
from benchmarks.sitting import tell
from benchmarks.subjects import ProductRuns
from relay_dagster.devstack import demo
from relay_dagster.devstack.processes import API, Stack

REST_SECONDS = 5.0
"""A run is asked for at any point of the five seconds between two of the daemon's looks."""
TOTAL_LIMIT = 2.5
EXECUTION_LIMIT = 1.0


class DemoRuns(ProductRuns):
    """Runs of the demo's tenant: three vendors, 4,128 rows, and a SKU map."""

    name = "the demo's tenant"

    def tenant(self, number: int) -> str:
        """Return the demo's tenant, whatever the number."""
        return demo.TENANT


@dataclass(frozen=True)
class DevRuns:
    """The instants of runs of the demo's tenant, and of runs of one row."""

    demo: Sequence[Instants]
    one_row: Sequence[Instants]

    @property
    def goals(self) -> list[Goal]:
        """What a user may wait for at most."""
        totals = [instants.total for instants in self.demo]
        executions = [instants.execution for instants in self.one_row]
        return [
            Goal(
                "POST to SUCCEEDED, the demo's tenant, p50",
                TOTAL_LIMIT,
                percentile(totals, 50),
                "s",
            ),
            Goal(
                "one row, from dequeued to ended, p50",
                EXECUTION_LIMIT,
                percentile(executions, 50),
                "s",
            ),
        ]


def measure(runs: int) -> DevRuns:
    """Start the stack, and time so many runs of both kinds, each after a first one."""
    console = Console(quiet=True)
    rng = random.Random(7)  # noqa: S311
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as home,
        demo.started_world(console, Stack(Path(home))) as world,
        dg.DagsterInstance.from_config(
            str(world.stack.dagster_home)
        ) as instance,
        httpx.Client(
            base_url=world.stack.url(API),
            headers={"X-API-Key": world.api_key},
            trust_env=False,
            timeout=60,
        ) as http,
    ):
        feeds = Path(home, "feeds")
        of_demo = DemoRuns(http, world.platform, instance, feeds)
        of_one_row = ProductRuns(http, world.platform, instance, feeds, rows=1)
        of_one_row.store_tenants(range(1))
        timed: dict[str, list[Instants]] = {}
        for subject in (of_demo, of_one_row):
            timed[subject.name] = instants_of_subject = []
            for number in range(-1, runs):
                time.sleep(rng.uniform(0, REST_SECONDS))
                instants = subject.time_one(0)
                if number >= 0:
                    instants_of_subject.append(instants)
                tell(
                    f"{number + 1}/{runs} {subject.name}: {instants.total:.2f} s"
                )
        return DevRuns(timed[of_demo.name], timed[of_one_row.name])
