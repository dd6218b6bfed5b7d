"""What the stack uses of the processor while nothing happens: `make bench-idle`.

The product's Dagster processes run beside embedded AWS, bootstrapped and empty. After a minute of
starting up, the CPU seconds of each process are read from ``/proc`` at both ends of the measured
time. Embedded AWS is not counted: in the field it is somebody else's. Exit status 1 where the goal
is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.api_bench import ApiStack, cpu_seconds
from benchmarks.goals import Goal
from relay_dagster.devstack.processes import CODE, DAEMON, MOTO, WEBSERVER

COUNTED = (WEBSERVER, DAEMON, CODE)
GOAL_PERCENT = 6.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for how long to measure"
    )
    parser.add_argument(
        "--settle", type=float, default=60.0, help="seconds before that"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, ApiStack(Path(home)) as stack:
        stack.start(MOTO)
        stack.bootstrap()
        stack.start(CODE, WEBSERVER, DAEMON)
        time.sleep(options.settle)
        percent = idle_percent(stack, options.seconds)
    total = sum(percent[name] for name in COUNTED)
    rows = [
        (name, f"{share:.1f} %")
        for name, share in [*percent.items(), ("without moto", total)]
    ]
    print(tables.table(("process", "of a core"), rows))
    goal = Goal("idle stack", GOAL_PERCENT, total, "% of a core")
    print(
        f"goal: at most {goal.limit:g} {goal.unit}: {'met' if goal.met else 'MISSED'}"
    )
    return 0 if goal.met else 1


def idle_percent(stack: ApiStack, seconds: float) -> dict[str, float]:
    """Return what each process uses of a core, in percent, over some seconds."""
    names = (*COUNTED, MOTO)
    began = time.monotonic()
    before = {name: cpu_seconds(stack, name) for name in names}
    time.sleep(seconds)
    lasted = time.monotonic() - began
    return {
        name: 100 * (cpu_seconds(stack, name) - before[name]) / lasted
        for name in names
    }


if __name__ == "__main__":
    sys.exit(main())
