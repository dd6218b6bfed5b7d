"""A vendor's page: a file goes to S3, is checked, and the proposed settings are applied."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from relay_core.domain.records import VendorResult
from relay_dagster.runs.ports import utc_now
from support.api_world import TENANT, ApiWorld
from support.builders import vendor_document
from support.fakes import served_platform
from support.page_visitor import HOME, SITE, Visitor, signed_in
from support.published_documents import FOLDER

VENDOR = f"{HOME}/vendors/vendor_1"
INBOUND = "tenants/acme/inbound/vendor_1/"
GOOD = b"sku,quantity_available,cost\nA-1,5,4.20\nA-2,7,3.10\n"
EUROPEAN = (
    "Artikelnummer;Bestand;Preis\nÄ-1;5;4,20 €\nA-2;7;1.250,00 €\n".encode(
        "cp1252"
    )
)
LONG = "\u202e<script>alert(1)</script>" + "x" * 10_000


def put(visitor: Visitor, data: bytes, name: str = "a.csv") -> None:
    visitor.world.platform.objects.put(f"{INBOUND}{name}", data)


def test_a_list_goes_straight_to_s3_and_the_browser_comes_back_to_its_check(
    served_world: ApiWorld,
) -> None:
    served_world.store_config()
    visitor = signed_in(served_world)
    answer = visitor.client.get(VENDOR)
    page = visitor.open(VENDOR)
    (form,) = (
        form for form in page.all("form") if "enctype" in form.attributes
    )
    assert (form.attributes["method"], form.attributes["enctype"]) == (
        "post",
        "multipart/form-data",
    )
    target = form.attributes["action"]
    origin = "/".join(target.split("/")[:3])
    assert (
        f"form-action 'self' {origin};"
        in answer.headers["content-security-policy"]
    )
    fields = {
        field.attributes["name"]: field.attributes["value"]
        for field in form.all("input")
        if field.attributes["type"] == "hidden"
    }
    assert fields["key"].startswith(INBOUND)
    assert fields["success_action_redirect"] == f"{SITE}{VENDOR}/check"
    assert "token" not in fields
    sent = httpx.post(
        target, data=fields, files={"file": GOOD}, trust_env=False
    )
    assert sent.status_code == 303
    back = visitor.client.get(sent.headers["location"].removeprefix(SITE))
    assert back.headers["location"] == f"{VENDOR}/check"
    assert "All 2 rows are valid." in visitor.open(f"{VENDOR}/check").text
    acts = served_world.client.get("/v1/audit").json()["audit"]
    assert [act for act in acts if act["action"] == "upload_link.created"] == []


def test_a_form_that_is_signed_by_a_role_s_long_token_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = "t" * 3_000
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    with served_platform() as platform:
        world = ApiWorld(platform)
        world.store_config()
        page = signed_in(world).open(VENDOR)
    fields = {
        field.attributes.get("name"): field.attributes.get("value")
        for field in page.all("input")
    }
    policy = json.loads(base64.b64decode(str(fields["policy"])))
    assert fields["x-amz-security-token"] == token
    assert {"x-amz-security-token": token} in policy["conditions"]


def test_a_list_that_was_never_sent_is_told(visitor: Visitor) -> None:
    assert (
        "There is no file yet. Upload one below."
        in visitor.open(f"{VENDOR}/check").text
    )
    assert "Not in a run yet" in visitor.open(VENDOR).text


def test_the_line_of_a_cell_that_cannot_be_used_stands_beside_its_row(
    visitor: Visitor,
) -> None:
    put(
        visitor, b"\nsku,quantity_available,cost\n\nA-1,many,4.20\nA-2,7,3.10\n"
    )
    assert "2 (line 4)" in visitor.open(f"{VENDOR}/check").text


def test_a_parser_that_reads_the_list_is_shown_line_by_line_and_taken_over(
    visitor: Visitor,
) -> None:
    visitor.world.store_config(
        vendor_document(parser={"column_map": {"sku": "Artikelnummer"}}),
        pricing={"min_price": "1"},
    )
    put(visitor, EUROPEAN)
    page = visitor.open(f"{VENDOR}/check")
    assert "A run cannot use this file: " in page.text
    settings = [cell.text for cell in page.all("th") if cell.all("code")]
    assert "delimiter" in settings
    response = visitor.fill(page, "/parser")
    assert response.headers["location"] == f"{VENDOR}/check?taken=3"
    after = visitor.open(response.headers["location"])
    assert "The settings were applied (version 3)." in after.text
    assert "A run can read 2 rows. Check the warnings below." in after.text
    stored = visitor.world.client.get(f"/v1/tenants/{TENANT}").json()
    assert stored["tenant_config"]["vendors"][0]["parser"]["delimiter"] == ";"
    (entry, *_) = visitor.world.client.get(
        "/v1/audit?action=config.put"
    ).json()["audit"]
    assert entry["actor"]["kind"] == "session"
    late = visitor.fill(page, "/parser")  # of a second tab
    assert (late.status_code, "Your settings have changed" in late.text) == (
        412,
        True,
    )
    assert visitor.world.platform.tenants.latest_version(TENANT) == 3


@pytest.mark.parametrize(
    ("name", "settings", "samples", "verdict"),
    [
        (
            "cd_catalog.xml",
            {
                "format": '"xml"',
                "record": '"/CATALOG/CD"',
                "column_map": '{"cost": "PRICE", "sku": "TITLE"}',
                "defaults": '{"quantity_available": "1"}',
            },
            {
                "TITLE": "Empire Burlesque · Hide your heart · Greatest Hits · "
                "Still got the blues · Eros",
                "ARTIST": "Bob Dylan · Bonnie Tylor · Dolly Parton · Gary More · "
                "Eros Ramazzotti",
            },
            "All 26 rows are valid.",
        ),
        (
            "shopify_variants.json",
            {
                "format": '"json"',
                "record": '"/variants"',
                "column_map": '{"quantity_available": "inventory_quantity"}',
            },
            {},
            "All 4 rows are valid.",
        ),
    ],
)
def test_a_document_is_shown_with_its_record_and_columns_and_taken_over(
    visitor: Visitor,
    name: str,
    settings: dict[str, str],
    samples: dict[str, str],
    verdict: str,
) -> None:
    put(visitor, (FOLDER / name).read_bytes(), name)
    page = visitor.open(f"{VENDOR}/check")
    options = [cell.text for cell in page.all("th") if cell.all("code")]
    values = [cell.text for cell in page.all("td")][: 2 * len(options)]
    assert dict(zip(options, values[1::2], strict=True)) == settings
    assert values[::2] == ['"csv"', *["Not set"] * (len(options) - 1)]
    choices = {
        label.all("bdi")[0].text: label.all("bdi")[1].text
        for label in page.all("label")
        if label.attributes.get("class") == "choice"
    }
    assert choices == samples
    assert verdict in page.text
    response = visitor.fill(page, "/parser")
    stored = visitor.world.client.get(f"/v1/tenants/{TENANT}").json()
    parser = stored["tenant_config"]["vendors"][0]["parser"]
    assert {option: json.dumps(parser[option]) for option in settings} == (
        settings
    )
    after = visitor.open(response.headers["location"])
    assert "The settings were applied (version " in after.text
    assert "Proposed settings" not in after.text


def test_a_list_without_prices_is_no_good_list(visitor: Visitor) -> None:
    put(visitor, b"sku,quantity_available,cost\nA-1,5,\nA-2,7,\n")
    page = visitor.open(f"{VENDOR}/check")
    assert "A run can read 2 rows. Check the warnings below." in page.text
    assert "No row has a cost or a price, so no row can be sold." in page.text


def test_headers_of_no_known_name_are_choices_with_samples(
    visitor: Visitor,
) -> None:
    put(
        visitor,
        b"sku,quantity_available,Net EUR,Gross EUR\nA-1,5,4.20,5.10\nA-2,7,3.10,4.00\n",
    )
    page = visitor.open(f"{VENDOR}/check")
    choices = {
        field.attributes["value"]: field.attributes["name"]
        for field in page.all("input")
        if field.attributes["type"] == "radio"
    }
    assert choices == {"Net EUR": "as_cost", "Gross EUR": "as_cost"}
    assert "4.20 · 3.10" in page.text
    chosen = visitor.open(f"{VENDOR}/check?as_cost=Net+EUR")
    assert "All 2 rows are valid." in chosen.text
    assert visitor.fill(chosen, "/parser").status_code == 303
    stored = visitor.world.client.get(f"/v1/tenants/{TENANT}").json()[
        "tenant_config"
    ]
    assert stored["vendors"][0]["parser"]["column_map"]["cost"] == "Net EUR"


def test_of_two_tabs_that_take_over_two_parsers_the_second_is_told(
    visitor: Visitor,
) -> None:
    put(
        visitor,
        b"sku,quantity_available,Net EUR,Gross EUR\nA-1,5,4.20,5.10\nA-2,7,3.10,4.00\n",
    )
    first, second = (
        visitor.open(f"{VENDOR}/check?as_cost={header}")
        for header in ("Net+EUR", "Gross+EUR")
    )
    assert visitor.fill(first, "/parser").status_code == 303
    late = visitor.fill(second, "/parser")
    assert (late.status_code, "Your settings have changed" in late.text) == (
        412,
        True,
    )
    stored = visitor.world.client.get(f"/v1/tenants/{TENANT}").json()
    assert stored["config_version"] == 2
    assert (
        stored["tenant_config"]["vendors"][0]["parser"]["column_map"]["cost"]
        == "Net EUR"
    )


def test_a_setting_is_taken_over_whole_however_long_it_is(
    visitor: Visitor,
) -> None:
    header = "\u202e<b>" + "x" * 5_000
    put(visitor, f"sku,quantity_available,{header}\nA-1,5,4.20\n".encode())
    page = visitor.open(f"{VENDOR}/check?as_cost={quote(header)}")
    assert "Its only row is valid." in page.text
    assert "x" * 2001 not in page.text
    assert visitor.fill(page, "/parser").status_code == 303
    stored = visitor.world.client.get(f"/v1/tenants/{TENANT}").json()[
        "tenant_config"
    ]
    assert stored["vendors"][0]["parser"]["column_map"]["cost"] == header


@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["nonsense"],
        ['["add", "/pricing/min_price", "0.01"]'],
        ['["add", "/vendors/0/inbound/s3_prefix", "x"]'],
        ['["add", "/vendors/1/parser/delimiter", ";"]'],
        ["[1, 2, 3]"],
        ['["add", "/vendors/0/parser/format/x", 1]'],
        ['["add", "/vendors/0/parser/column_map/sku/x", 1]'],
        ['["add", "/vendors/0/parser/nothing/x", 1]'],
        ['["add", "/vendors/0/parser/null_values", ' + "[" * 20_000],
    ],
)
def test_a_form_changes_the_vendor_s_parser_alone(
    visitor: Visitor, steps: list[str]
) -> None:
    token = visitor.open(HOME).all("input")[0].attributes["value"]
    form: dict[str, Any] = {"token": token, "version": "1", "step": steps}
    assert visitor.client.post(f"{VENDOR}/parser", data=form).status_code == 422
    assert visitor.world.platform.tenants.latest_version(TENANT) == 1


def test_refused_cells_are_shown_with_what_is_wrong(visitor: Visitor) -> None:
    put(visitor, b"sku,quantity_available,cost\nA-1,5,4.20\nA-2,7,four\n")
    page = visitor.open(f"{VENDOR}/check")
    assert "A run can use this file, but would reject 1 of 2 rows." in page.text
    assert "Cost: not a valid amount" in page.text
    assert "four" in page.text


def test_texts_of_a_vendor_are_texts_and_short(visitor: Visitor) -> None:
    put(
        visitor,
        f"sku,quantity_available,cost,{LONG}\n{LONG},x,{LONG}\n".encode(),
        f"{LONG[:200]}",
    )
    for path in (VENDOR, f"{VENDOR}/check", f"{HOME}/skus?sku=%3Cscript%3E"):
        answer = visitor.client.get(path)
        assert "<script" not in answer.text
        assert "x" * 2001 not in answer.text
        assert len(answer.content) < 64_000


def test_what_became_of_the_last_lists_is_told(visitor: Visitor) -> None:
    put(visitor, GOOD)
    page = visitor.open(VENDOR)
    assert "No run has used this file yet." in page.text
    world = visitor.world
    result = VendorResult("vendor_1", "found", utc_now(), 0, 1200, 12, 900)
    world.succeed(world.post_run().json()["run_id"], result)
    page = visitor.open(VENDOR)
    assert (
        "1,200 rows, 12 rejected. 900 SKUs in the feed come from this vendor."
        in page.text
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("list <1>.csv", "list <1>.csv"),
        ("pulled/20260301T120000Z-list.csv", "list.csv"),
        ("2026/list.csv", "list.csv"),
        ("upload-20260301T120000Z-0a1b2c3d", None),
        ("upload-20260301T120000Z-0a1b2c3d/full-20260301.csv", None),
        ("upload-20260301.csv", "upload-20260301.csv"),
        (f"link-{'0' * 16}-20260301T12-01", None),
    ],
)
def test_the_last_lists_have_their_names_unless_the_page_named_them(
    visitor: Visitor, name: str, shown: str | None
) -> None:
    put(visitor, GOOD, name)
    (header,) = visitor.open(VENDOR).one("tbody").all("th")
    names = [small.text for small in header.all("small")]
    assert names == ([] if shown is None else [shown])


def test_scopes_decide_what_the_page_has(world: ApiWorld) -> None:
    world.store_config()
    reader = signed_in(world, "read")
    page = reader.open(VENDOR)
    assert [
        form for form in page.all("form") if "enctype" in form.attributes
    ] == []
    assert reader.client.get(f"{VENDOR}/check").status_code == 403
    token = page.all("input")[0].attributes["value"]
    form = {"token": token, "version": "1", "step": "[]"}
    assert reader.client.post(f"{VENDOR}/parser", data=form).status_code == 403


@pytest.mark.parametrize("vendor", ["nobody", "%3Cscript%3E"])
def test_a_vendor_that_the_config_lacks_is_not_there(
    visitor: Visitor, vendor: str
) -> None:
    for path in (f"{HOME}/vendors/{vendor}", f"{HOME}/vendors/{vendor}/check"):
        assert visitor.client.get(path).status_code == 404
