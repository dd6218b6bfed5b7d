"""Secrets: kept in Secrets Manager for one host each, listed without values, deleted for good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from relay_dagster.aws.secrets import SecretValue
from support.api_world import TENANT, ApiWorld, assert_problem, paths_of
from support.tenant_leftovers import kept_by_aws

SECRETS = f"/v1/tenants/{TENANT}/secrets"
HOST = "files.granite.example.com"
VALUE = "Bearer s3cr3t-0f8f7d0e"


def put(world: ApiWorld, name: str = "granite", **changes: Any) -> Any:
    return world.client.put(
        f"{SECRETS}/{name}", json={"value": VALUE, "host": HOST, **changes}
    )


def stored(world: ApiWorld, name: str = "granite") -> dict[str, str]:
    full = f"relay/unknown/{TENANT}/{name}"
    stored = world.platform.clients.secrets.get_secret_value(SecretId=full)[
        "SecretString"
    ]
    return dict(json.loads(stored))


def test_a_secret_is_kept_replaced_listed_and_deleted_for_good(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.store_config()
    answers = [
        put(world),
        put(world, value="another", host="GRANITE.example.com:8443"),
    ]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert stored(world) == {
        "value": "another",
        "host": "granite.example.com:8443",
    }
    secret = SecretValue("another", "granite.example.com:8443")
    assert world.platform.secrets.get(TENANT, "granite") == secret
    assert "another" not in repr(secret)
    put(world, "alpine")
    (alpine, granite) = world.client.get(SECRETS).json()["secrets"]
    assert (alpine["name"], alpine["host"]) == ("alpine", HOST)
    assert list(granite) == ["name", "host", "created_at", "updated_at"]
    assert granite["updated_at"] > granite["created_at"]
    assert world.client.delete(f"{SECRETS}/granite").status_code == 204
    assert_problem(
        world.client.delete(f"{SECRETS}/granite"), 404, "SECRET_NOT_FOUND"
    )
    with pytest.raises(ClientError, match="ResourceNotFound"):
        stored(world)
    assert put(world).status_code == 204
    assert world.platform.secrets.get(TENANT, "nothing") is None
    audit = world.client.get(f"/v1/audit?tenant_id={TENANT}").json()["audit"]
    acts = [(entry["action"], entry["target"]) for entry in audit[:5]]
    assert acts == [
        ("secret.put", "granite"),
        ("secret.deleted", "granite"),
        ("secret.put", "alpine"),
        ("secret.put", "granite"),
        ("secret.put", "granite"),
    ]
    output = f"{audit}{kept_by_aws(world.platform)}{capsys.readouterr()}"
    assert VALUE not in output
    assert "another" not in output


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"value": ""}, "value"),
        ({"value": "x" * 16_385}, "value"),
        ({"value": "\u00e9" * 8_193}, "value"),
        ({"value": None}, "value"),
        ({"host": ""}, "host"),
        ({"host": "https://granite.example.com"}, "host"),
        ({"host": "user@granite.example.com"}, "host"),
        ({"host": "granite.example.com:0"}, "host"),
        ({"host": "granite.example.com:65536"}, "host"),
        ({"host": "granite.example.com/path"}, "host"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_secret_of_a_host_is_refused_and_not_repeated(
    world: ApiWorld, changes: dict[str, Any], path: str
) -> None:
    world.store_config()
    problem = assert_problem(put(world, **changes), 422, "INVALID_REQUEST")
    assert paths_of(problem) == [path]
    assert VALUE not in str(problem)


def test_the_longest_secret_and_names_like_ids(world: ApiWorld) -> None:
    world.store_config()
    assert (
        put(
            world, "a" * 64, value="x" * 16_384, host="[2001:db8::1]:22"
        ).status_code
        == 204
    )
    for name in ("a" * 65, "-a", "a.b"):
        assert_problem(put(world, name), 422, "INVALID_REQUEST")


def test_a_tenant_has_50_secrets(world: ApiWorld) -> None:
    world.store_config()
    for number in range(50):
        assert put(world, f"s{number}").status_code == 204
    assert_problem(put(world, "one_more"), 409, "SECRET_QUOTA_EXCEEDED")
    assert put(world, "s7").status_code == 204


def test_secrets_need_a_tenant_the_scope_config_and_the_right(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(put(world), 404, "TENANT_NOT_FOUND")
    world.store_config()
    key = world.client.post(
        f"/v1/tenants/{TENANT}/api-keys", json={"scopes": ["read"]}
    ).json()
    reader = world.with_key(key["api_key"])
    assert reader.get(SECRETS).json() == {"secrets": []}
    order = {"value": "x", "host": HOST}
    assert_problem(reader.put(f"{SECRETS}/a", json=order), 403, "SCOPE_MISSING")
    assert_problem(reader.delete(f"{SECRETS}/a"), 403, "SCOPE_MISSING")

    def refuse(**_: Any) -> None:
        error = {
            "Error": {"Code": "AccessDeniedException", "Message": "not for you"}
        }
        raise ClientError(error, "CreateSecret")  # type: ignore[arg-type]

    monkeypatch.setattr(world.platform.clients.secrets, "create_secret", refuse)
    refused = put(world)
    assert_problem(refused, 503, "SECRETS_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) > 0
    assert world.client.get(SECRETS).json() == {"secrets": []}


def test_a_tenant_that_closes_gets_none_and_loses_all_with_its_deletion(
    world: ApiWorld,
) -> None:
    world.store_config()
    put(world)
    world.client.delete(f"/v1/tenants/{TENANT}?confirm={TENANT}")
    assert_problem(put(world, "late"), 409, "TENANT_CLOSING")
    assert world.platform.secrets.remove_all(TENANT) == 1
    assert world.platform.secrets.remove_all(TENANT) == 0
    listed = world.platform.clients.secrets.list_secrets()["SecretList"]
    assert listed == []
