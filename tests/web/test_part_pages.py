"""Pages of a vendor of several files: a form for each, a check of each, and their verdicts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from relay_dagster.runs.ports import utc_now
from support.api_world import TENANT, ApiWorld
from support.builders import part_document, vendor_document
from support.fakes import published_outcome, served_platform
from support.html_page import Element
from support.page_visitor import HOME, SITE, browser, signed_in

BASE = "tenants/acme/inbound/vendor_1/"
PRICES = "tenants/acme/inbound/part_prices/"
CHANGES = {"full": "full-*.csv", "delta": "*-delta.csv"}
STOCK = b"sku,quantity_available\nA-1,5\nA-2,7\n"


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    with served_platform(public_url=SITE) as platform:
        world = ApiWorld(platform)
        vendor = vendor_document(
            changes=CHANGES, duplicate_skus="last", parts=[part_document()]
        )
        assert world.store_config(vendor).is_success
        yield world


def supplier_path(world: ApiWorld) -> str:
    until = (utc_now() + timedelta(days=90)).isoformat()
    order = {"vendor_id": "vendor_1", "name": "Anna", "expires_at": until}
    response = world.client.post(
        f"/v1/tenants/{TENANT}/supplier-links", json=order
    )
    assert response.status_code == 201, response.text
    return str(response.json()["url"]).removeprefix(SITE)


def fields_of(form: Element) -> dict[str, str]:
    return {
        field.attributes["name"]: field.attributes["value"]
        for field in form.all("input")
        if field.attributes["type"] == "hidden"
    }


def send(form: Element, data: bytes, **fields: str) -> str:
    """Send a file by a form to the bucket; return the path to which it leads back."""
    response = httpx.post(
        form.attributes["action"],
        data={**fields_of(form), **fields},
        files={"file": data},
        trust_env=False,
    )
    assert response.status_code == 303, response.text
    return str(response.headers["location"]).removeprefix(SITE)


def kinds_of(form: Element) -> dict[str, str]:
    """Return the key of each kind of file that a form offers."""
    return {
        option.text.strip(): option.attributes["value"]
        for option in form.all("option")
    }


def test_a_supplier_has_a_form_for_each_file_and_each_is_checked_by_itself(
    world: ApiWorld,
) -> None:
    path = supplier_path(world)
    visitor = browser(world)
    page = visitor.open(path)
    base, prices = page.all("form")
    assert len({field.attributes.get("id") for field in page.all("input")}) > 2
    assert "Upload a file: main file" in page.text
    assert "Upload a file: prices" in page.text

    back = send(prices, b"sku,cost\nA-1,4.20\nA-2,four\n")
    assert fields_of(prices)["key"].startswith(PRICES)
    assert (
        visitor.client.get(back).headers["location"] == f"{path}/check/prices"
    )
    checked = visitor.open(f"{path}/check/prices")
    assert "Your file was checked: prices" in checked.text
    assert "Your file can be used, except for 1 of 2 rows." in checked.text
    assert "Latest files: prices" in checked.text
    assert len(checked.all("form")) == 2

    kinds = kinds_of(base)
    assert set(kinds) == {"All rows", "Changed rows only"}
    assert "key" not in fields_of(base)
    assert kinds["All rows"].startswith(BASE)
    time = r"[0-9]{8}T[0-9]{2}-01"
    assert re.search(f"/full-{time}.csv$", kinds["All rows"])
    assert re.search(f"/{time}-delta.csv$", kinds["Changed rows only"])
    back = send(base, STOCK, key=kinds["All rows"])
    assert visitor.client.get(back).headers["location"] == f"{path}/check"
    checked = visitor.open(f"{path}/check")
    assert "Your file can be used. All 2 rows are valid." in checked.text
    stored = world.platform.objects.list_objects(BASE)
    assert [file.key for file in stored] == [kinds["All rows"]]

    # The next form has another folder, and the next file is a delta.
    kinds = kinds_of(visitor.open(path).all("form")[0])
    assert kinds["All rows"] != stored[0].key
    send(
        visitor.open(path).all("form")[0],
        b"sku,quantity_available\nA-1,6\n",
        key=kinds["Changed rows only"],
    )
    assert visitor.open(path).text.count("No run has used this file yet.") == 3


def test_a_form_of_a_file_with_changes_allows_names_in_its_folder_alone(
    world: ApiWorld,
) -> None:
    form = browser(world).open(supplier_path(world)).all("form")[0]
    policy = json.loads(base64.b64decode(fields_of(form)["policy"]))
    folder = kinds_of(form)["All rows"].rpartition("/")[0]
    assert ["starts-with", "$key", f"{folder}/"] in policy["conditions"]


def test_files_that_are_no_input_and_replaced_ones_are_told_apart(
    world: ApiWorld,
) -> None:
    for name in ("full-1.csv", "1-delta.csv", "full-2.csv", "x.csv"):
        world.platform.objects.put(f"{BASE}{name}", STOCK)
    text = browser(world).open(supplier_path(world)).text
    assert text.count("the name does not tell what kind of file it is") == 1


def uploaded_files(world: ApiWorld) -> list[dict[str, Any]]:
    """Upload a file of each part, and return them as a run's manifest lists them."""
    objects = world.platform.objects
    keys = {
        f"{BASE}full-1.csv": (None, "full"),
        f"{BASE}1-delta.csv": (None, "delta"),
        f"{PRICES}a.csv": ("prices", "full"),
        "tenants/acme/inbound/part_south/b.csv": ("south", "full"),
    }
    files = []
    for key, (part_id, kind) in keys.items():
        objects.put(key, STOCK)
        stored = objects.listed_object(key)
        assert stored is not None
        files.append(
            {
                "part_id": part_id,
                "kind": kind,
                "s3_key": key,
                "last_modified": stored.last_modified.isoformat(),
            }
        )
    return files


