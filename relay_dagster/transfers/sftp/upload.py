"""A file to an SFTP server: written beside its name, and then renamed to it.

So a reader of the server finds a whole file under the name at every moment. Where the
server cannot rename over a file, that file is removed first.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from posixpath import join
from urllib.parse import unquote

from relay_core.domain.destination import Destination
from relay_dagster.transfers.allowance import Allowance
from relay_dagster.transfers.call_errors import Sentences, as_call_error
from relay_dagster.transfers.sftp.login import NO_SFTP, REJECTED, logged_in
from relay_dagster.transfers.sftp.session import SftpRefusedError, SftpSession

PART = ".part"
"""The end of a file's name while it is written."""
_REFUSALS = (FileNotFoundError, PermissionError, SftpRefusedError)
_SENTENCES: Sentences = (
    REJECTED,
    (FileNotFoundError, "the server does not have this folder"),
    (PermissionError, "the user has no permission to write into the folder"),
    (SftpRefusedError, "the server refuses to store the file"),
)


class SftpUpload:
    """A file on its way into a folder of a server.

    Attributes:
        is_doubtful: Whether the server may have given the file its name, although it
            has not said so.
    """

    def __init__(
        self, session: SftpSession, path: str, allowance: Allowance
    ) -> None:
        self.is_doubtful = False
        self._session = session
        self._path = path
        self._allowance = allowance
        self._handle = b""
        self._size = 0

    def begin(self) -> None:
        """Create the file beside its name.

        What a process has left there is removed, so that it can write no more into it.
        """
        part = f"{self._path}{PART}"
        with suppress(*_REFUSALS):
            self._session.remove(part)
        self._handle = self._session.create_file(part)

    def write(self, chunk: bytes) -> None:
        """Add bytes to the file.

        Raises:
            CallError: The server does not take them.
        """
        with as_call_error(NO_SFTP, self._allowance, _SENTENCES):
            self._session.write(self._handle, self._size, chunk)
        self._size += len(chunk)

    def complete(self) -> None:
        """Wait until the server has all bytes of the file.

        Raises:
            CallError: It does not get them.
        """
        with as_call_error(NO_SFTP, self._allowance, _SENTENCES):
            self._session.settle_writes()
            self._session.close_file(self._handle)

    def rename(self) -> None:
        """Give the complete file its name, in place of whatever has the name.

        Raises:
            CallError: The server does not say that the file has its name.
        """
        with as_call_error(NO_SFTP, self._allowance, _SENTENCES):
            self.is_doubtful = True
            try:
                self._replace()
            except _REFUSALS:
                self.is_doubtful = False
                raise
        self.is_doubtful = False

    def _replace(self) -> None:
        session = self._session
        part = f"{self._path}{PART}"
        if session.replaces_on_rename:
            with suppress(SftpRefusedError):
                session.replace(part, self._path)
                return
        with suppress(SftpRefusedError):
            session.rename(part, self._path)
            return
        session.remove(self._path)
        session.rename(part, self._path)


@contextmanager
def open_upload(
    destination: Destination,
    name: str,
    secret: str,
    allowance: Allowance,
    *,
    host_key: str,
) -> Iterator[SftpUpload]:
    """Log in, and yield a file of a name in the destination's folder, to be written.

    See `logged_in` for the secret and the host key.

    Raises:
        CallError: The file cannot be written there.
    """
    with logged_in(
        destination, secret, allowance, _SENTENCES, host_key=host_key
    ) as session:
        path = join(unquote(destination.target), name)
        upload = SftpUpload(session, path, allowance)
        with as_call_error(NO_SFTP, allowance, _SENTENCES):
            upload.begin()
        yield upload
