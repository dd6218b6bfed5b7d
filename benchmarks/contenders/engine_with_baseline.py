"""Our engine with a published feed to compare with: guards and changes are part of the work."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders.engine import status_of

BASELINE = "baseline.parquet"
OVERRIDES = "overrides.json"


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder against the baseline there, with its overrides, if it has any.

    Raises:
        RuntimeError: the run failed, or was held.
    """
    options = (
        [f"--overrides={folder / OVERRIDES}"]
        if (folder / OVERRIDES).exists()
        else []
    )
    if status_of(folder, out, f"--baseline={folder / BASELINE}", *options):
        raise RuntimeError(f"the run of {folder} failed")
