"""Goes through all of it, and prints what it went through: `make explore`, SEEDS, ONLY.

    python tests/explorer/explore.py [--seeds 1,2,3] [--only deaths,answers,pairs,random]

Exit status 1 where something does not hold; each such line says how to see it again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from rich.console import Console
from rich.table import Table

from explorer.acts import BEGINNINGS, SECONDS
from explorer.exploring import Explorer, Tally
from explorer.world import new_world

_WAYS = ("deaths", "answers", "pairs")
_AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def explore_one(name: str, ways: Sequence[str]) -> dict[str, Tally]:
    """Go through one beginning; return what was gone through, by the way."""
    found: dict[str, Tally] = defaultdict(Tally)
    with new_world() as world:
        explorer = Explorer(world, name)
        if "deaths" in ways:
            found["deaths"] = explorer.deaths()
        if "answers" in ways:
            found["answers"] = explorer.lost_answers()
        for second in SECONDS if "pairs" in ways else ():
            found["pairs"].add(explorer.pairs(second))
    return found


def explore(ways: Sequence[str], processes: int) -> int:
    """Go through all of it; print a row for each way and beginning. Return how much is broken."""
    rows: dict[tuple[str, str], Tally] = {}
    with ProcessPoolExecutor(processes) as pool:
        futures = {name: pool.submit(explore_one, name, ways) for name in BEGINNINGS}
        for name, future in futures.items():
            rows |= {(way, name): tally for way, tally in future.result().items()}
    return _show(rows)


def _show(rows: Mapping[tuple[str, str], Tally]) -> int:
    console = Console(width=100)
    table = Table("what", "who", "worlds", "calls", "seconds", "broken")
    total = Tally()
    for (way, name), each in sorted(rows.items()):
        table.add_row(way, name, *_figures(each))
        total.add(each)
    table.add_row("all", "", *_figures(total))
    console.print(table)
    for line in total.broken:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return len(total.broken)


def _figures(tally: Tally) -> tuple[str, ...]:
    return str(tally.worlds), str(tally.calls), f"{tally.seconds:.0f}", str(len(tally.broken))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and explore."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(_WAYS), help="some of the ways")
    parser.add_argument("--seeds", default="1-8", help="of random worlds: 7, or 1-8")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    os.environ.update(_AWS)
    return 1 if explore(given.only.split(","), given.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
