"""More than one machine, as `make cluster` has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.integration
def test_runs_spread_over_workers_and_a_killed_one_loses_nothing() -> None:
    process = subprocess.run(
        [sys.executable, "tests/cluster/rehearsal.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
