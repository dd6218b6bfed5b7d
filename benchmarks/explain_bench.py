"""How long the API takes to explain a SKU of a large run: `make bench-explain`.

A run of a million rows of three vendors lies in embedded AWS; a real process of the API explains
SKUs of it, one after the other, with a tenant's key. Then a SKU that a feed repeats as often, which
is as much as there is to read. Told of both: the seconds, what the API's process grew by at the
most, and another tenant's slowest answer meanwhile. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import random
import sys
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks import tables
from benchmarks.api_bench import api_platform
from benchmarks.feeds import Shape, config_document, write_feeds
from benchmarks.goals import Goal
from benchmarks.hostile_requests import (
    HOSTILE,
    MAX_GROWTH_MIB,
    MAX_SECONDS,
    Attack,
    Callers,
    Harm,
    measure,
)
from benchmarks.run_timing import percentile
from relay_dagster import tags
from relay_dagster.devstack.processes import API
from relay_dagster.execution.attempt import Launch
from relay_dagster.execution.session import (
    ASSETS,
    FETCHED,
    MERGED,
    NORMALIZED,
    RunSession,
)
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.wiring import Platform

GOAL_SECONDS = 1.0
_SAME = "SAME"


def main() -> int:
    """Measure once and print the table; exit status 1 where a goal is missed."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument(
        "--skus", type=int, default=60, help="how many are explained"
    )
    chosen = options.parse_args()
    logging.getLogger("relay").setLevel(logging.ERROR)
    with (
        api_platform() as (stack, platform, folder),
        closing(Callers(stack.url(API))) as callers,
    ):
        callers.warm_up()
        repeated = publish(platform, *_repeated(chosen.rows))
        usual = publish(platform, *_usual(chosen.rows, folder))
        first, *skus = _skus(platform, usual, chosen.skus + 1)
        # The engine is loaded with it.
        measure(stack, _asked(usual, first), callers)
        harms = [measure(stack, _asked(usual, sku), callers) for sku in skus]
        longest = measure(stack, _asked(repeated, _SAME), callers)
    return _told(chosen.rows, harms, longest)


def _told(rows: int, harms: Sequence[Harm], most: Harm) -> int:
    seconds = [harm.seconds for harm in harms]
    worst = [*harms, most]
    print(f"{tables.machine()}\n")
    header = ("", "p50 s", "p95 s", "most s", "growth MiB", "other's slowest s")
    every = (f"{len(harms)} SKUs of {rows:,} rows", harms)
    table = [_row(*every), _row(f"a SKU of {rows:,} offers", [most])]
    print(tables.table(header, table))
    goals = [
        Goal(
            "a SKU explained, median",
            GOAL_SECONDS,
            percentile(seconds, 50),
            "s",
        ),
        Goal(
            "growth of the API",
            MAX_GROWTH_MIB,
            max(h.growth_mib for h in worst),
            "MiB",
        ),
        Goal(
            "another's answer",
            MAX_SECONDS,
            max(h.slowest_seconds for h in worst),
            "s",
        ),
        Goal(
            "wrong answers",
            0,
            sum(harm.statuses != "200" for harm in worst),
            "",
        ),
    ]
    print(f"\n{tables.goals(goals)}")
    return int(not all(goal.met for goal in goals))


def _row(name: str, harms: Sequence[Harm]) -> tuple[str, ...]:
    seconds = [harm.seconds for harm in harms]
    figures = (percentile(seconds, 50), percentile(seconds, 95), max(seconds))
    growth = max(h.growth_mib for h in harms)
    slowest = max(h.slowest_seconds for h in harms)
    return (
        name,
        *(f"{figure:.2f}" for figure in figures),
        f"{growth:.1f}",
        f"{slowest:.2f}",
    )


def _asked(run: RunRecord, sku: str) -> Attack:
    return Attack(
        sku, "GET", f"/v1/runs/{run.run_id}/explain?sku={quote(sku, safe='')}"
    )


def _usual(rows: int, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a config and the feeds of the engine's benchmark."""
    shape = Shape(rows=rows, mapped=0)
    write_feeds(shape, folder / "feeds")
    feeds = {
        name: (folder / "feeds" / f"{name}.csv").read_bytes()
        for name in shape.vendor_ids
    }
    return config_document(shape), feeds


def _repeated(rows: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a config and a feed that says the same SKU over and over."""
    shape = Shape(rows=rows, vendors=1, mapped=0)
    (vendor_id,) = shape.vendor_ids
    lines = (
        f"{_SAME},1,{number % 997}.5,,,Brand,a title of some words,3,2026-01-01\n"
        for number in range(rows)
    )
    header = "SKU,QTY,COST,MAP,MSRP,BRAND,TITLE,LEAD,UPDATED\n"
    return config_document(shape), {
        vendor_id: (header + "".join(lines)).encode()
    }


def publish(
    platform: Platform,
    config: dict[str, Any],
    feeds: dict[str, bytes],
    tenant: str = HOSTILE,
) -> RunRecord:
    """Take a run of these feeds to its end, as Dagster's assets do."""
    vendors = []
    for vendor in config["vendors"]:
        prefix = f"tenants/{tenant}/{uuid.uuid4()}/"
        platform.objects.put(f"{prefix}feed.csv", feeds[vendor["vendor_id"]])
        vendors.append(
            {**vendor, "inbound": {"type": "s3", "s3_prefix": prefix}}
        )
    document = {
        **config,
        "tenant_id": tenant,
        "vendors": vendors,
        "guards": {"mode": "off"},
    }
    platform.tenants.put(tenant, json.dumps(document))
    run_id = str(uuid.uuid4())
    active = platform.runs.lock(tenant)
    if active is not None and active.active_run_id:
        platform.ledger.request_cancel(active.active_run_id)
    platform.ledger.reserve(NewRun(run_id=run_id, tenant_id=tenant))
    platform.ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
    launch = Launch(
        "d", tenant, tags.run_tags(run_id, tenant, attempt=1), frozenset(ASSETS)
    )
    session = RunSession(platform, launch)
    try:
        with session.materializing(FETCHED):
            session.claim()
            session.load_config()
            session.pin_inputs()
        with session.materializing(NORMALIZED):
            session.claim()
            session.normalize(session.pin_inputs())
        with session.materializing(MERGED):
            session.claim()
            session.write(session.merge())
            session.attempt.end()
    finally:
        session.close()
    record = platform.runs.get(run_id)
    if record is None or record.published_at is None:
        raise RuntimeError(f"the run came to no feed: {record}")
    return record


def _skus(platform: Platform, run: RunRecord, count: int) -> list[str]:
    """Return some SKUs of a run's feed, the same of the same feed."""
    text = platform.objects.read(run.keys.merged_inventory("csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    return [row["sku"] for row in random.Random(7).sample(rows, count)]  # noqa: S311


if __name__ == "__main__":
    sys.exit(main())
