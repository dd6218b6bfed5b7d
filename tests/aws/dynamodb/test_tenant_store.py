from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from relay_core.domain.errors import ConfigTooLargeError
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.schema import config_key
from relay_dagster.aws.dynamodb.tenant_store import (
    MAX_CONFIG_BYTES,
    StoredConfig,
    TenantStore,
)
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.tenants.errors import (
    QuotaExceededError,
    TenantExistsError,
    UnknownTenantError,
    VersionMismatchError,
)
from relay_dagster.wiring import Platform
from support.fakes import NOW, FakeClock, served_platform


@pytest.fixture
def shared_platform() -> Iterator[Platform]:
    """A platform on an AWS that threads may share."""
    with served_platform() as platform:
        yield platform


@pytest.fixture
def shared_tenants(shared_platform: Platform) -> TenantStore:
    return shared_platform.tenants


@pytest.fixture
def tenants(platform: Platform, clock: FakeClock) -> TenantStore:
    return TenantStore(replace(platform.database, clock=clock))


def test_every_version_stays_as_it_was_stored(tenants: TenantStore) -> None:
    texts = ['{"n": 1}', '{"n":  2.10}', '{"n": "drei, \N{SNOWMAN}"}']
    assert tenants.create("acme", texts[0]).version == 1
    assert tenants.put("acme", texts[1]).version == 2
    assert tenants.put("acme", texts[2]).version == 3
    stored = [tenants.version("acme", number) for number in (1, 2, 3)]
    assert [version.text for version in stored if version] == texts
    assert tenants.latest("acme") == stored[2]


def test_an_unknown_tenant_has_no_config(tenants: TenantStore) -> None:
    assert tenants.latest("acme") is None
    assert tenants.latest_version("acme") is None
    assert tenants.version("acme", 1) is None


def test_a_tenant_is_created_once(tenants: TenantStore) -> None:
    tenants.create("acme", "{}")
    with pytest.raises(TenantExistsError):
        tenants.create("acme", '{"other": 1}')
    assert tenants.latest_version("acme") == 1


def test_no_two_tenants_have_ids_that_differ_in_case_alone(
    tenants: TenantStore,
) -> None:
    tenants.create("Acme", "{}")
    for store in (tenants.create, tenants.put):
        with pytest.raises(TenantExistsError, match="only in letter case"):
            store("aCME", "{}")
    assert tenants.put("Acme", "{}").version == 2
    assert tenants.latest_version("aCME") is None


def test_a_first_version_may_be_put(tenants: TenantStore) -> None:
    assert tenants.put("acme", "{}").version == 1


def test_a_writer_that_may_not_create_meets_no_new_tenant(
    tenants: TenantStore,
) -> None:
    with pytest.raises(UnknownTenantError):
        tenants.put("acme", "{}", may_create=False)
    assert tenants.latest_version("acme") is None


def test_a_writer_that_expects_another_version_is_refused(
    tenants: TenantStore,
) -> None:
    with pytest.raises(VersionMismatchError) as unknown:
        tenants.put("acme", "{}", if_match=1)
    assert unknown.value.latest is None
    tenants.create("acme", "{}")
    assert tenants.put("acme", "{}", if_match=1).version == 2
    with pytest.raises(VersionMismatchError) as stale:
        tenants.put("acme", "{}", if_match=1)
    assert stale.value.latest == 2


def test_two_writers_at_once_never_share_a_version(
    shared_tenants: TenantStore,
) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> int:
        barrier.wait(timeout=30)
        return shared_tenants.put("acme", f'{{"writer": {number}}}').version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(put, range(8)))
    assert sorted(versions) == list(range(1, 9))
    for writer, version in enumerate(versions):
        stored = shared_tenants.version("acme", version)
        assert stored is not None
        assert stored.text == f'{{"writer": {writer}}}'


def test_of_two_writers_that_expect_one_version_one_is_refused(
    shared_tenants: TenantStore,
) -> None:
    shared_tenants.create("acme", "{}")
    barrier = threading.Barrier(2)

    def put(_: int) -> object:
        barrier.wait(timeout=30)
        try:
            return shared_tenants.put("acme", "{}", if_match=1)
        except VersionMismatchError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        kinds = {type(result) for result in pool.map(put, range(2))}
    assert kinds == {StoredConfig, VersionMismatchError}


