"""A form that lets its holder upload one file to the bucket without credentials.

A presigned POST, SigV4: unlike a presigned PUT it is bound to a size.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from relay_dagster.aws.clients import Clients

MAX_BYTES = 5 << 30
"""S3 takes no more in one call."""
MAX_KEY_BYTES = 1024
_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The URL to post a file to, the fields that go before it, and the instant it expires."""

    url: str
    fields: Mapping[str, str]
    expires_at: datetime

    @classmethod
    def signed(
        cls, clients: Clients, bucket: str, key: str, max_bytes: int, redirect: str | None = None
    ) -> Self:
        """Return a form for one key and files of at most ``max_bytes``.

        A browser is led to ``redirect`` when the file is there.
        """
        back = {"success_action_redirect": redirect} if redirect else {}
        post = clients.s3_links.generate_presigned_post(
            bucket,
            key,
            Fields=dict(back),
            Conditions=[["content-length-range", 0, max_bytes], *([back] if back else [])],
            ExpiresIn=_SECONDS,
        )
        policy = json.loads(base64.b64decode(post["fields"]["policy"]))
        return cls(post["url"], post["fields"], datetime.fromisoformat(policy["expiration"]))
