"""Links to a feed: created, listed and deleted; and the responses to curl and shops."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from relay_dagster.api.limits import ApiLimits
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform
from support.api_world import TENANT, ApiWorld, assert_problem
from support.fakes import embedded_platform

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


def test_a_link_is_shown_once_and_gives_the_feed_in_force(
    shop: ApiWorld, anybody: TestClient
) -> None:
    record = publish(shop)
    response = shop.client.post(LINKS, json={"name": " Google "})
    assert response.headers["cache-control"] == "no-store"
    new_link = response.json()
    assert list(new_link) == ["link_id", "url"]
    token = re.fullmatch(rf"{PUBLIC}/f/([A-Za-z0-9_-]{{43}})", new_link["url"])
    assert token is not None
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
    (listed,) = shop.client.get(LINKS).json()["feed_links"]
    assert list(listed) == [
        *(
            "link_id",
            "name",
            "created_at",
            "created_by",
            "expires_at",
            "last_used_at",
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


def test_wrong_tokens_count_as_wrong_keys_and_good_ones_are_still_served(
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
    assert_problem(
        world.with_key("nobody").get("/v1/runs"), 429, "RATE_LIMITED"
    )


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
    ends = [readers.begin(new_link["link_id"]) for _ in range(4)]
    busy = anybody.get(path_of(new_link))
    assert_problem(busy, 503, "FEED_LINKS_BUSY")
    assert int(busy.headers["retry-after"]) > 0
    ends[0]()
    assert anybody.get(path_of(new_link)).status_code == 200
    other_readers = [
        readers.begin(f"other-{number // 4}") for number in range(29)
    ]
    assert all(other_readers)
    assert readers.begin("yet another") is None
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
