"""Links to a feed: created, listed and deleted; and the responses to curl and shops."""

from __future__ import annotations

import hashlib
import re
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from relay_dagster.aws.dynamodb.link_store import _LINKS, Link, LinkKind
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.http.limits import ApiLimits
from relay_dagster.http.security.api_keys import CallerRates
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform
from support.api_world import TENANT, ApiWorld, assert_problem, served
from support.builders import vendor_document
from support.fakes import CallCounter, embedded_platform

LINKS = f"/v1/tenants/{TENANT}/feed-links"
PUBLIC = "https://relay.example.com"
FEED = b"sku,price\nA-1,10.00\nB-2,24.56\n"


@pytest.fixture(scope="module")
def platform() -> Any:
    with embedded_platform(public_url=PUBLIC) as platform:
        yield platform


@pytest.fixture
def shop(platform: Platform) -> ApiWorld:
    """A tenant with nothing of earlier tests: no link."""
    world = ApiWorld(platform)
    world.store_config()
    for link in world.client.get(LINKS).json()["feed_links"]:
        world.client.delete(f"{LINKS}/{link['link_id']}")
    return world


def publish(world: ApiWorld, data: bytes = FEED) -> RunRecord:
    record = world.succeed(world.post_run().json()["run_id"])
    world.platform.objects.put(
        str(record.feed_key), data, content_type="text/csv; charset=utf-8"
    )
    return record


def make(world: ApiWorld, **order: Any) -> dict[str, str]:
    response = world.client.post(LINKS, json={"name": "Google", **order})
    assert response.status_code == 201, response.text
    new_link: dict[str, str] = response.json()
    return new_link


def path_of(new_link: dict[str, str]) -> str:
    return new_link["url"].removeprefix(PUBLIC)


@pytest.fixture
def anybody(shop: ApiWorld) -> TestClient:
    return shop.with_key(None)


def test_a_link_is_shown_once_and_stored_as_a_hash(
    shop: ApiWorld, anybody: TestClient
) -> None:
    publish(shop)
    response = shop.client.post(LINKS, json={"name": " Google "})
    assert response.headers["cache-control"] == "no-store"
    new_link = response.json()
    assert list(new_link) == ["link_id", "url"]
    token = re.fullmatch(rf"{PUBLIC}/f/([A-Za-z0-9_-]{{43}})", new_link["url"])
    assert token is not None
    assert anybody.get(path_of(new_link)).status_code == 200
    (listed,) = shop.client.get(LINKS).json()["feed_links"]
    assert list(listed) == [
        *(
            "link_id",
            "name",
            "created_at",
            "created_by",
            "expires_at",
            "last_used_at",
            "channel_id",
        )
    ]
    assert (listed["link_id"], listed["name"]) == (
        new_link["link_id"],
        "Google",
    )
    assert listed["last_used_at"] is not None
    stored = str(
        shop.platform.clients.dynamodb.scan(
            TableName=shop.platform.database.tenants.name
        )
    )
    assert token.group(1) not in stored
    assert hashlib.sha256(token.group(1).encode()).hexdigest() in stored


def test_a_link_gives_the_feed_in_force(
    shop: ApiWorld, anybody: TestClient
) -> None:
    record = publish(shop)
    new_link = shop.client.post(LINKS, json={"name": " Google "}).json()
    feed = shop.platform.runs.feed(TENANT)
    assert feed is not None
    got = anybody.get(path_of(new_link))
    assert (got.status_code, got.content) == (200, FEED)
    expected = {
        "etag": f'"{record.feed_sha256}"',
        "last-modified": format_datetime(
            feed.in_force.published_at.astimezone(UTC).replace(microsecond=0),
            usegmt=True,
        ),
        "content-type": "text/csv; charset=utf-8",
        "content-length": str(len(FEED)),
        "content-disposition": 'attachment; filename="acme.csv"',
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
    }
    assert {name: got.headers[name] for name in expected} == expected
    head = anybody.head(path_of(new_link))
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in expected} == expected


