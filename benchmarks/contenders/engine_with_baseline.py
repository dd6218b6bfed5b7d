"""Our engine with a published feed to compare with: guards and changes are part of the work."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders.engine import status_of

BASELINE = "baseline.parquet"


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder against the baseline there.

    Raises:
        RuntimeError: the run failed, or was held.
    """
    if status_of(folder, out, f"--baseline={folder / BASELINE}"):
        raise RuntimeError(f"the run of {folder} failed")
