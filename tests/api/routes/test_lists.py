"""Lists that operators look at: all tenants, and a tenant's publications."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from support.api_world import TENANT, ApiWorld, assert_problem, paths_of

PUBLICATIONS = f"/v1/tenants/{TENANT}/publications"


def tenants(world: ApiWorld, query: str = "") -> dict[str, Any]:
    response = world.client.get(f"/v1/tenants{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def publications(world: ApiWorld) -> list[dict[str, Any]]:
    response = world.client.get(PUBLICATIONS)
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["publications"]
    entries: list[dict[str, Any]] = response.json()["publications"]
    return entries


def store(world: ApiWorld, tenant_id: str) -> None:
    world.platform.tenants.put(tenant_id, json.dumps({"tenant_id": tenant_id}))


def run_id(world: ApiWorld) -> str:
    return str(world.post_run().json()["run_id"])


def test_tenants_are_listed_by_id_with_their_feed_and_last_run(
    world: ApiWorld,
) -> None:
    assert tenants(world) == {"tenants": [], "next_cursor": None}
    for tenant_id in ("zenith", TENANT, "B-side"):
        store(world, tenant_id)
    store(world, TENANT)
    ended_run = world.succeed(run_id(world))
    failed = world.fail(run_id(world))
    world.client.delete("/v1/tenants/zenith?confirm=zenith")
    listed = tenants(world)["tenants"]
    assert [list(tenant) for tenant in listed] == [
        ["tenant_id", "state", "config_version", "published_at", "last_run"]
    ] * 3
    assert [tenant["tenant_id"] for tenant in listed] == [
        "B-side",
        TENANT,
        "zenith",
    ]
    assert [tenant["state"] for tenant in listed] == [
        "ACTIVE",
        "ACTIVE",
        "CLOSING",
    ]
    assert listed[1]["config_version"] == 2
    feed = world.platform.runs.feed(TENANT)
    assert feed is not None
    assert feed.in_force.run_id == ended_run.run_id
    assert (
        listed[1]["published_at"][:19]
        == f"{feed.in_force.published_at:%Y-%m-%dT%H:%M:%S}"
    )
    last = listed[1]["last_run"]
    assert list(last) == ["run_id", "status", "error_code", "finished_at"]
    assert (last["run_id"], last["status"], last["error_code"]) == (
        failed.run_id,
        "FAILED",
        "DECODE_ERROR",
    )
    assert (listed[0]["published_at"], listed[0]["last_run"]) == (None, None)


def test_tenants_are_listed_page_by_page_for_admins_alone(
    world: ApiWorld,
) -> None:
    ids = ["a", "b", "c"]
    for tenant_id in ids:
        store(world, tenant_id)
    page = tenants(world, "?limit=2")
    assert [tenant["tenant_id"] for tenant in page["tenants"]] == ["a", "b"]
    next_page = tenants(world, f"?limit=2&cursor={page['next_cursor']}")
    assert [tenant["tenant_id"] for tenant in next_page["tenants"]] == ["c"]
    assert next_page["next_cursor"] is None
    assert_problem(
        world.client.get("/v1/tenants?limit=0"), 422, "INVALID_REQUEST"
    )
    client = world.with_key(world.issue_key("a"))
    assert_problem(client.get("/v1/tenants"), 403, "FORBIDDEN")


def test_publications_say_how_each_feed_came_into_force(
    world: ApiWorld,
) -> None:
    assert_problem(world.client.get(PUBLICATIONS), 404, "TENANT_NOT_FOUND")
    world.store_config()
    assert publications(world) == []
    first = world.succeed(run_id(world))
    held = world.hold(run_id(world))
    assert held.hold is not None
    assert [publication["run_id"] for publication in publications(world)] == [
        first.run_id
    ]
    decision = {
        "sha256": held.hold.sha256,
        "guards": sorted(held.hold.guard_names),
        "reason": "right",
    }
    assert (
        world.client.post(
            f"/v1/runs/{held.run_id}/release", json=decision
        ).status_code
        == 200
    )
    back = {"run_id": first.run_id, "reason": "better"}
    again = world.client.post(f"/v1/tenants/{TENANT}/feed/rollback", json=back)
    assert again.status_code == 200
    listed = publications(world)
    assert [
        (publication["run_id"], publication["how"], publication["by"])
        for publication in listed
    ] == [
        (first.run_id, "rollback", "admin:admin-1"),
        (held.run_id, "release", "admin:admin-1"),
        (first.run_id, "run", None),
    ]
    assert list(listed[0]) == [
        "run_id",
        "published_at",
        "how",
        "by",
        "sha256",
        "record_count",
    ]
    assert listed[0]["published_at"] == again.json()["published_at"]
    assert listed[1]["sha256"] == held.hold.sha256
    assert {publication["record_count"] for publication in listed} == {
        first.counts.get("record_count")
    }


def test_a_feed_beyond_those_that_are_kept_now_is_neither_listed_nor_published_again(
    world: ApiWorld,
) -> None:
    world.store_config()
    first, second = (world.succeed(run_id(world)) for _ in range(2))
    feeds = world.platform.ledger.feeds
    world.platform.ledger.feeds = replace(
        feeds, updates=replace(feeds.updates, keep=1)
    )
    assert [publication["run_id"] for publication in publications(world)] == [
        second.run_id
    ]
    back = {"run_id": first.run_id, "reason": "better"}
    again = world.client.post(f"/v1/tenants/{TENANT}/feed/rollback", json=back)
    assert_problem(again, 409, "FEED_NOT_KEPT")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tenants?limitt=5&x=1",
        f"/v1/tenants/{TENANT}/feed?limitt=5&x=1",
        "/v1/runs?limitt=5&x=1&limit=4",
        "/v1/config.schema.json?x=1&limitt=",
    ],
)
def test_an_unknown_query_parameter_is_refused_by_name(
    world: ApiWorld, path: str
) -> None:
    world.store_config()
    problem = assert_problem(world.client.get(path), 422, "INVALID_REQUEST")
    assert paths_of(problem) == ["limitt", "x"]


def test_who_has_no_key_is_told_that_first_and_probes_send_what_they_like(
    world: ApiWorld,
) -> None:
    assert_problem(
        world.with_key(None).get("/v1/runs?x=1"), 401, "UNAUTHENTICATED"
    )
    for path in ("/v1/health", "/v1/ready"):
        assert world.client.get(f"{path}?x=1").status_code == 200
    order = world.client.post(
        "/v1/runs?dry=1", json={"tenant_id": TENANT, "run_type": "x"}
    )
    assert order.status_code == 422
    assert world.client.get("/v1/runs").json()["runs"] == []
