"""The API under load, beside a FastAPI route that answers with a constant: `make bench-api`.

200 clients poll a run each and 20 list runs, each asking again as soon as it has its answer; then
220 ask for the constant. DynamoDB is moto, one process that answers one request after another: it
is the slowest part, and what a table in AWS is not. Also measured: the time from starting the
process to its first answer, and the memory that it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from benchmarks import tables
from benchmarks.goals import Goal
from benchmarks.run_timing import percentile
from relay_dagster.devstack.processes import (
    API,
    HOST,
    MOTO,
    Stack,
    free_port,
    port_answers,
)
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect

KEY = "bench-key"
POLLERS = 200
LISTERS = 20
CONSTANT = "constant"
STARTS = 5
_START_GOAL_SECONDS = 1.0
_MEMORY_GOAL_MB = 90.0
Groups = Mapping[str, Mapping[str, Any]]
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True)
class Load:
    """What one load came to: its groups of clients, and the CPU seconds of each process."""

    groups: Groups
    cpu_seconds: Mapping[str, float]

    @property
    def answers(self) -> int:
        """All answers."""
        return sum(len(group["taken"]) for group in self.groups.values())

    @property
    def errors(self) -> int:
        """Those that were not 200."""
        return sum(group["errors"] for group in self.groups.values())

    def costs(self) -> str:
        """Return what each process spent on an answer, as text."""
        per_answer = {
            name: spent * 1000 / self.answers
            for name, spent in self.cpu_seconds.items()
        }
        return ", ".join(
            f"{name} {milliseconds:.2f} ms"
            for name, milliseconds in per_answer.items()
        )


class ApiStack(Stack):
    """Embedded AWS, the API, and the constant beside it."""

    def __init__(self, home: Path) -> None:
        environment = {
            "API_KEYS": KEY,
            "RELAY_RATE_LIMIT_PER_MINUTE": "1000000",
            "RELAY_PUBLIC_URL": "http://127.0.0.1",
        }
        super().__init__(
            home, ports={CONSTANT: free_port()}, environment=environment
        )

    def bootstrap(self) -> None:
        """Create the bucket, tables and queues, and let the API know them."""
        command = [
            sys.executable,
            "-m",
            "relay_dagster.cli",
            "server",
            "bootstrap",
        ]
        process = subprocess.run(
            command,
            env=self.process_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for line in process.stdout.splitlines():
            name, _, value = shlex.split(line)[1].partition("=")
            self.environment[name] = value

    def command(self, name: str) -> list[str]:
        """Return the command line of a process."""
        if name == CONSTANT:
            port = str(self.ports[CONSTANT])
            return [
                sys.executable,
                "-m",
                "benchmarks.constant_api",
                self.host,
                port,
            ]
        return super().command(name)

    def probe(self, name: str) -> Callable[[], bool]:
        """Return the question whether a process is ready."""
        if name == CONSTANT:
            return lambda: port_answers(self.host, self.ports[CONSTANT])
        return super().probe(name)


@contextmanager
def api_platform() -> Iterator[tuple[ApiStack, Platform, Path]]:
    """Run embedded AWS and the API; yield the stack, the platform on it and a folder."""
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as folder,
        ApiStack(Path(folder)) as stack,
    ):
        stack.start(MOTO)
        stack.bootstrap()
        stack.start(API)
        # boto3 reads where AWS is by itself.
        os.environ.update(stack.process_environment())
        yield stack, connect(Settings.from_env()), Path(folder)


def main() -> int:
    """Measure once and print the tables; exit status 1 where an answer was wrong."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "--seconds", type=float, default=60, help="of each of the two loads"
    )
    chosen = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as folder,
        ApiStack(Path(folder)) as stack,
    ):
        stack.start(MOTO)
        stack.bootstrap()
        starts = [_start_up(stack) for _ in range(STARTS)]
        at_rest = _memory_mb(stack, "VmRSS")
        runs = [
            _order_run(stack, f"tenant-{number:03}")
            for number in range(POLLERS)
        ]
        polls = [f"/v1/runs/{run_id}" for run_id in runs]
        groups = {"poll": polls, "list": ["/v1/runs?limit=20"] * LISTERS}
        api = _load(stack, API, groups, chosen.seconds)
        peak = _memory_mb(stack, "VmHWM")
        stack.start(CONSTANT)
        paths = {"constant": ["/constant"] * (POLLERS + LISTERS)}
        constant = _load(stack, CONSTANT, paths, chosen.seconds)
    print(f"{tables.machine()}\n")
    print(_answers({**api.groups, **constant.groups}, chosen.seconds))
    print(f"\nCPU per answer: {api.costs()}; {constant.costs()}")
    print(
        f"memory after start-up {at_rest:.0f} MB, most under load {peak:.0f} MB\n"
    )
    print(
        tables.goals(
            [
                Goal(
                    "start-up to the first answer",
                    _START_GOAL_SECONDS,
                    min(starts),
                    "s",
                ),
                Goal(
                    "start-up, median of 5",
                    _START_GOAL_SECONDS,
                    statistics.median(starts),
                    "s",
                ),
                Goal("RSS after start-up", _MEMORY_GOAL_MB, at_rest, "MB"),
                Goal("wrong answers", 0, api.errors + constant.errors, ""),
            ]
        )
    )
    return int(api.errors + constant.errors > 0)


