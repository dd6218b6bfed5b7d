"""The section ``pull``: where a vendor's feed is pulled from, by one of the doors."""

import base64
import binascii
import hashlib
from posixpath import split
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

import relay_core.config.values as values
import relay_core.domain.doors as doors
from relay_core.config.refusals import refuse
from relay_core.domain.destination import Destination, UnfitUrlError, judge_url

HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_SETTLE_SECONDS = 60
_LENGTH_BYTES = 4


def _check_url(text: str) -> str:
    """Refuse a URL that cannot be called.

    An operator decides whether a URL may lead to this machine, so that is not judged.
    """
    try:
        destination = judge_url(
            text, allow_loopback=True, schemes=doors.PULL_SCHEMES
        )
    except UnfitUrlError as error:
        raise refuse(str(error)) from error
    if destination.scheme in doors.FOLDER_SCHEMES:
        folder, name = split(unquote(destination.target))
        if not name:
            raise refuse(
                "must end in a file name, or in a pattern with * and ?",
            )
        if "*" in folder or "?" in folder:
            raise refuse("must have * and ? only in its last part")
    return text


def _check_host_key(line: str) -> str:
    """Refuse a line that is not a public key of OpenSSH: kind, base64, comment."""
    kind, _, key_and_comment = line.partition(" ")
    encoded_key, _, _ = key_and_comment.partition(" ")
    try:
        key = base64.b64decode(encoded_key, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    # The key begins with its kind, and the length of that.
    kind_length = len(kind).to_bytes(_LENGTH_BYTES, "big")
    prefix = kind_length + kind.encode("utf-8", "replace")
    has_key = key.startswith(prefix) and len(key) > len(prefix)
    if kind not in HOST_KEYS or not has_key:
        raise refuse(
            "must be a public key in one line, as in /etc/ssh/ssh_host_*_key.pub; begin "
            f"with one of {', '.join(HOST_KEYS)}, followed by the key",
        )
    return line


HostKey = Annotated[values.Trimmed, AfterValidator(_check_host_key)]
"""A server's public key in one line, as OpenSSH writes it."""


class PullConfig(values.Section):
    """How Relay pulls a file from the vendor's server."""

    url: Annotated[
        values.Trimmed,
        AfterValidator(_check_url),
        Field(
            description=doors.url_forms(
                door.pull_url for door in doors.DOORS.values()
            ),
        ),
    ]
    every_minutes: Annotated[
        int,
        Field(ge=5, le=10_080),
        values.WHOLE,
    ] = 60
    secret: values.Id | None = None
    host_key: HostKey | None = values.optional()
    settle_seconds: Annotated[
        int,
        Field(ge=0, le=3600),
        values.WHOLE,
    ] = _SETTLE_SECONDS

    @field_validator("host_key", "settle_seconds")
    @classmethod
    def _applies_to_door(
        cls,
        value: str | int | None,
        info: ValidationInfo,
    ) -> str | int | None:
        # An invalid URL is absent from ``info.data`` and has no scheme.
        scheme = doors.scheme_of(str(info.data.get("url", "")))
        schemes = doors.schemes_with(str(info.field_name))
        if scheme in schemes and value is None:
            raise refuse(
                f"is required for {scheme}, because no server is trusted on first use; enter "
                "the server's public key",
            )
        is_idle = bool(scheme) and scheme not in schemes
        if is_idle and value not in (None, _SETTLE_SECONDS):
            raise refuse(
                f"applies only to {' or '.join(schemes)}, but the url is {scheme}; "
                "remove it",
            )
        return value

    def destination(self, *, allow_loopback: bool) -> Destination:
        """Return the destination of the URL.

        Raises:
            UnfitUrlError: The URL leads to this machine, and no operator allows that.
        """
        return judge_url(
            self.url,
            allow_loopback=allow_loopback,
            schemes=doors.PULL_SCHEMES,
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of all options, which distinguishes one pull from another."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
