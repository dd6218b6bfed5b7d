"""Whose a key is, and how tenants' keys come and go."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial

import pytest

from relay_dagster.aws.dynamodb.api_key_store import (
    DEFAULT_SCOPES,
    Scope,
    TenantKey,
)
from relay_dagster.external_errors import ThrottledError
from relay_dagster.http.security.api_keys import (
    AdminKey,
    Caller,
    CallerRates,
    KeyExpiredError,
    Keyring,
)
from relay_dagster.http.security.rate_limits import RateLimitedError, WrongKeys
from relay_dagster.tenants.audit import SYSTEM, Origin
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.wire.access import KeyRequest
from support.fakes import NOW, FakeClock, Seconds

HERE = "192.0.2.1"
BY = Caller("admin:ops", name="ops")
NOBODY_S = "rk_0123456789abcdef_" + "a" * 43


class Kept:
    """Tenants' keys, in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, TenantKey] = {}
        self.looked_up = 0
        self.used: list[str] = []

    def get(self, key_id: str) -> TenantKey | None:
        return self.keys.get(key_id)

    def of_active_tenant(self, key_id: str) -> TenantKey | None:
        self.looked_up += 1
        return self.get(key_id)

    def add(self, key: TenantKey, origin: Origin) -> None:
        self.keys[key.key_id] = key

    def note_use(self, key: TenantKey) -> None:
        self.used.append(key.key_id)

    def made_by(
        self, tenant_id: str, key_ids: Collection[str]
    ) -> list[TenantKey]:
        return [key for key in self.keys.values() if key.maker in key_ids]

    def remove(self, tenant_id: str, key_id: str, origin: Origin) -> bool:
        is_known = (
            key_id in self.keys and self.keys[key_id].tenant_id == tenant_id
        )
        return is_known and self.keys.pop(key_id) is not None


@pytest.fixture
def key_store() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def keyring(key_store: Kept, clock: Seconds) -> Keyring:
    wrong_keys = WrongKeys(30, clock)
    admins = (AdminKey("ops", "first"), AdminKey("admin-2", "second"))
    return Keyring(admins, key_store, wrong_keys, clock, now=FakeClock())  # type: ignore[arg-type]


def issue(
    keyring: Keyring, tenant_id: str = "acme", **wanted: object
) -> tuple[str, str]:
    fields = {
        "name": "shop",
        "scopes": DEFAULT_SCOPES,
        "expires_at": None,
        **wanted,
    }
    return keyring.issue(
        tenant_id, KeyRequest.model_construct(**fields), BY, SYSTEM
    )


def test_each_admin_key_is_a_caller_of_its_own_who_reaches_all(
    keyring: Keyring,
) -> None:
    first = keyring.caller("first", HERE)
    second = keyring.caller("second", HERE)
    assert (first, second) == (BY, Caller("admin:admin-2", name="admin-2"))
    assert BY.is_admin
    assert BY.reaches("acme")


def test_a_tenant_s_key_is_its_own_caller_until_it_is_revoked(
    keyring: Keyring,
) -> None:
    key_id, key = issue(keyring)
    caller = Caller(f"key:{key_id}", "acme", "shop", frozenset(DEFAULT_SCOPES))
    assert keyring.caller(key, HERE) == caller
    assert not keyring.revoke("other", key_id, SYSTEM, list)
    assert keyring.revoke("acme", key_id, SYSTEM, list)
    assert keyring.caller(key, HERE) is None


def test_a_key_tells_what_it_may_do_and_who_made_it(
    keyring: Keyring, key_store: Kept
) -> None:
    until = NOW + timedelta(hours=1)
    key_id, key = issue(keyring, scopes=(Scope.READ,), expires_at=until)
    caller = keyring.caller(key, HERE)
    assert caller == Caller(
        f"key:{key_id}", "acme", "shop", frozenset({Scope.READ}), until
    )
    assert key_store.keys[key_id].created_by == "admin:ops"
    assert key_store.used == [key_id]


def test_a_key_without_a_name_is_called_by_its_id(
    keyring: Keyring, key_store: Kept
) -> None:
    key_id, _ = issue(keyring, name=None)
    assert key_store.keys[key_id].name == key_id


def test_a_key_is_good_until_it_expires_and_counts_as_nobody_s_then(
    keyring: Keyring,
) -> None:
    good, over = (NOW + timedelta(microseconds=n) for n in (1, 0))
    assert keyring.caller(issue(keyring, expires_at=good)[1], HERE) is not None
    key = issue(keyring, expires_at=over)[1]
    for _ in range(30):
        with pytest.raises(KeyExpiredError):
            keyring.caller(key, HERE)
    with pytest.raises(RateLimitedError):
        keyring.caller(key, HERE)


def test_a_key_works_where_its_use_cannot_be_noted(
    keyring: Keyring, key_store: Kept
) -> None:
    def fail(key: TenantKey) -> None:
        raise ThrottledError("dynamodb.UpdateItem", "slow down")

    key_store.note_use = fail  # type: ignore[method-assign]
    assert keyring.caller(issue(keyring)[1], HERE) is not None


def test_a_key_itself_is_kept_nowhere(
    keyring: Keyring, key_store: Kept
) -> None:
    key_id, key = issue(keyring)
    assert key not in str(key_store.keys[key_id])


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1] + "!", lambda key: f"{key}x", str.upper]
)
def test_a_key_that_is_changed_is_nobody_s(
    keyring: Keyring, change: object
) -> None:
    _, key = issue(keyring)
    assert keyring.caller(change(key), HERE) is None  # type: ignore[operator]


