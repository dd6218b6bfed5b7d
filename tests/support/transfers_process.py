"""The process of `relay server transfers`, started on a served platform, and what it holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay_dagster.wiring import Platform

_MIB = 1024.0


@contextmanager
def transfers_process(platform: Platform) -> Iterator[subprocess.Popen[str]]:
    """Run the process, and end it."""
    settings = platform.settings
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": str(platform.clients.s3.meta.endpoint_url),
        "AWS_REGION": "us-east-1",
        "ARTIFACT_BUCKET": settings.artifact_bucket,
        "RUNS_TABLE": settings.runs_table,
        "TENANTS_TABLE": settings.tenants_table,
        "SQS_QUEUE_URL": settings.queue_url,
        "SQS_DLQ_URL": settings.dlq_url,
        "RELAY_PULL_ALLOW_LOOPBACK": "true",
        "RELAY_MAX_FEED_BYTES": str(settings.max_feed_bytes),
    }
    command = [sys.executable, "-m", "relay_dagster.cli", "server", "transfers"]
    with subprocess.Popen(
        command, env=variables, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def forget_peak(process_id: int) -> None:
    """Let the peak of a process's memory count from now on."""
    Path(f"/proc/{process_id}/clear_refs").write_text("5")


def memory_mib(process_id: int, name: str) -> float:
    """Return the resident memory (``VmRSS``) of a process, or its peak (``VmHWM``)."""
    status = Path(f"/proc/{process_id}/status").read_text()
    match = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert match is not None
    return int(match[1]) / _MIB
