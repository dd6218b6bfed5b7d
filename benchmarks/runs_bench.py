"""``make bench-runs``: what a run costs beside an empty Dagster job, at rest and in a burst.

The same stack carries all of them in turn: embedded AWS, the API, a daemon and a code server for
each; nothing else differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import httpx

from benchmarks import dev_runs, tables
from benchmarks.bench_stack import (
    BARE,
    EMPTY,
    LAUNCHERS,
    LOADED,
    REDIS,
    WORKER,
    BenchStack,
    redis_server,
)
from benchmarks.goals import Goal
from benchmarks.run_timing import PHASES, Instants, percentile
from benchmarks.sitting import ROOT, tell
from benchmarks.subjects import EmptyJobs, ProductRuns, Subject
from relay_dagster.aws.provisioning.bootstrap import bootstrap
from relay_dagster.devstack.processes import API, CODE, DAEMON, MOTO
from relay_dagster.settings import Settings
from relay_dagster.wiring import connect

OURS = ProductRuns.name
NAMES = {LOADED: "empty job, our imports", BARE: "empty job, Dagster's imports"}
REST_SECONDS = 5.0
"""The daemon looks about every five seconds: a run is asked for at any point of that."""
BURST_TIMEOUT_SECONDS = 600
OVERHEAD_LIMIT = 1.15
ONE_MACHINE = "one machine"
CELERY = "Celery"
RATES = {ONE_MACHINE: 100, CELERY: 120}
"""Runs in a minute, if many tenants ask at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and the goal; return the exit status."""
    chosen = _options().parse_args(argv)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(tables.machine())
    results: dict[str, object] = {"machine": tables.machine()}
    if chosen.dev_runs:
        on_dev = dev_runs.measure(chosen.dev_runs)
        results["on relay server dev"] = asdict(on_dev)
        timed_on_dev = {"demo": on_dev.demo, "one row": on_dev.one_row}
        print(
            "\n## On a quiet `relay server dev`\n",
            _rest_table(timed_on_dev),
            tables.goals(on_dev.goals),
            sep="\n",
            flush=True,
        )
    with _started("default", chosen.concurrency) as subjects:
        if chosen.runs:
            timed = _at_rest(subjects, chosen.runs)
            results["at rest"] = {
                n: [asdict(i) for i in runs] for n, runs in timed.items()
            }
            print("\n## At rest\n", _rest_table(timed), sep="\n")
            print(
                "\n## Goals\n",
                tables.goals([_overhead(timed)]),
                sep="\n",
                flush=True,
            )
        bursts = {ONE_MACHINE: _bursts(subjects, chosen)}
    if chosen.burst and redis_server():
        with _started("celery", chosen.concurrency) as subjects:
            bursts[CELERY] = _bursts(subjects, chosen)
    if chosen.burst:
        results["runs a minute"] = bursts
        print(
            f"\n## {chosen.burst} at once, runs a minute\n",
            _burst_table(bursts),
            tables.goals(_burst_goals(bursts)),
            sep="\n",
        )
    (chosen.folder / "runs.json").write_text(
        json.dumps(results, indent=1), "utf-8"
    )
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--runs", type=int, default=20, help="of each kind, at rest; 0 is none"
    )
    options.add_argument(
        "--dev-runs",
        type=int,
        default=20,
        help="of the demo's tenant and of one row, on relay server dev; 0 is none",
    )
    options.add_argument(
        "--burst", type=int, default=50, help="tenants at once; 0 is none"
    )
    options.add_argument("--concurrency", type=int, default=os.cpu_count() or 2)
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


# --- the stack ------------------------------------------------------------------------------------


@contextmanager
def _started(launcher: str, concurrency: int) -> Iterator[list[Subject]]:
    """Start everything; lend our runs and the two empty jobs."""
    if launcher not in LAUNCHERS:
        raise ValueError(f"no launcher {launcher}")
    with ExitStack() as cleanup:
        home = Path(
            cleanup.enter_context(
                tempfile.TemporaryDirectory(prefix="relay-bench-")
            )
        )
        stack = cleanup.enter_context(
            BenchStack(home, launcher=launcher, concurrency=concurrency)
        )
        stack.start(MOTO)
        os.environ.update(stack.environment)
        stack.environment.update(bootstrap())
        stack.environment["API_KEYS"] = key = secrets.token_urlsafe(16)
        stack.environment["RELAY_MAX_RUNS_PER_HOUR"] = "1000000"
        os.environ.update(stack.environment)
        platform = connect(Settings.from_env())
        sqs = platform.clients.sqs
        urls = {
            name: sqs.create_queue(QueueName=f"bench-{name}")["QueueUrl"]
            for name in EMPTY
        }
        stack.add_queues(urls)
        if launcher == "celery":
            stack.start(REDIS)
            stack.start(WORKER)
        stack.start(API, CODE, *EMPTY, DAEMON)
        instance = dg.DagsterInstance.from_config(str(stack.dagster_home))
        cleanup.callback(instance.dispose)
        http = cleanup.enter_context(
            httpx.Client(
                base_url=stack.url(API),
                headers={"X-API-Key": key},
                trust_env=False,
                timeout=60,
            )
        )
        ours = ProductRuns(http, platform, instance, home / "feeds")
        empties = [
            EmptyJobs(NAMES[name], name, urls[name], sqs, instance)
            for name in NAMES
        ]
        yield [ours, *empties]


# --- one at a time --------------------------------------------------------------------------------


def _at_rest(
    subjects: Sequence[Subject], runs: int
) -> dict[str, list[Instants]]:
    """Time so many of each, one after the other, after a first of each that does not count."""
    _store_tenants(subjects, range(1))
    rng = random.Random(7)  # noqa: S311
    timed: dict[str, list[Instants]] = {
        subject.name: [] for subject in subjects
    }
    for number in range(-1, runs):
        for subject in subjects:
            time.sleep(rng.uniform(0, REST_SECONDS))
            instants = subject.time_one(
                0 if isinstance(subject, ProductRuns) else number
            )
            if number >= 0:
                timed[subject.name].append(instants)
            tell(f"{number + 1}/{runs} {subject.name}: {instants.total:.2f} s")
    return timed


def _store_tenants(subjects: Sequence[Subject], numbers: range) -> None:
    for subject in subjects:
        if isinstance(subject, ProductRuns):
            subject.store_tenants(numbers)


def _rest_table(timed: Mapping[str, Sequence[Instants]]) -> str:
    header = ("p50 seconds", *timed)
    phases = {
        name: [run.phases() for run in runs] for name, runs in timed.items()
    }
    rows = [
        (
            phase,
            *(
                f"{percentile([run_phases[phase] for run_phases in phases[n]], 50):.2f}"
                for n in timed
            ),
        )
        for phase in PHASES
    ]
    for percent in (50, 95):
        totals = (
            percentile([run.total for run in runs], percent)
            for runs in timed.values()
        )
        rows.append(
            (f"in all, p{percent}", *(f"{total:.2f}" for total in totals))
        )
    return tables.table(header, rows)


def _overhead(timed: Mapping[str, Sequence[Instants]]) -> Goal:
    ours, floor = (
        percentile([run.total for run in timed[name]], 50)
        for name in (OURS, NAMES[LOADED])
    )
    return Goal(
        "p50 of an empty job with our imports", OVERHEAD_LIMIT, ours / floor
    )


# --- many at once ---------------------------------------------------------------------------------


def _bursts(
    subjects: Sequence[Subject], chosen: argparse.Namespace
) -> dict[str, float]:
    """Ask for so many of each at once; return how many end in a minute."""
    if not chosen.burst:
        return {}
    numbers = range(100, 100 + chosen.burst)
    _store_tenants(subjects, numbers)
    return {subject.name: _burst(subject, numbers) for subject in subjects}


def _burst(subject: Subject, numbers: range) -> float:
    started = time.monotonic()
    for number in numbers:
        subject.ask(number)
    while (ended_count := subject.count_ended()) < len(numbers):
        if time.monotonic() - started > BURST_TIMEOUT_SECONDS:
            raise TimeoutError(
                f"{subject.name}: {ended_count} of {len(numbers)} have ended"
            )
        time.sleep(1)
    rate = 60 * len(numbers) / (time.monotonic() - started)
    tell(f"{len(numbers)} at once, {subject.name}: {rate:.0f} a minute")
    return rate


def _burst_table(bursts: Mapping[str, Mapping[str, float]]) -> str:
    names = [OURS, *NAMES.values()]
    rows = [
        (
            kind,
            *(f"{rates[name]:.0f}" for name in names),
            f"{rates[OURS] / rates[NAMES[LOADED]]:.2f} x",
        )
        for kind, rates in bursts.items()
    ]
    return tables.table(("", *names, "ours of the first"), rows)


def _burst_goals(bursts: Mapping[str, Mapping[str, float]]) -> list[Goal]:
    return [
        Goal(
            f"many at once, {kind}, for each run",
            60 / RATES[kind],
            60 / rates[OURS],
            "s",
        )
        for kind, rates in bursts.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