def test_a_file_is_judged_by_the_rows_of_its_own_part(world: ApiWorld) -> None:
    south = part_document("south", "rows")
    vendor = vendor_document(
        changes=CHANGES, duplicate_skus="last", parts=[part_document(), south]
    )
    world.store_config(vendor)
    files = uploaded_files(world)
    run = world.claim(world.post_run().json()["run_id"])
    entry = {"status": "found", "s3_key": files[0]["s3_key"], "files": files}
    manifest = {"vendors": {"vendor_1": entry}}
    world.platform.objects.put(
        run.keys.input_manifest, json.dumps(manifest).encode()
    )
    counts = {"skipped": 0, "refused": 1, "duplicates": 0}
    rows = {
        "read": 12,
        "refused": 3,
        "parts": {
            "prices": {**counts, "read": 5, "used": 4, "unused": 0},
            "south": {"read": 3, "skipped": 0, "refused": 0},
        },
    }
    summary = {"rows": {"vendor_1": rows}}
    world.platform.objects.put(
        run.keys.run_summary, json.dumps(summary).encode()
    )
    outcome = published_outcome(world.platform, run)
    artifacts = {
        **outcome.artifacts,
        "input_manifest": run.keys.input_manifest,
        "run_summary": run.keys.run_summary,
    }
    world.platform.ledger.succeed(
        run.fence, replace(outcome, artifacts=artifacts)
    )
    text = browser(world).open(supplier_path(world)).text
    use = "Used as one of 2 files, but 3 of 9 rows were rejected."
    assert text.count(use) == 2
    assert text.count("Used, but 1 of 5 rows was rejected.") == 1
    assert text.count("Used. All 3 rows are valid.") == 1


def test_twenty_files_an_hour_are_those_of_all_parts_together(
    world: ApiWorld,
) -> None:
    path = supplier_path(world)
    visitor = browser(world)
    _, prices = visitor.open(path).all("form")
    key = fields_of(prices)["key"]
    name = key.rpartition("/")[2].rpartition("-")[0]
    for number in range(1, 11):
        world.platform.objects.put(f"{PRICES}{name}-{number:02}", b"x")
        place = f"{BASE}{name}-{number + 10:02}/full-.csv"
        world.platform.objects.put(place, b"x")
    page = visitor.open(path)
    assert page.all("form") == []
    assert page.text.count("the maximum number of files for this hour") == 2


def test_a_part_that_is_unknown_has_no_check(world: ApiWorld) -> None:
    path = supplier_path(world)
    assert browser(world).client.get(f"{path}/check/x").status_code == 404


def test_a_merchant_checks_a_part_and_takes_its_settings_over(
    world: ApiWorld,
) -> None:
    visitor = signed_in(world)
    vendor_page = f"{HOME}/vendors/vendor_1"
    page = visitor.open(vendor_page)
    forms = [
        form
        for form in page.all("form")
        if form.attributes["action"].startswith("http")
    ]
    assert len(forms) == 2
    back = send(forms[1], b"sku;cost\nA-1;4,20\nA-2;1.250,00\n")
    check_path = f"{vendor_page}/parts/prices/check"
    assert visitor.client.get(back).headers["location"] == check_path
    checked = visitor.open(check_path)
    assert "Check of the latest file: prices" in checked.text
    lines = {row.text for row in checked.all("th")}
    assert "delimiter" in lines
    applied = visitor.fill(checked, "/parts/prices/parser")
    assert applied.headers["location"] == f"{check_path}?taken=2"
    config = world.client.get(f"/v1/tenants/{TENANT}").json()
    (vendor,) = config["tenant_config"]["vendors"]
    assert vendor["parts"][0]["parser"]["delimiter"] == ";"
    assert vendor["parser"]["delimiter"] == ","
    assert visitor.client.get(f"{vendor_page}/parts/x/check").status_code == 404


def test_a_form_cannot_change_the_parser_of_another_part(
    world: ApiWorld,
) -> None:
    visitor = signed_in(world)
    path = f"{HOME}/vendors/vendor_1/parts/prices"
    token = visitor.open(HOME).all("input")[0].attributes["value"]
    for step_path in (
        "/vendors/0/parser/delimiter",
        "/vendors/0/parts/1/parser/x",
    ):
        step: Any = json.dumps(["replace", step_path, ";"])
        response = visitor.client.post(
            f"{path}/parser",
            data={"token": token, "version": "1", "step": step},
        )
        assert response.status_code == 422
    assert world.platform.tenants.latest_version(TENANT) == 1
