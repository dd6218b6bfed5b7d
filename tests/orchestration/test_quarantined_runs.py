"""Prices that cannot be right, through the whole system: kept back, accepted, confirmed."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import RunRecord
from relay_dagster.webhooks.run_events import run_data
from support.api_world import ApiWorld
from support.builders import feed, vendor_document
from support.fakes import FakeClock, embedded_platform
from support.run_world import TENANT, World, column_of

RUNS = [f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in range(9)]
NAMES = [f"S{number:04}" for number in range(1000)]
NINE = NAMES[10:19]
THREE = NAMES[10:13]
SIX = NAMES[13:19]
LOW = dict.fromkeys(NINE, "13.19")


@pytest.fixture
def world(clock: FakeClock) -> Iterator[World]:
    with (
        embedded_platform(clock) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        world = World(platform, instance)
        world.store_config(
            vendor_document("vendor_1"),
            guards={"quarantine": {}},
            output={"columns": ["sku", "price"]},
        )
        yield world


def sync(
    world: World, n: int, changed: Mapping[str, str] | None = None
) -> RunRecord:
    """Upload all SKUs, some with another price, and run."""
    rows = ({**dict.fromkeys(NAMES, "131.99"), **(changed or {})}).items()
    world.upload(
        "vendor_1",
        feed(*(f"{sku},5,{price}" for sku, price in rows)),
        name=f"{n}.csv",
    )
    world.run(RUNS[n])
    return world.record(RUNS[n])


def published(world: World) -> dict[str, str]:
    """Return the prices of the live feed."""
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    text = world.platform.objects.read(pointer.in_force.key).decode()
    return {
        row["sku"]: row["price"] for row in csv.DictReader(io.StringIO(text))
    }


def low(world: World) -> list[str]:
    return [sku for sku, price in published(world).items() if price != "131.99"]


def kept_back(world: World, n: int) -> list[str]:
    """Return the SKUs of a run's quarantine."""
    text = world.artifact("quarantine", RUNS[n]).decode()
    return [row["sku"] for row in csv.DictReader(io.StringIO(text))]


def merged_metadata(world: World) -> Any:
    event = world.instance.get_latest_materialization_event(
        dg.AssetKey("merged_inventory")
    )
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def accept(world: World, n: int, **order: Any) -> Any:
    path = f"/v1/runs/{RUNS[n]}/accept"
    client = ApiWorld(world.platform).client
    return client.post(path, json={"reason": "a sale", **order}).json()


def explained(world: World, n: int, sku: str) -> dict[str, Any]:
    path = f"/v1/runs/{RUNS[n]}/explain"
    explanation: dict[str, Any] = (
        ApiWorld(world.platform).client.get(path, params={"sku": sku}).json()
    )
    return explanation


def run_with_low_prices(world: World, clock: FakeClock) -> RunRecord:
    """Publish a feed, and an hour later run one with nine prices of a tenth."""
    sync(world, 0)
    clock.advance(seconds=3600)
    return sync(world, 1, LOW)


def test_nine_prices_are_kept_back_and_every_report_says_so(
    world: World, clock: FakeClock
) -> None:
    record = run_with_low_prices(world, clock)
    assert record.status is RunStatus.SUCCEEDED
    assert (low(world), kept_back(world, 1)) == ([], NINE)
    assert record.counts["quarantined"] == 9
    summary = world.report("run_summary", RUNS[1])
    assert summary["quarantined"] == 9
    assert summary["warnings"] == {"SKUS_QUARANTINED": 1}
    assert run_data(record)["counts"]["quarantined"] == 9
    metadata = merged_metadata(world)
    assert metadata["quarantined"].value == 9
    assert column_of(metadata["quarantine"], "sku") == NINE
    page = world.artifact("report", RUNS[1]).decode()
    assert all(f"<code><bdi>{sku}</bdi></code>" in page for sku in NINE)


def test_three_prices_are_accepted_and_time_confirms_the_others(
    world: World, clock: FakeClock
) -> None:
    run_with_low_prices(world, clock)
    assert accept(world, 1, skus=THREE) == {"accepted": 3}
    clock.advance(seconds=3600)
    sync(world, 2, LOW)
    assert (low(world), kept_back(world, 2)) == (THREE, SIX)
    overrides = world.artifact("overrides", RUNS[2])
    assert world.report("input_manifest", RUNS[2])["overrides"] == {
        "version": 1,
        "count": 3,
        "sha256": hashlib.sha256(overrides).hexdigest(),
    }
    accepted = explained(world, 2, THREE[0])
    assert accepted["override"]["accept_price"] == "13.19"
    assert accepted["quarantine"] is None
    suspect = explained(world, 2, SIX[0])
    assert suspect["reason"] == "quarantined"
    assert suspect["feed_row"]["price"] == "131.99"

    clock.advance(seconds=23 * 3600 - 1)
    sync(world, 3, LOW)
    assert low(world) == THREE
    clock.advance(seconds=1)
    record = sync(world, 4, LOW)
    assert low(world) == NINE
    assert record.counts["quarantined"] == 0
    assert "quarantine" not in record.artifacts


def test_behind_a_rollback_a_price_is_suspect_anew(
    world: World, clock: FakeClock
) -> None:
    sync(world, 0)
    sync(world, 1, LOW)
    accept(world, 1, skus=THREE)
    clock.advance(seconds=25 * 3600)
    world.platform.ledger.feeds.roll_back(
        TENANT, RUNS[0], "as before", by="ops"
    )
    sync(world, 2, LOW)
    assert (low(world), kept_back(world, 2)) == (THREE, SIX)
    # The feed that is published again knows since when the prices were suspect in it.
    world.platform.ledger.feeds.roll_back(
        TENANT, RUNS[1], "as before", by="ops"
    )
    assert low(world) == []
    sync(world, 3, LOW)
    assert low(world) == NINE


def test_too_many_at_once_are_held_and_nothing_is_published(
    world: World,
) -> None:
    sync(world, 0)
    prices = dict.fromkeys(NAMES[:300], "13.19")
    record = sync(world, 1, prices)
    assert record.status is RunStatus.HELD
    assert record.hold is not None
    assert record.hold.guard_names == {"quarantined"}
    assert low(world) == []
    assert accept(world, 1, all=True) == {"accepted": 300}
    # Nobody doubts a price any more; that so many fall at once is another guard's to judge.
    held = sync(world, 2, prices).hold
    assert held is not None
    assert held.guard_names == {"price_drop"}
