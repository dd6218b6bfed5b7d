"""Values that describe objects of the bucket, and forms that upload them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Self

_FORM_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST, which limits the size of the file.

    ``fields`` are those before the file. The form is valid until ``expires_at``.
    """

    url: str
    fields: Mapping[str, str]
    expires_at: datetime

    @classmethod
    def signed(
        cls,
        client: Any,
        bucket: str,
        key: str,
        max_bytes: int,
        redirect: str | None,
    ) -> Self:
        """Return a form that stores one object of at most ``max_bytes``.

        A browser goes to ``redirect`` after the upload.
        """
        fields: dict[str, Any] = {}
        conditions: list[Any] = [["content-length-range", 0, max_bytes]]
        if redirect:
            fields["success_action_redirect"] = redirect
            conditions.append({"success_action_redirect": redirect})
        post = client.generate_presigned_post(
            bucket,
            key,
            Fields=fields,
            Conditions=conditions,
            ExpiresIn=_FORM_SECONDS,
        )
        policy = json.loads(base64.b64decode(post["fields"]["policy"]))
        expires_at = datetime.fromisoformat(policy["expiration"])
        return cls(post["url"], post["fields"], expires_at)


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
