"""What the settings pages say of the latest feed, and the steps to the first one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relay_core.config import load_config
from support.api_world import ApiWorld
from support.builders import config_document, feed, vendor_document
from support.explaining import run_in_memory
from support.fakes import published_outcome
from support.page_visitor import HOME, Visitor, signed_in
from support.settings_forms import SETTINGS, form_of, lines, save, send, stored

RULES = [
    {"when": {"brands": ["Acme"]}, "margin_pct": "1"},
    {"margin_pct": "0.5"},
]
DOCUMENT = config_document(vendor_document(), pricing={"rules": RULES})
FEEDS = {
    "vendor_1": feed(
        "A-1,5,10.00,Acme",
        "B-2,5,10.00,Bolt",
        header="sku,quantity_available,cost,brand",
    )
}


def guard(name: str, count: int, **fields: Any) -> dict[str, Any]:
    return {
        "guard": name,
        "tripped": False,
        "limit": "0.01",
        "count": count,
        "of": 1204,
        "examples": [],
        **fields,
    }


@pytest.fixture
def shop(world: ApiWorld) -> Visitor:
    """A tenant with a feed of two SKUs, which its two rules have priced."""
    world.client.put("/v1/tenants/acme/config", json=DOCUMENT)
    record = world.claim(world.post_run().json()["run_id"])
    outcome = published_outcome(world.platform, record)
    key = record.keys.run_summary
    artifacts = {**outcome.artifacts, "run_summary": key}
    outcome = replace(outcome, artifacts=artifacts)
    world.platform.ledger.succeed(record.fence, outcome)
    run = run_in_memory(load_config(DOCUMENT), FEEDS, keys=record.keys)
    applied = [
        {"path": f"pricing.rules.{index}", "did": "SKUs priced", "count": 1}
        for index in range(len(RULES))
    ]
    guards = [guard("price_drop", 3), guard("price_rise", 0)]
    summary = json.dumps({"rules": applied, "guards": guards}).encode()
    for name, data in {**run.files, key: summary}.items():
        world.platform.objects.put(name, data)
    return signed_in(world)


def test_each_rule_says_how_many_skus_of_the_latest_feed_it_priced(
    shop: Visitor,
) -> None:
    page = shop.open(f"{SETTINGS}/prices")
    assert [line[3] for line in lines(page)] == [
        "1 SKU priced",
        "1 SKU priced",
    ]


def test_a_sku_is_tried_with_settings_that_are_not_saved(
    shop: Visitor,
) -> None:
    before = stored(shop)
    slug = "prices/rules/1"
    page = send(
        shop,
        slug,
        **{
            "pricing.rules.0.margin_pct": "30",
            "try_sku": "A-1",
            "step": "try",
        },
    )
    assert "is 13.00 . In your latest feed, it is 20.00." in (page.text)
    fields = form_of(page, f"{SETTINGS}/{slug}")
    assert fields["pricing.rules.0.margin_pct"] == ["30"]
    page = send(shop, "prices", try_sku="B-2", step="try")
    assert "is 15.00 . In your latest feed, it is the same." in page.text
    page = send(shop, "prices", try_sku="b-2", step="try")
    assert "No vendor's file has this SKU." in page.text
    assert stored(shop) == before


def test_the_guards_say_what_they_allow_and_what_the_latest_feed_did(
    shop: Visitor,
) -> None:
    text = shop.open(f"{SETTINGS}/safety").text
    assert (
        "A price may fall by at most 50% from one feed to the next. In your latest "
        "feed, 3 of 1,204 prices fell by more"
    ) in text
    assert (
        "With a review, 3 of 1,204 SKUs of your latest feed would have kept their "
        "price until you decide."
    ) in text


def test_automatic_runs_are_paused_and_resumed(visitor: Visitor) -> None:
    triggers = {"schedule": {"cron": "0 6 * * *"}}
    visitor.world.store_config(triggers=triggers)
    for action, expected in (("pause", {}), ("resume", triggers)):
        page = visitor.open(f"{SETTINGS}/schedule")
        save(visitor, f"schedule/{action}", page)
        assert stored(visitor)[1]["triggers"] == expected


def steps(visitor: Visitor) -> list[str]:
    page = visitor.open(HOME)
    return [item.text for part in page.all("ol") for item in part.all("li")]


def test_the_overview_shows_the_steps_until_a_shop_reads_the_feed(
    world: ApiWorld,
) -> None:
    world.client.put(
        "/v1/tenants/acme/config", json={**config_document(), "vendors": []}
    )
    visitor = signed_in(world)
    answer = visitor.client.get("/app")
    assert answer.headers["location"] == f"{SETTINGS}/new-vendor"
    assert steps(visitor)[0] == "Add a vendor"
    page = send(visitor, "new-vendor", **{"vendors.0.vendor_id": "vendor_1"})
    save(visitor, "new-vendor", page)
    assert visitor.client.get("/app").headers["location"] == HOME
    assert steps(visitor)[:2] == [
        "Add a vendor Done",
        "Upload a file of each vendor, and apply the settings that Relay proposes",
    ]
    world.platform.objects.put("tenants/acme/inbound/vendor_1/a.csv", b"sku\n")
    assert steps(visitor)[1].endswith("Done")
    world.succeed(world.post_run().json()["run_id"])
    assert steps(visitor)[-3:] == [
        "Start the first run Done",
        "Create a link to your feed",
        "Enter the link in your shop, so that it reads the feed",
    ]
    world.succeed(world.post_run().json()["run_id"])
    assert steps(visitor) == []
