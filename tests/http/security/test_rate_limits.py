"""Rates by name: tokens that come back, wrong keys that are forgotten, names that are too many."""

from __future__ import annotations

import pytest

from relay_dagster.http.security.rate_limits import (
    RateLimitedError,
    RecentValues,
    TokenBuckets,
    WrongKeys,
)
from support.fakes import Seconds


def taken(buckets: TokenBuckets, name: str = "one") -> int:
    """Take what there is, and return how many tokens that were."""
    for count in range(10_000):
        try:
            buckets.take(name)
        except RateLimitedError:
            return count
    raise AssertionError("the bucket has no bottom")


def test_a_bucket_gives_a_burst_and_then_what_comes_back() -> None:
    clock = Seconds()
    buckets = TokenBuckets(600, 100, clock)
    assert taken(buckets) == 100
    for seconds, tokens in (
        (0.0625, 0),
        (0.0625, 1),
        (1, 10),
        (9.9375, 99),
        (1000, 100),
    ):
        clock.now += seconds
        assert taken(buckets) == tokens


def test_who_finds_a_bucket_empty_is_told_how_long_to_wait() -> None:
    clock = Seconds()
    buckets = TokenBuckets(6, 1, clock)
    buckets.take("one")
    clock.now += 4
    with pytest.raises(RateLimitedError) as refused:
        buckets.take("one")
    assert refused.value.wait_seconds == pytest.approx(6)


def test_each_name_has_a_bucket_of_its_own() -> None:
    buckets = TokenBuckets(600, 100, Seconds())
    assert (taken(buckets, "one"), taken(buckets, "two")) == (100, 100)


def test_a_burst_is_no_more_than_a_minute_s() -> None:
    assert taken(TokenBuckets(7, 100, Seconds())) == 7


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("192.0.2.2", False),
        ("testclient", False),
    ],
)
def test_an_address_is_one_however_it_is_written(
    address: str, same: bool
) -> None:
    wrong_keys = WrongKeys(1, Seconds())
    wrong_keys.note("192.0.2.1")
    if same:
        with pytest.raises(RateLimitedError):
            wrong_keys.require_few(address)
    else:
        wrong_keys.require_few(address)


def test_one_customer_s_ipv6_addresses_are_one() -> None:
    wrong_keys = WrongKeys(1, Seconds())
    wrong_keys.note("2001:db8:1:2::1")
    with pytest.raises(RateLimitedError):
        wrong_keys.require_few("2001:db8:1:2:ffff::%eth0")
    wrong_keys.require_few("2001:db8:1:3::1")


def test_names_that_were_longest_unheard_of_are_forgotten() -> None:
    values: RecentValues[int] = RecentValues(capacity=2)
    for name, number in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        values.set(name, number)
    assert [values.get(name) for name in "abc"] == [3, None, 4]
