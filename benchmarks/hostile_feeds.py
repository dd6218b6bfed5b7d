"""``make bench-hostile``: the engine on hostile feeds beside clean ones of as many bytes.

A run that such a feed makes fail is measured to its end, like any other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.goals import hostile_goals
from benchmarks.hostile import CLEAN, FEEDS
from benchmarks.hostile_formats import MOST, PACKED_FEEDS
from benchmarks.sitting import ROOT, Entrant, interleave, tell


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals; return the exit status."""
    chosen = _options().parse_args(argv)
    folder = chosen.folder / "hostile"
    print(tables.machine(), flush=True)
    size = int(chosen.megabytes * 1e6)
    # The parent of a measured process must not have held the feeds itself.
    make = [
        sys.executable,
        "-m",
        "benchmarks.hostile_formats",
        str(size),
        str(folder),
    ]
    names = _names(chosen.only or [""])
    subprocess.run([*make, *names], cwd=ROOT, check=True)
    os.environ["RELAY_MAX_FEED_BYTES"] = str(MOST * size)
    entrants = [
        Entrant(name, "engine_either_way", folder / name) for name in names
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    shutil.rmtree(folder)
    reached = list(hostile_goals(samples))
    print(
        f"\n## Feeds of {chosen.megabytes:g} MB\n",
        tables.hostile(samples, base=CLEAN),
        sep="\n",
    )
    print("\n## Goals\n", tables.goals(reached), sep="\n")
    measured = {name: runs.as_rows() for name, runs in samples.items()}
    (chosen.folder / "hostile.json").write_text(
        tables.as_json(measured, reached), "utf-8"
    )
    return 0


def _names(parts: Sequence[str]) -> list[str]:
    """Return the feeds whose names hold any of these, and those that they are held beside."""
    feeds = (*FEEDS, *PACKED_FEEDS)
    chosen = [
        feed for feed in feeds if any(part in feed.name for part in parts)
    ]
    names = {
        CLEAN,
        *(feed.name for feed in chosen),
        *(feed.beside for feed in chosen),
    }
    return [feed.name for feed in feeds if feed.name in names]


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--megabytes", type=float, default=5.0, help="of each feed"
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--only",
        action="append",
        help="feeds whose names hold this; repeatable",
    )
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


if __name__ == "__main__":
    sys.exit(main())
