"""What the engine is to reach, and whether it did, from one sitting's measurements."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.hostile import FEEDS
from benchmarks.hostile_formats import PACKED_FEEDS
from benchmarks.sitting import Samples

ENGINE = "engine"
POLARS = "Polars"
DUCKDB = "DuckDB"
FLOOR = "floor"
WITHOUT_KERNEL = "engine, no kernel"
DAGSTER = "engine, a run in Dagster"
CLEAN = "clean"
_MILLION = 1_000_000
_MORE_SECONDS = 1.0
_MORE_MIB = 64.0


@dataclass(frozen=True)
class Goal:
    """A limit, what was measured, and whether it holds."""

    what: str
    limit: float
    measured: float
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the limit holds."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Size:
    """One size's measurements: rows, bytes of its feeds, and the samples of each contender."""

    label: str
    rows: int
    size: int
    samples: Mapping[str, Samples]

    def seconds_a_row(self) -> float:
        """Return what the engine takes for one row."""
        return self.samples[ENGINE].median("work_s") / self.rows


def size_goals(sizes: Mapping[int, Size]) -> Iterator[Goal]:
    """Yield the goals against peers, of memory and of growth, for the sizes that were measured."""
    for rows in (_MILLION, 5 * _MILLION):
        if rows in sizes:
            yield from _against_peers(sizes[rows])
    if small := sizes.get(_MILLION):
        times = small.samples[ENGINE].times(small.samples[FLOOR])
        yield Goal("time of the floor, 1m", 3.0, times)
    if large := sizes.get(5 * _MILLION):
        peak = max(large.samples[ENGINE].all("peak_mib")) * 2**20
        yield Goal("peak memory against the input, 5m", 1.9, peak / large.size)
    if small and large:
        growth = large.seconds_a_row() / small.seconds_a_row()
        yield Goal("seconds a row, 5m against 1m", 1.15, growth)


def _against_peers(size: Size) -> Iterator[Goal]:
    engine = size.samples[ENGINE]
    for peer, limit in (
        (POLARS, 0.72 if size.rows == _MILLION else 0.68),
        (DUCKDB, 0.45),
    ):
        yield Goal(
            f"time of {peer}, {size.label}",
            limit,
            engine.times(size.samples[peer]),
        )


_PROCESS_LIMITS = {
    50_000: {POLARS: 1.5},
    _MILLION: {POLARS: 0.65, DUCKDB: 0.4, FLOOR: 2.5},
    5 * _MILLION: {POLARS: 0.45, DUCKDB: 0.35},
}


def process_goals(
    rows: int, label: str, samples: Mapping[str, Samples]
) -> Iterator[Goal]:
    """Yield the goals of whole processes of one size, start-up and all."""
    engine = samples[ENGINE]
    for peer, limit in _PROCESS_LIMITS.get(rows, {}).items():
        times = engine.times(samples[peer], "wall_s")
        yield Goal(f"whole process of {peer}, {label}", limit, times)
    if rows == 1:
        yield Goal("whole process, one row", 0.45, engine.median("wall_s"), "s")
        if DAGSTER in samples:
            first = samples[DAGSTER].median("first_step_s")
            yield Goal(
                "a run in Dagster: CPU to its first step", 1.1, first, "s"
            )


LIST_LIMIT = 0.8


def list_goals(
    results: Mapping[str, Mapping[str, Samples]],
) -> Iterator[Goal]:
    """Yield the goals of whole processes over real price lists: all of them, and each."""
    times = {
        name: samples[ENGINE].times(samples[POLARS], "wall_s")
        for name, samples in results.items()
    }
    median = statistics.median(times.values())
    yield Goal("time of Polars, real price lists", LIST_LIMIT, median)
    for name, ratio in times.items():
        yield Goal(f"time of Polars: {name}", LIST_LIMIT, ratio)


VARIANT_LIMITS = {
    "1 % bad rows": 1.2,
    "20 % bad rows": 2.0,
    "decimal comma, thousands, currency": 1.5,
    "UTF-16": 1.5,
    "a SKU map of every SKU": 1.5,
}


def variant_goals(samples: Mapping[str, Samples]) -> Iterator[Goal]:
    """Yield the goals of what feeds can be like, against a clean feed of as many rows."""
    for name, limit in VARIANT_LIMITS.items():
        if name in samples:
            yield Goal(
                f"time of a clean feed: {name}",
                limit,
                samples[name].times(samples[CLEAN]),
            )


def changes_goals(samples: Mapping[str, Samples], alone: str) -> Iterator[Goal]:
    """Yield the goals of runs with a baseline, against the same run without one."""
    for name, runs in samples.items():
        if name != alone:
            yield Goal(
                f"time without a baseline: {name}",
                1.15,
                runs.times(samples[alone]),
            )


