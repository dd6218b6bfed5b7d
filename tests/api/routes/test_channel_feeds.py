"""The files of channels: at the feed's stable place, behind links, and with holds."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx import Response

from relay_dagster.feeds.pointer import file_of, files_of, files_of_run
from relay_dagster.runs.model import RunRecord
from support.api_world import TENANT, ApiWorld, assert_problem
from support.fakes import embedded_platform

PUBLIC = "https://feeds.example.com"
LINKS = f"/v1/tenants/{TENANT}/feed-links"
SHOP = b"sku,price\nA-1,9.00\nA-2,3.00\n"
MARKET = b"sku\nA-1\n"


@pytest.fixture
def shop() -> Any:
    with embedded_platform(public_url=PUBLIC) as platform:
        world = ApiWorld(platform)
        world.store_config()
        yield world


def publish(world: ApiWorld, **channels: bytes) -> RunRecord:
    return world.succeed(world.post_run().json()["run_id"], **channels)


def feed_of(world: ApiWorld, channel_id: str, **headers: str) -> Response:
    return world.client.get(
        f"/v1/tenants/{TENANT}/feed",
        params={"channel_id": channel_id},
        follow_redirects=False,
        headers=headers,
    )


def test_each_channel_has_its_file_and_its_hash(shop: ApiWorld) -> None:
    run = publish(shop, shop=SHOP, market=MARKET)
    for channel_id, data in {"shop": SHOP, "market": MARKET}.items():
        response = feed_of(shop, channel_id)
        assert response.status_code == 302
        path = urlsplit(response.headers["Location"]).path
        name = f"/published/acme/{run.run_id}.{channel_id}.csv"
        assert path.endswith(name)
        digest = hashlib.sha256(data).hexdigest()
        assert response.headers["ETag"] == f'"{digest}"'
        assert response.headers["X-Run-Id"] == run.run_id
        etag = response.headers["ETag"]
        unchanged = feed_of(shop, channel_id, **{"If-None-Match": etag})
        assert unchanged.status_code == 304


def test_a_publication_that_lacks_the_channel_has_no_file_of_it(
    shop: ApiWorld,
) -> None:
    publish(shop, shop=SHOP)
    problem = assert_problem(feed_of(shop, "other"), 404, "FEED_NOT_FOUND")
    assert "no channel other" in problem["detail"]
    publish(shop)
    assert_problem(feed_of(shop, "shop"), 404, "FEED_NOT_FOUND")


def test_an_id_that_no_channel_can_have_is_an_invalid_request(
    shop: ApiWorld,
) -> None:
    publish(shop, shop=SHOP)
    assert feed_of(shop, "../x").status_code == 422


def test_the_files_of_a_publication_are_known_by_channel(
    shop: ApiWorld,
) -> None:
    run = publish(shop, shop=SHOP)
    pointer = shop.platform.runs.feed(TENANT)
    assert pointer is not None
    files = files_of(pointer.in_force)
    assert [file.channel_id for file in files] == [None, "shop"]
    assert [file.suffix for file in files] == ["csv", "csv"]
    assert [file.rows for file in files] == [None, 2]
    assert files == files_of_run(run)
    assert file_of(pointer.in_force, "shop") == files[1]
    assert file_of(pointer.in_force, None) == files[0]
    assert file_of(pointer.in_force, "other") is None
    # What is reported to Dagster has no channels.
    assert [feed.channels for feed in pointer.pending] == [()]


def make_link(world: ApiWorld, **order: Any) -> str:
    response = world.client.post(LINKS, json={"name": "Shop", **order})
    assert response.status_code == 201, response.text
    url: str = response.json()["url"]
    return url.removeprefix(PUBLIC)


def test_a_link_leads_to_the_file_of_its_channel(shop: ApiWorld) -> None:
    publish(shop, shop=SHOP)
    anybody = shop.with_key(None)
    path = make_link(shop, channel_id="shop")
    response = anybody.get(path)
    assert (response.status_code, response.content) == (200, SHOP)
    digest = hashlib.sha256(SHOP).hexdigest()
    assert response.headers["etag"] == f'"{digest}"'
    assert response.headers["content-disposition"] == (
        'attachment; filename="acme.shop.csv"'
    )
    assert anybody.get(make_link(shop)).content == b"sku\nA-1\n"
    listed = shop.client.get(LINKS).json()["feed_links"]
    assert [link["channel_id"] for link in listed] == ["shop", None]
    publish(shop)
    assert_problem(anybody.get(path), 404, "FEED_NOT_FOUND")


def test_a_link_to_an_invalid_channel_is_not_made(shop: ApiWorld) -> None:
    body = {"name": "Shop", "channel_id": "a b"}
    assert shop.client.post(LINKS, json=body).status_code == 422


def release(world: ApiWorld, record: RunRecord) -> Response:
    hold = record.hold
    assert hold is not None
    body = {
        "sha256": hold.sha256,
        "guards": sorted(hold.guard_names),
        "reason": "looks right",
    }
    return world.client.post(f"/v1/runs/{record.run_id}/release", json=body)


def test_a_release_publishes_the_channels_with_the_feed(
    shop: ApiWorld,
) -> None:
    publish(shop, shop=b"sku\nold\n")
    held = shop.hold(shop.post_run().json()["run_id"], shop=SHOP)
    before = feed_of(shop, "shop").headers["ETag"]
    old = hashlib.sha256(b"sku\nold\n").hexdigest()
    assert before == f'"{old}"'
    assert release(shop, held).status_code == 200
    digest = hashlib.sha256(SHOP).hexdigest()
    assert feed_of(shop, "shop").headers["ETag"] == f'"{digest}"'


def test_a_feed_is_not_released_without_a_channel(shop: ApiWorld) -> None:
    publish(shop)
    held = shop.hold(shop.post_run().json()["run_id"], shop=SHOP)
    *_, channel = files_of_run(held)
    shop.platform.objects.delete(channel.key)
    assert_problem(release(shop, held), 409, "FEED_NOT_KEPT")


def roll_back(world: ApiWorld, record: RunRecord) -> Response:
    return world.client.post(
        f"/v1/tenants/{TENANT}/feed/rollback",
        json={"run_id": record.run_id, "reason": "wrong"},
    )


def test_a_rollback_brings_the_channels_of_its_run_back(
    shop: ApiWorld,
) -> None:
    first = publish(shop, shop=SHOP)
    second = publish(shop, market=MARKET)
    assert roll_back(shop, first).status_code == 200
    assert feed_of(shop, "shop").headers["X-Run-Id"] == first.run_id
    assert_problem(feed_of(shop, "market"), 404, "FEED_NOT_FOUND")
    assert roll_back(shop, second).status_code == 200
    assert feed_of(shop, "market").status_code == 302


def test_a_feed_is_not_rolled_back_to_without_a_channel(
    shop: ApiWorld,
) -> None:
    first = publish(shop, shop=SHOP)
    publish(shop)
    *_, channel = files_of_run(first)
    shop.platform.objects.delete(channel.key)
    assert_problem(roll_back(shop, first), 409, "FEED_NOT_KEPT")