def _start_up(stack: ApiStack) -> float:
    """Start the API anew; return the seconds from the start of the process to its first answer."""
    stack.stop(API)
    began = time.perf_counter()
    stack.start(API)
    return time.perf_counter() - began


def _memory_mb(stack: ApiStack, field: str) -> float:
    process = stack.services[API].process
    status = Path(
        f"/proc/{process.pid if process else 'self'}/status"
    ).read_text("ascii")
    line = next(
        line for line in status.splitlines() if line.startswith(f"{field}:")
    )
    return int(line.split()[1]) * 1024 / 1e6


def _order_run(stack: ApiStack, tenant_id: str) -> str:
    body = json.dumps(
        {"tenant_id": tenant_id, "run_type": "inventory_sync"}
    ).encode()
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    with _open(Request(f"{stack.url(API)}/v1/runs", body, headers)) as response:  # noqa: S310
        return str(json.load(response)["run_id"])


def _load(
    stack: ApiStack, name: str, groups: Mapping[str, Any], seconds: float
) -> Load:
    order = {
        **{
            "host": HOST,
            "port": stack.ports[name],
            "seconds": seconds,
            "groups": groups,
        },
        "headers": [f"X-API-Key: {KEY}"],
    }
    path = stack.home / "order.json"
    path.write_text(json.dumps(order), "utf-8")
    servers = (name, MOTO) if name == API else (name,)
    before = {server: cpu_seconds(stack, server) for server in servers}
    command = [sys.executable, "-m", "benchmarks.api_load", str(path)]
    process = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True
    )
    spent = {
        server: cpu_seconds(stack, server) - before[server]
        for server in servers
    }
    return Load(json.loads(process.stdout), spent)


def cpu_seconds(stack: ApiStack, name: str) -> float:
    """Return what a process of the stack has used of the processors since it started."""
    process = stack.services[name].process
    stat = Path(f"/proc/{process.pid if process else 'self'}/stat").read_text(
        "ascii"
    )
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _answers(groups: Groups, seconds: float) -> str:
    header = ("", "answers", "a second", "p50 ms", "p99 ms", "errors")
    rows = []
    for name, group in groups.items():
        latencies = group["taken"]
        p50, p99 = (
            percentile(latencies, percent) * 1000 for percent in (50, 99)
        )
        rate = len(latencies) / seconds
        rows.append(
            (
                name,
                f"{len(latencies):,}",
                f"{rate:,.0f}",
                f"{p50:.0f}",
                f"{p99:.0f}",
                group["errors"],
            )
        )
    return tables.table(header, [tuple(map(str, row)) for row in rows])


if __name__ == "__main__":
    sys.exit(main())
