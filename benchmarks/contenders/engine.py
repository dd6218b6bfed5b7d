"""Our engine, through the local runner: the same code as a real run, Pandera's gate and all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

# The runner loads the engine when it needs it; here that is no part of the work.
import relay_core.library.runner  # noqa: F401
from benchmarks.rules import REQUESTED_AT, vendor_ids
from relay_dagster.local.command import main as run_locally


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder.

    Raises:
        RuntimeError: the run failed.
    """
    if status_of(folder, out):
        raise RuntimeError(f"the run of {folder} failed")


def status_of(folder: Path, out: Path, *more: str) -> int:
    """Run the tenant of this folder; return the runner's exit status: 1 where the run failed.

    ``more`` are other options of the runner.
    """
    files = {
        vendor_id: [f"{vendor_id}.csv"] for vendor_id in vendor_ids(folder)
    }
    listed = folder / "files.json"
    if listed.exists():
        files = json.loads(listed.read_text("utf-8"))
    feeds = [
        f"--vendor-file={name}={folder / file}"
        for name, names in files.items()
        for file in names
    ]
    catalog = folder / "catalog.csv"
    if catalog.exists():
        feeds.append(f"--vendor-file=catalog={catalog}")
    options = [
        f"--config={folder / 'config.json'}",
        f"--output-dir={out}",
        "--run-id=bench",
        *more,
    ]
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        return run_locally([*options, f"--now={REQUESTED_AT}", *feeds])
