"""Values that describe objects of the bucket, and forms that upload them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST, which limits the size of the file.

    ``fields`` are those before the file. The form is valid until ``expires_at``.
    """

    url: str
    fields: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing has it; ``etag`` has no quotes."""

    key: str
    size: int
    etag: str
    last_modified: datetime

    @property
    def file_name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def is_folder(self) -> bool:
        """True for the empty objects that consoles create as folders."""
        return self.key.endswith("/")

    @property
    def age_order(self) -> tuple[datetime, str]:
        """A sort key: by the last change, then by key."""
        return self.last_modified, self.key


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The facts of an object without its bytes."""

    size: int
    content_type: str
    # The SHA-256 by S3's checksum, in hex. It is empty if S3 has only a checksum of
    # another kind, and None if S3 has no checksum.
    sha256: str | None


def whole_sha256(response: Mapping[str, Any]) -> str | None:
    """Return an object's SHA-256 in hex by S3's own checksum, or None if it has none.

    A checksum that ends in a number such as "-3" is one of the upload's parts.
    """
    checksum = response.get("ChecksumSHA256", "-")
    return None if "-" in checksum else base64.b64decode(checksum).hex()
