"""Channels and vendors' further files, each with a page of its own."""

from __future__ import annotations

import pytest

from support.builders import vendor_document
from support.html_page import errors_on
from support.page_visitor import Visitor
from support.settings_forms import SETTINGS, lines, save, send, stored


def test_a_channel_is_added_changed_and_removed(visitor: Visitor) -> None:
    slug = "channels/list/new"
    page = send(
        visitor,
        slug,
        **{
            "channels.0.channel_id": "market",
            "channels.0.output.columns.0.column": "sku",
            "channels.0.price.pct": "-10",
        },
    )
    assert lines(page) == [
        ["Channel market", "Not set", "Added"],
        ["Channel market: Name", "Not set", "market"],
        ["Channel market: File: Column 1", "Not set", "sku"],
        [
            "Channel market: Price in this channel: Change of the price",
            "0%",
            "-10%",
        ],
    ]
    assert save(visitor, slug, page) == f"{SETTINGS}/channels?saved=2"
    channel = {
        "channel_id": "market",
        "output": {"columns": ["sku"]},
        "price": {"pct": "-0.1"},
    }
    assert stored(visitor)[1]["channels"] == [channel]
    assert "market" in visitor.open(f"{SETTINGS}/channels").text
    slug = "channels/list/market"
    page = send(visitor, slug, **{"channels.0.price.flat": "1"})
    save(visitor, slug, page)
    channel["price"] = {"pct": "-0.1", "flat": "1"}
    assert stored(visitor)[1]["channels"] == [channel]
    page = visitor.open(f"{SETTINGS}/{slug}")
    place = save(visitor, f"{slug}/remove", page)
    assert place == f"{SETTINGS}/channels?saved=4"
    assert stored(visitor)[1]["channels"] == []


@pytest.mark.parametrize(
    ("slug", "is_named"),
    [
        ("channels/list/new", True),
        ("prices/rules/new", True),
        ("vendors/v2/parts/new", False),
    ],
)
def test_a_form_that_can_name_vendors_says_their_names(
    visitor: Visitor, slug: str, *, is_named: bool
) -> None:
    visitor.world.store_config(vendor_document(), vendor_document("v2"))
    text = " ".join(visitor.open(f"{SETTINGS}/{slug}").text.split())
    assert ("Your vendors: vendor_1 , v2" in text) is is_named


def test_the_faults_of_a_new_channel_stand_beside_its_fields(
    visitor: Visitor,
) -> None:
    page = send(
        visitor, "channels/list/new", 422, **{"channels.0.channel_id": "a b"}
    )
    errors = [error.text for error in errors_on(page)]
    assert len(errors) == 2
    assert '"a b" is not a valid id' in errors[0] + errors[1]
    assert "Fill in this field." in errors


def test_a_file_of_a_vendor_is_added_and_sent_as_it_is(
    visitor: Visitor,
) -> None:
    slug = "vendors/vendor_1/parts/new"
    part = "vendors.0.parts.0"
    page = send(
        visitor,
        slug,
        **{f"{part}.part_id": "more", f"{part}.gives": "rows"},
    )
    assert save(visitor, slug, page) == f"{SETTINGS}/vendors/vendor_1?saved=2"
    prefix = "tenants/acme/inbound/vendor_1_2/"
    assert stored(visitor)[1]["vendors"] == [
        vendor_document(
            parts=[
                {
                    "part_id": "more",
                    "gives": "rows",
                    "inbound": {"type": "s3", "s3_prefix": prefix},
                    "parser": {"format": "csv"},
                }
            ]
        )
    ]
    page = send(visitor, "vendors/vendor_1/parts/more")
    assert "Nothing would change" in page.text


@pytest.mark.parametrize(
    "slug", ["channels/list/x", "vendors/vendor_1/parts/x"]
)
def test_an_item_that_is_not_there_is_not_found(
    visitor: Visitor, slug: str
) -> None:
    visitor.open(f"{SETTINGS}/{slug}", 404)
