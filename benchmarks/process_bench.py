"""Whole processes, ours and peers', start-up and all: the second half of ``make bench``.

A user waits for a process, not for its work. Each is timed from outside: seconds on the wall, and
of the processor as the system counts them, children included. Ours are the local runner and the
process of a run in Dagster, which has embedded AWS beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.dagster_run import DagsterRuns, dagster_runs
from benchmarks.engine_bench import parsed_sizes
from benchmarks.feeds import Shape
from benchmarks.goals import (
    DAGSTER,
    DUCKDB,
    ENGINE,
    FLOOR,
    POLARS,
    WITHOUT_KERNEL,
    Goal,
    process_goals,
)
from benchmarks.rules import REQUESTED_AT, vendor_ids
from benchmarks.sitting import (
    MERGED_FEED,
    ROOT,
    DisagreementError,
    Process,
    Samples,
    check_agreement,
    file_sha256,
    generate,
    tell,
)

PEERS = {POLARS: "polars_streaming", DUCKDB: "duckdb_sql", FLOOR: "floor"}
LOCAL_RUN = ROOT / "scripts" / "local_run.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and the goals; return the exit status."""
    chosen = _options().parse_args(argv)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(tables.machine())
    results: dict[str, dict[str, Samples]] = {}
    reached: list[Goal] = []
    for label, rows in chosen.sizes:
        print(f"\n## Whole processes, {label} rows\n", flush=True)
        try:
            samples = _measure_size(rows, chosen)
        except DisagreementError as error:
            print(error, file=sys.stderr)
            return 1
        results[label] = samples
        reached += process_goals(rows, label, samples)
        print(tables.processes(samples, of=ENGINE), flush=True)
    measured = {
        label: {name: runs.as_rows() for name, runs in samples.items()}
        for label, samples in results.items()
    }
    (chosen.folder / "processes.json").write_text(
        tables.as_json(measured, reached), "utf-8"
    )
    if reached:
        print("\n## Goals\n", tables.goals(reached), sep="\n")
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--sizes", type=parsed_sizes, default="1,50k,1m,5m", help="rows"
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--dagster", type=int, default=1, help="0: no runs in Dagster"
    )
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


def _measure_size(rows: int, chosen: argparse.Namespace) -> dict[str, Samples]:
    """Run every process once a round, each round in the other direction."""
    # Three vendors cannot share a single row.
    shape = (
        Shape(rows=rows) if rows >= 3 else Shape(rows=rows, vendors=1, mapped=1)
    )
    with tempfile.TemporaryDirectory(
        prefix="relay-bench-", dir=chosen.folder
    ) as home:
        folder = Path(home, "feeds")
        out = Path(home, "written")
        generate(shape, folder)
        samples = {name: Samples() for name in (ENGINE, WITHOUT_KERNEL, *PEERS)}
        if chosen.dagster:
            samples[DAGSTER] = Samples()
            with dagster_runs(folder, Path(home, "stack")) as runs:
                _rounds(samples, folder, out, chosen.rounds, runs)
        else:
            _rounds(samples, folder, out, chosen.rounds, None)
    check_agreement(
        {n: runs for n, runs in samples.items() if n not in (FLOOR, DAGSTER)}
    )
    return samples


def _rounds(
    samples: Mapping[str, Samples],
    folder: Path,
    out: Path,
    rounds: int,
    runs: DagsterRuns | None,
) -> None:
    # The first round warms up what is read for the first time.
    for turn in range(-1, rounds):
        for name in samples if turn % 2 == 0 else reversed([*samples]):
            if name == DAGSTER:
                if runs is None:
                    raise ValueError("no Dagster to run in")
                measured = _in_dagster(runs)
            else:
                out.mkdir()
                measured = timed(_command(name, folder, out), out / MERGED_FEED)
                shutil.rmtree(out)
            if turn >= 0:
                samples[name].runs.append(measured)
            tell(f"round {turn + 1}/{rounds} {name}: {measured.wall_s:.2f} s")


def _command(name: str, folder: Path, out: Path) -> list[str]:
    if name in PEERS:
        return [
            sys.executable,
            "-m",
            "benchmarks.contenders",
            PEERS[name],
            str(folder),
            str(out),
        ]
    return [sys.executable, *runner(name), *local_options(folder, out)]


def runner(name: str) -> list[str]:
    """Return what Python runs for the engine, with the kernel or without it."""
    if name == WITHOUT_KERNEL:
        return ["-m", "benchmarks.engine_without_kernel"]
    return [str(LOCAL_RUN)]


def local_options(folder: Path, out: Path) -> list[str]:
    """Return the local runner's options for a folder of feeds."""
    feeds = [
        f"--vendor-file={vendor_id}={folder / f'{vendor_id}.csv'}"
        for vendor_id in vendor_ids(folder)
    ]
    options = [
        f"--config={folder / 'config.json'}",
        f"--output-dir={out}",
        "--run-id=bench",
    ]
    return [*options, f"--now={REQUESTED_AT}", *feeds]


def _in_dagster(runs: DagsterRuns) -> Process:
    run_id, command = runs.dispatch()
    measured = timed(command, None)
    if not runs.has_succeeded(run_id):
        raise RuntimeError(f"run {run_id} has not succeeded")
    return measured


def timed(command: Iterable[str], merged_feed: Path | None) -> Process:
    """Run a command to its end and return what it took.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    timer = [sys.executable, "-m", "benchmarks.timed_process", *command]
    process = subprocess.run(
        timer, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if process.returncode:
        print(process.stderr, file=sys.stderr)
    process.check_returncode()
    sha256 = None if merged_feed is None else file_sha256(merged_feed)
    return Process(**json.loads(process.stdout), merged_sha256=sha256)


if __name__ == "__main__":
    sys.exit(main())
