"""The stack under load for an hour, with a plot of its processes' memory: `make soak MINUTES=`.

Runs follow one another, an upload now and then holds one, a webhook's receiver refuses, and callers
read. The sender of webhooks is a part of the code server. Exit status 1 where a process has grown
by more than 5 % after the first ten minutes (or the first third of a shorter soak).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from relay_dagster.devstack import demo
from relay_dagster.devstack.processes import (
    API,
    CODE,
    DAEMON,
    PROJECT_ROOT,
    Stack,
)
from support.sample_uploads import upload_tenth

WATCHED = {DAEMON: "daemon", CODE: "code server and sender", API: "API"}
COLOURS = ("#4c78a8", "#f58518", "#54a24b")
MAX_GROWTH_PCT = 5.0
WARM_MINUTES = 10.0
SAMPLE_SECONDS = 5.0
WIDTH = 900
HEIGHT = 420
MARGIN = 60
PATHS = (
    f"/v1/tenants/{demo.TENANT}",
    f"/v1/runs?tenant_id={demo.TENANT}",
    f"/v1/tenants/{demo.TENANT}/webhooks",
    "/v1/audit",
)
Samples = list[tuple[float, dict[str, float]]]
"""Minutes since the beginning, and the MiB of each process."""


def resident_mib(pid: int) -> float:
    """Return the memory of a process that no other shares with it by a file, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(facts["RssAnon"].split()[0]) / 1024


def soak(console: Console, world: demo.World, minutes: float) -> Samples:
    """Keep the stack busy; return what its processes took."""
    stack = world.stack
    samples = Samples()
    started = time.monotonic()
    hook = {
        "url": "http://127.0.0.1:9/hook",
        "events": ["run.succeeded", "run.held"],
    }
    api = world.session.api
    api.send("POST", f"/v1/tenants/{demo.TENANT}/webhooks", json=hook)
    pids = {
        name: process.pid
        for name in WATCHED
        if (process := stack.services[name].process)
    }
    run_id = ""
    runs = 0
    while (now := (time.monotonic() - started) / 60) < minutes:
        if not run_id or api.run(run_id).run.has_ended:
            runs += 1
            upload = upload_tenth if runs % 5 == 0 else demo.upload_samples
            upload(world.platform)
            run_id = api.start_run(demo.TENANT, [], None).run.run_id
        for path in PATHS:
            api.send("GET", path)
        samples.append(
            (now, {name: resident_mib(pid) for name, pid in pids.items()})
        )
        # This is the pace of the samples; nothing is waited for.
        time.sleep(SAMPLE_SECONDS)
    console.print(f"{runs} runs in {minutes:g} minutes")
    return samples


def growth(samples: Samples, name: str, warm: float) -> float:
    """Return by how many per cent a process has grown since it was warm, by medians of a tenth."""
    late = [sizes[name] for minute, sizes in samples if minute >= warm]
    part = max(len(late) // 10, 1)
    first = statistics.median(late[:part])
    last = statistics.median(late[-part:])
    return 100 * (last - first) / first


def plot(samples: Samples, grown: Mapping[str, float]) -> str:
    """Return the samples as a picture (SVG), a line for each process."""
    end = max(samples[-1][0], 0.1)
    top = 1.1 * max(max(sizes.values()) for _, sizes in samples)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(fraction * end, fraction * top, end, top)
        lines.append(
            f'<text x="{x:.0f}" y="{HEIGHT - 35}">{fraction * end:.3g} min</text>'
        )
        lines.append(f'<text x="5" y="{y:.0f}">{fraction * top:.0f} MiB</text>')
    for number, (name, label) in enumerate(WATCHED.items()):
        dots = (
            _place(minute, sizes[name], end, top) for minute, sizes in samples
        )
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        colour = COLOURS[number]
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        )
        lines.append(
            f'<text x="{MARGIN + 260 * number}" y="{HEIGHT - 10}" fill="{colour}">'
            f"{label}: {grown[name]:+.1f} %</text>"
        )
    return "\n".join([*lines, "</svg>", ""])


def _place(
    minute: float, mib: float, end: float, top: float
) -> tuple[float, float]:
    x = MARGIN + (WIDTH - 2 * MARGIN) * minute / end
    return x, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * mib / top


def write(samples: Samples, grown: Mapping[str, float], folder: Path) -> Path:
    """Write the samples as a table, and the picture of them; return where that is."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "soak.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["minute", *WATCHED])
        rows.writerows(
            [f"{at:.2f}", *(f"{sizes[name]:.1f}" for name in WATCHED)]
            for at, sizes in samples
        )
    picture = folder / "soak.svg"
    picture.write_text(plot(samples, grown))
    return picture


def main(arguments: Sequence[str]) -> int:
    """Soak, plot and judge; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args(arguments).minutes
    console = Console(highlight=False, soft_wrap=True)
    warm = min(WARM_MINUTES, minutes / 3)
    with (
        tempfile.TemporaryDirectory(prefix="relay-soak-") as home,
        demo.started_world(
            console, Stack(Path(home), {"RELAY_MAX_RUNS_PER_HOUR": "10000"})
        ) as world,
    ):
        samples = soak(console, world, minutes)
    grown = {name: growth(samples, name, warm) for name in WATCHED}
    picture = write(samples, grown, PROJECT_ROOT / "out")
    for name, label in WATCHED.items():
        first = samples[0][1][name]
        last = samples[-1][1][name]
        console.print(
            f"{label}: {first:.0f} MiB at first, {last:.0f} in the end; "
            f"{grown[name]:+.1f} % since minute {warm:g}"
        )
    console.print(f"drawn: {picture}")
    return 1 if max(grown.values()) > MAX_GROWTH_PCT else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
