"""A supplier's page: its links, what it shows and does not, and its limits."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from httpx import Response

from relay_core.report import display
from relay_dagster.http.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.http.limits import ApiLimits
from relay_dagster.http.security.api_keys import CallerRates
from relay_dagster.runs.ports import utc_now
from support.api_world import (
    SANDBOXES,
    TENANT,
    ApiWorld,
    assert_problem,
    paths_of,
)
from support.builders import config_document, vendor_document
from support.fakes import CallCounter, embedded_platform, served_platform
from support.page_visitor import SITE, browser

LINKS = f"/v1/tenants/{TENANT}/supplier-links"
INBOUND = "tenants/acme/inbound/vendor_1/"
GOOD = b"sku,quantity_available,cost\nA-1,5,4.20\nA-2,7,3.10\n"


@pytest.fixture(scope="module")
def platform() -> Any:
    with embedded_platform(public_url=SITE) as platform:
        yield platform


@pytest.fixture
def shop(platform: Any) -> ApiWorld:
    world = ApiWorld(platform)
    world.store_config(vendor_document(), vendor_document("vendor_2"))
    for link in world.client.get(LINKS).json()["supplier_links"]:
        world.client.delete(f"{LINKS}/{link['link_id']}")
    for link in platform.objects.list_objects("tenants/"):
        platform.objects.delete(link.key)
    return world


def ask(world: ApiWorld, **order: Any) -> Response:
    until = (utc_now() + timedelta(days=90)).isoformat()
    body = {
        "vendor_id": "vendor_1",
        "name": " Anna ",
        "expires_at": until,
        **order,
    }
    return world.client.post(LINKS, json=body)


def path_of(world: ApiWorld, **order: Any) -> str:
    response = ask(world, **order)
    assert response.status_code == 201, response.text
    return str(response.json()["url"]).removeprefix(SITE)


def put(world: ApiWorld, data: bytes, name: str = "a.csv") -> None:
    world.platform.objects.put(f"{INBOUND}{name}", data)


def test_a_list_of_links_goes_on_at_its_cursor(shop: ApiWorld) -> None:
    names = [f"supplier {number}" for number in range(5)]
    for name in names:
        ask(shop, name=name)
    ids = []
    query = "?limit=2"
    while query:
        page = shop.client.get(f"{LINKS}{query}").json()
        ids.append([link["name"] for link in page["supplier_links"]])
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert ids == [names[:2], names[2:4], names[4:]]
    assert_problem(
        shop.client.get(f"{LINKS}?cursor=none"), 422, "INVALID_REQUEST"
    )


def test_a_link_is_shown_once_listed_without_its_token_and_revoked(
    shop: ApiWorld,
) -> None:
    response = ask(shop)
    assert response.headers["cache-control"] == "no-store"
    new_link = response.json()
    assert list(new_link) == ["link_id", "url"]
    token = new_link["url"].removeprefix(f"{SITE}/s/")
    assert len(token) == 43
    assert browser(shop).client.get(f"/s/{token}").status_code == 200
    (listed,) = shop.client.get(LINKS).json()["supplier_links"]
    assert (listed["name"], listed["vendor_id"]) == ("Anna", "vendor_1")
    assert listed["last_used_at"] is not None
    assert token not in json.dumps(listed)
    stored = str(
        shop.platform.clients.dynamodb.scan(
            TableName=shop.platform.database.tenants.name
        )
    )
    assert token not in stored
    feeds = shop.client.get(f"/v1/tenants/{TENANT}/feed-links").json()[
        "feed_links"
    ]
    assert feeds == []
    assert browser(shop).client.get(f"/f/{token}").status_code == 404
    assert (
        shop.client.delete(f"{LINKS}/{new_link['link_id']}").status_code == 204
    )
    for path in (f"/s/{token}", f"/s/{token}/check"):
        gone = browser(shop).client.get(path)
        assert (
            gone.status_code,
            "Ask your customer for a new link." in gone.text,
        ) == (
            404,
            True,
        )
    assert_problem(
        shop.client.delete(f"{LINKS}/{new_link['link_id']}"),
        404,
        "LINK_NOT_FOUND",
    )


@pytest.mark.parametrize(
    ("order", "code", "path"),
    [
        ({"vendor_id": "nobody"}, "UNKNOWN_VENDOR", "vendor_id"),
        ({"expires_at": None}, "INVALID_REQUEST", "expires_at"),
        (
            {"expires_at": "2020-01-01T00:00:00Z"},
            "INVALID_REQUEST",
            "expires_at",
        ),
        (
            {
                "expires_at": (
                    datetime.now(UTC) + timedelta(days=367)
                ).isoformat()
            },
            "INVALID_REQUEST",
            "expires_at",
        ),
        ({"name": " "}, "INVALID_REQUEST", "name"),
    ],
)
def test_what_is_no_link_is_refused(
    shop: ApiWorld, order: dict[str, Any], code: str, path: str
) -> None:
    assert paths_of(assert_problem(ask(shop, **order), 422, code)) == [path]


def test_a_vendor_has_twenty_links(shop: ApiWorld) -> None:
    assert {ask(shop).status_code for _ in range(20)} == {201}
    assert_problem(ask(shop), 409, "LINK_QUOTA_EXCEEDED")
    assert ask(shop, vendor_id="vendor_2").status_code == 201


def test_links_need_the_scope_upload(shop: ApiWorld) -> None:
    new_key = shop.client.post(
        f"/v1/tenants/{TENANT}/api-keys", json={"scopes": ["read"]}
    ).json()
    reader = shop.with_key(new_key["api_key"])
    assert reader.get(LINKS).status_code == 200
    order = {
        "vendor_id": "vendor_1",
        "name": "x",
        "expires_at": "2099-01-01T00:00:00Z",
    }
    assert_problem(reader.post(LINKS, json=order), 403, "SCOPE_MISSING")
    assert_problem(reader.delete(f"{LINKS}/0"), 403, "SCOPE_MISSING")


def test_a_supplier_sends_a_list_and_reads_what_is_wrong_with_it() -> None:
    with served_platform(public_url=SITE) as platform:
        world = ApiWorld(platform)
        world.store_config()
        path = path_of(world)
        visitor = browser(world)
        page = visitor.open(path)
        (form,) = page.all("form")
        fields = {
            field.attributes["name"]: field.attributes["value"]
            for field in form.all("input")
            if field.attributes["type"] == "hidden"
        }
        bad = b"sku,quantity_available,cost\nA-1,5,4.20\nA-2,7,four\n"
        target = form.attributes["action"]
        sent = httpx.post(
            target, data=fields, files={"file": bad}, trust_env=False
        )
        back = visitor.client.get(sent.headers["location"].removeprefix(SITE))
        assert back.headers["location"] == f"{path}/check"
        checked = visitor.open(f"{path}/check")
        assert "Your file can be used, except for 1 of 2 rows." in checked.text
        assert "four" in checked.text
        assert "No run has used this file yet." in checked.text
        (again,) = checked.all("form")
        keys = [
            field.attributes["value"]
            for field in again.all("input")
            if "key" in str(field)
        ]
        assert fields["key"] not in keys


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD, "Your file can be used. All 2 rows are valid."),
        (b"sku,cost\nA-1,1\n", "a required column is missing: quantity."),
        (b"<!DOCTYPE html><html></html>", "the file is"),
        (b"%PDF-1.7 \x00\xff", "cannot be used"),
        (b"sku,quantity_available,cost\n\xff\xff,1,1\n", "Your file"),
        (b"", "cannot be used"),
        (
            b"sku,quantity_available,cost\nA-1,1,\n",
            "no row has a cost or a price.",
        ),
    ],
)
def test_a_check_speaks_the_supplier_s_words(
    shop: ApiWorld, data: bytes, words: str
) -> None:
    put(shop, data)
    text = browser(shop).open(f"{path_of(shop)}/check").one("main").text
    assert words in text
    for internal in (
        "vendor_1",
        "vendor_2",
        TENANT,
        "parser",
        "column_map",
        "config",
    ):
        assert internal not in text


def test_another_separator_is_named(shop: ApiWorld) -> None:
    put(shop, b"sku;quantity_available;cost\nA-1;5;4.20\nA-2;7;3.10\n")
    page = browser(shop).open(f"{path_of(shop)}/check")
    assert (
        "This file separates its columns with semicolons, but commas are expected."
        in page.text
    )


def test_another_encoding_is_named(shop: ApiWorld) -> None:
    put(shop, "sku,quantity_available,cost\nÄ-1,5,4.20\n".encode("cp1252"))
    page = browser(shop).open(f"{path_of(shop)}/check")
    assert (
        "The text encoding of this file is Windows-1252, but UTF-8 is expected."
        in page.text
    )


def test_times_are_those_of_the_customer_s_zone(shop: ApiWorld) -> None:
    shop.store_config(vendor_document(), timezone="Europe/Berlin")
    until = utc_now() + timedelta(days=9)
    page = browser(shop).open(path_of(shop, expires_at=until.isoformat()))
    expiry = display.moment(until, ZoneInfo("Europe/Berlin"))
    assert f"This link expires on {expiry}." in page.text
    assert re.search(
        r"This form expires at \d+:\d\d [AP]M \(Europe/Berlin\)", page.text
    )


def test_a_list_that_takes_too_long_to_check_is_told_in_the_supplier_s_words(
    shop: ApiWorld,
) -> None:
    put(shop, b"sku,quantity_available\n" + b"A-1,5\n" * 5000)
    limits = ApiLimits(task_cpu_seconds=0.001)
    shop.app.state.parts.tasks = EngineTasks(
        SANDBOXES, TaskSlots(limits), limits
    )
    answer = browser(shop).client.get(f"{path_of(shop)}/check")
    assert answer.status_code == 422
    assert "The check takes too long or needs too much memory." in answer.text
    assert "vendor" not in answer.text


def test_the_page_has_nothing_of_the_tenant(shop: ApiWorld) -> None:
    shop.succeed(shop.post_run().json()["run_id"])
    put(shop, GOOD)
    path = path_of(shop)
    page = browser(shop).open(path)
    shown_text = page.text + page.one("title").text
    for internal in ("vendor_", TENANT, "price", "Overview", "feed", "margin"):
        assert internal not in shown_text
    assert [link.attributes["href"] for link in page.all("a")] == [
        "#main",
        f"{path}/check",
    ]


def test_what_runs_made_of_the_last_lists_is_told(shop: ApiWorld) -> None:
    put(shop, GOOD, "first.csv")
    record = shop.claim(shop.post_run().json()["run_id"])
    (upload,) = shop.platform.objects.newest_objects(INBOUND, 5)
    entry = {
        "status": "found",
        "s3_key": upload.key,
        "last_modified": upload.last_modified.isoformat(),
        "trouble": None,
    }
    from dataclasses import replace

    from support.fakes import published_outcome

    summary = {"rows": {"vendor_1": {"read": 200, "refused": 3}}}
    files = {
        "input_manifest": (
            record.keys.input_manifest,
            {"vendors": {"vendor_1": entry}},
        ),
        "run_summary": (record.keys.run_summary, summary),
    }
    for key, document in files.values():
        shop.platform.objects.put(key, json.dumps(document).encode())
    outcome = published_outcome(shop.platform, record)
    artifacts = {
        **outcome.artifacts,
        **{name: key for name, (key, _) in files.items()},
    }
    shop.platform.ledger.succeed(
        record.fence, replace(outcome, artifacts=artifacts)
    )
    page = browser(shop).open(path_of(shop))
    assert "Used, but 3 of 200 rows were rejected." in page.text


def test_twenty_lists_an_hour_and_then_no_form(shop: ApiWorld) -> None:
    link = ask(shop).json()
    path = link["url"].removeprefix(SITE)
    for number in range(20):
        page = browser(shop).open(path)
        (key,) = (
            field.attributes["value"]
            for field in page.all("input")
            if field.attributes["name"] == "key"
        )
        assert key.endswith(f"-{number + 1:02}")
        shop.platform.objects.put(key, GOOD)
    assert (
        "maximum number of files for this hour" in browser(shop).open(path).text
    )
    assert browser(shop).open(path).all("form") == []


def test_twenty_checks_an_hour(shop: ApiWorld) -> None:
    path = path_of(shop)
    visitor = browser(shop)
    statuses = [
        visitor.client.get(f"{path}/check").status_code for _ in range(21)
    ]
    assert (set(statuses[:20]), statuses[20]) == ({200}, 429)
    assert visitor.client.get(path).status_code == 200


def test_thirty_requests_a_minute(shop: ApiWorld) -> None:
    path = path_of(shop)
    visitor = browser(shop)
    answers = [visitor.client.get(path) for _ in range(31)]
    assert (
        {answer.status_code for answer in answers[:30]},
        answers[30].status_code,
    ) == (
        {200},
        429,
    )
    assert int(answers[30].headers["retry-after"]) >= 1


def test_wrong_links_have_a_count_of_their_own(shop: ApiWorld) -> None:
    few = ApiWorld(shop.platform, limits=ApiLimits(wrong_keys_per_minute=2))
    path = path_of(few)
    visitor = browser(few)
    statuses = [
        visitor.client.get(f"/s/{number:043}").status_code
        for number in range(3)
    ]
    assert statuses == [404, 404, 429]
    assert visitor.client.get(path).status_code == 429
    wrong_key = few.with_key("rk_wrong").get(f"/v1/tenants/{TENANT}")
    assert wrong_key.status_code == 401


def test_requests_by_links_are_their_tenant_s(shop: ApiWorld) -> None:
    path = path_of(shop)
    other_path = path_of(shop, vendor_id="vendor_2")
    visitor = browser(shop)
    key = shop.issue_key(TENANT)
    shop.app.state.parts.rates = CallerRates(60, 3, 4)
    statuses = [
        visitor.client.get(address).status_code
        for address in (path, other_path, path, other_path, path)
    ]
    assert statuses == [200, 200, 200, 429, 429]
    assert shop.with_key(key).get(f"/v1/tenants/{TENANT}").status_code == 429


def test_a_page_is_one_of_its_tenant_s_requests_in_work(
    shop: ApiWorld,
) -> None:
    path = path_of(shop)
    visitor = browser(shop)
    assert visitor.client.get(path).status_code == 200
    rates = shop.app.state.parts.rates
    for _ in range(4):
        rates.begin(TENANT)
    calls = CallCounter(shop.platform)
    assert visitor.client.get(path).status_code == 429
    assert not calls, "a known link is refused before it is looked up"
    rates.end(TENANT)
    assert visitor.client.get(path).status_code == 200


def test_what_arrives_counts_also_where_one_form_is_sent_again_and_again(
    shop: ApiWorld,
) -> None:
    new_link = ask(shop).json()
    path = new_link["url"].removeprefix(SITE)
    links = shop.platform.links
    now = utc_now()
    for number in range(20):
        assert browser(shop).open(path).all("form") != []
        for _ in range(2):  # S3 tells of some things twice
            assert links.count_upload(
                TENANT, new_link["link_id"], f"event-{number}", now
            )
    assert browser(shop).open(path).all("form") == []
    assert not links.count_upload(TENANT, new_link["link_id"], "one more", now)
    assert browser(shop).open(path_of(shop)).all("form") != []


def test_logs_name_the_link_and_never_its_token(
    shop: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    new_link = ask(shop).json()
    token = new_link["url"].removeprefix(f"{SITE}/s/")
    browser(shop).client.get(f"/s/{token}")
    browser(shop).client.get(f"/s/{token}/check")
    logged = "".join(capsys.readouterr())
    assert token not in logged
    assert f"supplier_link:{new_link['link_id']}" in logged


def test_a_link_of_a_vendor_that_the_config_lacks_is_good_for_nothing(
    shop: ApiWorld,
) -> None:
    path = path_of(shop, vendor_id="vendor_2")
    shop.store_config()
    assert browser(shop).client.get(path).status_code == 404


def test_a_config_that_can_no_longer_be_read_is_not_shown_to_suppliers(
    shop: ApiWorld,
) -> None:
    path = path_of(shop)
    broken = config_document(pricing={"min_price": "-77.77"})
    shop.platform.tenants.put(TENANT, json.dumps(broken))
    for address in (path, f"{path}/check"):
        answer = browser(shop).client.get(address)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "Temporarily unavailable" in answer.text
        assert not re.search(r"77\.77|pricing|vendor", answer.text)


def test_headers_are_those_of_all_pages(shop: ApiWorld) -> None:
    headers = browser(shop).client.get(path_of(shop)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith(
        "default-src 'none'; style-src 'self'; form-action 'self' http"
    )
    assert policy.endswith("frame-ancestors 'none'; base-uri 'none'")
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_nobody_comes_after_the_tenant_s_deletion(shop: ApiWorld) -> None:
    path = path_of(shop)
    shop.client.delete(f"/v1/tenants/{TENANT}", params={"confirm": TENANT})
    assert browser(shop).client.get(path).status_code == 404
    shop.client.post(f"/v1/tenants/{TENANT}/restore")
