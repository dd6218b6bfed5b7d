"""What a sitting came to, as tables that read well in a terminal and in a document."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.goals import Goal
from benchmarks.sitting import Process, Samples

_PACKAGES = (
    "numpy",
    "pandas",
    "pandera",
    "pyarrow",
    "polars",
    "duckdb",
    "dagster",
)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns; all but the first are right-aligned."""
    cells = [list(header), *map(list, rows)]
    widths = [
        max(len(row[place]) for row in cells) for place in range(len(header))
    ]
    marks = [
        "-" * widths[0],
        *("-" * (width - 1) + ":" for width in widths[1:]),
    ]
    return "\n".join(
        _line(row, widths) for row in (cells[0], marks, *cells[1:])
    )


def as_json(measured: Mapping[str, object], reached: Iterable[Goal]) -> str:
    """Return what was measured, on which machine, and the goals, as a document to keep."""
    goals = [vars(goal) | {"met": goal.met} for goal in reached]
    return json.dumps(
        {"machine": machine(), "measured": measured, "goals": goals}, indent=1
    )


def contenders(samples: Mapping[str, Samples], *, of: str, size: int) -> str:
    """Return the table of one size: medians and spread, memory, and ``of``'s time by theirs."""
    header = (
        *("", "work s", "spread", "wall s", "CPU s", "import s"),
        *("peak MiB", "of input", f"{of} takes", "in CPU"),
    )
    rows = []
    for name, runs in samples.items():
        peak = max(runs.all("peak_mib"))
        times, cpu = (
            f"{samples[of].times(runs, figure):.2f} x"
            for figure in ("work_s", "cpu_s")
        )
        rows.append(
            (
                *(name, _seconds(runs.median("work_s")), _spread(runs)),
                *(
                    _seconds(runs.median(figure))
                    for figure in ("wall_s", "cpu_s", "import_s")
                ),
                *(f"{peak:,.0f}", f"{peak * 2**20 / size:.1f} x", times, cpu),
            )
        )
    return table(header, rows)


def processes(samples: Mapping[str, Samples], *, of: str) -> str:
    """Return the table of whole processes of one size, and ``of``'s time by theirs."""
    header = (
        "",
        "wall s",
        "spread",
        "CPU s",
        "to the first step",
        "peak MiB",
        f"{of} takes",
    )
    rows = []
    for name, runs in samples.items():
        first = [
            run.first_step_s for run in runs.runs if isinstance(run, Process)
        ]
        known_seconds = [seconds for seconds in first if seconds is not None]
        times, cpu = (
            f"{samples[of].times(runs, figure):.2f} x"
            for figure in ("wall_s", "cpu_s")
        )
        rows.append(
            (
                *(
                    name,
                    _seconds(runs.median("wall_s")),
                    _spread(runs, "wall_s"),
                ),
                _seconds(runs.median("cpu_s")),
                _seconds(statistics.median(known_seconds))
                if known_seconds
                else "",
                *(f"{max(runs.all('peak_mib')):,.0f}", times, cpu),
            )
        )
    return table((*header, "in CPU"), rows)


def variants(samples: Mapping[str, Samples], *, base: str) -> str:
    """Return the table of what the engine takes for feeds of other kinds."""
    header = (
        *("feeds", "work s", "spread", "CPU s", "peak MiB"),
        *(f"CPU of {base}", f"work of {base}"),
    )
    rows = (
        (
            *(name, _seconds(runs.median("work_s")), _spread(runs)),
            *(
                _seconds(runs.median("cpu_s")),
                f"{max(runs.all('peak_mib')):,.0f}",
            ),
            *(
                f"{runs.times(samples[base], figure):.2f} x"
                for figure in ("cpu_s", "work_s")
            ),
        )
        for name, runs in samples.items()
    )
    return table(header, rows)


def hostile(samples: Mapping[str, Samples], *, base: str) -> str:
    """Return the table of hostile feeds: time and memory, and how runs over them end."""
    header = (
        "feed",
        "work s",
        "spread",
        "peak MiB",
        "time",
        "memory",
        "the run",
    )
    rows = (
        (
            *(name, _seconds(runs.median("work_s")), _spread(runs)),
            f"{max(runs.all('peak_mib')):,.0f}",
            *(
                f"{runs.times(samples[base], figure):.2f} x"
                for figure in ("work_s", "peak_mib")
            ),
            "succeeds"
            if all(run.merged_sha256 for run in runs.runs)
            else "fails",
        )
        for name, runs in samples.items()
    )
    return table(header, rows)


def goals(reached: Iterable[Goal]) -> str:
    """Return the table of goals, met or not."""
    rows = (
        (
            goal.what,
            f"{goal.measured:.2f} {goal.unit}",
            f"<= {goal.limit:.2f} {goal.unit}",
            "met" if goal.met else "NOT MET",
        )
        for goal in reached
    )
    return table(("goal", "measured", "limit", ""), rows)


def machine() -> str:
    """Return a line about where and when this was measured."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_cpu_model()}), "
        f"{memory:.0f} GiB, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        f"{versions}"
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [
        cell.rjust(width)
        for cell, width in zip(row[1:], widths[1:], strict=True)
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float) -> str:
    return f"{value:.2f}"


def _spread(runs: Samples, what: str = "work_s") -> str:
    low = min(runs.all(what))
    high = max(runs.all(what))
    return f"{low:.2f}-{high:.2f}"
