"""A SKU's page: why it is in the feed as it is, in a merchant's words."""

from __future__ import annotations

import pytest

from relay_core.config import load_config
from support.api_world import ApiWorld
from support.builders import config_document, feed, vendor_document
from support.explaining import run_in_memory
from support.page_visitor import HOME, Visitor, signed_in

DOCUMENT = config_document(
    *map(vendor_document, ("north", "south")),
    error_policy={"max_invalid_rows": 10, "max_invalid_row_pct": "1"},
)
FEEDS = {
    "north": feed("A-1,5,10.00", "A-1,x,1", "<b>&,1,2"),
    "south": feed("A-1,3,12.00", "B é,1,1"),
}
SKUS = f"{HOME}/skus"


@pytest.fixture
def visitor(world: ApiWorld) -> Visitor:
    world.client.put("/v1/tenants/acme/config", json=DOCUMENT)
    record = world.succeed(world.post_run().json()["run_id"])
    run = run_in_memory(load_config(DOCUMENT), FEEDS, keys=record.keys)
    for key, data in run.files.items():
        world.platform.objects.put(key, data)
    return signed_in(world)


def test_a_sku_is_explained_with_its_steps_and_offers(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=+A-1+")
    assert "north wins over 1 other offer." in page.text
    assert "The vendor's cost" in page.text
    assert "costs more" in page.text
    assert "1 row of this SKU" in page.text


def test_a_sku_with_markup_is_a_text(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=%3Cb%3E%26")
    assert page.one("h1").text == "<b>&"
    assert "north alone offers it." in page.text


def test_without_a_sku_the_page_asks_for_one(visitor: Visitor) -> None:
    page = visitor.open(SKUS)
    assert page.one("h1").text == "Look up a SKU"
    (form,) = (each for each in page.all("form") if each.attributes["method"] == "get")
    assert [each.attributes["name"] for each in form.all("input")] == ["sku"]


def test_an_unknown_sku_is_told(visitor: Visitor) -> None:
    assert "nothing here" in visitor.open(f"{SKUS}?sku=Z-9", 404).text


def test_before_the_first_feed_there_is_nothing_to_look_up(world: ApiWorld) -> None:
    world.store_config()
    assert "There is no feed yet" in signed_in(world).open(f"{SKUS}?sku=A-1").text
