"""Pulls and deliveries with OpenSSH's own server, as Debian has it: log-ins, keys, files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.waiting import wait_for
from relay_core.config import load_config
from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.devstack.processes import free_port, port_answers
from relay_dagster.wiring import Platform
from support.deliveries_world import deliveries_world
from support.pulls_world import CSV, PullsWorld, pull_all, series_config

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
GIBIBYTES = 1 << 30
USER = "granite"
PASSWORD = "pass w0rd"
_WITH_USER = (
    'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/shadow && '
    'shift 2 && exec "$@"'
)


@dataclass
class Sshd:
    """A running server, the folder that it serves, and the keys."""

    folder: Path
    port: int
    host_key: str
    user_key: str
    other_key: str
    process: subprocess.Popen[bytes]
    command: list[str]

    @property
    def process_id(self) -> int:
        return self.process.pid

    def wait_until_up(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None
            return port_answers("127.0.0.1", self.port)

        wait_for("an answer of sshd", answers, within=30)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        self.wait_until_up()

    @property
    def url(self) -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}{self.folder}/*.csv"

    def put(self, name: str, body: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(body)
        return path


def _key(folder: Path, name: str) -> tuple[str, str]:
    """Return a new private key and its public line."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path.read_text(), path.with_suffix(".pub").read_text().strip()


