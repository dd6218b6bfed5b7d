"""Files that are pulled by SFTP: host keys, log-ins, patterns, and files that are being written."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from relay_dagster.aws.secrets import SecretValue
from relay_dagster.transfers.room import TransferRoom
from support.pulls_world import CSV, NOON, PullsWorld, pull_all
from support.receivers import listening
from support.sftp_servers import PASSWORD, SftpServer, sftp_server

MAX_FEED_BYTES = 64 << 20
HOUR = timedelta(hours=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path) as server:
        yield server


def keep(world: PullsWorld, server: SftpServer, value: str = PASSWORD) -> None:
    secret = SecretValue(value, f"127.0.0.1:{server.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)


def store(
    world: PullsWorld,
    server: SftpServer,
    path: str = "/out/stock-*.csv",
    **changes: object,
):
    pull = {
        "url": server.url(path),
        "secret": "granite",
        "host_key": server.host_line,
        "settle_seconds": 0,
    }
    world.store({**pull, **changes})


def test_the_newest_file_of_a_pattern_is_pulled(
    world: PullsWorld, server: SftpServer
) -> None:
    server.put("stock-1.csv", b"old", 1_700_000_000)
    server.put("stock-2.csv", CSV, 1_700_000_100)
    server.put("stock-0.csv", b"at the same time", 1_700_000_100)
    server.put("other.csv", b"no match", 1_800_000_000)
    (server.root / "out" / "stock-9.csv").mkdir()
    (server.root / "out" / "stock-8.csv").symlink_to("stock-1.csv")
    os.utime(
        server.root / "out" / "stock-9.csv", (1_900_000_000, 1_900_000_000)
    )
    keep(world, server)
    store(world, server)
    state = world.pull()
    assert state.last_error is None
    assert world.uploads() == [CSV]
    assert world.files() == ["20260301T120000Z-stock-2.csv"]
    assert (state.mark.path, state.mark.size, state.mark.mtime) == (
        "/out/stock-2.csv",
        len(CSV),
        1_700_000_100,
    )


def test_a_file_that_has_not_changed_is_not_read_again(
    world: PullsWorld, server: SftpServer
) -> None:
    path = server.put("stock-1.csv", CSV)
    keep(world, server)
    store(world, server)
    world.pull()
    state = world.pull(after=HOUR)
    assert state.last_unchanged_at == NOON + HOUR
    assert server.reads == ["/out/stock-1.csv"]
    os.utime(path, (1_800_000_000, 1_800_000_000))
    state = world.pull(after=HOUR)
    assert state.last_unchanged_at == NOON + 2 * HOUR
    assert len(server.reads) == 2
    assert world.uploads() == [CSV]


@pytest.mark.parametrize(
    ("path", "names", "wanted"),
    [
        ("/out/a?.csv", ["a1.csv", "a12.csv"], "a1.csv"),
        ("/out/a[1].csv", ["a1.csv", "a[1].csv"], "a[1].csv"),
        ("/out/price%20list%23.csv", ["price list#.csv"], "price list#.csv"),
        ("/out/one.csv", ["one.csv", "one.csv.part"], "one.csv"),
    ],
)
def test_a_pattern_has_two_wildcards(
    world: PullsWorld,
    server: SftpServer,
    path: str,
    names: list[str],
    wanted: str,
) -> None:
    for name in names:
        server.put(name, name.encode())
    keep(world, server)
    store(world, server, path)
    world.pull()
    assert world.uploads() == [wanted.encode()]


def test_a_name_that_leads_elsewhere_is_no_files(
    world: PullsWorld, server: SftpServer
) -> None:
    server.put("stock-1.csv", CSV)
    server.made_up = [
        b"stock-../../etc/passwd.csv",
        b"stock-/2.csv",
        b"/stock-3.csv",
        b"..",
        b".",
    ]
    keep(world, server)
    store(world, server, "/out/*")
    assert world.pull().last_error is None
    assert server.reads == ["/out/stock-1.csv"]
    assert world.uploads() == [CSV]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("stock-..\n\x01\x7f.csv", "stock-..___.csv"),
        ("stock-\\..\\é.csv", "stock-_..__.csv"),
        (f"stock-{'x' * 200}.csv", f"{'x' * 96}.csv"),
    ],
)
def test_a_file_keeps_the_safe_part_of_its_name(
    world: PullsWorld, server: SftpServer, name: str, kept: str
) -> None:
    server.put(name, CSV)
    keep(world, server)
    store(world, server)
    assert world.pull().last_error is None
    assert world.files() == [f"20260301T120000Z-{kept}"]


@pytest.mark.parametrize(
    "kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
)
def test_a_key_logs_in_at_a_server_of_each_kind_of_key(
    world: PullsWorld, tmp_path: Path, kind: str
) -> None:
    with sftp_server(tmp_path, kind) as server:
        server.user_key = asyncssh.generate_private_key(kind)
        server.put("stock-1.csv", CSV)
        keep(
            world,
            server,
            server.user_key.export_private_key("openssh").decode(),
        )
        store(world, server)
        assert world.pull().last_error is None
        assert world.uploads() == [CSV]


def test_a_server_with_another_host_key_gets_nothing(
    world: PullsWorld, server: SftpServer, tmp_path: Path
) -> None:
    keep(world, server)
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
        other_key = (
            asyncssh.generate_private_key(kind)
            .export_public_key()
            .decode()
            .strip()
        )
        store(world, server, host_key=other_key)
        state = world.pull()
        assert state.last_error is not None
        assert state.last_error.startswith(
            "the server's host key does not match host_key"
        )
    assert server.logins == []


@pytest.mark.parametrize(
    "value", ["another password", "-----BEGIN OPENSSH PRIVATE KEY-----\nx"]
)
def test_a_secret_that_lets_nobody_in_is_said_and_not_shown(
    world: PullsWorld, server: SftpServer, value: str
) -> None:
    server.put("stock-1.csv", CSV)
    keep(world, server, value)
    store(world, server)
    state = world.pull()
    assert state.last_error is not None
    assert "secret" in state.last_error
    assert value not in state.last_error
    assert state.failures == 1


def test_a_key_with_a_passphrase_is_said(
    world: PullsWorld, server: SftpServer
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    locked = key.export_private_key("openssh", passphrase="x").decode()
    keep(world, server, locked)
    store(world, server)
    assert world.pull().last_error == (
        "the secret is a private key with a passphrase, which is not supported"
    )


def test_a_secret_for_another_port_is_sent_nowhere(
    world: PullsWorld, server: SftpServer
) -> None:
    secret = SecretValue(PASSWORD, "127.0.0.1")
    world.platform.secrets.put(world.tenant_id, "granite", secret)
    store(world, server)
    state = world.pull()
    assert state.last_error is not None
    assert state.last_error.startswith("SECRET_NOT_FOR_HOST: ")
    assert server.logins == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/out/none-*.csv", "no file in the folder matches the name"),
        (
            "/nowhere/stock-*.csv",
            "the server does not have this folder or file",
        ),
    ],
)
def test_what_is_not_there_is_said(
    world: PullsWorld, server: SftpServer, path: str, sentence: str
) -> None:
    server.put("stock-1.csv", CSV)
    keep(world, server)
    store(world, server, path)
    assert world.pull().last_error == sentence


def test_an_empty_file_and_one_that_is_too_large_are_none(
    world: PullsWorld, server: SftpServer
) -> None:
    server.put("stock-1.csv", b"")
    keep(world, server)
    store(world, server)
    assert world.pull().last_error == "the file is empty"
    with server.put("stock-2.csv", b"", 1_800_000_000).open("r+b") as sparse:
        sparse.truncate((64 << 20) + 1)
    os.utime(
        server.root / "out" / "stock-2.csv", (1_800_000_000, 1_800_000_000)
    )
    assert world.pull(after=HOUR).last_error == (
        "the file has more than 67,108,864 bytes, which is the limit"
    )
    assert world.files() == []
    assert world.staged() == []


def test_a_file_settles_by_our_own_clock_before_it_is_read(
    world: PullsWorld, server: SftpServer
) -> None:
    # By the server's clock it is years old.
    path = server.put("stock-1.csv", CSV[:10])
    keep(world, server)
    store(world, server, settle_seconds=60)
    state = world.pull()
    assert (state.next_at, state.failures) == (NOON + timedelta(seconds=60), 0)
    assert (state.last_success_at, state.last_unchanged_at) == (None, None)
    assert server.reads == []
    path.write_bytes(CSV)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    state = world.pull(after=timedelta(seconds=60))
    assert state.next_at == NOON + timedelta(seconds=120)
    assert server.reads == []
    state = world.pull(after=timedelta(seconds=60))
    assert world.uploads() == [CSV]
    assert state.next_at == world.clock() + HOUR


def test_a_file_that_changes_while_it_is_read_is_none(
    world: PullsWorld, server: SftpServer
) -> None:
    path = server.put("stock-1.csv", CSV * 20_000)

    def grow(_: str, offset: int) -> None:
        if offset > 200_000:
            with path.open("ab") as growing:
                growing.write(b"B1,1\n")

    server.on_read = grow  # type: ignore[method-assign]
    keep(world, server)
    store(world, server)
    assert world.pull().last_error == "the file changed while it was read"
    assert (world.files(), world.staged()) == ([], [])


def test_a_file_of_many_parts_is_whole(
    world: PullsWorld, server: SftpServer
) -> None:
    body = os.urandom(20 << 20)
    server.put("stock-1.csv", body)
    keep(world, server)
    store(world, server)
    assert world.pull().last_error is None
    assert world.uploads() == [body]


def test_the_newest_of_ten_thousand_files_is_found(
    world: PullsWorld, server: SftpServer
) -> None:
    for number in range(10_000):
        server.put(f"stock-{number:05}.csv", b"x", 1_700_000_000 + number)
    server.put("stock-00077.csv", CSV, 1_800_000_000)
    keep(world, server)
    store(world, server)
    assert world.pull().last_error is None
    assert world.uploads() == [CSV]


def test_this_machine_is_pulled_from_only_where_an_operator_allows_it(
    world: PullsWorld, server: SftpServer
) -> None:
    settings = world.platform.settings.model_copy(
        update={"pull_allow_loopback": False}
    )
    keep(world, server)
    store(world, server)
    pull_all(world.another(platform=replace(world.platform, settings=settings)))
    assert world.state().last_error == "the URL must have port 22 or 2222"
    assert server.logins == []


def test_what_speaks_no_ssh_or_says_nothing_is_no_server(
    world: PullsWorld, server: SftpServer
) -> None:
    def gibber(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

    def wait(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.recv(1 << 16)

    for serve in (gibber, wait):
        with listening(serve) as server.port:
            keep(world, server)
            store(world, server)
            pull_all(world.another(room=TransferRoom(1.0)))
        assert world.state().last_error in (
            "the server closed the connection, or does not speak SFTP",
            "the server did not respond within 1 s",
        )
