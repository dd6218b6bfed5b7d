"""Tenants' keys: made with a name, scopes and an expiry, listed, deleted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from relay_dagster.aws.dynamodb.api_key_store import Scope
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.schema import Kind
from support.api_world import ApiWorld, assert_problem, paths_of
from support.builders import config_document, vendor_document

PLACE = "/v1/tenants/acme/api-keys"
SOON = "2999-03-01T12:00:00Z"
ALL = [str(scope) for scope in Scope]


def create_key(world: ApiWorld) -> dict[str, str]:
    world.store_config()
    response = world.client.post("/v1/tenants/acme/api-keys")
    assert response.status_code == 201
    return response.json()


def test_a_key_is_shown_once_and_kept_nowhere(world: ApiWorld) -> None:
    new_key = create_key(world)
    assert new_key.keys() == {"key_id", "api_key"}
    table = world.platform.settings.tenants_table
    stored = str(world.platform.clients.dynamodb.scan(TableName=table)["Items"])
    assert new_key["key_id"] in stored
    assert new_key["api_key"] not in stored
    assert new_key["api_key"].split("_", 2)[2] not in stored


def test_a_key_of_a_tenant_that_is_not_there_is_not_made(
    world: ApiWorld,
) -> None:
    response = world.client.post("/v1/tenants/nobody/api-keys")
    assert_problem(response, 404, "TENANT_NOT_FOUND")


def test_a_deleted_key_is_nobody_s(world: ApiWorld) -> None:
    new_key = create_key(world)
    other_key = create_key(world)
    place = f"/v1/tenants/acme/api-keys/{new_key['key_id']}"
    assert world.client.delete(place).status_code == 204
    assert_problem(world.client.delete(place), 404, "API_KEY_NOT_FOUND")
    statuses = [
        world.with_key(issued["api_key"]).get("/v1/runs").status_code
        for issued in (new_key, other_key)
    ]
    assert statuses == [401, 200]


def test_a_key_is_deleted_through_its_own_tenant_alone(world: ApiWorld) -> None:
    new_key = create_key(world)
    response = world.client.delete(
        f"/v1/tenants/other/api-keys/{new_key['key_id']}"
    )
    assert_problem(response, 404, "API_KEY_NOT_FOUND")
    assert world.with_key(new_key["api_key"]).get("/v1/runs").status_code == 200


def test_a_key_with_another_secret_is_nobody_s(world: ApiWorld) -> None:
    key = create_key(world)["api_key"]
    forged = key[:-43] + "A" * 43
    assert world.with_key(forged).get("/v1/runs").status_code == 401


def test_a_tenant_s_key_stores_its_own_config_under_its_own_prefix_alone(
    world: ApiWorld,
) -> None:
    client = world.with_key(create_key(world)["api_key"])
    place = "/v1/tenants/acme/config"
    assert (
        client.put(place, json=config_document()).json()["config_version"] == 2
    )
    theirs = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    document = config_document(vendor_document(inbound=theirs))
    problem = assert_problem(
        client.put(place, json=document), 422, "invalid_config"
    )
    assert paths_of(problem) == ["vendors.0.inbound.s3_prefix"]


# --- names, scopes, expiry ----------------------------------------------------------------------


def made(world: ApiWorld, **order: Any) -> TestClient:
    """Return a client with a key that an admin makes; store a config first."""
    response = world.client.post(PLACE, json=order)
    assert response.status_code == 201, response.text
    return world.with_key(response.json()["api_key"])


def listed(world: ApiWorld) -> list[dict[str, Any]]:
    return world.client.get(PLACE).json()["api_keys"]


def test_a_list_tells_of_each_key_all_but_its_secret(world: ApiWorld) -> None:
    plain = create_key(world)
    client = made(
        world,
        name=" shop ",
        scopes=["run", "read"],
        expires_at="2999-03-01T13:00:00+01:00",
    )
    client.get("/v1/runs")
    answer = world.client.get(PLACE)
    assert answer.json()["next_cursor"] is None
    keys = {entry.pop("key_id"): entry for entry in answer.json()["api_keys"]}
    now = datetime.now(UTC)
    for entry in keys.values():
        created = datetime.fromisoformat(entry.pop("created_at"))
        assert now - timedelta(minutes=1) < created <= now
    plain_entry = keys.pop(plain["key_id"])
    assert plain_entry == {
        "name": plain["key_id"],
        "scopes": ALL[:-1],
        "created_by": "admin:admin-1",
        "expires_at": None,
        "last_used_at": None,
    }
    (limited_entry,) = keys.values()
    assert (
        now - timedelta(minutes=1)
        < datetime.fromisoformat(limited_entry.pop("last_used_at"))
        <= now
    )
    assert limited_entry == {
        "name": "shop",
        "scopes": ["run", "read"],
        "created_by": "admin:admin-1",
        "expires_at": SOON,
    }


def test_a_list_goes_on_at_its_cursor(world: ApiWorld) -> None:
    ids = {create_key(world)["key_id"] for _ in range(3)}
    first = world.client.get(PLACE, params={"limit": 2}).json()
    second = world.client.get(
        PLACE, params={"cursor": first["next_cursor"]}
    ).json()
    assert [len(page["api_keys"]) for page in (first, second)] == [2, 1]
    assert {
        key["key_id"] for page in (first, second) for key in page["api_keys"]
    } == ids
    assert second["next_cursor"] is None


def test_an_expired_key_is_told_so(world: ApiWorld) -> None:
    world.store_config()
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    client = made(world, expires_at=soon.isoformat())
    while datetime.now(UTC) < soon:
        assert client.get("/v1/runs").status_code in (200, 401)
    problem = assert_problem(client.get("/v1/runs"), 401, "UNAUTHENTICATED")
    assert "expired at" in problem["detail"]


@pytest.mark.parametrize(
    ("order", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "read"]}, "scopes"),
        ({"scopes": ["admin"]}, "scopes.0"),
        ({"expires_at": "2999-03-01T12:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 32500000000}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": "2001-03-01T12:00:00Z"}, "expires_at"),
        ({"scope": ["read"]}, "scope"),
    ],
)
def test_what_no_key_can_be_is_refused(
    world: ApiWorld, order: dict[str, Any], path: str
) -> None:
    world.store_config()
    response = world.client.post(PLACE, json=order)
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [path]
    assert listed(world) == []


# --- keys that make keys ------------------------------------------------------------------------


def make_with(client: TestClient, **order: Any) -> Response:
    return client.post(PLACE, json=order)


def test_a_key_makes_and_deletes_keys_that_may_no_more_than_itself(
    world: ApiWorld,
) -> None:
    world.store_config()
    client = made(world, name="team", scopes=["keys", "read"])
    for scopes in (["keys", "read"], ["read"]):
        assert make_with(client, scopes=scopes).status_code == 201
    problem = assert_problem(
        make_with(client, scopes=["read", "run", "config"]),
        403,
        "SCOPE_MISSING",
    )
    assert problem["scopes"] == ["run", "config"]
    # An ordinary key, too, has scopes that this one lacks.
    assert_problem(client.post(PLACE), 403, "SCOPE_MISSING")
    own_key, *other_keys = sorted(
        listed(world), key=lambda key: key["created_at"]
    )
    assert {key["created_by"] for key in other_keys} == {
        f"key:{own_key['key_id']}"
    }
    for key in other_keys:
        assert client.delete(f"{PLACE}/{key['key_id']}").status_code == 204
    assert [key["name"] for key in listed(world)] == ["team"]


def test_a_key_deletes_none_with_a_scope_that_it_lacks(world: ApiWorld) -> None:
    world.store_config()
    client = made(world, scopes=["keys", "read"])
    wider = make_with(world.client, scopes=["read", "run", "config"]).json()[
        "key_id"
    ]
    problem = assert_problem(
        client.delete(f"{PLACE}/{wider}"), 403, "SCOPE_MISSING"
    )
    assert problem["scopes"] == ["run", "config"]
    assert len(listed(world)) == 2
    assert world.client.delete(f"{PLACE}/{wider}").status_code == 204


def test_with_a_key_go_those_that_it_has_made(world: ApiWorld) -> None:
    world.store_config()
    key = make_with(world.client, scopes=["keys", "read"]).json()
    child = make_with(
        world.with_key(key["api_key"]), scopes=["keys", "read"]
    ).json()
    grandchild = make_with(
        world.with_key(child["api_key"]), scopes=["read"]
    ).json()
    other_id = create_key(world)["key_id"]
    place = f"{PLACE}/{key['key_id']}"
    assert_problem(
        world.client.delete(place, params={"with_made": "perhaps"}),
        422,
        "INVALID_REQUEST",
    )
    assert (
        world.client.delete(place, params={"with_made": "true"}).status_code
        == 204
    )
    assert [entry["key_id"] for entry in listed(world)] == [other_id]
    assert_problem(
        world.with_key(grandchild["api_key"]).get("/v1/runs"),
        401,
        "UNAUTHENTICATED",
    )
    assert_problem(
        world.client.delete(place, params={"with_made": "true"}),
        404,
        "API_KEY_NOT_FOUND",
    )
    deleted = world.client.get(
        "/v1/audit", params={"action": "key.deleted"}
    ).json()["audit"]
    assert {entry["target"] for entry in deleted} == {
        issued["key_id"] for issued in (key, child, grandchild)
    }


def test_of_a_key_that_is_gone_none_goes_that_may_more(world: ApiWorld) -> None:
    world.store_config()
    client = made(world, scopes=["keys", "read"])
    key = make_with(world.client, scopes=ALL).json()
    wider = make_with(
        world.with_key(key["api_key"]), scopes=["read", "run"]
    ).json()
    place = f"{PLACE}/{key['key_id']}"
    assert world.client.delete(place).status_code == 204
    problem = assert_problem(
        client.delete(place, params={"with_made": "true"}), 403, "SCOPE_MISSING"
    )
    assert problem["scopes"] == ["run"]
    assert world.with_key(wider["api_key"]).get("/v1/runs").status_code == 200
    assert (
        world.client.delete(place, params={"with_made": "true"}).status_code
        == 204
    )
    assert_problem(
        world.with_key(wider["api_key"]).get("/v1/runs"), 401, "UNAUTHENTICATED"
    )


def test_a_tenant_has_fifty_keys(world: ApiWorld) -> None:
    last = create_key(world)["key_id"]
    table = world.platform.database.tenants
    more_keys = Update(
        adds={"key_ids": {f"{number:016}" for number in range(49)}}
    )
    table.carry_out(table.update("ids", Kind.API_KEYS.key("acme"), more_keys))
    assert_problem(world.client.post(PLACE), 409, "KEY_QUOTA_EXCEEDED")
    assert world.client.delete(f"{PLACE}/{last}").status_code == 204
    assert world.client.post(PLACE).status_code == 201


def test_a_key_makes_none_that_is_good_for_longer(world: ApiWorld) -> None:
    world.store_config()
    client = made(world, scopes=ALL, expires_at=SOON)
    for later in ("2999-03-01T12:00:01Z", None):
        problem = assert_problem(
            make_with(client, expires_at=later), 422, "INVALID_REQUEST"
        )
        assert paths_of(problem) == ["expires_at"]
        assert "2999-03-01T12:00:00+00:00" in problem["detail"]
    assert make_with(client, expires_at=SOON).status_code == 201
    assert (
        make_with(client, expires_at="2999-03-01T11:59:59Z").status_code == 201
    )
