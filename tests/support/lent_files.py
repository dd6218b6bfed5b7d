"""A vendor of a full, a delta and a part, whose last good files other runs use."""

from __future__ import annotations

from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import RunRecord
from support.builders import feed, vendor_document
from support.file_lists import part
from support.reported_runs import FORGIVING
from support.run_world import World

FIRST, SECOND, THIRD, FOURTH = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "1234"
)
_MANY = "s" * 120
FILE_NAMES = (f"a-full-{_MANY}.csv", "b-delta-1.csv", f"{_MANY}.csv")
BASE = "sku,cost"
STOCK = "sku,quantity_available"
MERGED = b"""\
sku,vendor_id,quantity_available,price
A,acme,5,10.00
B,acme,7,4.00
C,acme,9,3.00
"""


def store_config(world: World, **changes: Any) -> None:
    """Store a config whose vendor may use its last good files."""
    vendor = vendor_document(
        "acme",
        parts=[part()],
        changes={"full": "a-full*", "delta": "b-delta*", **changes},
        duplicate_skus="last",
        on_trouble="last_good",
    )
    world.store_config(vendor, error_policy=FORGIVING)


def sync(world: World, run_id: str) -> RunRecord:
    """Run, and return the record of the run."""
    world.run(run_id)
    return world.record(run_id)


def publish_first(world: World) -> None:
    """Publish a feed of all files, of which the part has a row that is refused."""
    full, delta, stock = FILE_NAMES
    world.upload("acme", feed("A,10", "B,8", header=BASE), full)
    world.upload("acme", feed("B,4", "C,3", header=BASE), delta)
    rows = feed("A,5", "B,7", "C,9", "D,x", header=STOCK)
    world.upload("of_part/stock", rows, stock)
    assert sync(world, FIRST).status is RunStatus.SUCCEEDED
    assert world.artifact("merged_inventory", FIRST) == MERGED


def upload_faulty_part(world: World) -> None:
    """Upload a delta, and a file of the part without its columns."""
    world.upload("acme", feed("A,99", header=BASE), "b-delta-2.csv")
    world.upload("of_part/stock", feed("A,1", header="id,count"), "t.csv")
