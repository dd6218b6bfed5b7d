"""Tenants' keys, and pauses of run creation."""

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from api_world import ApiWorld, assert_problem, paths_of
from builders import config_document, vendor_document


def create_key(world: ApiWorld) -> dict[str, str]:
    world.store_config()
    response = world.client.post("/v1/tenants/acme/api-keys")
    assert response.status_code == 201
    return response.json()


def test_a_key_is_shown_once_and_kept_nowhere(world: ApiWorld) -> None:
    made = create_key(world)
    assert made.keys() == {"key_id", "api_key"}
    table = world.platform.settings.tenants_table
    stored = str(world.platform.clients.dynamodb.scan(TableName=table)["Items"])
    assert made["key_id"] in stored
    assert made["api_key"] not in stored
    assert made["api_key"].rpartition("_")[2] not in stored


def test_a_key_of_a_tenant_that_is_not_there_is_not_made(world: ApiWorld) -> None:
    response = world.client.post("/v1/tenants/nobody/api-keys")
    assert_problem(response, 404, "TENANT_NOT_FOUND")


def test_a_revoked_key_is_nobody_s(world: ApiWorld) -> None:
    made, other = create_key(world), create_key(world)
    place = f"/v1/tenants/acme/api-keys/{made['key_id']}"
    assert world.client.delete(place).status_code == 204
    assert_problem(world.client.delete(place), 404, "API_KEY_NOT_FOUND")
    statuses = [
        world.with_key(each["api_key"]).get("/v1/runs").status_code for each in (made, other)
    ]
    assert statuses == [401, 200]


def test_a_key_is_revoked_through_its_own_tenant_alone(world: ApiWorld) -> None:
    made = create_key(world)
    response = world.client.delete(f"/v1/tenants/other/api-keys/{made['key_id']}")
    assert_problem(response, 404, "API_KEY_NOT_FOUND")
    assert world.with_key(made["api_key"]).get("/v1/runs").status_code == 200


def test_a_key_with_another_secret_is_nobody_s(world: ApiWorld) -> None:
    key = create_key(world)["api_key"]
    forged = key[:-43] + "A" * 43
    assert world.with_key(forged).get("/v1/runs").status_code == 401


def test_a_tenant_s_key_stores_its_own_config_under_its_own_prefix_alone(world: ApiWorld) -> None:
    client = world.with_key(create_key(world)["api_key"])
    place = "/v1/tenants/acme/config"
    assert client.put(place, json=config_document()).json()["config_version"] == 2
    theirs = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    document = config_document(vendor_document(inbound=theirs))
    problem = assert_problem(client.put(place, json=document), 422, "invalid_config")
    assert paths_of(problem) == ["vendors.0.inbound.s3_prefix"]


# --- pauses -------------------------------------------------------------------------------------


def pause(world: ApiWorld, **body: object) -> Response:
    return world.client.post("/v1/admin/pause", json={"reason": "backlog", **body})


def resume(world: ApiWorld, **body: object) -> Response:
    return world.client.request("DELETE", "/v1/admin/pause", json=body)


def test_a_pause_of_all_stops_every_tenant_s_new_runs_until_it_ends(world: ApiWorld) -> None:
    assert pause(world).json()["tenant_id"] is None
    response = world.post_run()
    assert "backlog" in assert_problem(response, 503, "RUN_CREATION_PAUSED")["detail"]
    assert int(response.headers["Retry-After"]) > 0
    assert world.client.get("/v1/runs").json()["runs"] == []
    assert resume(world).status_code == 204
    assert world.post_run().status_code == 202


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


def test_the_tenant_whose_pause_ends_may_stand_in_the_query(world: ApiWorld) -> None:
    pause(world, tenant_id="acme")
    assert world.client.delete("/v1/admin/pause?tenant_id=acme").status_code == 204
    assert world.post_run().status_code == 202


def test_two_tenants_at_once_are_refused_where_a_pause_ends(world: ApiWorld) -> None:
    response = world.client.request(
        "DELETE", "/v1/admin/pause?tenant_id=other", json={"tenant_id": "acme"}
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == ["tenant_id"]


def test_a_run_that_is_there_is_still_found_by_its_key_while_paused(world: ApiWorld) -> None:
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