def test_a_config_that_does_not_fit_is_refused_before_it_is_sent(
    tenants: TenantStore,
) -> None:
    tenants.create("acme", "x" * MAX_CONFIG_BYTES)
    with pytest.raises(ConfigTooLargeError):
        tenants.put("acme", "x" * (MAX_CONFIG_BYTES + 1))


def test_tenants_are_found_by_when_their_first_config_was_stored(
    tenants: TenantStore, clock: FakeClock
) -> None:
    for name in ("one", "two", "three"):
        tenants.create(name, "{}")
        clock.advance(seconds=10)
    tenants.put("one", "{}")
    assert tenants.all_tenant_ids() == ["one", "two", "three"]
    assert tenants.created_since(NOW + timedelta(seconds=10)) == [
        "two",
        "three",
    ]


def test_a_table_that_is_not_there_is_told_by_the_check(
    platform: Platform,
) -> None:
    platform.database.tenants.check()
    nowhere = platform.settings.model_copy(
        update={"tenants_table": "no-such-table"}
    )
    with pytest.raises(MissingResourceError):
        Database.of(platform.clients, nowhere).tenants.check()


def test_versions_are_listed_latest_first_and_go_on_below_one(
    tenants: TenantStore, clock: FakeClock
) -> None:
    for number in range(5):
        tenants.put("acme", f'{{"n": {number}}}')
        clock.advance(hours=1)
    page = tenants.versions("acme", limit=2)
    assert [version.version for version in page] == [5, 4]
    assert page[0].stored_at == NOW + timedelta(hours=4)
    assert [
        version.version
        for version in tenants.versions("acme", limit=9, before=4)
    ] == [
        3,
        2,
        1,
    ]
    assert tenants.versions("acme", limit=9, before=1) == ()


def test_a_version_that_the_index_does_not_have_yet_is_listed(
    tenants: TenantStore,
) -> None:
    for number in range(4):
        tenants.put("acme", f'{{"n": {number}}}')
    table = tenants.database.tenants
    key = config_key("acme", 3)
    moved = table.update("config", key, Update(sets={schema.OWNER: "other"}))
    table.carry_out(moved)  # of acme's part of the index
    assert [
        version.version for version in tenants.versions("acme", limit=3)
    ] == [
        4,
        3,
        2,
    ]


def test_an_unknown_tenant_has_no_versions(tenants: TenantStore) -> None:
    assert tenants.versions("acme", limit=9) == ()


# --- the quota of a day -------------------------------------------------------------------------


@pytest.fixture
def counting(platform: Platform, clock: FakeClock) -> TenantStore:
    return TenantStore(replace(platform.database, clock=clock), 3)


def test_a_tenant_stores_so_many_versions_in_a_day_and_then_waits_for_the_next(
    counting: TenantStore, clock: FakeClock
) -> None:
    counting.create("acme", "{}")
    clock.advance(hours=11, minutes=59, seconds=59)
    for version in (2, 3):
        assert counting.put("acme", "{}").version == version
    with pytest.raises(QuotaExceededError) as refused:
        counting.put("acme", "{}")
    assert (refused.value.wait_seconds, counting.latest_version("acme")) == (
        1,
        3,
    )
    assert counting.put("other", "{}").version == 1
    clock.advance(seconds=1)
    assert [counting.put("acme", "{}").version for _ in range(3)] == [4, 5, 6]


def test_a_version_that_is_refused_counts_as_none(
    counting: TenantStore,
) -> None:
    counting.create("acme", "{}")
    for _ in range(3):
        with pytest.raises(VersionMismatchError):
            counting.put("acme", "{}", if_match=7)
    assert counting.put("acme", "{}").version == 2


def test_writers_at_once_store_no_more_than_a_day_s_versions(
    shared_platform: Platform,
) -> None:
    stores = [
        TenantStore(shared_platform.database, versions_per_day=5)
        for _ in range(10)
    ]

    def put(store: TenantStore) -> bool:
        try:
            store.put("acme", "{}")
        except QuotaExceededError:
            return False
        return True

    with ThreadPoolExecutor(len(stores)) as pool:
        assert sum(pool.map(put, stores)) == 5
