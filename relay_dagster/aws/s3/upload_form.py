"""A form by which whoever has it sends one file into the bucket, without rights in it.

A presigned POST, SigV4: unlike a presigned PUT it is bound to a size.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from relay_dagster.aws.clients import Clients

MOST_BYTES = 5 << 30
"""S3 takes no more at once."""
MOST_KEY_BYTES = 1024
_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class UploadForm:
    """Where to post a file, and the fields that go before it; good until an instant."""

    url: str
    fields: Mapping[str, str]
    expires_at: datetime

    @classmethod
    def signed(cls, clients: Clients, bucket: str, key: str, max_bytes: int) -> Self:
        """Return a form for one key, that takes files of at most so many bytes."""
        post = clients.s3_links.generate_presigned_post(
            bucket, key, Conditions=[["content-length-range", 0, max_bytes]], ExpiresIn=_SECONDS
        )
        policy = json.loads(base64.b64decode(post["fields"]["policy"]))
        return cls(post["url"], post["fields"], datetime.fromisoformat(policy["expiration"]))
