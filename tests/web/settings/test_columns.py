"""The columns of a vendor's file, with five values and a choice each."""

from __future__ import annotations

from typing import Any

from support.builders import vendor_document
from support.html_page import Element
from support.page_visitor import HOME, Visitor
from support.settings_forms import form_of, lines, save, send, stored

SLUG = "vendors/vendor_1/columns"
ROWS = "".join(f"A-{n};{n};{n},50;Bolt {n}\n" for n in range(1, 9))
FILE = f"Artikel;Bestand;EK;Text\n{ROWS}".encode()


def upload(visitor: Visitor, data: bytes) -> None:
    key = "tenants/acme/inbound/vendor_1/list.csv"
    visitor.world.platform.objects.put(key, data)


def roles(page: Element) -> dict[str, str]:
    """Return what each header of the file is used as."""
    fields = form_of(page, f"{HOME}/settings/{SLUG}")
    return {
        fields[f"header.{index}"][0]: fields[f"as.{index}"][0]
        for index in range(len([name for name in fields if "as." in name]))
    }


def parser(visitor: Visitor) -> dict[str, Any]:
    stored_parser: dict[str, Any] = stored(visitor)[1]["vendors"][0]["parser"]
    return stored_parser


def test_each_column_of_the_file_has_five_values_and_what_it_is(
    visitor: Visitor,
) -> None:
    upload(visitor, FILE)
    page = visitor.open(f"{HOME}/settings/{SLUG}")
    assert [row[:2] for row in lines(page)] == [
        ["Artikel", "A-1 · A-2 · A-3 · A-4 · A-5"],
        ["Bestand", "1 · 2 · 3 · 4 · 5"],
        ["EK", "1,50 · 2,50 · 3,50 · 4,50 · 5,50"],
        ["Text", "Bolt 1 · Bolt 2 · Bolt 3 · Bolt 4 · Bolt 5"],
    ]
    assert roles(page)["Artikel"] == "sku"
    assert roles(page)["EK"] == "cost"
    assert "All 8 rows are valid." in page.text


def test_columns_are_chosen_checked_and_saved_with_the_proposed_format(
    visitor: Visitor,
) -> None:
    upload(visitor, FILE)
    choice = {"as.2": "price", "as.3": "brand"}
    page = send(visitor, SLUG, **choice, step="try")
    assert roles(page)["Text"] == "brand"
    assert "All 8 rows are valid." in page.text
    page = send(visitor, SLUG, **choice)
    assert any("Separator" in line[0] for line in lines(page))
    assert save(visitor, SLUG, page) == f"{HOME}/vendors/vendor_1?saved=2"
    saved_parser = parser(visitor)
    assert saved_parser["delimiter"] == ";"
    assert saved_parser["column_map"] == {
        "sku": "Artikel",
        "quantity_available": "Bestand",
        "price": "EK",
        "brand": "Text",
    }


def test_two_headers_of_one_column_are_told(visitor: Visitor) -> None:
    upload(visitor, FILE)
    page = send(visitor, SLUG, 422, **{"as.3": "sku"})
    assert "Two columns of the file are SKU" in page.text


def test_a_vendor_without_a_file_is_asked_for_one(visitor: Visitor) -> None:
    assert (
        "There is no file yet." in visitor.open(f"{HOME}/settings/{SLUG}").text
    )


def test_the_columns_of_a_part_s_file_are_chosen(visitor: Visitor) -> None:
    prefix = "tenants/acme/inbound/stock/"
    part = {
        "part_id": "stock",
        "gives": ["quantity_available"],
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "csv"},
    }
    visitor.world.store_config(vendor_document(parts=[part]))
    rows = "".join(f"A-{n};{n}\n" for n in range(1, 9))
    data = f"Artikel;Bestand\n{rows}".encode()
    visitor.world.platform.objects.put(f"{prefix}stock.csv", data)
    page = visitor.open(f"{HOME}/settings/vendors/vendor_1")
    (link,) = (
        link.attributes["href"]
        for link in page.all("a")
        if "part=" in link.attributes["href"]
    )
    page = visitor.open(link)
    assert roles(page) == {"Artikel": "sku", "Bestand": "quantity_available"}
    save(visitor, SLUG, page)
    (vendor,) = stored(visitor)[1]["vendors"]
    assert vendor["parser"] == {"format": "csv"}
    assert vendor["parts"][0]["parser"] == {
        "format": "csv",
        "delimiter": ";",
        "column_map": {"sku": "Artikel", "quantity_available": "Bestand"},
    }


def test_a_vendor_with_parts_has_a_form_that_changes_nothing_by_itself(
    visitor: Visitor,
) -> None:
    part = {
        "part_id": "more",
        "gives": "rows",
        "inbound": {"type": "s3", "s3_prefix": "tenants/acme/inbound/more/"},
        "parser": {"format": "csv"},
        "changes": {"full": "full*", "delta": "delta*"},
    }
    visitor.world.store_config(vendor_document(parts=[part]))
    page = send(visitor, "vendors/vendor_1")
    assert "Nothing would change" in page.text
    size = len(visitor.client.get(f"{HOME}/settings/vendors/vendor_1").content)
    assert size < 100_000
