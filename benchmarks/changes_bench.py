"""``make bench-changes``: what it costs to compare a feed with the published one.

The same feeds without a baseline, and with two: one of which every price is another, and one that
is the feed itself. All is in it: the baseline is read, both feeds are joined, the guards are
judged, changes.csv is written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import tables
from benchmarks.contenders.engine import status_of
from benchmarks.contenders.engine_with_baseline import BASELINE
from benchmarks.feeds import Shape
from benchmarks.goals import changes_goals
from benchmarks.sitting import (
    Entrant,
    check_agreement,
    generate,
    interleave,
    options_of,
    tell,
)

ALONE = "no baseline"
ANOTHER = "another feed"
SAME = "the same feed"
_STATE = Path("published", "state.parquet")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "changes")
    # Of a million SKUs
    options.set_defaults(rows=1_500_000)
    chosen = options.parse_args(argv)
    print(tables.machine())
    shape = Shape(rows=chosen.rows)
    folders = {
        name: chosen.folder / str(place)
        for place, name in enumerate((ANOTHER, SAME))
    }
    _prepare(folders, shape, chosen.folder)
    entrants = [
        Entrant(ALONE, "engine", folders[SAME]),
        *(
            Entrant(name, "engine_with_baseline", folder)
            for name, folder in folders.items()
        ),
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    check_agreement(samples)
    print("\n" + tables.variants(samples, base=ALONE), flush=True)
    print(
        "\n## Goals\n",
        tables.goals(list(changes_goals(samples, ALONE))),
        sep="\n",
    )
    return 0


def _prepare(folders: Mapping[str, Path], shape: Shape, work: Path) -> None:
    """Write the feeds into both folders, and into each what it is compared with."""
    for name, folder in folders.items():
        before = work / "before"
        generate(
            replace(shape, seed=shape.seed + 1) if name == ANOTHER else shape,
            before,
        )
        if status_of(before, work / "earlier"):
            raise RuntimeError(f"the run of {before} failed")
        generate(shape, folder)
        (work / "earlier" / _STATE).replace(folder / BASELINE)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["guards"] = {"mode": "warn"}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
