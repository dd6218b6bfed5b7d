"""How long `relay runs verify --newest` and the doctor's hourly check take: `make bench-proof`.

Published runs of so many tenants lie in embedded AWS. The first part replays the newest run of each
tenant; the second examines records that have ended and feeds of tenants, as housekeeping does once
an hour. Goals are of whole sizes: 100 runs of 50,000 rows, 10,000 tenants with 200,000 records.
With fewer, a time is reckoned: that of a run beside others, that of a tenant. Embedded AWS answers
one call after the other and copies each item that a scan passes: its own seconds of the processor
stand apart, and those of the doctor are held to the goal. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks import tables
from benchmarks.api_bench import KEY, api_platform, cpu_seconds
from benchmarks.explain_bench import publish
from benchmarks.feeds import Shape, config_document, write_feeds
from benchmarks.goals import Goal
from benchmarks.stored_runs import put_many
from relay_core.domain.codes import RunStatus, Stage
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.dynamodb.run_writes import feed_item
from relay_dagster.devstack.processes import API, MOTO
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.maintenance.doctor import Extent, examine
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

RUNS = 100
ROWS = 50_000
TENANTS = 10_000
RECORDS = 200_000
VERIFY_SECONDS = 300.0
DOCTOR_SECONDS = 60.0
DOCTOR_MIB = 100.0
EVERY = RECORDS // TENANTS
FILES = 14  # a run of three vendors has as many


def main() -> int:
    """Measure once and print the table; exit status 1 where a goal is missed."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--tenants", type=int, default=TENANTS)
    chosen = options.parse_args()
    logging.getLogger("relay").setLevel(logging.ERROR)
    with api_platform() as (stack, platform, folder):
        _publish(platform, chosen.runs, folder)
        began_at, began_cpu = _verify(stack.url(API), 1)
        verified, verified_cpu = _verify(stack.url(API), chosen.runs)
        _fill(platform, chosen.tenants)
        served = cpu_seconds(stack, MOTO)
        examined, examined_cpu, mib = _examine(platform)
        served = cpu_seconds(stack, MOTO) - served
    # The command's start is the same for all sizes.
    per_run = max(verified - began_at, 0) / max(chosen.runs - 1, 1)
    proved = began_at + per_run * (RUNS - 1)
    size = chosen.tenants / TENANTS
    print(f"{tables.machine()}\n")
    header = (
        "",
        "measured",
        "s",
        "s at the goal's size",
        "own CPU s",
        "AWS's CPU s",
        "MiB",
    )
    figures = f"{examined_cpu:.1f}", f"{served:.1f}", f"{mib:.0f}"
    rows = [
        (
            "verify --newest",
            f"1 run of {ROWS:,} rows",
            f"{began_at:.1f}",
            "",
            f"{began_cpu:.1f}",
            "",
            "",
        ),
        (
            "",
            f"{chosen.runs} runs",
            f"{verified:.1f}",
            f"{proved:.0f}",
            f"{verified_cpu:.1f}",
            "",
            "",
        ),
        (
            "doctor",
            f"{chosen.tenants * EVERY:,} records",
            f"{examined:.1f}",
            f"{examined / size:.0f}",
            *figures,
        ),
    ]
    print(tables.table(header, rows))
    goals = [
        Goal(
            "verify --newest of 100 runs of 50,000 rows",
            VERIFY_SECONDS,
            proved,
            "s",
        ),
        Goal(
            "the doctor's own CPU, 10,000 tenants",
            DOCTOR_SECONDS,
            examined_cpu / size,
            "s",
        ),
    ]
    if size >= 1:
        goals.append(Goal("its growth", DOCTOR_MIB, mib, "MiB"))
    print(f"\n{tables.goals(goals)}")
    return int(not all(goal.met for goal in goals))


# --- relay runs verify --newest -------------------------------------------------------------------


def _publish(platform: Platform, runs: int, folder: Path) -> None:
    """Publish a feed of so many tenants, each by a run of the engine's own benchmark."""
    shape = Shape(rows=ROWS, mapped=0)
    write_feeds(shape, folder / "feeds")
    feeds = {
        name: (folder / "feeds" / f"{name}.csv").read_bytes()
        for name in shape.vendor_ids
    }
    for number in range(runs):
        publish(
            platform, config_document(shape), feeds, f"verified-{number:03}"
        )


def _verify(url: str, runs: int) -> tuple[float, float]:
    """Return the seconds of the command, and those of the processor that its processes took."""
    command = [
        sys.executable,
        "-m",
        "relay_dagster.cli",
        "runs",
        "verify",
        "--newest",
        "--json",
    ]
    command += ["--max-runs", str(runs)]
    environment = {**os.environ, "RELAY_API_URL": url, "RELAY_API_KEY": KEY}
    began = time.perf_counter()
    before = os.times()
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    if json.loads(process.stdout)["different"]:
        raise RuntimeError(process.stdout)
    return seconds, cpu


# --- relay server doctor --------------------------------------------------------------------------


def _fill(platform: Platform, tenants: int) -> None:
    """Store tenants' records that have ended, and feeds that are whole."""
    now = utc_now()
    key = "published/one/feed.csv"
    data = b"sku\n"
    platform.clients.s3.put_object(
        Bucket=platform.objects.bucket,
        Key=key,
        Body=data,
        ChecksumAlgorithm="SHA256",
    )
    records = [*_records(platform, tenants, now)]
    put_many(platform, records)
    sha256 = hashlib.sha256(data).hexdigest()
    feeds = (
        FeedPointer(
            record.tenant_id,
            (Publication(record.run_id, key, sha256, now, now, 1),),
            revision=1,
        )
        for record in records[:tenants]
    )
    platform.database.runs.write_all(
        {"PutRequest": {"Item": feed_item(feed)}} for feed in feeds
    )


def _records(
    platform: Platform, tenants: int, now: datetime
) -> Iterator[RunRecord]:
    examined = Extent(part=0)
    for number in range(tenants * EVERY):
        at = now - timedelta(hours=2 + number // tenants)
        keys = ArtifactKeys(str(uuid.uuid4()), f"tenant-{number % tenants:05}")
        artifacts = {
            f"normalized_{place}": keys.normalized(str(place))
            for place in range(FILES)
        }
        # Nobody asks for the artifacts of other runs.
        for key in artifacts.values() if examined.has(keys.run_id) else ():
            platform.objects.put(key, b"{}")
        yield RunRecord(
            run_id=keys.run_id,
            tenant_id=keys.tenant_id,
            requested_at=at,
            status=RunStatus.SUCCEEDED,
            stage=Stage.COMPLETE,
            attempt=1,
            started_at=at,
            finished_at=at,
            acknowledged_at=at,
            reports_written_at=at,
            artifacts=artifacts,
        )


def _examine(platform: Platform) -> tuple[float, float, float]:
    """Return the hourly check's seconds, those of the processor, and the growth in MiB."""
    # Resets the peak of the memory in use.
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _mib("VmRSS")
    began = time.perf_counter()
    cpu = time.process_time()
    findings = list(examine(platform, utc_now(), Extent(part=0)))
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    if findings:
        raise RuntimeError(
            f"{len(findings)} findings, the first: {findings[0]}"
        )
    return seconds, cpu, max(_mib("VmHWM") - before, 0.0)


def _mib(name: str) -> float:
    match = re.search(
        rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text("ascii")
    )
    return int(match[1]) / 1024 if match else 0.0


if __name__ == "__main__":
    sys.exit(main())
