"""Files that are pulled: where they may be, and what goes with HTTPS or with SFTP."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.config.pulls import PullConfig
from relay_core.domain.errors import ConfigError
from support.builders import config_document, vendor_document

HTTPS = "https://files.example.com/stock.csv"
SFTP = "sftp://acme@files.example.com/out/stock-*.csv"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 backup@host"


def pull_of(**given: Any) -> PullConfig:
    inbound = {
        "type": "s3",
        "s3_prefix": "tenants/acme/inbound/v/",
        "pull": given,
    }
    config = load_config(config_document(vendor_document("v", inbound=inbound)))
    assert load_config(config.to_document()) == config
    pull = config.vendors[0].inbound.pull
    assert pull is not None
    return pull


def test_all_but_the_url_has_its_default() -> None:
    assert pull_of(url=HTTPS).model_dump() == {
        "url": HTTPS,
        "every_minutes": 60,
        "secret": None,
        "host_key": None,
        "settle_seconds": 60,
    }


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "user"),
    [
        (HTTPS, "files.example.com", 443, "/stock.csv", ""),
        (
            "https://Files.example.com:8443/a?b=c",
            "files.example.com",
            8443,
            "/a?b=c",
            "",
        ),
        ("https://files.example.com", "files.example.com", 443, "/", ""),
        ("https://8.8.8.8/a", "8.8.8.8", 443, "/a", ""),
        ("http://127.0.0.1:8000/a", "127.0.0.1", 8000, "/a", ""),
        (SFTP, "files.example.com", 22, "/out/stock-*.csv", "acme"),
        (
            "sftp://a%40b@files.example.com:2222/x?.csv",
            "files.example.com",
            2222,
            "/x?.csv",
            "a@b",
        ),
        ("sftp://a@localhost:2200/x", "localhost", 2200, "/x", "a"),
    ],
)
def test_a_url_leads_somewhere(
    url: str, host: str, port: int, target: str, user: str
) -> None:
    key = {"host_key": KEY} if url.startswith("sftp") else {}
    destination = pull_of(url=url, **key).destination(allow_loopback=True)
    assert (
        destination.host,
        destination.port,
        destination.target,
        destination.user,
    ) == (
        host,
        port,
        target,
        user,
    )


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        ({}, "url", "is required"),
        (
            {"url": "ftp://files.example.com/a"},
            "url",
            "must begin with https:// or sftp://",
        ),
        (
            {"url": "http://files.example.com/a"},
            "url",
            "must begin with https:// or sftp://",
        ),
        ({"url": "https://a@files.example.com/a"}, "url", "no user name"),
        (
            {"url": "https://files.example.com:444/a"},
            "url",
            "must have port 443 or 8443",
        ),
        ({"url": "https://10.0.0.1/a"}, "url", "must lead to a public address"),
        (
            {"url": "https://169.254.169.254/a"},
            "url",
            "must lead to a public address",
        ),
        (
            {"url": "https://files.example.com/a#b"},
            "url",
            "must have no fragment",
        ),
        ({"url": "https://files.example.com/a b"}, "url", "visible ASCII"),
        (
            {"url": f"https://files.example.com/{'a' * 2048}"},
            "url",
            "at most 2048",
        ),
        (
            {"url": "sftp://files.example.com/a", "host_key": KEY},
            "url",
            "must name the user",
        ),
        (
            {"url": "sftp://a:b@files.example.com/a", "host_key": KEY},
            "url",
            "no password",
        ),
        (
            {"url": "sftp://a@files.example.com/a/", "host_key": KEY},
            "url",
            "a file name",
        ),
        (
            {"url": "sftp://a@files.example.com/*/a", "host_key": KEY},
            "url",
            "only in its last part",
        ),
        (
            {"url": "sftp://a@files.example.com:443/a", "host_key": KEY},
            "url",
            "port 22 or 2222",
        ),
        ({"url": SFTP}, "host_key", "is required for sftp"),
        (
            {"url": HTTPS, "host_key": KEY},
            "host_key",
            "applies only to sftp, but the url is https",
        ),
        (
            {"url": SFTP, "host_key": f"host {KEY}"},
            "host_key",
            "a public key in one line",
        ),
        (
            {"url": SFTP, "host_key": "ssh-ed25519"},
            "host_key",
            "a public key in one line",
        ),
        (
            {"url": SFTP, "host_key": KEY.replace("ed25519", "rsa")},
            "host_key",
            "a public key",
        ),
        (
            {"url": SFTP, "host_key": "ssh-dss AAAAB3NzaC1kc3MA"},
            "host_key",
            "a public key",
        ),
        (
            {"url": HTTPS, "settle_seconds": 5},
            "settle_seconds",
            "applies only to sftp",
        ),
        (
            {"url": SFTP, "host_key": KEY, "settle_seconds": 3601},
            "settle_seconds",
            "3600",
        ),
        ({"url": HTTPS, "every_minutes": 4}, "every_minutes", "5"),
        ({"url": HTTPS, "every_minutes": 10_081}, "every_minutes", "10080"),
        ({"url": HTTPS, "secret": "a b"}, "secret", "is not a valid id"),
        ({"url": HTTPS, "password": "x"}, "password", "unknown key"),
    ],
)
def test_what_leads_nowhere_or_does_not_apply_is_a_fault(
    given: dict[str, Any], path: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pull_of(**given)
    (fault,) = caught.value.faults
    assert fault.path == f"vendors.0.inbound.pull.{path}"
    assert sentence in fault.message


@pytest.mark.parametrize(
    "given", [{"url": HTTPS, "settle_seconds": 60}, {"url": HTTPS}]
)
def test_a_default_may_be_named(given: dict[str, Any]) -> None:
    assert pull_of(**given).settle_seconds == 60


def test_a_key_may_have_a_comment() -> None:
    assert (
        pull_of(url=SFTP, host_key=f" {KEY} root@sftp ").host_key
        == f"{KEY} root@sftp"
    )


def test_a_local_vendor_is_pulled_from_nowhere() -> None:
    inbound = {"type": "local", "pull": {"url": HTTPS}}
    with pytest.raises(
        ConfigError,
        match=r'^vendors\.0\.inbound\.pull: applies only if type is "s3"',
    ):
        load_config(config_document(vendor_document("v", inbound=inbound)))


def test_whatever_changes_makes_another_pull() -> None:
    pulls = [
        pull_of(url=HTTPS),
        pull_of(url=HTTPS, every_minutes=5),
        pull_of(url=HTTPS, secret="granite"),
        pull_of(url=SFTP, host_key=KEY),
    ]
    assert len({pull.digest for pull in pulls}) == 4
    assert pull_of(url=HTTPS).digest == pulls[0].digest
