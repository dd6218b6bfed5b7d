"""Whose a key is, and how tenants' keys come and go."""

from __future__ import annotations

import pytest

from relay_dagster.api.security.api_keys import Caller, Keyring
from relay_dagster.aws.dynamodb.api_key_store import TenantKey
from relay_dagster.aws.dynamodb.tenant_store import UnknownTenantError


class Kept:
    """Tenants' keys, in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, TenantKey] = {}

    def get(self, key_id: str) -> TenantKey | None:
        return self.keys.get(key_id)

    def add(self, key: TenantKey) -> None:
        self.keys[key.key_id] = key

    def remove(self, tenant_id: str, key_id: str) -> bool:
        known = key_id in self.keys and self.keys[key_id].tenant_id == tenant_id
        return known and self.keys.pop(key_id) is not None


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def keyring(kept: Kept) -> Keyring:
    return Keyring(("first", "second"), kept)  # type: ignore[arg-type]


def test_each_admin_key_is_a_caller_of_its_own_who_reaches_all(keyring: Keyring) -> None:
    first, second = keyring.caller("first"), keyring.caller("second")
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert first.is_admin
    assert first.reaches("acme")


def test_a_tenant_s_key_is_its_own_caller_until_it_is_revoked(keyring: Keyring) -> None:
    key_id, key = keyring.issue("acme")
    assert keyring.caller(key) == Caller(f"key:{key_id}", "acme")
    assert not keyring.revoke("other", key_id)
    assert keyring.revoke("acme", key_id)
    assert keyring.caller(key) is None


def test_a_key_itself_is_kept_nowhere(keyring: Keyring, kept: Kept) -> None:
    key_id, key = keyring.issue("acme")
    assert key not in str(kept.keys[key_id])


@pytest.mark.parametrize("change", [lambda key: key[:-1] + "!", lambda key: f"{key}x", str.upper])
def test_a_key_that_is_changed_is_nobody_s(keyring: Keyring, change: object) -> None:
    _, key = keyring.issue("acme")
    assert keyring.caller(change(key)) is None  # type: ignore[operator]


def test_a_secret_of_another_key_does_not_do(keyring: Keyring) -> None:
    (one, _), (_, other) = keyring.issue("acme"), keyring.issue("acme")
    secret = other.rpartition("_")[2]
    assert keyring.caller(f"rk_{one}_{secret}") is None


def test_what_a_tenant_s_caller_does_not_reach_does_not_exist() -> None:
    caller = Caller("key:1", "acme")
    caller.require("acme")
    with pytest.raises(UnknownTenantError):
        caller.require("other")
