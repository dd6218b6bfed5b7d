"""Which hosts are this machine's own."""

import pytest

from relay_core.domain.destination import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LocalHost"]
)
def test_these_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "127.1",
        "localhost.evil.example",
        "evil.localhost",
        "",
    ],
)
def test_these_are_or_may_be_others(host: str) -> None:
    assert not is_loopback(host)
