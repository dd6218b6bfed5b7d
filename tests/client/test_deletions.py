"""`relay tenants delete | restore | status`, from the command line to the API and back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from support.api_world import TENANT
from support.client_world import ClientWorld
from support.deletions import end_deletion


@pytest.fixture(autouse=True)
def config(world: ClientWorld) -> None:
    world.api.store_config()


def delete(
    world: ClientWorld, *options: str, confirm: str = TENANT
) -> list[str]:
    """Delete the tenant; return what is said of it."""
    result = world.relay(
        "tenants", "delete", TENANT, "--confirm", confirm, *options
    )
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_who_deletes_a_tenant_is_told_how_to_restore_it(
    world: ClientWorld,
) -> None:
    lines = delete(world)
    deletion = world.platform.deletions.get(TENANT)
    assert deletion is not None
    assert lines == [
        "Tenant acme is CLOSING.",
        f"  Until {deletion.delete_after:%Y-%m-%d %H:%M:%S}Z, you can restore it with:",
        "  relay tenants restore acme",
    ]
    status = world.relay("tenants", "status", TENANT).stdout.splitlines()
    assert status[1] == (
        f"  CLOSING; until {deletion.delete_after:%Y-%m-%d %H:%M:%S}Z, you can restore it with: "
        "relay tenants restore acme"
    )


def test_it_is_restored(world: ClientWorld) -> None:
    assert json.loads("\n".join(delete(world, "--json")))["state"] == "CLOSING"
    restored = world.relay("tenants", "restore", TENANT)
    assert (restored.exit_code, restored.stdout) == (
        0,
        "Tenant acme is ACTIVE.\n",
    )
    assert json.loads(
        world.relay("tenants", "restore", TENANT, "--json").stdout
    ) == {
        "tenant_id": TENANT,
        "state": "ACTIVE",
    }
    assert "CLOSING" not in world.relay("tenants", "status", TENANT).stdout


@pytest.mark.parametrize(
    "options", [(), ("--confirm", "another")], ids=["missing", "another"]
)
def test_without_its_id_once_more_nothing_is_deleted(
    world: ClientWorld, options: tuple[str, ...]
) -> None:
    result = world.relay("tenants", "delete", TENANT, *options)
    assert result.exit_code != 0
    assert "confirm" in result.stderr
    assert world.platform.deletions.get(TENANT) is None


def test_of_a_tenant_that_is_gone_it_is_told_when_it_went(
    world: ClientWorld,
) -> None:
    deletions = world.platform.deletions
    deletions.ask(TENANT, timedelta(0))
    deletion = end_deletion(deletions, TENANT, 1)
    assert deletion is not None
    assert deletion.deleted_at is not None
    assert world.relay("tenants", "status", TENANT).stdout.splitlines() == [
        "Tenant acme is DELETED.",
        f"  It was deleted at {deletion.deleted_at:%Y-%m-%d %H:%M:%S}Z. Its ID can be used again.",
    ]
    status = json.loads(
        world.relay("tenants", "status", TENANT, "--json").stdout
    )
    assert (status["state"], status["asked_by"]) == ("DELETED", None)


def test_of_a_tenant_that_never_was_nothing_is_told(world: ClientWorld) -> None:
    result = world.relay("tenants", "status", "nobody")
    assert result.exit_code == 1
    assert "nobody has no config" in result.stderr
