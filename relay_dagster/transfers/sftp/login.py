"""Sessions of SFTP with a server whose host key is known.

The connection is paramiko's. It blocks, as everything does that a transfer's thread
calls, and it takes a socket that is connected to a judged address. No server is trusted
at first sight: nothing is sent before the server's key is the one in the config.
"""

import io
import logging
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from relay_core.domain.destination import Destination
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.call_errors import Sentences, as_call_error
from relay_dagster.transfers.sftp.session import SftpSession
from relay_dagster.transfers.sftp.ssh_connection import (
    HANDSHAKE_SECONDS,
    connected,
)
from relay_dagster.transfers.streams import JudgedBackend

NO_SFTP = "the server closed the connection, or does not speak SFTP"
REJECTED = (
    paramiko.AuthenticationException,
    "the server rejects the user or the secret",
)
"""The kind of error of a log-in that the server rejects, with its sentence."""
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
def logged_in(
    destination: Destination,
    secret: str | None,
    allowance: Allowance,
    sentences: Sentences,
    *,
    host_key: str,
) -> Iterator[SftpSession]:
    """Connect to a server, log in, and yield a session.

    The secret is a password or an OpenSSH private key, and ``host_key`` the server's
    public key as OpenSSH writes it. ``sentences`` name the errors of the log-in.

    Raises:
        CallError: The server cannot be reached, or does not let the user in.
    """
    backend = JudgedBackend(destination, allowance)
    connection = backend.dial(destination.host, destination.port)
    with connected(connection, allowance) as transport:
        session = SftpSession(transport, allowance)
        with as_call_error(NO_SFTP, allowance, sentences):
            _log_in(transport, destination.user, secret, host_key)
            session.begin()
        yield session


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
