"""A file by SFTP: the newest of a pattern's, from a server whose host key the config names.

The client is paramiko: it blocks, as all else does that a pull's thread calls, and takes a socket
that is connected to a judged address. No server is trusted at first sight, and nothing is sent
before the host key is the one that is wanted.
"""

import io
import logging
import stat
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from posixpath import join, split
from typing import Any
from urllib.parse import unquote

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from relay_core.domain.destination import Destination
from relay_dagster.transfers.streams import Allowance, CallError, JudgedBackend
from relay_dagster.triggers.pulls import Download, FileMark

MAX_FILES = 100_000
"""Of a folder that is looked through."""
_PIECE = 255 << 10
"""Of a file in one request; a server that knows smaller ones alone answers with less.

The client's own reading ahead is not used: its thread outlives a connection that drops.
"""
_OTHER_KEY = "the server's host key is another one than host_key; nothing was sent"
_KINDS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_UNKNOWN_KEY = "the secret is a private key of a kind that is not known, or damaged"
_PRIVATE_KEY = "-----BEGIN"
_PRIVATE_KEYS: tuple[tuple[type[Any], type[paramiko.PKey], PrivateFormat], ...] = (
    (Ed25519PrivateKey, paramiko.Ed25519Key, PrivateFormat.OpenSSH),
    (EllipticCurvePrivateKey, paramiko.ECDSAKey, PrivateFormat.TraditionalOpenSSL),
    (RSAPrivateKey, paramiko.RSAKey, PrivateFormat.TraditionalOpenSSL),
)

# What it logs of servers quotes what they say.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@contextmanager
def open_sftp(
    destination: Destination,
    known: FileMark,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
    *,
    host_key: str,
) -> Iterator[Download | None]:
    """Open the newest file of a pattern; None where it is the known one.

    `*` and `?` stand in the pattern's last part. The secret is a password, or an OpenSSH private
    key; ``host_key`` is the server's public key, as OpenSSH writes it. A file that has more than
    ``max_bytes`` is not read. `CallError` where there is none to be had.
    """
    backend = JudgedBackend(destination, allowance)
    transport = paramiko.Transport(backend.dial(destination.host, destination.port))
    # Whatever the server does, the connection is over when the time is.
    ending = threading.Timer(allowance.left(), transport.close)
    ending.daemon = True
    ending.start()
    try:
        with _as_call_error(allowance):
            _log_in(transport, destination.user, secret, allowance, host_key)
            sftp = paramiko.SFTPClient.from_transport(transport)
            if sftp is None:
                raise CallError("the server has no SFTP")
            mark = _newest(sftp, *split(unquote(destination.target)))
        if mark == known:
            yield None
        else:
            name = split(str(mark.path))[1]
            yield Download(name, mark, _chunks(sftp, mark, allowance, max_bytes))
    finally:
        ending.cancel()
        transport.close()


def _log_in(
    transport: paramiko.Transport,
    user: str,
    secret: str | None,
    allowance: Allowance,
    host_key: str,
) -> None:
    kind, _, rest = host_key.partition(" ")
    transport.get_security_options().key_types = _KINDS.get(kind, (kind,))
    transport.banner_timeout = transport.auth_timeout = allowance.left()
    try:
        transport.start_client(timeout=allowance.left())
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise CallError(_OTHER_KEY) from error
    wanted = paramiko.PKey.from_type_string(kind, b64decode(rest.partition(" ")[0]))
    if transport.get_remote_server_key() != wanted:
        raise CallError(_OTHER_KEY)
    if secret is None:
        raise CallError(
            "the server wants a password or a key, and the pull names no secret"
        )
    if secret.lstrip().startswith(_PRIVATE_KEY):
        transport.auth_publickey(user, _private_key(secret))
    else:
        transport.auth_password(user, secret)


def _private_key(text: str) -> paramiko.PKey:
    """Read a key, and write it anew: paramiko takes ECDSA without comment for damaged."""
    data = f"{text.strip()}\n".encode()
    read = (
        load_ssh_private_key
        if b"OPENSSH" in data.partition(b"\n")[0]
        else load_pem_private_key
    )
    try:
        key: Any = read(data, None)
    except TypeError as error:
        raise CallError("the secret is a private key with a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CallError(_UNKNOWN_KEY) from error
    for kind, client_kind, form in _PRIVATE_KEYS:
        if isinstance(key, kind):
            written = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
            return client_kind.from_private_key(io.StringIO(written))
    raise CallError(_UNKNOWN_KEY)


def _newest(sftp: paramiko.SFTPClient, folder: str, pattern: str) -> FileMark:
    """Return the newest file of a pattern, of several at once the one with the greatest name."""
    # A bracket is a character like any other.
    pattern = pattern.replace("[", "[[]")
    newest: tuple[int, str, int] | None = None
    for count, each in enumerate(sftp.listdir_iter(folder)):
        if count == MAX_FILES:
            raise CallError(f"the folder has more than {MAX_FILES:,} files")
        is_file = stat.S_ISREG(each.st_mode or 0) and "/" not in each.filename
        if is_file and fnmatchcase(each.filename, pattern):
            found = (each.st_mtime or 0, each.filename, each.st_size or 0)
            newest = found if newest is None else max(newest, found)
    if newest is None:
        raise CallError("no file in the folder is called so")
    mtime, name, size = newest
    return FileMark(path=join(folder, name), size=size, mtime=mtime)


def _chunks(
    sftp: paramiko.SFTPClient, mark: FileMark, allowance: Allowance, max_bytes: int
) -> Iterator[bytes]:
    """Yield a file's bytes; it must stay as it is meanwhile."""
    size, left = mark.size or 0, mark.size or 0
    if size > max_bytes:
        raise CallError(
            f"the file has more than {max_bytes:,} bytes, which are the most"
        )
    with _as_call_error(allowance), sftp.open(str(mark.path), "rb") as file:
        file.MAX_REQUEST_SIZE = _PIECE
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
        after = file.stat()
        if left or (after.st_size, after.st_mtime) != (mark.size, mark.mtime):
            raise CallError("the file was changed while it was read")


@contextmanager
def _as_call_error(allowance: Allowance) -> Iterator[None]:
    """Raise what a server does wrong as `CallError`, in words of ours."""
    try:
        yield
    except paramiko.AuthenticationException as error:
        raise CallError("the server does not let the user in by the secret") from error
    except FileNotFoundError as error:
        raise CallError("the server has no such folder or file") from error
    except PermissionError as error:
        raise CallError("the server does not let the user read there") from error
    except UnicodeDecodeError as error:
        raise CallError("the folder has a name that is not UTF-8") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        allowance.left()
        raise CallError(
            "the server closed the connection, or does not speak SFTP"
        ) from error
