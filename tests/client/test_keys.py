"""`relay keys` and `relay tenants audit`, from the command line to the API and back."""

from __future__ import annotations

import json
import re

import pytest

from support.api_world import TENANT
from support.client_world import ClientWorld


@pytest.fixture(autouse=True)
def config(world: ClientWorld) -> None:
    world.api.store_config()


def test_a_key_is_printed_alone_and_works_until_it_is_deleted(
    world: ClientWorld,
) -> None:
    result = world.relay(
        "keys", "create", TENANT, "--name", "shop", "--scope", "read"
    )
    assert result.exit_code == 0, result.output
    key = result.stdout.strip()
    assert re.fullmatch(r"rk_[0-9a-f]{16}_[\w-]{43}", key)
    (key_id,) = re.findall(r"^Key (\w+) of acme is", result.stderr)
    assert world.relay("runs", "list", RELAY_API_KEY=key).exit_code == 0
    refused = world.relay("run", TENANT, RELAY_API_KEY=key)
    assert refused.exit_code == 1
    assert "SCOPE_MISSING: the key lacks the scope run" in refused.stderr
    listed = world.relay("keys", "list", TENANT).stdout.splitlines()
    assert listed[0].split() == [
        "key_id",
        "name",
        "scopes",
        "created",
        "by",
        "expires",
        "last",
        "used",
    ]
    assert re.search(
        rf"^{key_id}  shop  read  .* admin:admin-1  never", listed[1]
    )
    deleted = world.relay("keys", "delete", TENANT, key_id)
    assert deleted.stdout == f"Key {key_id} of acme is deleted.\n"
    assert world.relay("runs", "list", RELAY_API_KEY=key).exit_code == 1
    again = world.relay("keys", "delete", TENANT, key_id)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "API_KEY_NOT_FOUND" in again.stderr


def test_a_key_may_be_good_for_some_days_and_for_several_things(
    world: ClientWorld,
) -> None:
    options = ("--scope", "run", "--scope", "read", "--days", "30")
    assert world.relay("keys", "create", TENANT, *options).exit_code == 0
    (key,) = json.loads(world.relay("keys", "list", TENANT, "--json").stdout)
    assert key["scopes"] == ["run", "read"]
    assert key["expires_at"] > key["created_at"]


def test_a_scope_that_there_is_not_is_told_with_those_there_are(
    world: ClientWorld,
) -> None:
    result = world.relay("keys", "create", TENANT, "--scope", "write")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "scopes.0" in result.stderr
    assert "'upload'" in result.stderr
    empty = world.relay("keys", "list", TENANT)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert empty.stderr == "The tenant has no API keys.\n"


def test_the_audit_is_a_line_for_each_act(world: ClientWorld) -> None:
    world.api.store_config(default_currency="EUR")
    world.relay("keys", "create", TENANT, "--name", "shop", "--scope", "read")
    result = world.relay("tenants", "audit", TENANT)
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "when",
        "who",
        "from",
        "did",
        "tenant",
        "target",
        "details",
    ]
    assert [line.split()[5] for line in lines[1:]] == [
        "key.created",
        "config.put",
        "tenant.created",
    ]
    assert "admin-1 (admin_key)" in lines[1]
    assert lines[1].endswith("name shop; scopes read")
    assert lines[2].endswith(
        "config version 1 -> 2; changed_paths default_currency"
    )


def test_the_audit_can_be_of_one_action_and_for_programs(
    world: ClientWorld,
) -> None:
    for currency in ("EUR", "CHF", "USD"):
        world.api.store_config(default_currency=currency)
    result = world.relay(
        "tenants", "audit", "--action", "config.put", "--limit", "2", "--json"
    )
    entries = json.loads(result.stdout)
    versions = [entry["details"]["config_version_after"] for entry in entries]
    assert versions == [4, 3]
    assert entries[0]["audit_id"] > entries[1]["audit_id"]
    nothing = world.relay("tenants", "audit", "--action", "run.posted")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == "The audit log has no such entry.\n"
    assert (
        "INVALID_REQUEST"
        in world.relay("tenants", "audit", "--action", "run.baked").stderr
    )


def test_lists_go_on_over_pages(world: ClientWorld) -> None:
    from relay_dagster.client.api_client import ApiClient
    from relay_dagster.wire.access import AuditList, KeyList

    for _ in range(3):
        world.relay("keys", "create", TENANT)
    with ApiClient(world.url, "admin-key", page_size=2) as client:
        pages = client.pages(KeyList, f"/v1/tenants/{TENANT}/api-keys")
        assert [len(page.api_keys) for page in pages] == [2, 1]
        entries = client.pages(
            AuditList, "/v1/audit", {"tenant_id": TENANT}, 100
        )
        assert [len(page.audit) for page in entries] == [2, 2]
    assert (
        len(
            world.relay(
                "tenants", "audit", TENANT, "--limit", "3"
            ).stdout.splitlines()
        )
        == 1 + 3
    )
