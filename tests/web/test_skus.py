"""A SKU's page: why it is in the feed as it is, in a merchant's words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from relay_core.config import load_config
from relay_core.report import display
from relay_dagster.runs.ports import utc_now
from support.api_world import ApiWorld
from support.builders import config_document, feed, vendor_document
from support.explaining import run_in_memory
from support.html_page import Element, errors_on, read_page
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
DASH = "\N{EN DASH}"


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
    assert "north has the best of 2 offers." in page.text
    assert "Vendor's cost" in page.text
    assert "Higher cost" in page.text
    assert re.search(r"Margin \d+%", page.text)
    assert "Steps in order, in USD." in page.text
    assert "1 row of this SKU" in page.text


def test_a_sku_in_other_letters_is_offered(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=a-1", 404)
    (link,) = (link for link in page.all("a") if link.text == "A-1")
    assert link.attributes["href"] == f"{SKUS}?sku=A-1"
    assert "Did you mean" in page.text
    assert "Did you mean" not in visitor.open(f"{SKUS}?sku=a-2", 404).text


def test_a_change_of_an_override_says_from_when_it_counts(
    visitor: Visitor,
) -> None:
    document = {**DOCUMENT, "triggers": {"schedule": {"cron": "0 6 * * *"}}}
    visitor.world.client.put("/v1/tenants/acme/config", json=document)
    page = visitor.open(f"{SKUS}?sku=A-1")
    assert "The next run uses it." not in page.text
    saved = visitor.fill(page, "/override", price="9.99")
    page = visitor.open(saved.headers["location"])
    assert re.search(
        r"The override is saved. The next run uses it. It is scheduled for "
        r"\w{3} \d+, \d{4}, 6:00 AM \(UTC\)\.",
        page.text,
    )
    removed = visitor.fill(page, "/override/remove")
    assert (
        "The override is removed."
        in visitor.open(removed.headers["location"]).text
    )


def test_a_price_of_zero_is_named_as_the_reason(visitor: Visitor) -> None:
    assert "or its price is 0.00" in visitor.open(f"{SKUS}?sku=ZERO").text


def test_a_sku_with_markup_is_a_text(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=%3Cb%3E%26")
    assert page.one("h1").text == "<b>&"
    assert "north has the only offer." in page.text


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
    run = run_in_memory(
        load_config(document), {"vendor_1": data}, keys=record.keys
    )
    for key, part in run.files.items():
        world.platform.objects.put(key, part)
    visitor = signed_in(world)
    answers = [
        visitor.client.get(SKUS, params={"sku": sku}) for sku in ("A-1", long)
    ]
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
    assert page.one("h1").text == "SKU lookup"
    (form,) = (
        form for form in page.all("form") if form.attributes["method"] == "get"
    )
    assert [field.attributes["name"] for field in form.all("input")] == ["sku"]


def test_an_unknown_sku_is_told(visitor: Visitor) -> None:
    page = visitor.open(f"{SKUS}?sku=a-1", 404)
    assert "No vendor's file has this SKU." in page.text
    assert "upper and lower case" in page.text
    (form,) = (
        form for form in page.all("form") if form.attributes["method"] == "get"
    )
    assert form.one("input").attributes["value"] == "a-1"


def test_a_word_on_a_sku_that_nobody_offers_any_more_can_be_taken_back(
    visitor: Visitor,
) -> None:
    order = {"overrides": [{"sku": "Z-9", "leave_out": True}]}
    visitor.world.client.post("/v1/tenants/acme/overrides:put", json=order)
    page = visitor.open(f"{SKUS}?sku=Z-9")
    assert "No vendor's file has this SKU." in page.text
    assert "Left out of the feed Yes" in page.text
    assert visitor.fill(page, "/override/remove").status_code == 303
    visitor.open(f"{SKUS}?sku=Z-9", 404)


def test_before_the_first_feed_there_is_nothing_to_look_up(
    world: ApiWorld,
) -> None:
    world.store_config()
    assert (
        "You don't have a feed yet."
        in signed_in(world).open(f"{SKUS}?sku=A-1").text
    )


def test_a_merchant_has_the_last_word_on_a_sku_and_takes_it_back(
    visitor: Visitor,
) -> None:
    page = visitor.open(f"{SKUS}?sku=A-1")
    assert "This SKU has no override." in page.text
    put = visitor.fill(page, "/override", price="99.90", note="<i>sale</i>")
    assert put.headers["location"] == f"{SKUS}?sku=A-1&override=saved"
    page = visitor.open(put.headers["location"])
    assert "Price 99.90" in page.text
    assert "Note <i>sale</i>" in page.text
    listed = visitor.world.client.get("/v1/tenants/acme/overrides").json()[
        "overrides"
    ]
    assert listed == [{"sku": "A-1", "price": "99.90", "note": "<i>sale</i>"}]
    (entry, *_) = visitor.world.client.get(
        "/v1/audit?action=overrides.put"
    ).json()["audit"]
    assert entry["actor"]["kind"] == "session"
    last_day = utc_now() + timedelta(days=3)
    day = last_day.date().isoformat()
    response = visitor.fill(
        page, "/override", price="", note="", max_quantity="0", expires_on=day
    )
    assert response.status_code == 303
    page = visitor.open(f"{SKUS}?sku=A-1")
    assert "Maximum quantity 0" in page.text
    assert (
        f"In effect until {display.day(last_day)}, 11:59 PM (UTC)" in page.text
    )
    assert visitor.fill(page, "/override/remove").status_code == 303
    assert "This SKU has no override." in visitor.open(f"{SKUS}?sku=A-1").text


def test_a_vendor_that_was_chosen_stays_so_while_it_offers_nothing(
    visitor: Visitor,
) -> None:
    order = {"overrides": [{"sku": "<b>&", "vendor_id": "south"}]}
    visitor.world.client.post("/v1/tenants/acme/overrides:put", json=order)
    page = visitor.open(f"{SKUS}?sku=%3Cb%3E%26")
    assert "north has the only offer." in page.text
    options = page.one("select").all("option")
    assert [option.text for option in options] == [
        "Any vendor",
        "north",
        "south",
    ]
    assert [
        option.text for option in options if "selected" in option.attributes
    ] == ["south"]


@pytest.mark.parametrize(
    ("field", "text", "error"),
    [
        ("price", "cheap", "Enter a valid price. Use a period"),
        ("price", "12,50", "for example 12.50."),
        ("min_price", "-1", "Enter a valid price. Use a period"),
        ("max_quantity", "-1", "Enter a whole number."),
        ("max_quantity", "1.5", "Enter a whole number."),
        ("max_quantity", "9" * 5_000, "Enter a whole number."),
        ("expires_on", "2020-01-01", "Enter today's date or a later date."),
        ("expires_on", "soon", "Enter today's date or a later date."),
        ("note", "x" * 501, "Enter at most 500 characters."),
        ("vendor_id", "nobody", "Choose a vendor from the list."),
    ],
)
def test_an_error_is_beside_its_field_and_nothing_of_the_form_is_lost(
    visitor: Visitor, field: str, text: str, error: str
) -> None:
    page = visitor.open(f"{SKUS}?sku=A-1")
    further_fields = (
        {"leave_out": "true"} if field in ("note", "expires_on") else {}
    )
    response = visitor.fill(
        page, "/override", **further_fields, **{field: text}
    )
    assert response.status_code == 422
    again = read_page(response.content)
    (error_element,) = errors_on(again)
    assert error in error_element.text
    (marked,) = (
        field_element
        for field_element in again.all("input", "select")
        if field_element.attributes.get("aria-invalid") == "true"
    )
    assert marked.attributes["name"] == field
    assert (
        marked.attributes["aria-describedby"] == error_element.attributes["id"]
    )
    if marked.tag == "input":
        assert marked.attributes["value"] == text
    assert "The override was not saved." in again.text
    assert "A-1" in again.one("h1").text
    assert not visitor.world.client.get("/v1/tenants/acme/overrides").json()[
        "count"
    ]
    if further_fields:
        (box,) = (
            e for e in again.all("input") if e.attributes["name"] == "leave_out"
        )
        assert "checked" in box.attributes


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "The override is empty."),
        ({"note": "sale"}, "The override is empty."),
        ({"price": "1", "min_price": "1"}, "Enter a price or a minimum price."),
        (
            {"price": "1", "leave_out": "true"},
            "Leave the SKU out, or set its values.",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_an_error_of_the_form(
    visitor: Visitor, fields: dict[str, str], error: str
) -> None:
    page = visitor.open(f"{SKUS}?sku=A-1")
    response = visitor.fill(page, "/override", **fields)
    assert response.status_code == 422
    (alert,) = (
        paragraph
        for paragraph in read_page(response.content).all("p")
        if paragraph.attributes.get("role") == "alert"
    )
    assert error in alert.text


def test_a_sku_that_turns_the_direction_of_text_turns_nothing_else(
    visitor: Visitor,
) -> None:
    page = visitor.client.get(f"{SKUS}?sku=A%E2%80%AEB").text
    assert "<code><bdi>A\u202eB</bdi></code>" in page


def test_the_last_day_of_an_override_is_one_of_the_tenant_s_zone(
    world: ApiWorld,
) -> None:
    world.store_config(timezone="America/Chicago")
    visitor = signed_in(world)
    page = visitor.open(f"{SKUS}?sku=A-1")
    sent = visitor.fill(
        page, "/override", price="9.90", expires_on="2099-01-31"
    )
    (stored,) = world.client.get("/v1/tenants/acme/overrides").json()[
        "overrides"
    ]
    assert stored["expires_at"] == "2099-02-01T05:59:59Z"
    page = visitor.open(sent.headers["location"])
    assert (
        "In effect until Jan 31, 2099, 11:59 PM (America/Chicago)" in page.text
    )
    (field,) = (
        e for e in page.all("input") if e.attributes["name"] == "expires_on"
    )
    assert field.attributes["value"] == "2099-01-31"


def test_an_override_that_ends_at_midnight_has_the_day_before_as_its_last(
    world: ApiWorld,
) -> None:
    world.store_config()
    override = {
        "sku": "A-1",
        "price": "1",
        "expires_at": "2099-02-01T00:00:00Z",
    }
    order = {"overrides": [override]}
    assert world.client.post(
        "/v1/tenants/acme/overrides:put", json=order
    ).is_success
    page = signed_in(world).open(f"{SKUS}?sku=A-1")
    (field,) = (
        e for e in page.all("input") if e.attributes["name"] == "expires_on"
    )
    assert field.attributes["value"] == "2099-01-31"


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


@pytest.mark.parametrize("digits", ["9" * 41, "9" * 5000, "0" * 41])
def test_a_number_of_more_than_forty_digits_is_an_error_of_its_field(
    visitor: Visitor, digits: str
) -> None:
    page = visitor.open(f"{HOME}/skus?sku=A-1")
    answer = visitor.fill(page, "/override", max_quantity=digits)
    assert answer.status_code == 422
    (field,) = (
        field
        for field in read_page(answer.content).all("input")
        if field.attributes.get("name") == "max_quantity"
    )
    assert field.attributes["aria-invalid"] == "true"
    assert field.attributes["value"] == digits


# --- the list of overrides ----------------------------------------------------------


def rows_of(page: Element) -> list[list[str]]:
    """Return the texts of the cells of the list of overrides."""
    return [
        [cell.text for cell in row.all("th", "td")] for row in page.all("tr")
    ][1:]


def test_the_overrides_in_effect_are_listed_with_links(
    world: ApiWorld,
) -> None:
    world.store_config(timezone="America/Chicago")
    orders = [
        {"sku": "B/2 é", "leave_out": True, "note": "<i>recalled</i>"},
        {
            "sku": "A-1",
            "min_price": "9.9",
            "max_quantity": 1200,
            "vendor_id": "vendor_1",
            "expires_at": "2099-02-01T05:59:59Z",
        },
    ]
    answer = world.client.post(
        "/v1/tenants/acme/overrides:put", json={"overrides": orders}
    )
    assert answer.is_success, answer.text
    accepted_price = {"C-3": Decimal("7.50"), "A-1": Decimal("8.00")}
    world.platform.overrides.accept("acme", accepted_price, "run", "a test")
    (document, *_) = world.client.get("/v1/tenants/acme/overrides").json()[
        "overrides"
    ]
    zone = ZoneInfo("America/Chicago")
    until = display.moment(
        datetime.fromisoformat(document["accept_until"]), zone
    )
    page = signed_in(world, "read").open(SKUS)
    assert rows_of(page) == [
        [
            "A-1",
            "Minimum price 9.90; Maximum quantity 1,200; Vendor vendor_1",
            "Jan 31, 2099, 11:59 PM (America/Chicago)",
            DASH,
        ],
        ["A-1", "Accepted price 8.00", until, DASH],
        ["B/2 é", "Left out of the feed", "No end date", "<i>recalled</i>"],
        ["C-3", "Accepted price 7.50", until, DASH],
    ]
    assert "3 SKUs with an override. Amounts in USD" in page.text
    (link,) = (link for link in page.all("a") if link.text == "B/2 é")
    address = link.attributes["href"]
    assert signed_in(world).open(address).one("h1").text == "B/2 é"
    assert "Overrides in effect" not in signed_in(world).open(address).text


def test_a_long_list_of_overrides_has_pages(world: ApiWorld) -> None:
    world.store_config()
    skus = [f"S&{number:03}" for number in range(101)]
    orders = [{"sku": sku, "price": "1"} for sku in skus]
    world.client.post(
        "/v1/tenants/acme/overrides:put", json={"overrides": orders}
    )
    visitor = signed_in(world)
    first_page = visitor.open(SKUS)
    assert [row[0] for row in rows_of(first_page)] == skus[:100]
    assert "100 of 101 SKUs with an override." in first_page.text
    assert "Show the first overrides" not in first_page.text
    (link,) = (
        e for e in first_page.all("a") if e.text == "Show the next overrides"
    )
    last_page = visitor.open(link.attributes["href"])
    assert rows_of(last_page) == [["S&100", "Price 1.00", "No end date", DASH]]
    assert "1 of 101 SKUs with an override." in last_page.text
    assert "Show the next overrides" not in last_page.text
    (link,) = (
        e for e in last_page.all("a") if e.text == "Show the first overrides"
    )
    assert link.attributes["href"] == SKUS
    empty_page = visitor.open(f"{SKUS}?after=T")
    assert "There are no more overrides." in empty_page.text


def test_without_overrides_the_page_says_so(world: ApiWorld) -> None:
    world.store_config()
    page = signed_in(world, "read").open(SKUS)
    assert "No SKU has an override." in page.text
    assert rows_of(page) == []
