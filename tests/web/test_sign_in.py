"""Sessions of the page: opened by a tenant's key, bound to it, and kept as contract 23 says."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi.testclient import TestClient

from relay_dagster.aws.tenant_data import TenantData
from relay_dagster.http.limits import ApiLimits
from relay_dagster.http.security.api_keys import CallerRates
from relay_dagster.http.security.sessions import SESSION_LIFE, Sessions
from relay_dagster.runs.ports import utc_now
from support.api_world import ADMIN, NOBODY_S_RUN, TENANT, ApiWorld
from support.builders import vendor_document
from support.fakes import CallCounter
from support.html_page import errors_on, read_page
from support.page_visitor import COOKIE, HOME, Visitor, browser, signed_in

CSP = (
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


def items_of(world: ApiWorld, table: str = "") -> list[dict[str, Any]]:
    name = table or world.platform.database.tenants.name
    return list(world.platform.clients.dynamodb.scan(TableName=name)["Items"])


def store_other(world: ApiWorld) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    world.store_config(vendor_document(inbound=inbound), tenant_id="other")
    assert world.client.get("/v1/tenants/other").status_code == 200


def key_id_of(visitor: Visitor) -> str:
    return visitor.key.split("_")[1]


def test_a_session_is_a_random_id_in_a_cookie_that_is_kept_hashed_with_its_key(
    world: ApiWorld,
) -> None:
    world.store_config()
    visitor = browser(world)
    response = visitor.sign_in(world.issue_key(TENANT))
    assert (response.status_code, response.headers["location"]) == (303, "/app")
    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    assert cookie.key == COOKIE
    flags = {
        name: cookie[name]
        for name in ("httponly", "secure", "samesite", "path", "domain")
    }
    assert flags == {
        "httponly": True, "secure": True, "samesite": "lax", "path": "/", "domain": ""
    }  # fmt: skip
    assert cookie["max-age"] == str(12 * 3600)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie.value)
    (stored,) = (
        item
        for item in items_of(world)
        if item["pk"]["S"].startswith("SESSION#")
    )
    digest = hashlib.sha256(cookie.value.encode()).hexdigest()
    assert (stored["pk"]["S"], stored["key_id"]["S"]) == (
        f"SESSION#{digest}",
        key_id_of(visitor),
    )
    assert cookie.value not in str(items_of(world))
    again = visitor.sign_in(visitor.key)
    assert cookie.value not in again.headers["set-cookie"]
    (stored,) = (
        item
        for item in items_of(world)
        if item["pk"]["S"].startswith("SESSION#")
    )
    assert stored["pk"]["S"] != f"SESSION#{digest}"


def test_on_loopback_the_cookie_goes_without_tls(world: ApiWorld) -> None:
    world.store_config()
    client = TestClient(
        world.app, base_url="http://127.0.0.1:8000", follow_redirects=False
    )
    response = Visitor(world, client).sign_in(world.issue_key(TENANT))
    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    assert (cookie.key, cookie["secure"], cookie["httponly"]) == (
        "relay",
        "",
        True,
    )
    assert client.get(HOME).status_code == 200


def test_behind_a_proxy_that_says_loopback_the_public_address_counts(
    world: ApiWorld,
) -> None:
    settings = world.platform.settings.model_copy(
        update={"public_url": "https://shop.example"}
    )
    proxied = ApiWorld(replace(world.platform, settings=settings))
    proxied.store_config()
    client = TestClient(
        proxied.app, base_url="http://127.0.0.1:8000", follow_redirects=False
    )
    visitor = Visitor(proxied, client)
    form = visitor.sign_in_form(proxied.issue_key(TENANT))
    # The browser, which speaks TLS with the proxy, sends a cookie that wants TLS.
    (cookie,) = client.cookies.jar
    headers = {"Cookie": f"{cookie.name}={cookie.value}"}
    response = client.post("/app/sign-in", data=form, headers=headers)
    assert (cookie.name, cookie.secure) == ("__Host-relay-sign-in", True)
    assert response.headers["set-cookie"].startswith("__Host-relay=")
    assert "; Secure" in response.headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["/app", HOME, "/app/nothing-here", "/app/tenants/other"]
)
def test_every_page_keeps_out_what_is_not_its_own(
    visitor: Visitor, path: str
) -> None:
    answer = visitor.client.get(path, follow_redirects=path == "/app")
    headers = answer.headers
    assert headers.get_list("content-security-policy") == [CSP]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text)


def test_the_stylesheet_is_the_report_s_and_a_file_of_the_page(
    visitor: Visitor,
) -> None:
    (link,) = visitor.open(HOME).all("link")
    sheet = visitor.client.get(link.attributes["href"])
    assert (sheet.status_code, sheet.headers["content-type"]) == (
        200,
        "text/css; charset=utf-8",
    )
    assert "immutable" in sheet.headers["cache-control"]
    assert "--accent" in sheet.text
    assert sheet.headers["referrer-policy"] == "no-referrer"


def test_whoever_is_not_signed_in_is_asked_to_and_led_on(
    world: ApiWorld,
) -> None:
    world.store_config()
    visitor = browser(world)
    page = visitor.open(HOME, 401)
    response = visitor.fill(page, "/app/sign-in", key=world.issue_key(TENANT))
    assert response.headers["location"] == HOME


def test_a_sign_in_that_fails_has_an_event_of_its_own(
    world: ApiWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world.store_config()
    visitor = browser(world)
    capfd.readouterr()
    for key in ("rk_wrong", ADMIN):
        visitor.fill(visitor.open(HOME, 401), "/app/sign-in", key=key)
    lines = map(json.loads, capfd.readouterr().err.splitlines())
    events = [line for line in lines if line["event"] == "sign_in_failed"]
    assert [
        (line["status"], line["reason"], line["address"]) for line in events
    ] == [
        (401, "This key is not valid.", "testclient"),
        (403, "This is an admin key.", "testclient"),
    ]


def test_a_wrong_key_does_not_change_where_one_is_led(world: ApiWorld) -> None:
    world.store_config()
    visitor = browser(world)
    requested_path = f"{HOME}/skus?sku=A-1"
    wrong = visitor.fill(
        visitor.open(requested_path, 401), "/app/sign-in", key="rk_wrong"
    )
    assert wrong.status_code == 401
    again = read_page(wrong.content)
    response = visitor.fill(again, "/app/sign-in", key=world.issue_key(TENANT))
    assert response.headers["location"] == requested_path


@pytest.mark.parametrize("path", ["/app/sign-in", "/app/"])
def test_nobody_is_led_where_no_page_is(world: ApiWorld, path: str) -> None:
    world.store_config()
    visitor = browser(world)
    page = visitor.open(path, 401)
    response = visitor.fill(page, "/app/sign-in", key=world.issue_key(TENANT))
    assert response.headers["location"] == "/app"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "//evil.example", "/app\\evil", ""]
)
def test_nobody_is_led_to_another_site(world: ApiWorld, elsewhere: str) -> None:
    world.store_config()
    visitor = browser(world)
    form = visitor.sign_in_form(world.issue_key(TENANT))
    form["next"] = elsewhere
    response = visitor.client.post("/app/sign-in", data=form)
    assert response.headers["location"] == "/app"


def test_the_bare_address_leads_to_the_page(world: ApiWorld) -> None:
    answer = browser(world).client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app")


def test_an_admin_key_does_not_sign_in(world: ApiWorld) -> None:
    response = browser(world).sign_in(ADMIN)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    page = read_page(response.content)
    (error,) = errors_on(page)
    assert "Use a tenant key to sign in." in error.text
    (field,) = (e for e in page.all("input") if e.attributes["name"] == "key")
    assert (
        error.attributes["id"] in field.attributes["aria-describedby"].split()
    )


def test_wrong_keys_of_the_form_count_as_wrong_keys(world: ApiWorld) -> None:
    world.store_config()
    few = ApiWorld(world.platform, limits=ApiLimits(wrong_keys_per_minute=3))
    visitor = browser(few)
    assert [visitor.sign_in("rk_nobody").status_code for _ in range(4)] == [
        401,
        401,
        401,
        429,
    ]
    denied = few.with_key("rk_other").get(f"/v1/tenants/{TENANT}")
    assert denied.status_code == 429


def with_cookie(world: ApiWorld, value: str) -> Visitor:
    visitor = browser(world)
    visitor.client.cookies.set(COOKIE, value, domain="testserver.local")
    return visitor


def test_made_up_sessions_have_a_count_of_their_own_and_a_good_one_goes_on(
    world: ApiWorld,
) -> None:
    world.store_config()
    few = ApiWorld(world.platform, limits=ApiLimits(wrong_keys_per_minute=3))
    visitor = signed_in(few)
    assert visitor.client.get(HOME).status_code == 200
    statuses = [
        with_cookie(few, f"{number:043}").client.get(HOME).status_code
        for number in range(4)
    ]
    assert statuses == [401, 401, 401, 429]
    assert visitor.client.get(HOME).status_code == 200
    wrong_link = browser(few).client.get(f"/f/{'x' * 43}")
    assert wrong_link.status_code == 429
    new_key = few.with_key(few.issue_key(TENANT))
    assert new_key.get(f"/v1/tenants/{TENANT}").status_code == 200


def test_the_cookie_of_an_ended_session_counts_and_is_looked_up_no_more(
    world: ApiWorld,
) -> None:
    world.store_config()
    few = ApiWorld(world.platform, limits=ApiLimits(wrong_keys_per_minute=3))
    visitor = signed_in(few)
    cookie = visitor.client.cookies[COOKIE]
    visitor.fill(visitor.open(HOME), "/app/sign-out")
    calls = CallCounter(few.platform)
    statuses = [
        with_cookie(few, cookie).client.get(HOME).status_code for _ in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]
    # A known cookie and two unknown ones: one consistent read each.
    assert calls["dynamodb.GetItem"] == 3


def test_a_session_over_its_tenant_s_rate_is_refused_without_a_look(
    world: ApiWorld,
) -> None:
    world.store_config()
    visitor = signed_in(world)
    assert visitor.client.get(HOME).status_code == 200
    parts = world.app.state.parts
    parts.rates = CallerRates(60, 1, 4)
    parts.rates.begin(TENANT)
    calls = CallCounter(world.platform)
    assert visitor.client.get(HOME).status_code == 429
    assert not calls


def test_a_session_ends_where_somebody_signs_out(visitor: Visitor) -> None:
    stolen = visitor.client.cookies[COOKIE]
    response = visitor.fill(visitor.open(HOME), "/app/sign-out")
    assert response.headers["location"] == "/app"
    assert f'{COOKIE}=""' in response.headers["set-cookie"]
    thief = browser(visitor.world)
    thief.client.cookies.set(COOKIE, stolen, domain="testserver.local")
    assert thief.client.get(HOME).status_code == 401


def test_a_session_ends_with_its_key_at_the_next_click(
    visitor: Visitor,
) -> None:
    keys = f"/v1/tenants/{TENANT}/api-keys"
    visitor.world.client.delete(f"{keys}/{key_id_of(visitor)}")
    page = visitor.client.get(HOME)
    assert page.status_code == 401
    assert "session has ended" in page.text
    assert f'{COOKIE}=""' in page.headers["set-cookie"]
    assert not [
        item
        for item in items_of(visitor.world)
        if "SESSION#" in item["pk"]["S"]
    ]


def test_a_session_ends_with_its_tenant(visitor: Visitor) -> None:
    visitor.world.client.delete(
        f"/v1/tenants/{TENANT}", params={"confirm": TENANT}
    )
    assert visitor.client.get(HOME).status_code == 401


def test_a_session_ends_after_twelve_hours(visitor: Visitor) -> None:
    platform = visitor.world.platform
    database = replace(
        platform.database, clock=lambda: utc_now() + timedelta(hours=12)
    )
    later = replace(platform.sessions, database=database)
    state = visitor.world.app.state.parts
    state.sessions = Sessions(
        later, platform.api_keys, state.sessions.wrong_tokens
    )
    assert timedelta(hours=12) == SESSION_LIFE
    assert visitor.client.get(HOME).status_code == 401
    visitor.sign_in(visitor.key)  # and what is over is swept
    assert (
        len(
            [
                item
                for item in items_of(visitor.world)
                if "SESSION#" in item["pk"]["S"]
            ]
        )
        == 1
    )


def test_scopes_are_judged_with_each_request(world: ApiWorld) -> None:
    world.store_config()
    reader = signed_in(world, "read")
    page = reader.open(HOME)
    assert "Start run" not in page.text
    token = next(
        field.attributes["value"]
        for field in page.all("input")
        if field.attributes["name"] == "token"
    )
    denied = reader.client.post(f"{HOME}/runs", data={"token": token})
    assert denied.status_code == 403
    assert "scope run" in denied.text
    blind = signed_in(world, "upload")
    assert blind.client.get(HOME).status_code == 403


def test_another_tenant_s_pages_are_not_there(world: ApiWorld) -> None:
    world.store_config()
    store_other(world)
    visitor = signed_in(world)
    mine = visitor.client.get("/app/tenants/nobody")
    response = visitor.client.get("/app/tenants/other")
    assert (mine.status_code, response.status_code) == (404, 404)
    assert (
        mine.text.replace("nobody", "other").split("Reference for")[0]
        == (response.text.split("Reference for")[0])
    )


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.example"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_a_foreign_page_s_form_is_refused(
    visitor: Visitor, headers: dict[str, str], token: bool
) -> None:
    page = visitor.open(HOME)
    (form,) = (
        form
        for form in page.all("form")
        if form.attributes["action"] == f"{HOME}/runs"
    )
    good = form.one("input").attributes["value"]
    sent = {"token": good if token else "é" * 64}
    refused = visitor.client.post(f"{HOME}/runs", data=sent, headers=headers)
    assert refused.status_code == 403
    assert visitor.world.messages() == []


def test_a_token_of_another_session_is_refused(world: ApiWorld) -> None:
    world.store_config()
    first = signed_in(world)
    second = signed_in(world)
    (form,) = (
        form
        for form in first.open(HOME).all("form")
        if form.attributes["action"].endswith("/runs")
    )
    token = form.one("input").attributes["value"]
    assert (
        second.client.post(f"{HOME}/runs", data={"token": token}).status_code
        == 403
    )
    assert (
        first.client.post(f"{HOME}/runs", data={"token": token}).status_code
        == 303
    )


def test_the_audit_names_the_session_by_its_key(visitor: Visitor) -> None:
    visitor.fill(visitor.open(HOME), "/runs")
    audit = visitor.world.client.get(
        "/v1/audit", params={"tenant_id": TENANT}
    ).json()["audit"]
    (posted,) = (entry for entry in audit if entry["action"] == "run.posted")
    assert posted["actor"] == {
        "kind": "session", "id": key_id_of(visitor), "name": key_id_of(visitor)
    }  # fmt: skip
    assert "testclient" in posted["address"]


def test_pages_have_the_api_s_rate_limits(world: ApiWorld) -> None:
    world.store_config()
    few = ApiWorld(world.platform, limits=ApiLimits())
    few.app.state.parts.rates = CallerRates(60, 3, 4)
    visitor = signed_in(few)
    statuses = {visitor.client.get(HOME).status_code for _ in range(8)}
    assert statuses == {200, 429}
    assert (
        few.with_key(visitor.key).get(f"/v1/tenants/{TENANT}").status_code
        == 429
    )


def test_pages_are_not_in_the_openapi_document(world: ApiWorld) -> None:
    paths = world.app.openapi()["paths"]
    assert [path for path in paths if not path.startswith("/v1/")] == []


IDS = {
    "tenant_id": TENANT,
    "vendor_id": "vendor_1",
    "part_id": "prices",
    "run_id": NOBODY_S_RUN,
    "name": "report",
    "slug": "prices",
    "number": 1,
    "link_id": "x",
    "item_id": "x",
    "key_id": "x",
    "webhook_id": "x",
    "delivery_id": "x",
}
"""What the places in the paths of pages are filled with."""


def test_no_page_is_open_without_a_session(world: ApiWorld) -> None:
    world.store_config()
    open_to_all = {"/app", "/app/page.css", "/app/progress.js", "/app/sign-in"}
    paths = [
        (method, route.path)
        for route in world.app.routes
        for method in getattr(route, "methods", None) or ()
        if route.path.startswith("/app") and route.path not in open_to_all
    ]
    assert len(paths) > 3
    for method, path in paths:
        place = path.replace("{path:path}", "x").format(**IDS)
        answer = browser(world).client.request(
            method, place, data={"token": "x"}
        )
        assert (answer.status_code, "Sign in" in answer.text) == (401, True), (
            method,
            path,
        )


def test_nothing_is_changed_by_looking_at_pages(world: ApiWorld) -> None:
    world.store_config()
    held = world.hold_one()
    visitor = signed_in(world)
    ids = {**IDS, "run_id": held.run_id}
    paths = [
        route.path.replace("{path:path}", "x").format(**ids)
        for route in world.app.routes
        if route.path.startswith("/app")
        and "GET" in (getattr(route, "methods", None) or ())
    ]
    assert len(paths) > 8
    runs = world.platform.database.runs.name
    inbound = world.platform.objects
    before = (
        items_of(world),
        items_of(world, runs),
        len(inbound.list_objects("tenants/")),
    )
    for path in paths:
        assert visitor.client.get(path).status_code < 500, path
    assert (
        items_of(world),
        items_of(world, runs),
        len(inbound.list_objects("tenants/")),
    ) == before


def test_no_page_of_another_tenant_is_there(world: ApiWorld) -> None:
    world.store_config()
    store_other(world)
    order = {"tenant_id": "other", "run_type": "inventory_sync"}
    run_id = world.client.post("/v1/runs", json=order).json()["run_id"]
    visitor = signed_in(world)
    token = visitor.open(HOME).all("input")[0].attributes["value"]
    ids = {**IDS, "tenant_id": "other", "run_id": run_id}
    before = items_of(world)
    posts = [
        (method, route.path.format(**ids))
        for route in world.app.routes
        for method in getattr(route, "methods", None) or ()
        if route.path.startswith(("/app/tenants", "/app/runs"))
    ]
    assert len(posts) > 12
    form = {
        "token": token, "reason": "x", "sku": "A-1", "price": "1.00", "all": "true",
        "version": "1", "step": '["add", "/vendors/0/parser/x", 1]', "sha256": "0" * 64,
        "guard": "vendor_rows",
    }  # fmt: skip
    for method, path in posts:
        answer = visitor.client.request(method, path, data=form)
        assert answer.status_code == 404, (method, path, answer.text)
    assert items_of(world) == before


def test_a_tenant_s_deletion_takes_its_sessions_and_links(
    world: ApiWorld,
) -> None:
    settings = world.platform.settings.model_copy(
        update={"public_url": "https://shop.example"}
    )
    public = ApiWorld(replace(world.platform, settings=settings))
    public.store_config()
    signed_in(public)
    until = (utc_now() + timedelta(days=9)).isoformat()
    order = {"vendor_id": "vendor_1", "name": "Anna", "expires_at": until}
    link = public.client.post(
        f"/v1/tenants/{TENANT}/supplier-links", json=order
    )
    assert link.status_code == 201
    TenantData(world.platform.database).remove_settings(TENANT, 1)
    kinds = {item["pk"]["S"].partition("#")[0] for item in items_of(world)}
    assert kinds == {"TENANT", "CONFIG"}


# --- the sign-in form ---------------------------------------------------------------------------


def test_a_stranger_s_page_cannot_sign_a_browser_in(world: ApiWorld) -> None:
    world.store_config()
    key = world.issue_key(TENANT)
    victim = browser(world)
    stranger = browser(world)
    form = stranger.sign_in_form(key)
    for sent in ({"key": key}, {**form, "token": ""}, form):
        refused = victim.client.post("/app/sign-in", data=sent)
        assert refused.status_code == 403
        assert "This form has expired." in refused.text
        assert COOKIE not in victim.client.cookies
    page = read_page(refused.content)
    again = victim.fill(page, "/app/sign-in", key=key)
    assert (again.status_code, victim.client.get(HOME).status_code) == (
        303,
        200,
    )


def test_the_cookie_of_the_form_is_out_of_reach_of_scripts_and_other_sites(
    world: ApiWorld,
) -> None:
    client = browser(world).client
    (cookie,) = SimpleCookie(client.get("/app").headers["set-cookie"]).values()
    assert cookie.key == f"{COOKIE}-sign-in"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie.value)
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (
        True,
        True,
        "lax",
    )
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == (
        "/",
        "",
        "",
    )
    assert "set-cookie" not in client.get("/app").headers


@pytest.mark.parametrize(
    "body",
    [
        b"key=rk_wrong&next=".ljust((8 << 10) + 1, b"x"),
        b"a&" * (512 << 10),
        b"&".join([b"a"] * 1101),
    ],
    ids=["8 KiB and a byte", "1 MiB of fields", "1,101 fields"],
)
def test_a_long_sign_in_form_is_refused_before_anything_is_made_of_it(
    world: ApiWorld, body: bytes
) -> None:
    few = ApiWorld(world.platform, limits=ApiLimits(wrong_keys_per_minute=1))
    client = browser(few).client
    for content in (body, iter([body[:100], body[100:]])):
        refused = client.post("/app/sign-in", content=content)
        assert refused.status_code == 413
        assert refused.json()["error_code"] == "PAYLOAD_TOO_LARGE"
    wrong = few.with_key("rk_wrong").get(f"/v1/tenants/{TENANT}")
    assert wrong.status_code == 401, "the form was not read as a wrong key"


def test_a_form_of_8_kib_is_read(world: ApiWorld) -> None:
    client = browser(world).client
    body = b"key=rk_wrong&next=".ljust(8 << 10, b"x")
    assert client.post("/app/sign-in", content=body).status_code == 403
