"""The settings pages: what a form changes, what it shows first, and what is at fault."""

from __future__ import annotations

import pytest

from support.builders import vendor_document
from support.html_page import read_page
from support.page_visitor import Visitor
from support.settings_forms import (
    SETTINGS,
    form_of,
    lines,
    save,
    send,
    stored,
)

MAX_BYTES = 100_000
SLUGS = ("prices", "stock", "safety", "schedule", "feed", "channels", "catalog")


@pytest.mark.parametrize("slug", SLUGS)
def test_a_form_that_is_sent_as_it_is_changes_nothing(
    visitor: Visitor, slug: str
) -> None:
    before = stored(visitor)
    page = send(visitor, slug)
    assert "Nothing would change" in page.text
    assert "Save changes" not in page.text
    assert stored(visitor) == before


@pytest.mark.parametrize(
    "slug",
    [
        *SLUGS,
        "new-vendor",
        "vendors/vendor_1",
        "vendors/vendor_1/parts/new",
        "prices/rules/new",
        "channels/list/new",
        "links",
        "suppliers",
        "people",
        "secrets",
        "history",
        "text",
    ],
)
def test_a_page_is_small(visitor: Visitor, slug: str) -> None:
    answer = visitor.client.get(f"{SETTINGS}/{slug}")
    assert len(answer.content) < MAX_BYTES


def test_a_change_is_shown_as_lines_and_stored_as_one_version(
    visitor: Visitor,
) -> None:
    version, document = stored(visitor)
    page = send(visitor, "prices", **{"pricing.base_margin_pct": "25 %"})
    assert lines(page) == [["Prices: Margin", "0%", "25%"]]
    assert stored(visitor) == (version, document)
    assert save(visitor, "prices", page) == (
        f"{SETTINGS}/prices?saved={version + 1}"
    )
    document["pricing"]["base_margin_pct"] = "0.25"
    assert stored(visitor) == (version + 1, document)
    page = visitor.open(f"{SETTINGS}/prices?saved={version + 1}")
    assert f"saved as version {version + 1}" in page.text


def test_a_fault_stands_beside_its_field_and_the_form_keeps_what_was_entered(
    visitor: Visitor,
) -> None:
    version, _ = stored(visitor)
    page = send(
        visitor,
        "prices",
        422,
        **{
            "pricing.base_margin_pct": "12,5",
            "pricing.min_price": "-1",
            "default_currency": "usd",
            "pricing.rounding.increment": "0.05",
        },
    )
    fields = {
        field.attributes["name"]: field.attributes
        for field in page.all("input")
        if "name" in field.attributes
    }
    invalid = [name for name in fields if "aria-invalid" in fields[name]]
    assert invalid == [
        "pricing.base_margin_pct",
        "pricing.min_price",
        "default_currency",
    ]
    assert fields["pricing.base_margin_pct"]["value"] == "12,5"
    assert fields["pricing.rounding.increment"]["value"] == "0.05"
    assert "Enter a percentage from 0 to 10000." in page.text
    assert "Enter an amount of 0 or more." in page.text
    assert 'did you mean "USD"?' in page.text
    assert stored(visitor)[0] == version


def test_a_form_of_an_earlier_version_is_not_stored_and_shows_what_it_changed(
    visitor: Visitor,
) -> None:
    path = f"{SETTINGS}/stock"
    fields = form_of(visitor.open(path), path)
    visitor.world.store_config(stock={"cap": 7})
    version, _ = stored(visitor)
    answer = visitor.client.post(
        path, data={**fields, "stock.hold_back": "2", "step": "save"}
    )
    assert answer.status_code == 412
    page = read_page(answer.content)
    assert lines(page) == [
        ["Stock: Pieces to keep back", "0 pieces", "2 pieces"]
    ]
    assert stored(visitor)[0] == version


def test_a_section_that_null_turns_off_is_turned_off_and_on(
    visitor: Visitor,
) -> None:
    page = send(
        visitor,
        "safety",
        **{
            "guards.price_level.on": [],
            "guards.quarantine.on": "true",
            "guards.quarantine.confirm_hours": "",
            "guards.max_skus_removed_pct": "",
        },
    )
    save(visitor, "safety", page)
    assert stored(visitor)[1]["guards"] == {
        "price_level": None,
        "max_skus_removed_pct": None,
        "quarantine": {"confirm_hours": None},
    }
    page = send(
        visitor,
        "safety",
        **{"guards.price_level.on": "true", "guards.quarantine.on": []},
    )
    save(visitor, "safety", page)
    assert stored(visitor)[1]["guards"] == {
        "price_level": {},
        "max_skus_removed_pct": None,
        "quarantine": None,
    }


def test_the_columns_of_the_feed_can_be_ordered_renamed_and_removed(
    visitor: Visitor,
) -> None:
    page = send(
        visitor,
        "feed",
        **{
            "output.columns.3.rank": "1",
            "output.columns.0.as": "Article",
            "output.columns.1.column": "",
            "output.columns.1.as": "",
            "output.columns.4.constant": "shop",
            "output.columns.4.as": "Source",
        },
    )
    save(visitor, "feed", page)
    assert stored(visitor)[1]["output"]["columns"] == [
        {"column": "sku", "as": "Article"},
        "price",
        "quantity_available",
        {"constant": "shop", "as": "Source"},
    ]


def test_a_schedule_shows_its_next_five_times(visitor: Visitor) -> None:
    page = send(
        visitor,
        "schedule",
        **{
            "triggers.schedule.on": "true",
            "triggers.schedule.cron": "30 6 * * *",
            "timezone": "America/Chicago",
        },
    )
    save(visitor, "schedule", page)
    times = visitor.open(f"{SETTINGS}/schedule").one("ol").all("li")
    assert len(times) == 5
    for time in times:
        assert time.text.endswith("6:30 AM (America/Chicago)")


def test_the_review_can_be_left_without_losing_what_was_entered(
    visitor: Visitor,
) -> None:
    page = send(visitor, "stock", **{"stock.cap": "50"})
    fields = {**form_of(page, f"{SETTINGS}/stock"), "step": "edit"}
    answer = visitor.client.post(f"{SETTINGS}/stock", data=fields)
    assert answer.status_code == 200
    form = form_of(read_page(answer.content), f"{SETTINGS}/stock")
    assert form["stock.cap"] == ["50"]


def test_a_rule_shows_its_effect_in_words(visitor: Visitor) -> None:
    rules = [
        {"when": {"brands": ["Acme"]}, "margin_pct": "0.3", "min_price": "5"},
        {
            "when": {"vendors": ["vendor_1"], "cost_below": "2"},
            "leave_out": True,
        },
    ]
    visitor.world.store_config(vendor_document(), pricing={"rules": rules})
    page = visitor.open(f"{SETTINGS}/prices")
    assert [line[:3] for line in lines(page)] == [
        ["Rule 1", "Brand Acme", "Margin of 30%, at least 5"],
        ["Rule 2", "Vendor vendor_1, cost below 2", "Left out of the feed"],
    ]
