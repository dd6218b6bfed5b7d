from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay_dagster.aws.dynamodb.api_key_store import (
    ApiKeyStore,
    Scope,
    TenantKey,
)
from relay_dagster.aws.dynamodb.codec import unmarshal
from relay_dagster.aws.dynamodb.database import ConditionsFailedError
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.tenants.errors import MakerGoneError, QuotaExceededError
from relay_dagster.wiring import Platform
from support.fakes import NOW, FakeClock

KEY = TenantKey(
    key_id="0123456789abcdef",
    tenant_id="acme",
    digest="d" * 64,
    name="shop",
    created_at=NOW,
    scopes=(Scope.READ, Scope.KEYS),
    created_by="admin:ops",
    expires_at=NOW + timedelta(days=1, microseconds=1),
)


@pytest.fixture
def keys(platform: Platform, clock: FakeClock) -> ApiKeyStore:
    return ApiKeyStore(replace(platform.database, clock=clock))


def test_a_key_is_found_by_its_id(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    assert keys.get(KEY.key_id) == KEY
    assert keys.get("another") is None


def test_what_is_kept_of_a_key_is_its_digest(
    keys: ApiKeyStore, platform: Platform
) -> None:
    keys.add(KEY)
    items = platform.clients.dynamodb.scan(
        TableName=platform.settings.tenants_table
    )["Items"]
    item, ids = sorted(
        map(unmarshal, items), key=lambda each: len(each["pk"]), reverse=True
    )
    assert ids == {
        "pk": "KEYS#acme",
        "schema": 1,
        "tenant_id": "acme",
        "key_ids": {KEY.key_id},
    }
    assert item == {
        "schema": 1,
        "pk": "KEY#0123456789abcdef",
        "tenant_id": "acme",
        "digest": "d" * 64,
        "name": "shop",
        "scopes": ["read", "keys"],
        "created_at": "2026-03-01T12:00:00.000000Z",
        "created_by": "admin:ops",
        "key_expires_at": "2026-03-02T12:00:00.000001Z",
    }


def test_a_tenant_s_keys_are_listed_page_by_page_and_no_others(
    keys: ApiKeyStore,
) -> None:
    tenant_keys = [replace(KEY, key_id=f"{n:016x}") for n in range(5)]
    for key in [*tenant_keys, replace(KEY, key_id="f" * 16, tenant_id="other")]:
        keys.add(key)
    listed = []
    after = None
    for size in (2, 2, 1):
        page, after = keys.of_tenant("acme", limit=2, after=after)
        assert len(page) == size
        listed += page
    assert (listed, after) == (tenant_keys, None)
    assert keys.of_tenant("nobody", limit=2) == ((), None)


def test_a_key_s_last_use_is_noted_once_an_hour(
    keys: ApiKeyStore, clock: FakeClock
) -> None:
    keys.add(KEY)
    noted = []
    for minutes in (0, 59, 1, 1):
        clock.advance(minutes=minutes)
        keys.note_use(keys.get(KEY.key_id) or KEY)
        noted.append((keys.get(KEY.key_id) or KEY).last_used_at)
    hour = NOW + timedelta(hours=1)
    assert noted == [NOW, NOW, hour, hour]


def test_a_key_that_is_gone_does_not_come_back_by_its_use(
    keys: ApiKeyStore,
) -> None:
    keys.note_use(KEY)
    assert keys.get(KEY.key_id) is None


def test_a_key_s_id_is_never_given_to_another_key(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    with pytest.raises(ConditionsFailedError):
        keys.add(replace(KEY, tenant_id="other"))
    assert keys.get(KEY.key_id) == KEY


def test_a_key_that_is_removed_is_gone(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    assert keys.remove("acme", KEY.key_id)
    assert keys.get(KEY.key_id) is None
    assert not keys.remove("acme", KEY.key_id)


def test_a_tenant_removes_no_key_of_another(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    assert not keys.remove("other", KEY.key_id)
    assert keys.get(KEY.key_id) == KEY


# --- how many -----------------------------------------------------------------------------------


def numbered(number: int, **changes: object) -> TenantKey:
    return replace(KEY, key_id=f"{number:016x}", **changes)  # type: ignore[arg-type]


def test_a_tenant_has_fifty_keys(keys: ApiKeyStore) -> None:
    for number in range(50):
        keys.add(numbered(number))
    with pytest.raises(QuotaExceededError, match="maximum of 50 keys"):
        keys.add(numbered(50))
    keys.add(numbered(100, tenant_id="other"))
    page, _ = keys.of_tenant("acme", limit=1)
    assert keys.remove("acme", page[0].key_id)
    keys.add(numbered(101))
    with pytest.raises(QuotaExceededError):
        keys.add(numbered(102))


def test_keys_from_before_they_were_counted_count(
    keys: ApiKeyStore, platform: Platform
) -> None:
    for number in range(3):
        keys.add(numbered(number))
    table = platform.database.tenants
    table.carry_out(table.delete("ids", Kind.API_KEYS.key("acme")))
    assert keys.remove("acme", numbered(0).key_id)
    keys.add(numbered(3))
    item = table.item(Kind.API_KEYS.key("acme"))
    assert item is not None
    assert unmarshal(item)["key_ids"] == {
        numbered(number).key_id for number in (1, 2, 3)
    }


def test_a_key_that_is_gone_makes_none(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    child_key = numbered(1, created_by=f"key:{KEY.key_id}")
    keys.add(child_key)
    assert keys.made_by("acme", {KEY.key_id}) == [child_key]
    assert keys.made_by("other", {KEY.key_id}) == []
    keys.remove("acme", KEY.key_id)
    with pytest.raises(MakerGoneError):
        keys.add(numbered(2, created_by=f"key:{KEY.key_id}"))
    assert keys.get(numbered(2).key_id) is None
