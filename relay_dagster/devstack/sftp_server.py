"""An SFTP server on this machine, to which the demo delivers the feed."""

import asyncio
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

HOST = "127.0.0.1"
START_SECONDS = 20.0


@dataclass
class SftpFolder:
    """A folder that a server on this machine offers to one user with a password."""

    path: Path
    user: str = "shop"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    port: int = 0
    host_key: str = ""  # in one line, as a config has it

    @property
    def url(self) -> str:
        """The URL of the folder."""
        return f"sftp://{self.user}@{HOST}:{self.port}/"

    @property
    def host(self) -> str:
        """The host and the port, as a secret names them."""
        return f"{HOST}:{self.port}"


@contextmanager
def serving_folder(path: Path) -> Iterator[SftpFolder]:
    """Serve a folder by SFTP from a thread of this process.

    Raises:
        TimeoutError: The server did not start.
    """
    folder = SftpFolder(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    folder.host_key = key.export_public_key().decode().strip()
    has_started = threading.Event()
    loop = asyncio.new_event_loop()
    is_over = asyncio.Event()

    async def serve() -> None:
        async with asyncssh.listen(
            HOST,
            0,
            server_host_keys=[key],
            server_factory=lambda: _Login(folder),
            sftp_factory=lambda channel: _Files(folder, channel),
        ) as listener:
            folder.port = listener.get_port()
            has_started.set()
            await is_over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="sftp_server", daemon=True)
    thread.start()
    if not has_started.wait(START_SECONDS):
        raise TimeoutError("the SFTP server did not start")
    try:
        yield folder
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(START_SECONDS)


class _Login(asyncssh.SSHServer):
    """Lets the folder's user in."""

    def __init__(self, folder: SftpFolder) -> None:
        self._folder = folder

    def password_auth_supported(self) -> bool:
        """Return True: the user has a password."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Return whether the user may log in."""
        folder = self._folder
        return (username, password) == (folder.user, folder.password)


class _Files(asyncssh.SFTPServer):
    """The files of the folder, and nothing outside of it."""

    def __init__(self, folder: SftpFolder, channel: Any) -> None:
        super().__init__(channel, chroot=os.fsencode(folder.path))
