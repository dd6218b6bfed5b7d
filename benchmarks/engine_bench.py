"""The work of the engine and of its peers on the same feeds: a half of ``make bench``.

Bytes in, every artifact of a successful run out. Before anything is timed, peers and engine must
write the same merged feed, and they must in every timed run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.goals import (
    CLEAN,
    DUCKDB,
    ENGINE,
    FLOOR,
    POLARS,
    Goal,
    Size,
    single_feed_goal,
    size_goals,
    variant_goals,
)
from benchmarks.sitting import (
    ROOT,
    DisagreementError,
    Entrant,
    Samples,
    check_agreement,
    generate,
    interleave,
    tell,
)

CONTENDERS = {
    ENGINE: "engine",
    "engine, work files": "engine_work_files",
    POLARS: "polars_streaming",
    DUCKDB: "duckdb_sql",
    "naive pandas": "naive_pandas",
    FLOOR: "floor",
}
SLOW = "naive pandas"
SMALL = 100_000
MILLION = 1_000_000
GIGABYTE = Shape(rows=11_700_000, vendors=1)
_PLAIN = Shape(rows=0, bad=0.0)
VARIANTS = {
    CLEAN: _PLAIN,
    "1 % bad rows": replace(_PLAIN, bad=0.01),
    "20 % bad rows": replace(_PLAIN, bad=0.2),
    "decimal comma, thousands, currency": replace(_PLAIN, european=True),
    "UTF-16": replace(_PLAIN, encoding="utf-16"),
    "no SKU map": replace(_PLAIN, mapped=0),
    "a SKU map of every SKU": replace(_PLAIN, mapped=1 << 40),
    "0.1 % ragged records": replace(_PLAIN, ragged=0.001),
    "a time zone with a clock change": replace(
        _PLAIN, timezone="America/Chicago"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and the goals; return the exit status."""
    chosen = _options().parse_args(argv)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(tables.machine())
    try:
        sizes = {
            rows: _measure_size(label, rows, chosen)
            for label, rows in chosen.sizes
        }
    except DisagreementError as error:
        print(error, file=sys.stderr)
        return 1
    reached = list(size_goals(sizes))
    results = {size.label: size.samples for size in sizes.values()}
    if chosen.variants:
        label, rows = chosen.variants
        results["variants"] = samples = _measure_variants(label, rows, chosen)
        reached += variant_goals(samples)
    if chosen.gigabyte:
        samples = _measure_gigabyte(chosen)
        results["1 GB"] = samples
        reached.append(single_feed_goal(samples[ENGINE]))
    _save(chosen.folder / "engine.json", results, reached)
    if reached:
        print("\n## Goals\n", tables.goals(reached), sep="\n")
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--sizes",
        type=parsed_sizes,
        default="100k,1m,5m",
        help="rows, in three feeds",
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--variants", type=_size, default="1m", help="rows of each; 0 is none"
    )
    options.add_argument(
        "--gigabyte", type=int, default=1, help="rounds with one feed of 1 GB"
    )
    options.add_argument("--folder", type=Path, default=ROOT / "out" / "bench")
    return options


def parsed_sizes(text: str) -> list[tuple[str, int]]:
    """Return the sizes of a list such as ``1,50k,5m``, each as it is written and in rows."""
    return [size for part in text.split(",") if (size := _size(part))]


def _size(text: str) -> tuple[str, int] | None:
    label = text.strip().lower()
    rows = float(label.rstrip("km")) * {"k": 1_000, "m": 1_000_000}.get(
        label[-1:], 1
    )
    return (label, int(rows)) if rows else None


def _measure_size(label: str, rows: int, chosen: argparse.Namespace) -> Size:
    print(f"\n## {label} rows in three feeds\n", flush=True)
    with _feeds(Shape(rows=rows), chosen.folder) as (folder, size):
        entrants = [
            Entrant(
                name,
                contender,
                folder,
                rounds=1 if rows > SMALL and name == SLOW else None,
            )
            for name, contender in CONTENDERS.items()
            if rows <= MILLION or name != SLOW
        ]
        if rows <= SMALL:  # warms up what is read for the first time, too
            first = interleave(entrants, 1, chosen.folder, lambda _: None)
            _check(first)
            print("all but the floor write the same merged feed, byte for byte")
        samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
        _check(samples)
    print("\n" + tables.contenders(samples, of=ENGINE, size=size), flush=True)
    return Size(label, rows, size, samples)


def _check(samples: Mapping[str, Samples]) -> None:
    check_agreement(
        {name: runs for name, runs in samples.items() if name != FLOOR}
    )


def _measure_variants(
    label: str, rows: int, chosen: argparse.Namespace
) -> dict[str, Samples]:
    print(f"\n## The engine on {label} rows of other kinds\n", flush=True)
    work = chosen.folder / "variants"
    entrants = []
    for place, (name, shape) in enumerate(VARIANTS.items()):
        generate(
            replace(shape, rows=rows, mapped=min(shape.mapped, rows)),
            work / str(place),
        )
        entrants.append(Entrant(name, "engine", work / str(place)))
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    shutil.rmtree(work)
    print("\n" + tables.variants(samples, base=CLEAN), flush=True)
    return samples


def _measure_gigabyte(chosen: argparse.Namespace) -> dict[str, Samples]:
    print("\n## One feed of 1 GB\n", flush=True)
    with _feeds(GIGABYTE, chosen.folder) as (folder, size):
        entrants = [Entrant(ENGINE, "engine", folder)]
        samples = interleave(entrants, chosen.gigabyte, chosen.folder, tell)
    print("\n" + tables.contenders(samples, of=ENGINE, size=size), flush=True)
    return samples


@contextmanager
def _feeds(shape: Shape, work: Path) -> Iterator[tuple[Path, int]]:
    """Lend a folder of feeds and say how many bytes they have."""
    folder = work / "feeds"
    try:
        yield folder, generate(shape, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save(
    path: Path,
    results: Mapping[str, Mapping[str, Samples]],
    reached: list[Goal],
) -> None:
    measured = {
        case: {name: runs.as_rows() for name, runs in samples.items()}
        for case, samples in results.items()
    }
    path.write_text(tables.as_json(measured, reached), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
