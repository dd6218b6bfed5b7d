"""``make bench-formats``: the engine on the same rows in every format, beside a CSV of them.

CPU time is that of the whole process. Memory is that of the run's process and of the one that
reads a workbook or a Parquet file for it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.formats import CSV, FORMATS
from benchmarks.goals import format_goals
from benchmarks.sitting import (
    ROOT,
    Entrant,
    check_agreement,
    generate,
    interleave,
    tell,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals; return the exit status."""
    chosen = _options().parse_args(argv)
    folder = chosen.folder / "formats"
    print(tables.machine(), flush=True)
    shape = Shape(rows=chosen.rows, bad=0.0, mapped=0)
    cells_mib = generate(shape, folder / CSV) / 2**20
    write = [sys.executable, "-m", "benchmarks.formats", str(folder)]
    subprocess.run(write, cwd=ROOT, check=True)
    names = [
        CSV,
        *(name for name in FORMATS if name in (chosen.only or FORMATS)),
    ]
    entrants = [Entrant(name, "engine", folder / name) for name in names]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    shutil.rmtree(folder)
    check_agreement(samples)
    reached = list(format_goals(samples, rows=chosen.rows, cells_mib=cells_mib))
    print(
        f"\n## {chosen.rows:,} rows\n",
        tables.variants(samples, base=CSV),
        sep="\n",
    )
    print("\n## Goals\n", tables.goals(reached), sep="\n")
    measured = {name: runs.as_rows() for name, runs in samples.items()}
    (chosen.folder / "formats.json").write_text(
        tables.as_json(measured, reached), "utf-8"
    )
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--only", action="append", choices=FORMATS, help="repeatable"
    )
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


if __name__ == "__main__":
    sys.exit(main())
