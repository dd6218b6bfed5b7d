"""Files by SFTP: the newest one or all of a pattern, from a server with a known host key.

The connection is paramiko's. It blocks, as everything does that a pull's thread calls, and it
takes a socket that is connected to a judged address. No server is trusted at first
sight: nothing is sent before the server's key is the one in the config.
"""

import io
import logging
import stat
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import join, split
from typing import Any
from urllib.parse import unquote

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from relay_core.domain.destination import Destination
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    UnfitFileError,
)
from relay_dagster.transfers.call_errors import as_call_error
from relay_dagster.transfers.sftp_session import MAX_READ_BYTES, SftpSession
from relay_dagster.transfers.ssh_connection import HANDSHAKE_SECONDS, connected
from relay_dagster.transfers.streams import JudgedBackend
from relay_dagster.triggers.pulled_files import Download, FileMark

MAX_FILES = 100_000
"""The most files of a folder that is searched."""
NO_SFTP = "the server closed the connection, or does not speak SFTP"
NO_MATCH = "no file in the folder matches the name"
_SENTENCES = (
    (
        paramiko.AuthenticationException,
        "the server rejects the user or the secret",
    ),
    (FileNotFoundError, "the server does not have this folder or file"),
    (
        PermissionError,
        "the user has no permission to read the folder or file",
    ),
    (UnicodeDecodeError, "the folder contains a name that is not UTF-8"),
)
_OTHER_KEY = "the server's host key does not match host_key; nothing was sent"
_UNKNOWN_KEY = (
    "the secret is a private key that is damaged or of an unknown kind"
)
# The signature algorithms of a kind of key, where they are called otherwise than it
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_PRIVATE_KEY_START = "-----BEGIN"
_PRIVATE_KEYS: tuple[
    tuple[type[Any], type[paramiko.PKey], PrivateFormat], ...
] = (
    (Ed25519PrivateKey, paramiko.Ed25519Key, PrivateFormat.OpenSSH),
    (
        EllipticCurvePrivateKey,
        paramiko.ECDSAKey,
        PrivateFormat.TraditionalOpenSSL,
    ),
    (RSAPrivateKey, paramiko.RSAKey, PrivateFormat.TraditionalOpenSSL),
)

# paramiko's log quotes texts of the servers, so it is turned off.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@contextmanager
def open_sftp(
    destination: Destination,
    last_mark: FileMark,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
    *,
    host_key: str,
) -> Iterator[Download | None]:
    """Open the newest file of a pattern; yield None if it is the one with the last mark.

    Of equally new files, the last by name is the newest.

    Raises:
        CallError: The file cannot be fetched.
    """
    with open_folder(
        destination, secret, allowance, max_bytes, host_key=host_key
    ) as folder:
        marks = folder.files()
        newest = max(marks, key=lambda mark: mark.order, default=None)
        if newest is None:
            raise CallError(NO_MATCH)
        yield None if newest == last_mark else folder.download(newest)


@contextmanager
def open_folder(
    destination: Destination,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
    *,
    host_key: str,
) -> Iterator["SftpFolder"]:
    """Open a folder with the files of a pattern.

    The last part of the path may have ``*`` and ``?``. The secret is a password or an
    OpenSSH private key, and ``host_key`` the server's public key as OpenSSH writes it. A
    file that has more than ``max_bytes`` is not read.

    Raises:
        CallError: The folder cannot be opened.
    """
    backend = JudgedBackend(destination, allowance)
    connection = backend.dial(destination.host, destination.port)
    with connected(connection, allowance) as transport:
        with as_call_error(NO_SFTP, allowance, _SENTENCES):
            _log_in(transport, destination.user, secret, host_key)
            session = SftpSession(transport, allowance)
            session.begin()
        folder, pattern = split(unquote(destination.target))
        yield SftpFolder(session, folder, pattern, allowance, max_bytes)


