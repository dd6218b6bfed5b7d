"""Pulls from Debian's nginx: what spares a transfer, how files are packed, who is let in."""

from __future__ import annotations

import base64
import gzip
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from integration.waiting import wait_for
from relay_dagster.aws.secrets import SecretValue
from support.nginx_server import Nginx, nginx
from support.pulls_world import CSV, NOON, PullsWorld

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body></body></html>"


def keep(world: PullsWorld, server: Nginx, value: str) -> None:
    secret = SecretValue(value, f"127.0.0.1:{server.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)


@pytest.mark.parametrize("settings", ["", "etag off;"])
def test_a_file_is_sent_again_once_it_was_written_again(
    world: PullsWorld, tmp_path: Path, settings: str
) -> None:
    with nginx(tmp_path, settings) as server:
        server.put("feed.csv", CSV)
        world.store({"url": server.url()})
        state = world.pull()
        assert (state.mark.etag is None) == (settings == "etag off;")
        assert state.mark.last_modified == "Tue, 14 Nov 2023 22:13:20 GMT"
        assert world.pull(after=HOUR).last_unchanged_at == NOON + HOUR
        # The same bytes are another version there, and none here.
        server.put("feed.csv", CSV, 1_700_000_100)
        assert world.pull(after=HOUR).last_unchanged_at == NOON + 2 * HOUR
        assert world.uploads() == [CSV]
        server.put("feed.csv", CSV + b"B1,1\n", 1_700_000_200)
        assert world.pull(after=HOUR).last_success_at == NOON + 3 * HOUR
        assert world.uploads() == [CSV, CSV + b"B1,1\n"]
        assert [line.split()[0] for line in server.log()] == [
            "200",
            "304",
            "200",
            "200",
        ]


@pytest.mark.parametrize(
    ("settings", "logged"),
    [
        (
            "gzip on; gzip_types text/csv; gzip_min_length 1;",
            f"200 {len(CSV)} -",
        ),
        ("gzip_static on;", f"200 {len(CSV)} -"),
        ("gzip_static always;", f"200 {len(gzip.compress(CSV, mtime=0))} gzip"),
    ],
)
def test_a_file_is_the_same_whether_it_is_packed_on_the_way_or_not(
    world: PullsWorld, tmp_path: Path, settings: str, logged: str
) -> None:
    with nginx(tmp_path, settings) as server:
        server.put("feed.csv", CSV)
        server.put("feed.csv.gz", gzip.compress(CSV, mtime=0))
        world.store({"url": server.url()})
        assert world.pull().last_error is None
        assert world.uploads() == [CSV]
        assert server.log() == [logged]
        assert world.pull(after=HOUR).last_unchanged_at == NOON + HOUR
        assert server.log()[1].startswith("304 ")


def test_who_has_no_password_or_another_is_not_let_in(
    world: PullsWorld, tmp_path: Path
) -> None:
    command = ["openssl", "passwd", "-apr1", "pass w0rd"]
    password_hash = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout
    (tmp_path / "users").write_text(f"acme:{password_hash}")
    settings = f'auth_basic "Feeds"; auth_basic_user_file {tmp_path}/users;'
    with nginx(tmp_path, settings) as server:
        server.put("feed.csv", CSV)
        world.store({"url": server.url()})
        assert world.pull().last_error == "the server answered 401"
        world.store({"url": server.url(), "secret": "granite"})
        for password, error in (
            ("wrong", "the server answered 401"),
            ("pass w0rd", None),
        ):
            header = base64.b64encode(f"acme:{password}".encode()).decode()
            keep(world, server, f"Basic {header}")
            assert world.pull(after=HOUR).last_error == error
    assert world.uploads() == [CSV]


def test_a_way_to_a_log_in_page_is_no_file(
    world: PullsWorld, tmp_path: Path
) -> None:
    with nginx(
        tmp_path, "location = /feed.csv { return 302 /login.html; }"
    ) as server:
        server.put("login.html", PAGE)
        world.store({"url": server.url()})
        error = world.pull().last_error
        assert error is not None
        assert "is an HTML page" in error
        assert [line.split()[0] for line in server.log()] == ["302", "200"]
    assert (world.files(), world.staged()) == ([], [])


def test_a_server_that_ends_in_the_middle_leaves_nothing(
    world: PullsWorld, tmp_path: Path
) -> None:
    settings = "limit_rate 200k; location = /status { stub_status; }"
    with nginx(tmp_path, settings) as server:
        server.put("feed.csv", bytes(2 << 20))
        world.store({"url": server.url()})
        puller = world.another()
        puller.tick()
        wait_for(
            "nginx writes two answers: this one, and the file",
            lambda: (
                "Writing: 2"
                in httpx.get(server.url("/status"), trust_env=False).text
            ),
            within=30,
        )
        server.process.terminate()
        puller.finish(60)
    error = world.state().last_error
    assert (
        error == "the server closed the connection, or its answer was not HTTP"
    )
    assert (world.files(), world.staged()) == ([], [])


def test_a_certificate_that_the_system_trusts_is_good_and_no_other(
    world: PullsWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    with nginx(
        tmp_path, certificate=authority.issue_cert("127.0.0.1")
    ) as server:
        server.put("feed.csv", CSV)
        world.store({"url": server.url()})
        assert world.pull().last_error == (
            "the server's certificate was refused: unable to get local issuer certificate"
        )
        authority.cert_pem.write_to_path(str(tmp_path / "authorities.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
        assert world.pull(after=HOUR).last_error is None
    assert world.uploads() == [CSV]
    assert len(server.log()) == 1