def overrides_goals(
    samples: Mapping[str, Samples], neither: str
) -> Iterator[Goal]:
    """Yield the goals of a quarantine and of overrides, against the same run with neither."""
    for name, runs in samples.items():
        if name != neither:
            ratio = runs.times(samples[neither], "cpu_s")
            yield Goal(f"CPU time without: {name}", 1.05, ratio)


def channels_goals(
    samples: Mapping[str, Samples], alone: str, packed: str
) -> Iterator[Goal]:
    """Yield the goals of runs with channels, against the same run with one feed.

    Packing costs what it costs, so it has no goal.
    """
    for name, runs in samples.items():
        if name not in (alone, packed):
            ratio = runs.times(samples[alone], "cpu_s")
            yield Goal(f"CPU time of one feed: {name}", 1.5, ratio)


def changed_rows_goals(seconds: float) -> Iterator[Goal]:
    """Yield the goal of the changes of a large file."""
    yield Goal("time for 20,000 changed rows", 10.0, seconds, unit="s")


def rules_goals(samples: Mapping[str, Samples], alone: str) -> Iterator[Goal]:
    """Yield the goals of runs with rules of the tenant's own, against the same run without any."""
    for name, runs in samples.items():
        if name != alone:
            yield Goal(
                f"time without rules: {name}", 1.3, runs.times(samples[alone])
            )


def parts_goals(samples: Mapping[str, Samples]) -> Iterator[Goal]:
    """Yield the goals of a vendor's several files, against one file of the same rows."""
    limits = {
        "a price list and a stock file": ("one file", 1.6),
        "a full and its deltas": ("a full of the result", 1.5),
    }
    for name, (base, limit) in limits.items():
        times = samples[name].times(samples[base], "cpu_s")
        yield Goal(f"CPU of {base}: {name}", limit, times)


FORMAT_LIMITS = {
    "csv, gzip": 2.0,
    "jsonl": 2.5,
    "parquet": 1.0,
    "xlsx": 25.0,
}
DOCUMENT_LIMITS = {"json": 3.0, "xml": 4.0}
"""The CPU time of documents of `DOCUMENT_ROWS`, in times of that of a CSV file."""
DOCUMENT_ROWS = 100_000
_FORMAT_MEMORY = 1.5
_DOCUMENT_MIB = 100.0


def format_goals(
    samples: Mapping[str, Samples], *, rows: int, cells_mib: float
) -> Iterator[Goal]:
    """Yield the goals of formats, against a CSV file of the same rows.

    CPU time is user and system time of the whole process, its start included. Documents
    have a goal for feeds of `DOCUMENT_ROWS`, and their memory one for all feeds.

    Args:
        samples: The measurements of each format.
        rows: The number of rows of the feeds.
        cells_mib: The size of the cells, which a document's reader keeps, in MiB.
    """
    for name, limit in FORMAT_LIMITS.items():
        if name in samples:
            mine = samples[name]
            csv = samples["csv"]
            yield Goal(f"time of a CSV: {name}", limit, mine.times(csv))
            peak = max(mine.all("peak_mib")) / max(csv.all("peak_mib"))
            yield Goal(f"memory of a CSV: {name}", _FORMAT_MEMORY, peak)
    for name, limit in DOCUMENT_LIMITS.items():
        if name in samples:
            document = samples[name]
            csv = samples["csv"]
            if rows <= DOCUMENT_ROWS:
                times = document.times(csv, "cpu_s")
                yield Goal(f"CPU of a CSV: {name}", limit, times)
            most_mib = max(csv.all("peak_mib")) + cells_mib + _DOCUMENT_MIB
            peak_mib = max(document.all("peak_mib"))
            yield Goal(
                f"memory of a CSV and its cells: {name}",
                most_mib,
                peak_mib,
                "MiB",
            )


def hostile_goals(samples: Mapping[str, Samples]) -> Iterator[Goal]:
    """Yield the goals of hostile feeds, each against the feed that it is held beside.

    No more than three times its time and memory, and a second and 64 MiB.
    """
    for feed in (*FEEDS, *PACKED_FEEDS):
        if (
            feed.name != feed.beside
            and {feed.name, feed.beside} <= samples.keys()
        ):
            mine = samples[feed.name]
            theirs = samples[feed.beside]
            most_s = feed.time * theirs.median("work_s") + _MORE_SECONDS
            yield Goal(f"time: {feed.name}", most_s, mine.median("work_s"), "s")
            most_mib = 3.0 * max(theirs.all("peak_mib")) + _MORE_MIB
            yield Goal(
                f"memory: {feed.name}",
                most_mib,
                max(mine.all("peak_mib")),
                "MiB",
            )


def single_feed_goal(samples: Samples) -> Goal:
    """Return the goal of one feed of 1 GB."""
    peak = max(samples.all("peak_mib")) * 2**20 / 1e9
    return Goal("peak memory of one feed of 1 GB", 2.5, peak, "GB")
