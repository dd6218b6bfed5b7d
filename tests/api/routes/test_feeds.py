"""The stable place of a tenant's feed."""

import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import Response

from support.api_world import ApiWorld, assert_problem
from support.builders import vendor_document


def feed_of(world: ApiWorld, **headers: str) -> Response:
    return world.client.get(
        "/v1/tenants/acme/feed", follow_redirects=False, headers=headers
    )


def test_the_feed_is_that_of_the_last_run_that_succeeded(
    world: ApiWorld,
) -> None:
    world.succeed(world.post_run().json()["run_id"])
    last = world.succeed(world.post_run().json()["run_id"])
    world.fail(world.post_run().json()["run_id"])
    response = feed_of(world)
    link = urlsplit(response.headers["Location"])
    assert response.status_code == 302
    assert link.path.endswith(f"/published/acme/{last.run_id}.csv")
    assert parse_qs(link.query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert response.headers["X-Run-Id"] == last.run_id
    digest = hashlib.sha256(b"sku\nA-1\n").hexdigest()
    assert response.headers["ETag"] == f'"{digest}"'


def test_the_feed_outlives_the_artifacts_of_its_run(world: ApiWorld) -> None:
    run = world.succeed(world.post_run().json()["run_id"])
    world.platform.objects.delete(run.artifacts["merged_inventory"])
    link = urlsplit(feed_of(world).headers["Location"])
    key = link.path.lstrip("/").removeprefix(
        f"{world.platform.objects.bucket}/"
    )
    assert world.platform.objects.read(key) == b"sku\nA-1\n"


def test_a_run_of_some_vendors_does_not_move_the_feed(world: ApiWorld) -> None:
    world.store_config(vendor_document("vendor_1"), vendor_document("vendor_2"))
    whole = world.succeed(world.post_run().json()["run_id"])
    world.succeed(world.post_run(vendors=["vendor_1"]).json()["run_id"])
    assert feed_of(world).headers["X-Run-Id"] == whole.run_id


def test_there_is_no_feed_before_the_first_success(world: ApiWorld) -> None:
    world.fail(world.post_run().json()["run_id"])
    assert_problem(feed_of(world), 404, "FEED_NOT_FOUND")


def test_a_feed_that_the_caller_has_is_not_sent_again(world: ApiWorld) -> None:
    world.succeed(world.post_run().json()["run_id"])
    etag = feed_of(world).headers["ETag"]
    response = feed_of(world, **{"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == etag


def test_a_caller_who_has_any_feed_is_told_whether_there_is_one(
    world: ApiWorld,
) -> None:
    assert feed_of(world, **{"If-None-Match": "*"}).status_code == 404
    world.succeed(world.post_run().json()["run_id"])
    assert feed_of(world, **{"If-None-Match": "*"}).status_code == 304


@pytest.mark.parametrize("tenant_id", ["nobody", "a b", "x" * 65])
def test_a_tenant_that_is_not_there_has_no_feed(
    world: ApiWorld, tenant_id: str
) -> None:
    response = world.client.get(f"/v1/tenants/{tenant_id}/feed")
    assert_problem(response, 404, "FEED_NOT_FOUND")