def _with_user(folder: Path, command: list[str]) -> list[str]:
    """Return a command that knows a user by a password, whom this machine does not know.

    What it has in place of ``/etc/passwd`` and ``/etc/shadow`` is seen by it alone. The user may
    read all that the caller may.
    """
    openssl = ["openssl", "passwd", "-6", "-stdin"]
    password_hash = subprocess.run(
        openssl, input=PASSWORD, check=True, capture_output=True, text=True
    ).stdout
    lines = {
        "passwd": f"{USER}:x:0:0::/:/bin/sh\n",
        "shadow": f"{USER}:{password_hash.strip()}:::::::\n",
    }
    for name, line in lines.items():
        (folder / name).write_text(Path("/etc", name).read_text() + line)
    files = [str(folder / name) for name in lines]
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        _WITH_USER,
        "sh",
        *files,
        *command,
    ]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "this test needs Debian's openssh-server"
    assert os.geteuid() == 0, (
        "this test needs root: sshd asks for a user's password for nobody else"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    folder = tmp_path / "out"
    port = free_port()
    folder.mkdir()
    _, host_line = _key(tmp_path, "host")
    user_key, user_line = _key(tmp_path, "user")
    _, other_line = _key(tmp_path, "other")
    (tmp_path / "authorized").write_text(f"{user_line}\n")
    (tmp_path / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\n"
        f"AuthorizedKeysFile {tmp_path / 'authorized'}\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin yes\nPasswordAuthentication yes\nPidFile none\n"
        "Subsystem sftp internal-sftp\n"
    )
    command = _with_user(
        tmp_path, [program, "-D", "-e", "-f", str(tmp_path / "config")]
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
        server = Sshd(
            folder, port, host_line, user_key, other_line, process, command
        )
        try:
            server.wait_until_up()
            yield server
        finally:
            server.stop()


def store(
    world: PullsWorld,
    sshd: Sshd,
    *,
    secret: str | None = None,
    **changes: object,
) -> None:
    value = SecretValue(secret or sshd.user_key, f"127.0.0.1:{sshd.port}")
    world.platform.secrets.put(world.tenant_id, "granite", value)
    pull = {
        "url": sshd.url,
        "secret": "granite",
        "host_key": sshd.host_key,
        "settle_seconds": 0,
    }
    world.store({**pull, **changes})


def test_a_key_lets_in_and_the_file_is_pulled(
    world: PullsWorld, sshd: Sshd
) -> None:
    sshd.put("stock.csv", CSV)
    store(world, sshd)
    assert world.pull().last_error is None
    assert world.uploads() == [CSV]


def test_a_password_lets_in_and_the_file_is_pulled(
    world: PullsWorld, sshd: Sshd
) -> None:
    sshd.put("stock.csv", CSV)
    store(world, sshd, secret=PASSWORD)
    assert world.pull().last_error is None
    assert world.uploads() == [CSV]


def test_a_wrong_password_and_another_host_key_let_nobody_in(
    world: PullsWorld, sshd: Sshd
) -> None:
    sshd.put("stock.csv", CSV)
    store(world, sshd, secret="no such password")
    assert (
        world.pull().last_error == "the server rejects the user or the secret"
    )
    store(world, sshd, host_key=sshd.other_key)
    error = world.pull(after=HOUR).last_error
    assert (
        error
        == "the server's host key does not match host_key; nothing was sent"
    )
    assert world.files() == []


def test_a_file_that_grows_is_read_once_it_has_settled(
    world: PullsWorld, sshd: Sshd
) -> None:
    path = sshd.put("stock.csv", CSV)
    store(world, sshd, settle_seconds=60)
    world.pull()
    for _ in range(3):
        with path.open("ab") as growing:
            growing.write(b"B1,1\n")
        assert world.pull(after=timedelta(seconds=60)).failures == 0
        assert world.files() == []
    world.pull(after=timedelta(seconds=60))
    assert world.uploads() == [path.read_bytes()]


def test_a_connection_that_drops_leaves_nothing(
    world: PullsWorld, sshd: Sshd
) -> None:
    with sshd.put("stock.csv", b"").open("r+b") as sparse:
        sparse.truncate(GIBIBYTES)
    store(world, sshd)
    puller = world.another()
    puller.run()
    # The process of this connection, once it sends.
    ending = threading.Thread(target=_end_sessions, args=(sshd.process_id,))
    ending.start()
    puller.wait(120)
    ending.join()
    error = world.state().last_error
    assert error == "the server closed the connection, or does not speak SFTP"
    assert (world.files(), world.staged()) == ([], [])


def _end_sessions(process_id: int) -> None:
    """End the server's sessions, once one has sent a mebibyte."""
    sending = wait_for(
        "a session that sends",
        lambda: _sending(process_id),
        within=60,
        every=0.05,
    )
    for pid in sending:
        os.kill(pid, signal.SIGKILL)


def _sending(process_id: int) -> list[int]:
    """Return the processes below one, where any has written more than a mebibyte."""
    below = [*_below(process_id)]
    written = (Path(f"/proc/{pid}/io").read_text() for pid in below)
    sent = (
        int(re.search(r"^wchar: (\d+)$", text, re.MULTILINE)[1])
        for text in written
    )
    return below if max(sent, default=0) > 1 << 20 else []


def _below(process_id: int) -> Iterator[int]:
    for pid in (
        Path(f"/proc/{process_id}/task/{process_id}/children")
        .read_text()
        .split()
    ):
        yield int(pid)
        yield from _below(int(pid))


def test_a_sparse_file_of_two_gibibytes_is_too_large_before_it_is_read(
    world: PullsWorld, sshd: Sshd
) -> None:
    with sshd.put("stock.csv", b"").open("r+b") as sparse:
        sparse.truncate(2 * GIBIBYTES + 1)
    store(world, sshd)
    began = time.monotonic()
    pull_all(world.another())
    error = world.state().last_error
    assert (
        error
        == "the file has more than 2,147,483,648 bytes, which is the limit"
    )
    assert time.monotonic() - began < 30
    assert world.staged() == []


class Supplier:
    """A vendor that puts files on its server, with the time of the world."""

    def __init__(self, world: PullsWorld, sshd: Sshd) -> None:
        self._world = world
        self._sshd = sshd
        # The bodies of the files that are to be pulled, oldest first.
        self.bodies: list[bytes] = []

    def send(self, name: str) -> None:
        body = CSV + f"{name},{len(self.bodies)}\n".encode()
        path = self._sshd.put(f"{name}.csv", body)
        at = int(self._world.clock().timestamp())
        os.utime(path, (at, at))
        self.bodies.append(body)

    def send_after_five_minutes(self, number: int) -> None:
        self._world.clock.advance(seconds=300)
        self.send(f"delta-{number:03}")


def test_no_delta_is_lost_while_either_side_is_down_and_their_order_is_kept(
    world: PullsWorld, sshd: Sshd
) -> None:
    """For an hour no server runs, and for another hour nothing pulls."""
    secret = SecretValue(sshd.user_key, f"127.0.0.1:{sshd.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)
    config = series_config(
        world.tenant_id,
        url=sshd.url,
        host_key=sshd.host_key,
        every_minutes=5,
    )
    world.store_document(config)
    supplier = Supplier(world, sshd)
    supplier.send("full-1")
    supplier.send("other")
    supplier.bodies.pop()
    supplier.send_after_five_minutes(0)
    world.pull()
    assert world.uploads() == supplier.bodies

    sshd.stop()
    # Names do not tell the order, but times do.
    for number in range(12, 0, -1):
        supplier.send_after_five_minutes(number)
        world.pull()
    state = world.state()
    assert state.failures > 1
    assert world.uploads() == supplier.bodies[:2]
    sshd.start()
    state = world.pull(after=HOUR)
    assert (state.failures, state.last_error) == (0, None)
    assert world.uploads() == supplier.bodies

    for number in range(20, 32):
        supplier.send_after_five_minutes(number)
    world.pull()
    assert world.uploads() == supplier.bodies
    assert files_of_a_run(world, config) == supplier.bodies


def files_of_a_run(world: PullsWorld, config: dict[str, Any]) -> list[bytes]:
    """Return the vendor's files in the order in which a run would read them."""
    (tenant_input,) = inputs_of(load_config(config)).values()
    stored = world.platform.objects.list_objects(f"{tenant_input.prefix}")
    return [
        world.platform.objects.read(upload.key)
        for upload in tenant_input.part.chosen(stored)
    ]


# --- deliveries -----------------------------------------------------------------------------------


def test_a_feed_is_delivered_over_the_file_that_is_there(
    served: Platform, sshd: Sshd
) -> None:
    """OpenSSH renames over a file; a key or a password lets the sender in."""
    with deliveries_world(served) as shop:
        entry = {
            "delivery_id": "bazaar",
            "url": f"sftp://{USER}@127.0.0.1:{sshd.port}{sshd.folder}/",
            "secret": "bazaar",
            "host_key": sshd.host_key,
            "file_name": "stock.csv",
        }
        shop.store(entry)
        large = b"sku\n" + b"A-1\n" * 500_000
        for secret, feed in ((sshd.user_key, large), (PASSWORD, b"sku\nB\n")):
            value = SecretValue(secret, f"127.0.0.1:{sshd.port}")
            shop.platform.secrets.put(shop.tenant_id, "bazaar", value)
            shop.publish(feed)
            assert shop.send().last_error is None
            assert (sshd.folder / "stock.csv").read_bytes() == feed
        assert [path.name for path in sshd.folder.iterdir()] == ["stock.csv"]
        sshd.stop()
        shop.publish(large)
        assert shop.send().last_error == "the server cannot be reached"
        sshd.start()
        state = shop.send(after=timedelta(minutes=1))
        assert (state.failures, state.last_error) == (0, None)
        assert (sshd.folder / "stock.csv").read_bytes() == large
