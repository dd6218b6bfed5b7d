"""Pauses of run creation."""

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from support.api_world import ApiWorld, assert_problem, paths_of


def pause(world: ApiWorld, **body: object) -> Response:
    return world.client.post(
        "/v1/admin/pause", json={"reason": "backlog", **body}
    )


def resume(world: ApiWorld, **body: object) -> Response:
    return world.client.request("DELETE", "/v1/admin/pause", json=body)


def test_a_pause_of_all_stops_every_tenant_s_new_runs_until_it_ends(
    world: ApiWorld,
) -> None:
    assert pause(world).json()["tenant_id"] is None
    response = world.post_run()
    assert (
        "backlog"
        in assert_problem(response, 503, "RUN_CREATION_PAUSED")["detail"]
    )
    assert int(response.headers["Retry-After"]) > 0
    assert world.client.get("/v1/runs").json()["runs"] == []
    assert resume(world).status_code == 204
    assert world.post_run().status_code == 202


def test_tenants_are_told_the_public_reason_alone(world: ApiWorld) -> None:
    world.store_config()
    client = world.with_key(world.issue_key("acme"))
    order = {"tenant_id": "acme", "run_type": "inventory_sync"}
    for public, words in (
        (None, "paused for all tenants; try"),
        ("maintenance", ": maintenance; try"),
    ):
        pausing = pause(
            world, reason="globex owes us", public_reason=public
        ).json()
        assert (pausing["reason"], pausing["public_reason"]) == (
            "globex owes us",
            public,
        )
        problem = assert_problem(
            client.post("/v1/runs", json=order), 503, "RUN_CREATION_PAUSED"
        )
        assert words in problem["detail"]
        assert "globex" not in str(problem)
        assert "globex owes us" in world.post_run().json()["detail"]


def test_a_pause_of_one_tenant_stops_that_tenant_alone(world: ApiWorld) -> None:
    pause(world, tenant_id="acme")
    assert_problem(world.post_run(), 503, "RUN_CREATION_PAUSED")
    assert world.post_run(tenant_id="other").status_code == 202


def test_each_pause_ends_by_itself(world: ApiWorld) -> None:
    pause(world)
    pause(world, tenant_id="acme")
    assert resume(world).status_code == 204
    assert_problem(world.post_run(), 503, "RUN_CREATION_PAUSED")
    assert resume(world, tenant_id="acme").status_code == 204
    assert world.post_run().status_code == 202


def test_the_tenant_whose_pause_ends_may_stand_in_the_query(
    world: ApiWorld,
) -> None:
    pause(world, tenant_id="acme")
    assert (
        world.client.delete("/v1/admin/pause?tenant_id=acme").status_code == 204
    )
    assert world.post_run().status_code == 202


def test_two_tenants_at_once_are_refused_where_a_pause_ends(
    world: ApiWorld,
) -> None:
    response = world.client.request(
        "DELETE", "/v1/admin/pause?tenant_id=other", json={"tenant_id": "acme"}
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        "tenant_id"
    ]


def test_a_run_that_is_there_is_still_found_by_its_key_while_paused(
    world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key)
    pause(world)
    assert world.post_run(headers=key).json() == first.json()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "x", "tenant_id": "a/b"}, "tenant_id"),
        ({"reason": "x", "until": "noon"}, "until"),
    ],
)
def test_a_pause_says_why_and_nothing_else(
    unplugged: ApiWorld, body: dict[str, object], path: str
) -> None:
    client: TestClient = unplugged.client
    response = client.post("/v1/admin/pause", json=body)
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [path]


def test_pauses_in_force_are_listed_that_of_all_first(world: ApiWorld) -> None:
    def listed() -> list[dict[str, object]]:
        pauses: list[dict[str, object]] = world.client.get(
            "/v1/admin/pause"
        ).json()["pauses"]
        return pauses

    assert listed() == []
    pause(world, tenant_id="zenith", public_reason="soon")
    paused = pause(world, reason="backlog").json()
    pause(world, tenant_id="acme", reason="asked for")
    assert [entry["tenant_id"] for entry in listed()] == [
        None,
        "acme",
        "zenith",
    ]
    assert listed()[0] == {
        "tenant_id": None,
        "reason": "backlog",
        "public_reason": None,
        "since": paused["paused_at"],
    }
    resume(world)
    resume(world, tenant_id="zenith")
    assert [entry["tenant_id"] for entry in listed()] == ["acme"]


def test_a_list_of_pauses_goes_on_at_its_cursor(world: ApiWorld) -> None:
    for tenant_id in (None, "acme", "globex", "zenith"):
        pause(world, tenant_id=tenant_id)
    first = world.client.get("/v1/admin/pause?limit=1").json()
    second = world.client.get(
        f"/v1/admin/pause?limit=2&cursor={first['next_cursor']}"
    ).json()
    last = world.client.get(
        f"/v1/admin/pause?limit=2&cursor={second['next_cursor']}"
    ).json()
    pages = [
        [entry["tenant_id"] for entry in page["pauses"]]
        for page in (first, second, last)
    ]
    assert pages == [[None], ["acme", "globex"], ["zenith"]]
    assert list(last) == ["pauses"]


def test_the_longest_list_of_pauses_is_under_a_mebibyte(
    world: ApiWorld,
) -> None:
    longest = "\N{PACKAGE}" * 500
    for number in range(101):  # one more than a page has
        world.platform.pauses.begin(f"tenant-{number}", longest, longest)
    response = world.client.get("/v1/admin/pause")
    assert len(response.content) < 1 << 20
    assert response.json()["next_cursor"]


def test_the_list_of_pauses_is_for_admins(world: ApiWorld) -> None:
    world.store_config()
    client = world.with_key(world.issue_key("acme"))
    assert_problem(client.get("/v1/admin/pause"), 403, "FORBIDDEN")
