"""SFTP servers on this machine, of another make than the client, each on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

Garbling = Callable[["asyncssh.SSHServerProcess[bytes]"], Awaitable[None]]
"""What a server does with the channel once the user is in."""
USER = "acme"
PASSWORD = "pass w0rd"


@dataclass
class SftpServer:
    """A server whose folders lie under ``root``; ``reads`` and ``logins`` tell what was done.

    It lists names that are ``made_up`` as files of the year 2050.
    """

    root: Path
    host_key: asyncssh.SSHKey
    port: int = 0
    user_key: asyncssh.SSHKey | None = None
    logins: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(
        default_factory=list
    )
    made_up: list[bytes] = field(default_factory=list)
    # What the server was asked to do with names: `replace`, `rename`, or `remove`
    acts: list[str] = field(default_factory=list)
    can_replace: bool = True  # whether it renames a file over another one

    @property
    def host_line(self) -> str:
        """The host key as a config has it."""
        return self.host_key.export_public_key().decode().strip()

    def url(self, path: str = "/out/stock-*.csv") -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}{path}"

    def put(self, name: str, body: bytes, mtime: int = 1_700_000_000) -> Path:
        """Put a file into the folder ``out``."""
        path = self.root / "out" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (mtime, mtime))
        return path

    def on_read(self, path: str, offset: int) -> None:
        """Called for each read of a file; a test may exchange it."""

    def on_write(self, path: str, offset: int) -> None:
        """Called for each write of a file; a test may exchange it."""

    def on_replaced(self) -> None:
        """Called after a file was renamed over its name; a test may exchange it."""

    def drop(self) -> None:
        """Break off the last connection."""
        self.connections[-1].abort()


@contextmanager
def sftp_server(
    root: Path,
    key_kind: str = "ssh-ed25519",
    garble: Garbling | None = None,
    *,
    host_key: asyncssh.SSHKey | None = None,
    port: int = 0,
) -> Iterator[SftpServer]:
    """Run a server that takes a password, and a key if it is given one.

    ``garble`` has the channel in place of a server of files. A server that comes back has
    the ``host_key`` and the ``port`` that it had.
    """
    key = host_key or asyncssh.generate_private_key(key_kind)
    server = SftpServer(root, key)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[server.host_key],
            server_factory=lambda: _Login(server, garble),
            **_options(server, garble),
        ) as listener:
            server.port = listener.get_port()
            started.set()
            await over.wait()
        for connection in server.connections:
            connection.abort()
            await connection.wait_closed()
        # Transports are closed by the loop's next round.
        await asyncio.sleep(0.05)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="sftp_server", daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)


def _options(server: SftpServer, garble: Garbling | None) -> dict[str, Any]:
    if garble is None:
        return {"sftp_factory": lambda channel: _Files(server, channel)}
    # A packet's length is readable in front of it, so that a server can lie about it.
    return {
        "encryption_algs": ["aes128-ctr"],
        "mac_algs": ["hmac-sha2-256-etm@openssh.com"],
    }


class _Login(asyncssh.SSHServer):
    def __init__(self, server: SftpServer, garble: Garbling | None) -> None:
        self._server = server
        self._garble = garble

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._server.connections.append(conn)

    def session_requested(self) -> Any:
        assert self._garble is not None
        connection = self._server.connections[-1]
        session = _Garbled(self._garble, None, 0, allow_scp=False)
        return connection.create_server_channel(None), session

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._server.logins.append(username)
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        user_key = self._server.user_key
        self._server.logins.append(username)
        return user_key is not None and key == user_key.convert_to_public()


class _Garbled(asyncssh.SSHServerProcess[bytes]):
    """A process in place of a server of files."""

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        session = self._start_process(
            asyncssh.SSHReader(self, self._chan),
            asyncssh.SSHWriter(self, self._chan),
            asyncssh.SSHWriter(self, self._chan, 1),
        )
        assert self._conn is not None
        self._conn.create_task(session)  # type: ignore[arg-type] # it is a coroutine here


class _Files(asyncssh.SFTPServer):
    def __init__(self, server: SftpServer, channel: Any) -> None:
        self._server = server
        super().__init__(channel, chroot=os.fsencode(server.root))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        async for entry in super().scandir(path):
            yield entry
        for name in self._server.made_up:
            mode = stat.S_IFREG | 0o644
            date = 2_524_608_000
            attributes = asyncssh.SFTPAttrs(
                permissions=mode, size=5, atime=date, mtime=date
            )
            yield asyncssh.SFTPName(name, attrs=attributes)

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._server.reads.append(path.decode())
        return super().open(path, pflags, attrs)

    def read(self, file_obj: Any, offset: int, size: int) -> Any:
        self._server.on_read(os.fsdecode(file_obj.name), offset)
        return super().read(file_obj, offset, size)

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        self._server.on_write(os.fsdecode(file_obj.name), offset)
        return super().write(file_obj, offset, data)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._server.acts.append("replace")
        if not self._server.can_replace:
            raise asyncssh.SFTPOpUnsupported("not here")
        super().posix_rename(oldpath, newpath)
        self._server.on_replaced()

    def rename(self, oldpath: bytes, newpath: bytes, flags: int = 0) -> None:
        self._server.acts.append("rename")
        super().rename(oldpath, newpath)

    def remove(self, path: bytes) -> None:
        self._server.acts.append("remove")
        super().remove(path)