CONDITIONS: tuple[tuple[dict[str, str], int, bytes], ...] = (
    ({"Range": "bytes=0-3"}, 206, FEED[:4]),
    ({"Range": "bytes=4-"}, 206, FEED[4:]),
    ({"Range": "bytes=-5"}, 206, FEED[-5:]),
    ({"Range": "bytes=-500"}, 206, FEED),
    ({"Range": "bytes=5-500"}, 206, FEED[5:]),
    ({"Range": f"bytes=5-{'9' * 40}"}, 206, FEED[5:]),
    ({"Range": f"bytes={'9' * 40}-"}, 416, b""),
    ({"Range": f"bytes={len(FEED)}-"}, 416, b""),
    ({"Range": "bytes=-0"}, 416, b""),
    ({"Range": "bytes=3-1"}, 200, FEED),
    ({"Range": "bytes=0-1,3-4"}, 200, FEED),
    ({"Range": "lines=0-1"}, 200, FEED),
    ({"Range": "bytes=-"}, 200, FEED),
    ({"Range": "bytes=0-3", "If-Range": "ETAG"}, 206, FEED[:4]),
    ({"Range": "bytes=0-3", "If-Range": "LATER"}, 200, FEED),
    ({"Range": "bytes=0-3", "If-Range": "W/ETAG"}, 200, FEED),
    ({"Range": "bytes=0-3", "If-Range": "MODIFIED"}, 206, FEED[:4]),
    ({"Range": "bytes=0-3", "If-Range": '"another"'}, 200, FEED),
    ({"If-None-Match": "ETAG"}, 304, b""),
    ({"If-None-Match": '"x", W/ETAG'}, 304, b""),
    ({"If-None-Match": "*"}, 304, b""),
    ({"If-None-Match": '"x"', "If-Modified-Since": "MODIFIED"}, 200, FEED),
    ({"If-Modified-Since": "MODIFIED"}, 304, b""),
    ({"If-Modified-Since": "LATER"}, 304, b""),
    ({"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 200, FEED),
    ({"If-Modified-Since": "yesterday"}, 200, FEED),
    ({"Range": "bytes=0-3", "If-None-Match": "ETAG"}, 304, b""),
)


def test_conditions_and_one_range_are_answered_as_http_has_them(
    shop: ApiWorld,
) -> None:
    record = publish(shop)
    feed = shop.platform.runs.feed(TENANT)
    assert feed is not None
    modified = feed.in_force.published_at.astimezone(UTC).replace(microsecond=0)
    names = {
        "ETAG": f'"{record.feed_sha256}"',
        "MODIFIED": format_datetime(modified, usegmt=True),
        "LATER": format_datetime(modified + timedelta(days=1), usegmt=True),
    }
    link = path_of(make(shop))
    anybody = shop.with_key(None)
    for condition, status, body in CONDITIONS:
        headers = dict(condition)
        for word, value in names.items():
            headers = {
                name: text.replace(word, value)
                for name, text in headers.items()
            }
        got = anybody.get(link, headers=headers)
        assert (got.status_code, got.content) == (status, body), condition
        if status == 206:
            start = FEED.index(body)
            stop = start + len(body) - 1
            assert (
                got.headers["content-range"]
                == f"bytes {start}-{stop}/{len(FEED)}"
            )
            assert got.headers["content-length"] == str(len(body))
        if status == 416:
            assert got.headers["content-range"] == f"bytes */{len(FEED)}"
        if status == 304:
            assert got.headers["etag"] == names["ETAG"]


def test_a_link_that_is_wrong_over_or_revoked_is_not_there(
    shop: ApiWorld, anybody: TestClient
) -> None:
    publish(shop)
    new_link = make(shop)
    assert anybody.get(path_of(new_link)).status_code == 200
    assert (
        shop.client.delete(f"{LINKS}/{new_link['link_id']}").status_code == 204
    )
    assert_problem(anybody.get(path_of(new_link)), 404, "NOT_FOUND")
    assert_problem(
        shop.client.delete(f"{LINKS}/{new_link['link_id']}"),
        404,
        "LINK_NOT_FOUND",
    )
    assert_problem(anybody.get(f"/f/{'x' * 43}"), 404, "NOT_FOUND")
    assert anybody.head("/f/short").status_code == 404
    past = datetime.now(UTC) - timedelta(seconds=1)
    refused = shop.client.post(
        LINKS, json={"name": "x", "expires_at": past.isoformat()}
    )
    assert (
        assert_problem(refused, 422, "INVALID_REQUEST")["errors"][0]["path"]
        == "expires_at"
    )
    soon = make(
        shop, expires_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    )
    clock = shop.platform.database.clock
    assert clock() < datetime.now(UTC) + timedelta(seconds=1)
    object.__setattr__(
        shop.app.state.parts.link_readers._links.database,
        "clock",
        lambda: clock() + timedelta(days=1),
    )
    try:
        assert_problem(anybody.get(path_of(soon)), 404, "NOT_FOUND")
    finally:
        object.__setattr__(
            shop.app.state.parts.link_readers._links.database, "clock", clock
        )


def test_links_end_with_their_tenant_and_are_their_tenants_alone(
    shop: ApiWorld, anybody: TestClient
) -> None:
    publish(shop)
    new_link = make(shop)
    assert_problem(
        shop.client.delete(
            f"/v1/tenants/other/feed-links/{new_link['link_id']}"
        ),
        404,
        "LINK_NOT_FOUND",
    )
    shop.client.delete(f"/v1/tenants/{TENANT}?confirm={TENANT}")
    assert_problem(anybody.get(path_of(new_link)), 404, "NOT_FOUND")
    assert_problem(
        shop.client.post(LINKS, json={"name": "x"}), 409, "TENANT_CLOSING"
    )
    shop.client.post(f"/v1/tenants/{TENANT}/restore")
    assert anybody.get(path_of(new_link)).status_code == 200


def test_a_tenant_has_20_links(shop: ApiWorld) -> None:
    for number in range(20):
        make(shop, name=f"link {number}")
    refused = shop.client.post(LINKS, json={"name": "one more"})
    assert_problem(refused, 409, "LINK_QUOTA_EXCEEDED")
    listed = shop.client.get(LINKS).json()["feed_links"]
    assert [link["name"] for link in listed] == [
        f"link {number}" for number in range(20)
    ]


def test_a_tenant_has_200_links_of_both_kinds(shop: ApiWorld) -> None:
    links = shop.platform.links
    token = "x" * 43
    for number in range(180):
        digest = hashlib.sha256(f"{token}{number}".encode()).hexdigest()
        links.database.tenants.carry_out(
            links.database.tenants.new(
                "link",
                link_item(digest, vendor_id=f"vendor_{number // 20}"),
            )
        )
    for number in range(20):
        make(shop, name=f"link {number}")
    until = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    order = {"vendor_id": "vendor_1", "name": "Anna", "expires_at": until}
    place = f"/v1/tenants/{TENANT}/supplier-links"
    shop.store_config(vendor_document(), vendor_document("vendor_1x"))
    order["vendor_id"] = "vendor_1x"
    refused = shop.client.post(place, json=order)
    problem = assert_problem(refused, 409, "LINK_QUOTA_EXCEEDED")
    assert "maximum of 200 links" in problem["detail"]
    (supplier_link, *_) = shop.client.get(place).json()["supplier_links"]
    shop.client.delete(f"{place}/{supplier_link['link_id']}")
    assert shop.client.post(place, json=order).status_code == 201
    for link in links.of_tenant(TENANT, LinkKind.SUPPLIER):
        links.remove(TENANT, link.link_id, LinkKind.SUPPLIER)


def link_item(digest: str, vendor_id: str) -> dict[str, Any]:
    """Return the stored form of a supplier's link."""
    link = Link(
        link_id=digest[:16],
        tenant_id=TENANT,
        kind=LinkKind.SUPPLIER,
        digest=digest,
        name="Anna",
        created_at=datetime.now(UTC),
        created_by="admin",
        vendor_id=vendor_id,
    )
    return _LINKS.item(Kind.LINK.key(link.link_id), link)


@pytest.mark.parametrize("order", [{}, {"expires_at": None}])
def test_a_link_without_an_end_ends_after_400_days(
    shop: ApiWorld, order: dict[str, Any]
) -> None:
    make(shop, **order)
    (listed,) = shop.client.get(LINKS).json()["feed_links"]
    created_at, expires_at = (
        datetime.fromisoformat(listed[name])
        for name in ("created_at", "expires_at")
    )
    life = expires_at - created_at
    assert abs(life - timedelta(days=400)) < timedelta(seconds=30)


def test_links_need_the_scope_config_a_name_and_a_public_url(
    world: ApiWorld,
) -> None:
    world.store_config()
    assert_problem(
        world.client.post(LINKS, json={"name": "x"}), 409, "PUBLIC_URL_MISSING"
    )
    for order in (
        {},
        {"name": " "},
        {"name": "x" * 65},
        {"name": "x", "expires_at": "soon"},
    ):
        assert_problem(
            world.client.post(LINKS, json=order), 422, "INVALID_REQUEST"
        )
    keys = world.client.post(
        f"/v1/tenants/{TENANT}/api-keys", json={"scopes": ["read"]}
    )
    reader = world.with_key(keys.json()["api_key"])
    assert reader.get(LINKS).json() == {"feed_links": []}
    assert_problem(reader.post(LINKS, json={"name": "x"}), 403, "SCOPE_MISSING")
    assert_problem(reader.delete(f"{LINKS}/abc"), 403, "SCOPE_MISSING")


def test_before_the_first_feed_there_is_none() -> None:
    with embedded_platform(public_url=PUBLIC) as platform:
        world = ApiWorld(platform)
        world.store_config()
        got = world.with_key(None).get(path_of(make(world)))
        assert_problem(got, 404, "FEED_NOT_FOUND")


def test_wrong_tokens_have_a_count_of_their_own_and_good_ones_are_served(
    platform: Platform, shop: ApiWorld
) -> None:
    world = ApiWorld(platform, limits=ApiLimits(wrong_keys_per_minute=3))
    publish(world)
    good = make(world)
    unused = make(world)
    anybody = world.with_key(None)
    assert anybody.get(path_of(good)).status_code == 200
    statuses = [
        anybody.get(f"/f/{letter * 43}").status_code for letter in "abcd"
    ]
    assert statuses == [404, 404, 404, 429]
    assert int(anybody.get(path_of(unused)).headers["retry-after"]) > 0
    assert anybody.get(path_of(good)).status_code == 200
    wrong_key = world.with_key("nobody").get("/v1/runs")
    assert_problem(wrong_key, 401, "UNAUTHENTICATED")


def test_a_revoked_link_that_was_good_counts_and_is_looked_up_no_more(
    platform: Platform, shop: ApiWorld
) -> None:
    world = ApiWorld(platform, limits=ApiLimits(wrong_keys_per_minute=3))
    publish(world)
    new_link = make(world)
    anybody = world.with_key(None)
    assert anybody.get(path_of(new_link)).status_code == 200
    world.client.delete(f"{LINKS}/{new_link['link_id']}")
    calls = CallCounter(platform)
    statuses = [anybody.get(path_of(new_link)).status_code for _ in range(30)]
    assert statuses == [404] * 3 + [429] * 27
    assert calls["dynamodb.GetItem"] == 3


def test_reads_by_links_are_their_tenant_s_requests(shop: ApiWorld) -> None:
    publish(shop)
    paths = [path_of(make(shop)) for _ in range(2)]
    key = shop.issue_key(TENANT)
    anybody = shop.with_key(None)
    shop.app.state.parts.rates = CallerRates(60, 3, 4)
    statuses = [anybody.get(path).status_code for path in (*paths, *paths)]
    assert statuses == [200, 200, 200, 429]
    calls = CallCounter(shop.platform)
    refused = anybody.get(paths[0])
    assert_problem(refused, 429, "RATE_LIMITED")
    assert not calls, "a known link is refused before it is looked up"
    assert shop.with_key(key).get(f"/v1/tenants/{TENANT}").status_code == 429


def test_a_read_is_in_work_until_the_feed_is_on_its_way(
    shop: ApiWorld,
) -> None:
    publish(shop)
    path = path_of(make(shop))
    anybody = shop.with_key(None)
    rates = shop.app.state.parts.rates
    for _ in range(4):
        rates.begin(TENANT)
    assert_problem(anybody.get(path), 429, "RATE_LIMITED")
    rates.end(TENANT)
    for _ in range(5):
        assert anybody.get(path).content == FEED
    assert rates._at_work._counts == {TENANT: 3}
    for _ in range(3):
        rates.end(TENANT)


def store_other(world: ApiWorld) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    world.store_config(vendor_document(inbound=inbound), tenant_id="other")


@pytest.fixture
def large_feed(shop: ApiWorld) -> bytes:
    """A feed that no connection holds while nobody reads it."""
    data = b"A-1,10.00\n" * (2 << 20)
    publish(shop, data)
    return data


def test_one_tenant_s_slow_readers_keep_nobody_else_out(
    shop: ApiWorld, large_feed: bytes
) -> None:
    store_other(shop)
    other_run_id = shop.post_run(tenant_id="other").json()["run_id"]
    record = shop.succeed(other_run_id)
    shop.platform.objects.put(str(record.feed_key), FEED)
    response = shop.client.post(
        "/v1/tenants/other/feed-links", json={"name": "theirs"}
    )
    their_path = path_of(response.json())
    paths = [path_of(make(shop)) for _ in range(3)]
    with served(shop.app) as port, ExitStack() as opened:

        def ask(path: str) -> bytes:
            line = opened.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(30)
            line.connect(("127.0.0.1", port))
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return line.recv(12)

        slow = [ask(path) for path in paths[:2] for _ in range(4)]
        assert slow == [b"HTTP/1.1 200"] * 8
        assert ask(paths[2]) == b"HTTP/1.1 503"
        for _ in range(4):
            assert ask(their_path) == b"HTTP/1.1 200"
        key = shop.with_key(shop.issue_key(TENANT))
        assert key.get(f"/v1/tenants/{TENANT}").status_code == 200


def test_a_link_is_read_60_times_a_minute(
    shop: ApiWorld, anybody: TestClient
) -> None:
    publish(shop)
    path = path_of(make(shop))
    answers = [anybody.head(path) for _ in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {200}
    assert answers[60].status_code == 429
    assert int(answers[60].headers["retry-after"]) >= 1


def test_readers_at_once_are_bounded_and_forgotten_when_they_end(
    shop: ApiWorld, anybody: TestClient
) -> None:
    publish(shop)
    new_link = make(shop)
    readers = shop.app.state.parts.link_readers
    ends = [readers.begin(new_link["link_id"], TENANT) for _ in range(4)]
    busy = anybody.get(path_of(new_link))
    assert_problem(busy, 503, "FEED_LINKS_BUSY")
    assert int(busy.headers["retry-after"]) > 0
    ends[0]()
    assert anybody.get(path_of(new_link)).status_code == 200
    places = [(f"link-{n // 4}", f"tenant-{n // 8}") for n in range(29)]
    other_readers = [readers.begin(*place) for place in places]
    assert all(other_readers)
    assert readers.begin("yet another", "tenant-9") is None
    for end in (*ends[1:], *other_readers):
        end()
    assert not readers._readers


def test_logs_and_audit_name_the_link_and_never_its_token(
    shop: ApiWorld, anybody: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(shop)
    new_link = make(shop)
    token = path_of(new_link).removeprefix("/f/")
    anybody.get(path_of(new_link))
    anybody.get(f"/f/{token}/more")
    shop.client.delete(f"{LINKS}/{new_link['link_id']}")
    logged = "".join(capsys.readouterr())
    assert token not in logged
    assert f"feed_link:{new_link['link_id']}" in logged
    entries = shop.client.get(f"/v1/audit?tenant_id={TENANT}").json()["audit"][
        :2
    ]
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("feed_link.deleted", new_link["link_id"]),
        ("feed_link.created", new_link["link_id"]),
    ]
    assert token not in str(entries)


def test_a_rollback_is_another_version_of_the_feed(
    shop: ApiWorld, anybody: TestClient
) -> None:
    earlier = publish(shop)
    publish(shop, b"sku,price\n")
    path = path_of(make(shop))
    assert anybody.get(path).content == b"sku,price\n"
    order = {"run_id": earlier.run_id, "reason": "better"}
    assert (
        shop.client.post(
            f"/v1/tenants/{TENANT}/feed/rollback", json=order
        ).status_code
        == 200
    )
    got: Response = anybody.get(path)
    assert got.content == FEED
