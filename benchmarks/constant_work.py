"""The local runner's CPU time by that of a constant work in the same process: ``make bench-quick``.

Continuous integration prints it and decides nothing by it: seconds differ from machine to machine,
this ratio by less. All of the process counts, its start too; only the constant work comes after.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ONE_RUN = "--one-run"


def main(argv: Sequence[str] | None = None) -> int:
    """Time some processes and print the median of their ratios; return the exit status."""
    from benchmarks.feeds import Shape
    from benchmarks.process_bench import local_options
    from benchmarks.sitting import generate

    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as home:
        folder = Path(home, "feeds")
        generate(Shape(rows=chosen.rows), folder)
        command = [sys.executable, "-m", "benchmarks.constant_work", ONE_RUN]
        command += local_options(folder, Path(home, "out"))
        timings = [_told(command) for _ in range(chosen.rounds)]
    run, constant = (
        statistics.median(timing[part] for timing in timings) for part in (0, 1)
    )
    ratio = statistics.median(timing[0] / timing[1] for timing in timings)
    print(
        f"{chosen.rows:,} rows, whole process: {run:.2f} s CPU, {ratio:.2f} x the constant work "
        f"of {constant:.2f} s"
    )
    return 0


def _told(command: Sequence[str]) -> tuple[float, float]:
    process = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    run, constant = json.loads(process.stdout)
    return run, constant


def one_run(options: Sequence[str]) -> None:
    """Run the local runner, then the constant work; print the seconds of CPU of both."""
    from relay_dagster.local.command import main as run_locally

    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        status = run_locally(options)
    if status:
        raise RuntimeError(f"the run ended with {status}")
    run = _cpu_seconds()
    work()
    print(json.dumps([run, _cpu_seconds() - run]))


def work() -> int:
    """Do what takes about half a second: numbers in a loop of the interpreter."""
    return sum(number * number % 7 for number in range(6_000_000))


def _cpu_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


if __name__ == "__main__":
    if sys.argv[1:2] == [ONE_RUN]:
        one_run(sys.argv[2:])
    else:
        sys.exit(main())
