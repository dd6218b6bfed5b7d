"""What one run of 100 rows does in its process: ``python -m benchmarks.run_steps``.

Each run is a fresh process with all code loaded and no Dagster around it, on embedded AWS that is a
process of its own. Counted is what the main thread does: the first of boto3's clients, calls that
nothing is done beside, and the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

from benchmarks import tables
from benchmarks.feeds import Shape, write_feeds
from benchmarks.sitting import ROOT
from benchmarks.subjects import stored_tenant
from relay_dagster import definitions, tags  # noqa: F401  # all that a run's process loads
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning.bootstrap import bootstrap
from relay_dagster.devstack.processes import MOTO, Stack
from relay_dagster.execution.attempt import Launch
from relay_dagster.execution.session import (
    ASSETS,
    FETCHED,
    MERGED,
    NORMALIZED,
    RunSession,
)
from relay_dagster.runs.model import NewRun
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect

_TENANT = "bench"


def main(argv: Sequence[str] | None = None) -> int:
    """Time some runs and print the median of each part; return the status."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--runs", type=int, default=15)
    options.add_argument("--run-id", help=argparse.SUPPRESS)
    chosen = options.parse_args(argv)
    if chosen.run_id:
        print(json.dumps(_timed(chosen.run_id)))
        return 0
    print(tables.machine())
    with (
        tempfile.TemporaryDirectory(prefix="relay-steps-") as home,
        Stack(Path(home)) as stack,
    ):
        stack.start(MOTO)
        os.environ.update(stack.environment)
        os.environ.update(bootstrap())
        platform = connect(Settings.from_env())
        _store_tenant(platform, Path(home, "feeds"))
        spent = [_in_a_process(platform) for _ in range(chosen.runs + 1)][1:]
    for part in spent[0]:
        print(
            f"{part:38} {statistics.median(parts[part] for parts in spent):6.0f}"
        )
    return 0


def _store_tenant(platform: Platform, folder: Path) -> None:
    shape = Shape(rows=100, vendors=1, mapped=0)
    write_feeds(shape, folder)
    document, prefix = stored_tenant(shape, _TENANT)
    platform.tenants.put(_TENANT, json.dumps(document))
    platform.objects.put(
        f"{prefix}feed.csv", (folder / "vendor_1.csv").read_bytes()
    )


def _in_a_process(platform: Platform) -> Mapping[str, float]:
    """Dispatch a run and have a fresh process execute it; return what it says of its time."""
    run_id = str(uuid.uuid4())
    request = NewRun(run_id=run_id, tenant_id=_TENANT, config_version=1)
    platform.ledger.reserve(request)
    platform.ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
    command = [sys.executable, "-m", "benchmarks.run_steps", "--run-id", run_id]
    process = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    )
    parts: Mapping[str, float] = json.loads(process.stdout.splitlines()[-1])
    return parts


def _timed(run_id: str) -> Mapping[str, float]:
    """Execute a dispatched run; return milliseconds, and how many calls they were spent on."""
    making = _Timer()
    waiting = _Timer()
    Clients._client = making.around(Clients._client)  # type: ignore[method-assign]
    BaseClient._make_api_call = waiting.around(BaseClient._make_api_call)
    launch = Launch(
        "d",
        _TENANT,
        tags.run_tags(run_id, _TENANT, attempt=1),
        frozenset(ASSETS),
    )
    started_at = time.perf_counter()
    session = RunSession(connect(Settings.from_env()), launch)
    with session.materializing(FETCHED):
        session.claim()
        session.load_config()
        session.pin_inputs()
    with session.materializing(NORMALIZED):
        session.claim()
        session.normalize(session.pin_inputs())
        session.stop_if_failed()
    with session.materializing(MERGED):
        session.claim()
        session.write(session.merge())
        session.attempt.end()
    session.close()
    spent = 1000 * (time.perf_counter() - started_at)
    return {
        "in all, ms": spent,
        "boto3's clients are made, ms": making.milliseconds,
        "calls to AWS, ms": waiting.milliseconds,
        "these calls": waiting.count,
        "the rest, and waiting for threads, ms": spent
        - making.milliseconds
        - waiting.milliseconds,
    }


class _Timer:
    """Counts the calls of a function on the main thread, and how long they take."""

    def __init__(self) -> None:
        self.count = 0
        self.milliseconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its calls counted."""

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            started_at = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                if threading.current_thread() is threading.main_thread():
                    self.count += 1
                    self.milliseconds += 1000 * (
                        time.perf_counter() - started_at
                    )

        return counted


if __name__ == "__main__":
    sys.exit(main())
