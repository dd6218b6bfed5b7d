"""Our engine on feeds that it may refuse: a run that ends FAILED is as good as any."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from benchmarks.contenders.engine import status_of
from benchmarks.hostile import ENDS

_FAILED = 1


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder to either end.

    Raises:
        RuntimeError: the run did not come to the end that the feed is made for.
    """
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        status = status_of(folder, out)
    if status > _FAILED:
        raise RuntimeError(f"the run of {folder} was never begun")
    summary = json.loads(
        (out / "reports" / "run_summary.json").read_text("utf-8")
    )
    code = summary["error_code"] or ""
    expected = (folder / ENDS).read_text("utf-8")
    if code != expected:
        raise RuntimeError(
            f"the run of {folder} ended with {code!r}, and not with {expected!r}"
        )
