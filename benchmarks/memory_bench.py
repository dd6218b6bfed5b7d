"""The largest feeds that are permitted, in machines of little memory: `make bench-memory`.

The sample tenant gets one feed, as large as ``deploy/relay.yaml`` permits, and packed as small as
it goes, in a control group of so much memory with the limits that the template gives such a task.
Nothing may be killed: a run succeeds, or ends with a clear code. Needs root, for the groups. Exit
status 1 where something was killed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tables
from relay_core.domain.limits import DEFAULT_LIMITS

ROOT = Path(__file__).resolve().parent.parent
GROUPS = Path("/sys/fs/cgroup/memory")
VENDOR = "granite_supply"
HEADER = "Item No.,Qty On Hand,Your Cost,MAP,List Price,Lead Time,Cond.,Manufacturer,Description,"
OF_CODE_MB = 400
"""What a task of ``deploy/relay.yaml`` keeps for the code."""
ROW_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Scene:
    """A machine, and a feed: MiB of memory, bytes that the feed unpacks to and may unpack to."""

    name: str
    memory_mb: int
    feed_bytes: int
    max_bytes: int


SCENES = (
    Scene(
        "sample tenant, a feed of 512 MiB, 2 GiB",
        2048,
        (512 << 20) - 4096,
        512 << 20,
    ),
    Scene(
        "a gzip of 1.9 GiB, 4 GiB",
        4096,
        int(1.9 * (1 << 30)),
        DEFAULT_LIMITS.feed_bytes,
    ),
)


def write_feed(path: Path, size: int) -> None:
    """Write a feed that unpacks to so many bytes, one text in every row."""
    cells = f",5,10.00,11.00,12.00,2,new,Granite,{'x' * (ROW_BYTES - 70)},2026-03-01 10:00\n"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(f"{HEADER}Last Updated\n".encode())
        for first in range(0, size // ROW_BYTES - 1, 1000):
            last = min(first + 1000, size // ROW_BYTES - 1)
            file.write(
                "".join(
                    f"G-{row:08}{cells}" for row in range(first, last)
                ).encode()
            )


@contextmanager
def group(memory_mb: int) -> Iterator[Path]:
    """Make a control group of so much memory; it ends with the block."""
    place = GROUPS / f"relay-bench-{os.getpid()}"
    place.mkdir()
    try:
        (place / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
        yield place
    finally:
        place.rmdir()


def play(scene: Scene, folder: Path) -> tuple[bool, tuple[str, ...]]:
    """Run a scene; return whether nothing was killed, and its row."""
    feed = folder / "feed.csv.gz"
    write_feed(feed, scene.feed_bytes)
    environment = {
        **os.environ,
        "RELAY_MAX_RUN_MEMORY_MB": str(scene.memory_mb - OF_CODE_MB),
        "RELAY_MAX_FEED_BYTES": str(scene.max_bytes),
    }
    out = folder / "out"
    run = [
        sys.executable,
        "scripts/local_run.py",
        "--tenant",
        "acme_parts",
        "--output-dir",
        out,
    ]
    run += ["--vendor-file", f"{VENDOR}={feed}"]
    with group(scene.memory_mb) as place:
        join = f"echo $$ > {place}/cgroup.procs && exec {shlex.join(map(str, run))}"
        began = time.perf_counter()
        process = subprocess.run(
            ["/bin/sh", "-c", join],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
        peak_mib = int((place / "memory.max_usage_in_bytes").read_text()) >> 20
        killed = "oom_kill 0" not in (place / "memory.oom_control").read_text()
    summary_file = next(out.rglob("run_summary.json"), None)
    summary = (
        {}
        if summary_file is None
        else json.loads(summary_file.read_text("utf-8"))
    )
    outcome = " ".join(
        str(summary.get(name) or "") for name in ("status", "error_code")
    )
    row = (
        f"{feed.stat().st_size:,}",
        str(process.returncode),
        outcome,
        f"{seconds:.0f}",
        f"{peak_mib:,}",
    )
    is_well = not killed and bool(summary)
    return is_well, (
        scene.name,
        *row,
        "no" if is_well else "yes: " + process.stderr[-300:],
    )


def main() -> int:
    """Play the scenes and print the table."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "--only", default="", help="scenes whose names hold this"
    )
    only = options.parse_args().only
    rows = []
    all_well = True
    for scene in SCENES:
        if only in scene.name:
            with tempfile.TemporaryDirectory() as folder:
                is_well, row = play(scene, Path(folder))
            all_well &= is_well
            rows.append(row)
    header = (
        "",
        "packed bytes",
        "exit status",
        "ended",
        "s",
        "most MiB",
        "killed",
    )
    print(f"{tables.machine()}\n\n{tables.table(header, rows)}")
    return int(not all_well)


if __name__ == "__main__":
    sys.exit(main())
