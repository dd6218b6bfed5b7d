"""A file on its way to an SFTP server: its name, what is in its way, and what a server refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay_core.domain.destination import judge_url
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.sftp.upload import SftpUpload, open_upload
from support.sftp_servers import PASSWORD, SftpServer, sftp_server

NAME = "stock.csv"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    (tmp_path / "in").mkdir()
    with sftp_server(tmp_path) as server:
        yield server


@contextmanager
def upload_to(
    server: SftpServer, folder: str = "/in/", secret: str = PASSWORD
) -> Iterator[SftpUpload]:
    destination = judge_url(
        server.url(folder), allow_loopback=True, schemes=("sftp",)
    )
    with open_upload(
        destination, NAME, secret, Allowance(60), host_key=server.host_line
    ) as upload:
        yield upload


def test_a_file_has_its_name_when_it_is_whole(server: SftpServer) -> None:
    folder = server.root / "in"
    with upload_to(server) as upload:
        assert [path.name for path in folder.iterdir()] == ["stock.csv.part"]
        for number in range(300):
            upload.write(b"%07d\n" % number * 4096)
        upload.complete()
        assert [path.name for path in folder.iterdir()] == ["stock.csv.part"]
        upload.rename()
        assert not upload.is_doubtful
    (path,) = folder.iterdir()
    assert path.name == NAME
    assert path.read_bytes() == b"".join(
        b"%07d\n" % number * 4096 for number in range(300)
    )


def test_a_file_without_bytes_is_one_too(server: SftpServer) -> None:
    with upload_to(server) as upload:
        upload.complete()
        upload.rename()
    assert (server.root / "in" / NAME).read_bytes() == b""


def test_what_a_dead_process_writes_afterwards_is_in_no_file(
    server: SftpServer,
) -> None:
    with upload_to(server) as dead:
        dead.write(b"old\n" * 1000)
        with upload_to(server) as upload:
            upload.write(b"new\n")
            upload.complete()
            dead.write(b"old\n" * 1000)
            dead.complete()
            upload.rename()
    assert (server.root / "in" / NAME).read_bytes() == b"new\n"


def test_a_rename_that_is_refused_leaves_no_doubt(server: SftpServer) -> None:
    with upload_to(server) as upload:
        upload.complete()
        (server.root / "in" / "stock.csv.part").unlink()
        with pytest.raises(CallError, match="does not have this folder"):
            upload.rename()
        assert not upload.is_doubtful


def test_a_rename_without_an_answer_leaves_doubt(server: SftpServer) -> None:
    server.on_replaced = server.drop  # type: ignore[method-assign]
    with upload_to(server) as upload:
        upload.complete()
        with pytest.raises(CallError, match="closed the connection"):
            upload.rename()
        assert upload.is_doubtful


@pytest.mark.parametrize(
    ("folder", "secret", "sentence"),
    [
        ("/none/", PASSWORD, "the server does not have this folder"),
        ("/in/", "wrong", "the server rejects the user or the secret"),
    ],
)
def test_what_the_server_refuses_is_told_in_words(
    server: SftpServer, folder: str, secret: str, sentence: str
) -> None:
    with (
        pytest.raises(CallError, match=sentence),
        upload_to(server, folder, secret),
    ):
        pass


def test_a_server_that_breaks_off_ends_the_upload(server: SftpServer) -> None:
    has_dropped = threading.Event()

    def drop(path: str, offset: int) -> None:
        if not has_dropped.is_set():
            has_dropped.set()
            server.drop()

    server.on_write = drop  # type: ignore[method-assign]

    def send_all(upload: SftpUpload) -> None:
        for _ in range(200):
            upload.write(bytes(1 << 16))
        upload.complete()

    with upload_to(server) as upload:
        with pytest.raises(CallError, match="closed the connection"):
            send_all(upload)
        assert not upload.is_doubtful
