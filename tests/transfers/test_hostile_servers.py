"""Servers that do their worst: each is a failure of one pull, in words, and nothing else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay_dagster.aws.secrets import SecretValue
from relay_dagster.transfers.allowance import Pace
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.transfers.sftp import ssh_connection
from relay_dagster.transfers.sftp.files import NO_SFTP
from relay_dagster.transfers.streams import NO_HTTP
from relay_dagster.triggers.pulls import PullState
from support.hostile_servers import (
    BANNERS_AND_PACKETS,
    HTTP_FLOODS,
    SFTP_FLOODS,
    SFTP_GARBAGE,
    dripping_banner,
    dripping_file,
)
from support.pulls_world import NOON, PullsWorld, file_server, pull_all
from support.receivers import listening
from support.sftp_servers import PASSWORD, Garbling, SftpServer, sftp_server

MAX_FEED_BYTES = 64 << 20
FAILED_ONCE = (1, NOON + timedelta(minutes=5))
TOO_MUCH = (
    "the server sends more than a file of 1,048,576 bytes, which is the limit"
)
TOO_SLOW = "the server sends less than 64 KiB/s"
SMALL_PIECES = "the server sends pieces of less than 16 bytes"


def pull_small(
    world: PullsWorld, room: TransferRoom | None = None
) -> PullState:
    """Pull a file of at most a mebibyte."""
    settings = world.platform.settings.model_copy(
        update={"max_feed_bytes": 1 << 20}
    )
    platform = replace(world.platform, settings=settings)
    pull_all(world.another(platform=platform, room=room or TransferRoom()))
    return world.state()


def store_sftp(world: PullsWorld, server: SftpServer) -> None:
    secret = SecretValue(PASSWORD, f"127.0.0.1:{server.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)
    pull = {
        "url": server.url(),
        "secret": "granite",
        "host_key": server.host_line,
        "settle_seconds": 0,
    }
    world.store(pull)


def assert_failed(world: PullsWorld, state: PullState, sentence: str) -> None:
    assert state.last_error == sentence
    assert (state.failures, state.next_at) == FAILED_ONCE
    assert (world.files(), world.staged()) == ([], [])


# --- HTTP -----------------------------------------------------------------------------------------

HTTP_SENTENCES = {
    "chunks of one byte": SMALL_PIECES,
    "gzip members of one byte": SMALL_PIECES,
    "empty gzip members": SMALL_PIECES,
    "a file without an end": (
        "the file has more than 1,048,576 bytes, which is the limit"
    ),
    "a header without an end": NO_HTTP,
    "interim answers without an end": TOO_MUCH,
}


@pytest.mark.parametrize("what", HTTP_FLOODS)
def test_a_server_that_sends_too_much_by_http_fails_its_own_pull(
    world: PullsWorld, what: str
) -> None:
    with file_server(HTTP_FLOODS[what]) as server:
        world.store({"url": server.url()})
        state = pull_small(world)
    assert_failed(world, state, HTTP_SENTENCES[what])


def test_a_server_that_drips_ends_after_the_first_minute(
    world: PullsWorld, over: threading.Event
) -> None:
    pace = Pace(first_seconds=1.0, window_seconds=1.0)
    with file_server(dripping_file(0.1, over)) as server:
        world.store({"url": server.url()})
        began = time.monotonic()
        state = pull_small(world, TransferRoom(pace=pace))
    assert_failed(world, state, TOO_SLOW)
    assert time.monotonic() - began < 30
    assert Pace() == Pace(65_536, 60, 30)


# --- SSH ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", BANNERS_AND_PACKETS)
def test_a_server_that_sends_too_much_before_the_login_fails_its_own_pull(
    world: PullsWorld, tmp_path: Path, what: str
) -> None:
    with (
        sftp_server(tmp_path) as server,
        listening(BANNERS_AND_PACKETS[what]) as server.port,
    ):
        store_sftp(world, server)
        began = time.monotonic()
        state = world.pull()
    assert_failed(world, state, NO_SFTP)
    assert time.monotonic() - began < 15
    assert server.logins == []


def test_a_banner_that_drips_has_fifteen_seconds(
    world: PullsWorld,
    tmp_path: Path,
    over: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ssh_connection.HANDSHAKE_SECONDS == 15
    monkeypatch.setattr(ssh_connection, "HANDSHAKE_SECONDS", 1.0)
    with (
        sftp_server(tmp_path) as server,
        listening(dripping_banner(over)) as server.port,
    ):
        store_sftp(world, server)
        began = time.monotonic()
        state = world.pull()
    assert_failed(world, state, NO_SFTP)
    assert time.monotonic() - began < 20


def pull_garbled(
    world: PullsWorld, root: Path, garble: Garbling, pace: Pace
) -> PullState:
    with sftp_server(root, garble=garble) as server:
        store_sftp(world, server)
        pull_all(world.another(room=TransferRoom(pace=pace)))
        assert server.logins
    return world.state()


@pytest.mark.parametrize("what", SFTP_GARBAGE)
def test_a_server_that_garbles_sftp_fails_its_own_pull(
    world: PullsWorld, tmp_path: Path, what: str
) -> None:
    state = pull_garbled(world, tmp_path, SFTP_GARBAGE[what], Pace())
    sentence = NO_SFTP
    if what == "a name that is not UTF-8":
        sentence = "the folder contains a name that is not UTF-8"
    assert_failed(world, state, sentence)


FLOOD_SENTENCES = {
    "a packet without an end": NO_SFTP,
    "data beyond the window": NO_SFTP,
    "packets of no data": SMALL_PIECES,
    "error output without an end": TOO_SLOW,
}


@pytest.mark.parametrize("what", SFTP_FLOODS)
def test_a_server_that_sends_too_much_behind_the_login_fails_its_own_pull(
    world: PullsWorld, tmp_path: Path, what: str
) -> None:
    pace = Pace(first_seconds=30 if "packet" in what else 2, window_seconds=2)
    state = pull_garbled(world, tmp_path, SFTP_FLOODS[what], pace)
    assert_failed(world, state, FLOOD_SENTENCES[what])
