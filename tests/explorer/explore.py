"""Goes through all of it, and prints what it went through: `make explore`, SEEDS, ONLY.

    python tests/explorer/explore.py [--seeds 1-8] [--only deaths,answers,pairs,random,states]

Exit status 1 where something does not hold; each such line says how to see it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
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
from explorer.random_worlds import random_world
from explorer.small_world import Model
from explorer.state_search import search
from explorer.world import new_world

_WAYS = ("deaths", "answers", "pairs", "random", "states")
_COURSE = {"deaths", "answers", "pairs"}
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


def all_states() -> Tally:
    """Search all states of a run; they count as worlds, the steps between them as calls."""
    started = time.perf_counter()
    found = search(Model(runs=1, faults=4))
    return Tally(found.states, found.steps, time.perf_counter() - started, found.broken)


def explore(ways: Sequence[str], seeds: Sequence[int], processes: int) -> int:
    """Go through all of it; print a row for each way and beginning. Return how much is broken."""
    rows: dict[tuple[str, str], Tally] = {}
    with ProcessPoolExecutor(processes) as pool:
        names = BEGINNINGS if _COURSE & {*ways} else ()
        begun = {name: pool.submit(explore_one, name, ways) for name in names}
        random = {seed: pool.submit(random_world, seed) for seed in seeds if "random" in ways}
        states = [pool.submit(all_states)] if "states" in ways else []
        for name, future in begun.items():
            rows |= {(way, name): tally for way, tally in future.result().items()}
        rows |= {("random", f"seed {seed}"): each.result() for seed, each in random.items()}
        for each in states:
            rows["states", "one run, 3 attempts, 4 faults"] = each.result()
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
    first, _, last = given.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    return 1 if explore(given.only.split(","), seeds, given.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