@dataclass(frozen=True, slots=True)
class SftpFolder:
    """An open folder of a server, and the pattern of the files that are read there."""

    session: SftpSession
    path: str
    pattern: str  # of the files' names, with ``*`` and ``?``
    allowance: Allowance
    max_bytes: int  # the size of the largest file that is read

    def files(self) -> Iterator[FileMark]:
        """Yield the marks of the files of the pattern, in any order.

        Raises:
            CallError: The folder cannot be listed, or has too many files.
        """
        # A bracket is a character like any other.
        pattern = self.pattern.replace("[", "[[]")
        with as_call_error(NO_SFTP, self.allowance, _SENTENCES):
            entries = self.session.entries(self.path)
            for count, (name, facts) in enumerate(entries):
                if count == MAX_FILES:
                    raise CallError(
                        f"the folder has more than {MAX_FILES:,} files"
                    )
                is_file = stat.S_ISREG(facts.mode) and _is_name(name)
                if is_file and fnmatchcase(name, pattern):
                    path = join(self.path, name)
                    yield FileMark(
                        path=path, size=facts.size, mtime=facts.mtime
                    )

    def download(self, mark: FileMark) -> Download:
        """Return a file of the folder, which is opened when it is read."""
        _, name = split(str(mark.path))
        chunks = _chunks(self.session, mark, self.allowance, self.max_bytes)
        return Download(name, mark, chunks)


def _log_in(
    transport: paramiko.Transport,
    user: str,
    secret: str | None,
    host_key: str,
) -> None:
    """Check the server's key, then log in.

    Raises:
        CallError: The server has another key, or does not let the user in.
    """
    kind, _, key_and_comment = host_key.partition(" ")
    key_text, _, _ = key_and_comment.partition(" ")
    transport.get_security_options().key_types = _SIGNATURES.get(kind, (kind,))
    try:
        transport.start_client(timeout=2 * HANDSHAKE_SECONDS)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise CallError(_OTHER_KEY) from error
    expected_key = paramiko.PKey.from_type_string(kind, b64decode(key_text))
    if transport.get_remote_server_key() != expected_key:
        raise CallError(_OTHER_KEY)
    if secret is None:
        raise CallError(
            "the server requires a password or a key, but the pull has no secret"
        )
    if secret.lstrip().startswith(_PRIVATE_KEY_START):
        transport.auth_publickey(user, _private_key(secret))
    else:
        transport.auth_password(user, secret)


def _private_key(text: str) -> paramiko.PKey:
    """Return the private key that a secret has.

    The key is read and written again, because paramiko takes an ECDSA key without a
    comment for a damaged one.
    """
    data = f"{text.strip()}\n".encode()
    first_line, _, _ = data.partition(b"\n")
    try:
        if b"OPENSSH" in first_line:
            key: Any = serialization.load_ssh_private_key(data, None)
        else:
            key = serialization.load_pem_private_key(data, None)
    except TypeError as error:
        raise CallError(
            "the secret is a private key with a passphrase, which is not supported"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CallError(_UNKNOWN_KEY) from error
    for kind, client_kind, private_format in _PRIVATE_KEYS:
        if isinstance(key, kind):
            encryption = serialization.NoEncryption()
            pem = key.private_bytes(Encoding.PEM, private_format, encryption)
            return client_kind.from_private_key(io.StringIO(pem.decode()))
    raise CallError(_UNKNOWN_KEY)


def _is_name(text: str) -> bool:
    """Return False for a text that leads to another folder."""
    return "/" not in text and text not in {".", ".."}


def _chunks(
    session: SftpSession,
    mark: FileMark,
    allowance: Allowance,
    max_bytes: int,
) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        CallError: The file is too large, or changes while it is read.
    """
    size = mark.size or 0
    if size > max_bytes:
        raise UnfitFileError(
            f"the file has more than {max_bytes:,} bytes, which is the limit"
        )
    with as_call_error(NO_SFTP, allowance, _SENTENCES):
        handle = session.open_file(str(mark.path))
        offset = 0
        while offset < size:
            piece_bytes = min(size - offset, MAX_READ_BYTES)
            piece = session.read(handle, offset, piece_bytes)
            if not piece:
                break
            offset += len(piece)
            yield piece
        after = session.facts(handle)
        is_same = (after.size, after.mtime) == (mark.size, mark.mtime)
        if offset < size or not is_same:
            raise CallError("the file changed while it was read")