def test_a_secret_of_another_key_does_not_do(keyring: Keyring) -> None:
    first_id, _ = issue(keyring)
    _, second_key = issue(keyring)
    secret = second_key.split("_", 2)[2]
    assert keyring.caller(f"rk_{first_id}_{secret}", HERE) is None


def test_what_a_tenant_s_caller_does_not_reach_does_not_exist() -> None:
    caller = Caller("key:1", "acme")
    caller.require("acme")
    with pytest.raises(UnknownTenantError):
        caller.require("other")
    assert not caller.is_admin


# --- wrong keys ---------------------------------------------------------------------------------


def show_wrong_keys(keyring: Keyring, count: int, address: str = HERE) -> None:
    for _ in range(count):
        assert keyring.caller(NOBODY_S, address) is None


def test_after_thirty_wrong_keys_in_a_minute_an_address_waits_and_nothing_is_looked_up(
    keyring: Keyring, key_store: Kept, clock: Seconds
) -> None:
    show_wrong_keys(keyring, 30)
    looked_up = key_store.looked_up
    clock.now += 59.5
    with pytest.raises(RateLimitedError) as refused:
        keyring.caller(NOBODY_S, HERE)
    assert (refused.value.wait_seconds, key_store.looked_up) == (0.5, looked_up)
    show_wrong_keys(keyring, 1, "192.0.2.2")
    clock.now += 0.5
    show_wrong_keys(keyring, 30)


def test_keys_that_are_no_keys_at_all_count_too(keyring: Keyring) -> None:
    for _ in range(30):
        assert keyring.caller("guess", HERE) is None
    with pytest.raises(RateLimitedError):
        keyring.caller("guess", HERE)


def test_good_keys_and_admins_are_judged_whatever_comes_from_their_address(
    keyring: Keyring, clock: Seconds
) -> None:
    _, seen_key = issue(keyring)
    _, unseen_key = issue(keyring)
    assert keyring.caller(seen_key, HERE) is not None
    clock.now += 3599
    show_wrong_keys(keyring, 30)
    assert keyring.caller(seen_key, HERE) is not None
    assert keyring.caller("first", HERE) is not None
    with pytest.raises(RateLimitedError):
        keyring.caller(unseen_key, HERE)


def test_a_key_is_known_as_good_for_an_hour(
    keyring: Keyring, clock: Seconds
) -> None:
    _, key = issue(keyring)
    assert keyring.caller(key, HERE) is not None
    clock.now += 3600
    show_wrong_keys(keyring, 30)
    with pytest.raises(RateLimitedError):
        keyring.caller(key, HERE)


# --- rates --------------------------------------------------------------------------------------


def test_a_tenant_has_one_rate_and_each_admin_ten_times_that(
    clock: Seconds,
) -> None:
    rates = CallerRates(600, 100, 4, clock)
    admins = Caller("admin:1"), Caller("admin:2")

    def use_up(count: int, take: Callable[[], None]) -> None:
        for _ in range(count):
            take()
        with pytest.raises(RateLimitedError):
            take()

    def ask(tenant_id: str) -> None:
        rates.begin(tenant_id)
        rates.end(tenant_id)

    for _ in range(2):
        for tenant_id in ("acme", "other"):
            use_up(100, partial(ask, tenant_id))
        for admin in admins:
            use_up(1000, partial(rates.admins.take, admin.id))
        clock.now += 60


def test_a_tenant_has_four_requests_in_work_and_those_turned_away_cost_nothing(
    clock: Seconds,
) -> None:
    rates = CallerRates(600, 6, 4, clock)
    for _ in range(4):
        rates.begin("acme")
    for _ in range(50):
        with pytest.raises(RateLimitedError, match="in progress") as refused:
            rates.begin("acme")
        assert refused.value.wait_seconds == 1
    rates.begin("other")
    for _ in range(2):
        rates.end("acme")
        rates.begin("acme")
    # The bucket is empty now, and whom it turns away has no place either.
    rates.end("acme")
    for _ in range(5):
        with pytest.raises(RateLimitedError, match="too many requests"):
            rates.begin("acme")


# --- keys that were good ------------------------------------------------------------------------


def test_a_revoked_key_is_looked_up_once_and_counts_as_a_wrong_one(
    keyring: Keyring, key_store: Kept
) -> None:
    key_id, key = issue(keyring)
    assert keyring.likely_tenant(key) is None
    assert keyring.caller(key, HERE) is not None
    assert keyring.likely_tenant(key) == "acme"
    keyring.revoke("acme", key_id, SYSTEM, list)
    for _ in range(30):
        assert keyring.caller(key, HERE) is None
        assert keyring.likely_tenant(key) is None
    looked_up = key_store.looked_up
    with pytest.raises(RateLimitedError):
        keyring.caller(key, HERE)
    assert key_store.looked_up == looked_up


def test_with_a_key_go_those_that_it_has_made_and_they_have_made(
    keyring: Keyring, key_store: Kept
) -> None:
    ids: list[str] = []
    by = BY
    for _ in range(3):
        request = KeyRequest(name="shop")
        key_id, key = keyring.issue("acme", request, by, SYSTEM)
        caller = keyring.caller(key, HERE)
        assert caller is not None
        ids = [*ids, key_id]
        by = caller
    other_id, _ = issue(keyring)
    assert keyring.revoke("acme", ids[1], SYSTEM, list) == [ids[1]]
    assert set(key_store.keys) == {ids[0], ids[2], other_id}
    # The second time takes those that the first has left.
    assert keyring.revoke("acme", ids[1], SYSTEM, list, with_made=True) == [
        ids[2]
    ]
    assert keyring.revoke("acme", ids[0], SYSTEM, list, with_made=True) == [
        ids[0]
    ]
    assert set(key_store.keys) == {other_id}
