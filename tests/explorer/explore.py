"""Goes through all of it, and prints what it went through: `make explore`, SEEDS, ONLY.

    python tests/explorer/explore.py [--seeds 1-8] [--only deaths,answers,pairs,random,states]

Exit status 1 where something does not hold; each such line says how to see it again. An exception
that nobody expects counts as broken, with its traceback, and the rest goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from rich.console import Console
from rich.table import Table

from explorer.acts import BEGINNINGS, SECONDS
from explorer.exploring import Explorer, Tally, described
from explorer.random_worlds import random_world
from explorer.small_world import Model
from explorer.state_search import search
from explorer.world import new_world

_WAYS = ("deaths", "answers", "pairs", "random", "states")
_COURSE = {"deaths", "answers", "pairs"}
STATES = {
    "2 runs, 3 attempts, 2 copies": Model(),
    "3 runs, 2 attempts, 1 copy": Model(runs=3, attempts=2, copies=1),
}
"""What is searched to the end, with as many faults as can happen."""
_AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def explore_one(name: str, ways: Sequence[str]) -> dict[str, Tally]:
    """Go through one beginning; return what was gone through, by the way."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    with new_world() as world:
        explorer = Explorer(world, name)
        if "deaths" in ways:
            tallies["deaths"] = explorer.deaths()
        if "answers" in ways:
            tallies["answers"] = explorer.lost_answers()
        for second in SECONDS if "pairs" in ways else ():
            tallies["pairs"].add(explorer.pairs(second))
    return tallies


def all_states(name: str) -> Tally:
    """Search all states of a model; they count as worlds, the steps between them as calls."""
    started = time.perf_counter()
    result = search(STATES[name])
    return Tally(
        result.states,
        result.steps,
        time.perf_counter() - started,
        result.broken,
    )


def explore(ways: Sequence[str], seeds: Sequence[int], processes: int) -> int:
    """Go through all of it; print a row for each way and beginning. Return how much is broken."""
    rows: dict[tuple[str, str], Tally] = {}
    names = BEGINNINGS if _COURSE & {*ways} else ()
    seeds = seeds if "random" in ways else ()
    models = STATES if "states" in ways else ()
    with ProcessPoolExecutor(processes) as pool:
        parts: dict[tuple[str, str], Future[Any]] = {}
        parts |= {
            ("begins", name): pool.submit(explore_one, name, ways)
            for name in names
        }
        parts |= {
            ("random", f"seed {seed}"): pool.submit(random_world, seed)
            for seed in seeds
        }
        parts |= {
            ("states", name): pool.submit(all_states, name) for name in models
        }
        for (way, name), future in parts.items():
            rows |= _rows(way, name, future)
    return _show(rows)


def _rows(
    way: str, name: str, future: Future[Any]
) -> dict[tuple[str, str], Tally]:
    """Return the rows of a part; one that could not be gone through to the end is broken."""
    error = future.exception()
    if error is not None:
        return {(way, name): Tally(broken=[f"{name}: {described(error)}"])}
    result = future.result()
    tallies = {way: result} if isinstance(result, Tally) else result
    return {(kind, name): tally for kind, tally in tallies.items()}


def _show(rows: Mapping[tuple[str, str], Tally]) -> int:
    console = Console(width=100)
    table = Table("way", "part", "worlds", "calls", "seconds", "broken")
    total = Tally()
    for (way, name), tally in sorted(rows.items()):
        table.add_row(way, name, *_figures(tally))
        total.add(tally)
    table.add_row("all", "", *_figures(total))
    console.print(table)
    for line in total.broken:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return len(total.broken)


def _figures(tally: Tally) -> tuple[str, ...]:
    return (
        str(tally.worlds),
        str(tally.calls),
        f"{tally.seconds:.0f}",
        str(len(tally.broken)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and explore."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default=",".join(_WAYS), help="some of the ways"
    )
    parser.add_argument(
        "--seeds",
        default="1-8",
        type=seeds_of,
        help="of random worlds: 7, or 1-8, or 1,4,9",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    os.environ.update(_AWS)
    return (
        1
        if explore(options.only.split(","), options.seeds, options.processes)
        else 0
    )


def seeds_of(text: str) -> list[int]:
    """Return the seeds that are asked for: numbers and ranges of them, with commas between."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


if __name__ == "__main__":
    sys.exit(main())
