"""Vendors on the settings pages: added, changed, and removed."""

from __future__ import annotations

from typing import Any

from support.builders import vendor_document
from support.html_page import errors_on
from support.page_visitor import HOME, Visitor
from support.settings_forms import SETTINGS, form_of, lines, save, send, stored


def vendors_of(visitor: Visitor) -> list[dict[str, Any]]:
    vendors: list[dict[str, Any]] = stored(visitor)[1]["vendors"]
    return vendors


def test_a_new_vendor_has_a_folder_for_its_uploads_and_leads_to_its_page(
    visitor: Visitor,
) -> None:
    page = send(
        visitor, "new-vendor", **{"vendors.1.vendor_id": "granite_supply"}
    )
    changes = lines(page)
    assert changes[0] == ["Vendor granite_supply", "Not set", "Added"]
    target = save(visitor, "new-vendor", page)
    assert target == f"{HOME}/vendors/granite_supply?saved=2"
    assert vendors_of(visitor)[1] == {
        "vendor_id": "granite_supply",
        "inbound": {
            "type": "s3",
            "s3_prefix": "tenants/acme/inbound/granite_supply/",
        },
        "parser": {"format": "csv"},
    }
    assert "Upload a file" in visitor.open(target).text


def test_the_first_vendor_of_a_tenant_is_added(visitor: Visitor) -> None:
    visitor.world.client.put(
        "/v1/tenants/acme/config", json={**stored(visitor)[1], "vendors": []}
    )
    page = send(visitor, "new-vendor", **{"vendors.0.vendor_id": "first"})
    save(visitor, "new-vendor", page)
    assert [vendor["vendor_id"] for vendor in vendors_of(visitor)] == ["first"]


def test_a_name_that_is_taken_or_not_valid_is_at_fault_beside_its_field(
    visitor: Visitor,
) -> None:
    for name, text in (
        ("vendor_1", "give each vendor its own id"),
        ("Granite Supply", "is not a valid id"),
        ("", "Fill in this field."),
    ):
        page = send(visitor, "new-vendor", 422, **{"vendors.1.vendor_id": name})
        (error,) = errors_on(page)
        assert text in error.text
    assert len(vendors_of(visitor)) == 1


def test_the_options_of_a_vendor_that_are_sent_as_they_are_change_nothing(
    visitor: Visitor,
) -> None:
    page = send(visitor, "vendors/vendor_1")
    assert "Nothing would change" in page.text


def test_a_pull_is_switched_on_beside_its_faults(visitor: Visitor) -> None:
    slug = "vendors/vendor_1"
    pull = "vendors.0.inbound.pull"
    page = send(
        visitor,
        slug,
        422,
        **{f"{pull}.on": "true", f"{pull}.url": "ftp://example.com/a.csv"},
    )
    fields = {
        field.attributes.get("name"): field.attributes
        for field in page.all("input")
    }
    assert fields[f"{pull}.url"]["aria-invalid"] == "true"
    page = send(
        visitor,
        slug,
        **{
            f"{pull}.on": "true",
            f"{pull}.url": "https://example.com/a.csv",
            f"{pull}.every_minutes": "30",
            "vendors.0.parser.delimiter": "tab",
            "vendors.0.required": [],
        },
    )
    assert ["Vendor vendor_1: Runs need this vendor", "Yes", "No"] in lines(
        page
    )
    save(visitor, slug, page)
    assert vendors_of(visitor)[0] == {
        **vendor_document(),
        "required": False,
        "parser": {"format": "csv", "delimiter": "\t"},
        "inbound": {
            **vendor_document()["inbound"],
            "pull": {"url": "https://example.com/a.csv", "every_minutes": 30},
        },
    }
    form = form_of(visitor.open(f"{SETTINGS}/{slug}"), f"{SETTINGS}/{slug}")
    assert form["vendors.0.parser.delimiter"] == ["tab"]


def test_a_vendor_is_removed_if_no_other_setting_names_it(
    visitor: Visitor,
) -> None:
    rule = {"when": {"vendors": ["b"]}, "margin_pct": "1"}
    visitor.world.store_config(
        vendor_document(), vendor_document("b"), pricing={"rules": [rule]}
    )
    path = f"{SETTINGS}/vendors/b/remove"
    fields = form_of(visitor.open(f"{SETTINGS}/vendors/b"), path)
    answer = visitor.client.post(path, data={**fields, "step": "save"})
    assert answer.status_code == 422
    assert "pricing.rules.0.when.vendors" in answer.text
    visitor.world.store_config(vendor_document(), vendor_document("b"))
    answer = visitor.client.post(
        path, data={**fields, "version": "3", "step": "save"}
    )
    assert answer.headers["location"] == f"{SETTINGS}?saved=4"
    assert vendors_of(visitor) == [vendor_document()]


def test_a_vendor_that_is_not_there_is_not_found(visitor: Visitor) -> None:
    visitor.open(f"{SETTINGS}/vendors/nobody", 404)
