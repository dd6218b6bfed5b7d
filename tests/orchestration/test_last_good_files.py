"""The last good feed of a vendor of several files: all of them, as the baseline read them."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import RunRecord
from support.builders import feed, vendor_document
from support.file_lists import part
from support.run_world import World

pytestmark = pytest.mark.platform(backoff_base_seconds=0)

FIRST, SECOND, THIRD = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "123"
)
LONG_NAME = f"{'s' * 120}.csv"
BASE = "sku,cost"
STOCK = "sku,quantity_available"
GOOD_ROWS = b"A,acme,5,10.00\nB,acme,7,4.00\nC,acme,9,3.00\n"
HEADER = b"sku,vendor_id,quantity_available,price\n"


def store_config(world: World, **stock: Any) -> None:
    vendor = vendor_document(
        "acme",
        parts=[part(**stock)],
        changes={"full": "a-full*", "delta": "b-delta*"},
        duplicate_skus="last",
        on_trouble="last_good",
    )
    world.store_config(vendor)


def sync(world: World, run_id: str) -> RunRecord:
    world.run(run_id)
    return world.record(run_id)


def publish_first(world: World) -> None:
    """Publish a feed of a full, a delta, and a part."""
    world.upload("acme", feed("A,10", "B,8", header=BASE), "a-full-1.csv")
    world.upload("acme", feed("B,4", "C,3", header=BASE), "b-delta-1.csv")
    rows = feed("A,5", "B,7", "C,9", header=STOCK)
    world.upload("of_part/stock", rows, LONG_NAME)
    assert sync(world, FIRST).status is RunStatus.SUCCEEDED
    assert world.artifact("merged_inventory", FIRST) == HEADER + GOOD_ROWS


def entry_of(world: World, run_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = world.report("input_manifest", run_id)["vendors"][
        "acme"
    ]
    return entry


def assert_lent(world: World, run_id: str, from_run_id: str) -> None:
    """Assert that a run has used the files of the first run, from another run."""
    record = world.record(run_id)
    assert record.status is RunStatus.SUCCEEDED
    entry = entry_of(world, run_id)
    assert (entry["status"], entry["last_good_run_id"], entry["age_hours"]) == (
        "last_good",
        from_run_id,
        0,
    )
    assert world.artifact("merged_inventory", run_id) == HEADER + GOOD_ROWS
    folder = f"{run_id}/tenants/acme/inbound/acme/last_good/files/"
    names = ("a-full-1.csv", "b-delta-1.csv", LONG_NAME[-100:])
    lent = {
        f"last_good_acme.{number}": f"{folder}{number}/{name}"
        for number, name in enumerate(names, 1)
    }
    artifacts = dict(record.artifacts)
    assert {
        name: key
        for name, key in artifacts.items()
        if name.startswith("last_good")
    } == lent
    for number, name in enumerate(lent, 1):
        assert world.artifact(name, run_id) == world.artifact(
            f"inbound_acme.{number}", FIRST
        )
    assert world.report("run_summary", run_id)["warnings"] == {
        "VENDOR_LAST_GOOD": 1
    }


def test_a_faulty_required_part_has_all_files_of_the_last_good_feed(
    world: World,
) -> None:
    store_config(world)
    publish_first(world)
    world.upload("acme", feed("A,99", header=BASE), "b-delta-2.csv")
    world.upload("of_part/stock", feed("A,1", header="id,count"), "t.csv")
    sync(world, SECOND)
    assert_lent(world, SECOND, FIRST)
    entry = entry_of(world, SECOND)
    assert entry["trouble"]["error_code"] == "missing_required_columns"
    assert "part 'stock'" in entry["trouble"]["error_message"]
    assert [file["s3_key"].rpartition("/")[2] for file in entry["files"]] == [
        "a-full-1.csv",
        "b-delta-1.csv",
        "b-delta-2.csv",
        "t.csv",
    ]
    sync(world, THIRD)
    assert_lent(world, THIRD, SECOND)
