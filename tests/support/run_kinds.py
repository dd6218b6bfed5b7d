"""A run of each kind, through Dagster and embedded AWS, for what people are shown of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay_dagster.runs.model import Release
from support.builders import feed, part_document, vendor_document
from support.run_world import TENANT, World

FIRST, SECOND = (f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "12")
FORGIVING = {"max_invalid_rows": 1_000, "max_invalid_row_pct": "1"}
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]
MANY = [f"S{number:04}" for number in range(300)]
SHOP = {
    "channel_id": "shop",
    "output": {"columns": ["sku", "price"]},
    "price": {"pct": "0.10"},
}


def _sync(world: World, run_id: str, data: bytes, **request: Any) -> None:
    world.upload("vendor_1", data, f"{run_id[0]}.csv")
    world.run(run_id, **request)


def _succeeded(world: World) -> str:
    """A first feed of two vendors, with rejected rows, lost rows, and no price for a SKU."""
    world.store_config(
        vendor_document("vendor_1"),
        vendor_document("vendor_2", required=False),
        vendor_document("vendor_3", required=False),
        error_policy=FORGIVING,
    )
    world.upload("vendor_2", feed("S01,5,9.00", "T01,2,"))
    _sync(world, FIRST, feed(*WHOLE, "S01,2,12.00", "B,many,1.00", ",1,1"))
    return FIRST


def _changed(world: World) -> str:
    """A second feed with prices, stock, and SKUs that differ from the first."""
    world.store_config()
    _sync(world, FIRST, feed(*WHOLE))
    changed = ["S00,5,11.00", "S01,0,10.00", "S02,5,9.50", *WHOLE[4:], "N,1,2"]
    _sync(world, SECOND, feed(*changed))
    return SECOND


def _failed(world: World) -> str:
    """More rejected rows than the config allows."""
    world.store_config()
    _sync(world, FIRST, feed("A,1,", "B,many,1.00", "C,few,2.00", "D,1,3.00"))
    return FIRST


def _held(world: World) -> str:
    """A feed that lost most of the published one."""
    world.store_config(vendor_document("vendor_1"), channels=[SHOP])
    _sync(world, FIRST, feed(*WHOLE))
    _sync(world, SECOND, feed(*WHOLE[:2]))
    return SECOND


def _released(world: World) -> str:
    """A feed on hold that a person released."""
    run_id = _held(world)
    hold = world.record(run_id).hold
    assert hold is not None
    release = Release(hold.sha256, hold.guard_names, "a planned sale", "ops")
    world.platform.ledger.feeds.release(run_id, release)
    return run_id


def _quarantined(world: World) -> str:
    """Some prices far from the published ones, which stay."""
    world.store_config(vendor_document("vendor_1"), guards={"quarantine": {}})
    _sync(world, FIRST, feed(*(f"{sku},5,131.99" for sku in MANY)))
    low = [f"{sku},5,13.19" for sku in MANY[:3]]
    _sync(world, SECOND, feed(*low, *(f"{sku},5,131.99" for sku in MANY[3:])))
    return SECOND


def _catalog(world: World) -> str:
    """Rows that match the merchant's products, rows that match none, and a channel."""
    world.store_config(
        vendor_document("vendor_1"),
        extra_columns=["ean", "part"],
        gtin_column="ean",
        mpn_column="part",
        catalog={
            "inbound": {
                "type": "s3",
                "s3_prefix": f"tenants/{TENANT}/inbound/catalog/",
            },
            "parser": {"format": "csv"},
            "unmatched": "leave_out",
        },
        channels=[SHOP],
    )
    products = b"sku,brand,title,ean,part\nS1,Bosch,Drill,4006381333931,\nS2,Acme,Saw,,\n"
    world.upload("catalog", products, "products.csv")
    header = "sku,quantity_available,cost,ean"
    rows = ("a,5,10.00,4006381333931", "y,1,4.00,")
    _sync(world, FIRST, feed(*rows, header=header))
    return FIRST


def _parts(world: World) -> str:
    """A vendor that sends its prices in a file of their own."""
    world.store_config(
        vendor_document("vendor_1", parts=[part_document()]),
    )
    prices = feed("S1,9.00", "S2,8.00", "X,1.00", header="sku,cost")
    world.upload("part_prices", prices)
    stock = feed("S1,5", "S2,3", "S3,1", header="sku,quantity_available")
    _sync(world, FIRST, stock)
    return FIRST


def _rules(world: World) -> str:
    """Price rules, stock kept back, and rows set aside by a rule on repeated SKUs."""
    world.store_config(
        vendor_document("vendor_1", duplicate_skus="first"),
        pricing={
            "rules": [
                {"when": {"cost_below": "10"}, "margin_pct": "0.5"},
                {"when": {"brands": ["Acme"]}, "leave_out": True},
            ]
        },
        stock={"hold_back": 1},
        output={
            "columns": ["sku", "quantity_available", "price"],
            "missing_skus": "zero",
        },
    )
    _sync(world, FIRST, feed("A,5,4.00", "A,5,6.00", "B,3,20.00"))
    return FIRST


def _of_some_vendors(world: World) -> str:
    """A run of one vendor of two, for review only."""
    world.store_config(vendor_document("vendor_1"), vendor_document("v2"))
    _sync(world, FIRST, feed(*WHOLE), vendors=["vendor_1"])
    return FIRST


KINDS: dict[str, Callable[[World], str]] = {
    "succeeded": _succeeded,
    "changed": _changed,
    "failed": _failed,
    "held": _held,
    "released": _released,
    "quarantined": _quarantined,
    "catalog": _catalog,
    "parts": _parts,
    "rules": _rules,
    "some vendors": _of_some_vendors,
}
"""What takes a world to a run of each kind; each returns the ID of that run."""
