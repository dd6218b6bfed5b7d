from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes import FakeClock, embedded_platform
from relay_dagster.aws.dynamodb.api_key_store import ApiKeyStore, TenantKey
from relay_dagster.aws.dynamodb.serialization import instant_text, unmarshal
from relay_dagster.external_errors import RequestRejectedError
from relay_dagster.wiring import Platform

KEY = TenantKey("0123456789abcdef", "acme", "d" * 64)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform() as platform:
        yield platform


@pytest.fixture
def keys(platform: Platform) -> ApiKeyStore:
    return ApiKeyStore(platform.clients, platform.settings.tenants_table, clock=FakeClock())


def test_a_key_is_found_by_its_id(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    assert keys.get(KEY.key_id) == KEY
    assert keys.get("another") is None


def test_what_is_kept_of_a_key_is_its_digest(keys: ApiKeyStore, platform: Platform) -> None:
    keys.add(KEY)
    table = platform.settings.tenants_table
    (item,) = platform.clients.dynamodb.scan(TableName=table)["Items"]
    assert unmarshal(item) == {
        "pk": "KEY#0123456789abcdef",
        "tenant_id": "acme",
        "digest": "d" * 64,
        "created_at": instant_text(FakeClock()()),
    }


def test_a_key_s_id_is_never_given_to_another_key(keys: ApiKeyStore) -> None:
    keys.add(KEY)
    with pytest.raises(RequestRejectedError):
        keys.add(TenantKey(KEY.key_id, "other", "e" * 64))
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
