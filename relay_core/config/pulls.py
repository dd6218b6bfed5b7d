"""Where a vendor's feed is pulled from: the rules of its URL, and what goes with HTTPS or SFTP."""

import base64
import binascii
import hashlib
from posixpath import split
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from relay_core.config.values import WHOLE, Id, Section, Trimmed, optional, refuse
from relay_core.domain.destination import Destination, UnfitUrlError, judge_url

SCHEMES = ("https", "sftp")
HOST_KEYS = (
    "ssh-ed25519",
    *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)),
    "ssh-rsa",
)
_SETTLE_SECONDS = 60


def _check_url(text: str) -> str:
    """Refuse a URL that leads nowhere; whether it may lead to this machine, an operator says."""
    try:
        destination = judge_url(text, allow_loopback=True, schemes=SCHEMES)
    except UnfitUrlError as error:
        raise refuse(str(error)) from error
    if destination.scheme == "sftp":
        folder, name = split(unquote(destination.target))
        if not name:
            raise refuse("must end in a file's name, or in a pattern of * and ?")
        if "*" in folder or "?" in folder:
            raise refuse("must have * and ? in its last part alone")
    return text


def _check_host_key(line: str) -> str:
    """Refuse a line that is no public key as OpenSSH writes it: kind, base64, comment."""
    kind, _, rest = line.partition(" ")
    try:
        data = base64.b64decode(rest.partition(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        data = b""
    named = len(kind).to_bytes(4, "big") + kind.encode("utf-8", "replace")
    if kind not in HOST_KEYS or not data.startswith(named) or len(data) == len(named):
        raise refuse(
            f"must be a public key in one line, as in /etc/ssh/ssh_host_*_key.pub: one of "
            f"{', '.join(HOST_KEYS)}, then the key"
        )
    return line


class PullConfig(Section):
    """A file that is fetched from the vendor's server, again and again."""

    url: Annotated[
        Trimmed,
        AfterValidator(_check_url),
        Field(
            description="`https://host/path`, or `sftp://user@host[:port]/folder/pattern`."
        ),
    ]
    every_minutes: Annotated[int, Field(ge=5, le=10_080), WHOLE] = 60
    secret: Id | None = None
    host_key: Annotated[Trimmed, AfterValidator(_check_host_key)] | None = optional()
    settle_seconds: Annotated[int, Field(ge=0, le=3600), WHOLE] = _SETTLE_SECONDS

    @field_validator("host_key", "settle_seconds")
    @classmethod
    def _goes_with_sftp(
        cls, value: str | int | None, info: ValidationInfo
    ) -> str | int | None:
        scheme = str(info.data.get("url", "")).partition(":")[0].lower()
        if scheme == "sftp" and value is None:
            raise refuse("is required for sftp: no server is trusted at first sight")
        if scheme not in ("", "sftp") and value not in (None, _SETTLE_SECONDS):
            raise refuse(f"applies with sftp, and the url is {scheme}; leave it out")
        return value

    def destination(self, *, allow_loopback: bool) -> Destination:
        """Return where it leads; `UnfitUrlError`: to this machine, which no operator allows."""
        return judge_url(self.url, allow_loopback=allow_loopback, schemes=SCHEMES)

    @property
    def digest(self) -> str:
        """What tells it from another: the SHA-256 of all its options."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
