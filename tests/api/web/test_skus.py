"""A SKU's page: why it is in the feed as it is, in a merchant's words."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from relay_core.config import load_config
from relay_dagster.runs.ports import utc_now
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
    "south": feed("A-1,3,12.00", "B é,1,1", "ZERO,1,0.00"),
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


def test_a_price_of_zero_is_named_as_the_reason(visitor: Visitor) -> None:
    assert "or comes to 0.00" in visitor.open(f"{SKUS}?sku=ZERO").text


def test_a_sku_with_markup_is_a_text(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=%3Cb%3E%26")
    assert page.one("h1").text == "<b>&"
    assert "north alone offers it." in page.text


def test_texts_of_vendors_are_texts_and_short(world: ApiWorld) -> None:
    long = "\u202e<script>alert(1)</script>" + "x" * 10_000
    document = config_document(
        vendor_document(),
        output={"columns": ["sku", "title", "quantity_available", "price"]},
    )
    world.client.put("/v1/tenants/acme/config", json=document)
    record = world.succeed(world.post_run().json()["run_id"])
    records = [f"A-1,5,10.00,{long}", f"{long},5,10.00,a hammer"]
    data = feed(*records, header="sku,quantity_available,cost,title")
    run = run_in_memory(load_config(document), {"vendor_1": data}, keys=record.keys)
    for key, part in run.files.items():
        world.platform.objects.put(key, part)
    visitor = signed_in(world)
    answers = [visitor.client.get(SKUS, params={"sku": sku}) for sku in ("A-1", long)]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert "alert(1)" in answers[0].text
    for answer in answers:
        assert "<script" not in answer.text
        assert "x" * 2001 not in answer.text


@pytest.mark.parametrize("sku", ["A\tB", "\u202eA-1", "<b>&", "x" * 1_024])
def test_a_word_on_a_sku_is_of_just_this_one(world: ApiWorld, sku: str) -> None:
    world.store_config()
    visitor = signed_in(world)
    page = visitor.open(f"{SKUS}?sku={quote(sku)}")
    assert visitor.fill(page, "/override", price="9.90").status_code == 303
    listed = world.client.get("/v1/tenants/acme/overrides").json()["overrides"]
    assert [override["sku"] for override in listed] == [sku]


def test_without_a_sku_the_page_asks_for_one(visitor: Visitor) -> None:
    page = visitor.open(SKUS)
    assert page.one("h1").text == "Look up a SKU"
    (form,) = (form for form in page.all("form") if form.attributes["method"] == "get")
    assert [field.attributes["name"] for field in form.all("input")] == ["sku"]


def test_an_unknown_sku_is_told(visitor: Visitor) -> None:
    assert "nothing here" in visitor.open(f"{SKUS}?sku=Z-9", 404).text


def test_a_word_on_a_sku_that_nobody_offers_any_more_can_be_taken_back(
    visitor: Visitor,
) -> None:
    order = {"overrides": [{"sku": "Z-9", "leave_out": True}]}
    visitor.world.client.post("/v1/tenants/acme/overrides:put", json=order)
    page = visitor.open(f"{SKUS}?sku=Z-9")
    assert "has the SKU 'Z-9'" in page.text
    assert "Left out of the feed yes" in page.text
    assert visitor.fill(page, "/override/remove").status_code == 303
    visitor.open(f"{SKUS}?sku=Z-9", 404)


def test_before_the_first_feed_there_is_nothing_to_look_up(world: ApiWorld) -> None:
    world.store_config()
    assert "There is no feed yet" in signed_in(world).open(f"{SKUS}?sku=A-1").text


def test_a_merchant_has_the_last_word_on_a_sku_and_takes_it_back(
    visitor: Visitor,
) -> None:
    page = visitor.open(f"{SKUS}?sku=A-1")
    assert "your rules decide" in page.text
    put = visitor.fill(page, "/override", price="99.90", note="<i>sale</i>")
    assert put.headers["location"] == f"{SKUS}?sku=A-1"
    page = visitor.open(put.headers["location"])
    assert "Its price 99.90" in page.text
    assert "Note <i>sale</i>" in page.text
    listed = visitor.world.client.get("/v1/tenants/acme/overrides").json()["overrides"]
    assert listed == [{"sku": "A-1", "price": "99.90", "note": "<i>sale</i>"}]
    (entry, *_) = visitor.world.client.get("/v1/audit?action=overrides.put").json()[
        "audit"
    ]
    assert entry["actor"]["kind"] == "session"
    day = (utc_now() + timedelta(days=3)).date().isoformat()
    response = visitor.fill(
        page, "/override", price="", note="", max_quantity="0", expires_on=day
    )
    assert response.status_code == 303
    page = visitor.open(f"{SKUS}?sku=A-1")
    assert "Its highest quantity 0" in page.text
    assert f"Until {day}T23:59:59Z" in page.text
    assert visitor.fill(page, "/override/remove").status_code == 303
    assert "your rules decide" in visitor.open(f"{SKUS}?sku=A-1").text


def test_a_vendor_that_was_chosen_stays_so_while_it_offers_nothing(
    visitor: Visitor,
) -> None:
    order = {"overrides": [{"sku": "<b>&", "vendor_id": "south"}]}
    visitor.world.client.post("/v1/tenants/acme/overrides:put", json=order)
    page = visitor.open(f"{SKUS}?sku=%3Cb%3E%26")
    assert "north alone offers it." in page.text
    options = page.one("select").all("option")
    assert [option.text for option in options] == ["Any vendor", "north", "south"]
    assert [option.text for option in options if "selected" in option.attributes] == [
        "south"
    ]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("price", "cheap"),
        ("max_quantity", "-1"),
        ("expires_on", "2020-01-01"),
        ("note", "x" * 501),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(
    visitor: Visitor, field: str, text: str
) -> None:
    page = visitor.open(f"{SKUS}?sku=A-1")
    meant = {"leave_out": "true"} if field in ("note", "expires_on") else {}
    refused = visitor.fill(page, "/override", **meant, **{field: text})
    place = "expires_at" if field == "expires_on" else field
    assert (refused.status_code, refused.text.count(f"overrides.0.{place}")) == (422, 1)
    assert "Nothing was changed. Go back, put this right" in refused.text


def test_who_may_not_configure_has_no_form(world: ApiWorld) -> None:
    world.store_config()
    reader = signed_in(world, "read")
    page = reader.open(f"{SKUS}?sku=A-1")
    actions = [form.attributes["action"] for form in page.all("form")]
    assert actions == ["/app/sign-out", SKUS]
    token = page.all("input")[0].attributes["value"]
    form = {"token": token, "sku": "A-1", "leave_out": "true"}
    for act in ("override", "override/remove"):
        assert reader.client.post(f"{SKUS}/{act}", data=form).status_code == 403
