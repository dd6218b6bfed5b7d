"""``make bench-lists``: whole processes over real price lists with number formats, beside Polars.

Each tenant's lists are repeated to about `--rows` rows. Before anything is timed, the contenders
must write the same feed, normalized files, and rejected rows, byte for byte. They must write the
same merged feed in every timed run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.goals import ENGINE, POLARS, WITHOUT_KERNEL, list_goals
from benchmarks.process_bench import local_options, runner, timed
from benchmarks.real_lists import LISTS, Written
from benchmarks.sitting import (
    MERGED_FEED,
    ROOT,
    DisagreementError,
    Samples,
    check_agreement,
    file_sha256,
    tell,
)

CONTENDERS = (ENGINE, WITHOUT_KERNEL, POLARS)
_FILES = ("outputs/*.csv", "normalized/*/*.csv", "reports/invalid_rows.csv")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and the goals; return the exit status."""
    chosen = _options().parse_args(argv)
    if not chosen.feeds.is_dir():
        print(f"{chosen.feeds} is not there. Set FEEDS_DIR.", file=sys.stderr)
        return 1
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(tables.machine(), flush=True)
    results: dict[str, dict[str, Samples]] = {}
    for tenant in chosen.only or LISTS:
        with tempfile.TemporaryDirectory(
            prefix="relay-bench-", dir=chosen.folder
        ) as home:
            try:
                results[tenant] = _measure(tenant, Path(home), chosen)
            except DisagreementError as error:
                print(error, file=sys.stderr)
                return 1
        print(tables.processes(results[tenant], of=ENGINE), flush=True)
    reached = list(list_goals(results))
    print("\n## Goals\n", tables.goals(reached), sep="\n")
    measured = {
        tenant: {name: runs.as_rows() for name, runs in samples.items()}
        for tenant, samples in results.items()
    }
    (chosen.folder / "lists.json").write_text(
        tables.as_json(measured, reached), "utf-8"
    )
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--only", action="append", choices=LISTS, help="repeatable"
    )
    options.add_argument(
        "--feeds",
        type=Path,
        default=os.environ.get("RELAY_FEEDS_DIR")
        or ROOT.parent / "shared" / "data",
        help="the folder of the real lists",
    )
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


def _measure(
    tenant: str, home: Path, chosen: argparse.Namespace
) -> dict[str, Samples]:
    """Run every contender once a round, each round in the other direction."""
    folder = home / "lists"
    written = _write(tenant, chosen, folder)
    rejected = _check_files(folder, home)
    print(
        f"\n## {tenant} ({LISTS[tenant]}), {written.times:,} times: "
        f"{written.rows:,} rows, {written.size / 2**20:,.0f} MiB, "
        f"{rejected:,} rejected\n",
        flush=True,
    )
    samples = {name: Samples() for name in CONTENDERS}
    out = home / "written"
    for turn in range(chosen.rounds):
        for name in CONTENDERS if turn % 2 == 0 else reversed(CONTENDERS):
            out.mkdir()
            measured = timed(_command(name, folder, out), out / MERGED_FEED)
            shutil.rmtree(out)
            samples[name].runs.append(measured)
            tell(
                f"round {turn + 1}/{chosen.rounds} {name}: {measured.wall_s:.2f} s"
            )
    check_agreement(samples)
    return samples


def _write(tenant: str, chosen: argparse.Namespace, folder: Path) -> Written:
    module = [sys.executable, "-m", "benchmarks.real_lists", tenant]
    process = subprocess.run(
        [*module, str(chosen.feeds), str(chosen.rows), str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Written(**json.loads(process.stdout))


def _check_files(folder: Path, home: Path) -> int:
    """Return the number of rejected rows, if all contenders write the same files.

    Raises:
        DisagreementError: They do not.
    """
    hashes = {}
    rejected = 0
    for name in CONTENDERS:
        out = home / "checked"
        out.mkdir()
        timed(_command(name, folder, out), None)
        hashes[name] = {
            str(path.relative_to(out)): file_sha256(path)
            for pattern in _FILES
            for path in sorted(out.glob(pattern))
        }
        if name == ENGINE:
            summary = (out / "reports/run_summary.json").read_text("utf-8")
            rejected = json.loads(summary)["invalid_rows"]
        shutil.rmtree(out)
    for name, files in hashes.items():
        if files != hashes[ENGINE]:
            raise DisagreementError(
                f"{folder}: the files of {name} and {ENGINE} differ:\n"
                f"{files}\n{hashes[ENGINE]}"
            )
    return rejected


def _command(name: str, folder: Path, out: Path) -> list[str]:
    if name == POLARS:
        contender = ["-m", "benchmarks.contenders", "polars_lists"]
        return [sys.executable, *contender, str(folder), str(out)]
    return [sys.executable, *runner(name), *local_options(folder, out)]


if __name__ == "__main__":
    sys.exit(main())
