"""What an HTTP request to AWS asks for: service, operation, and the text that tells whose it is.

Services are told apart by the SigV4 credential scope, operations by ``X-Amz-Target``, the query
protocol's ``Action``, or S3's method and path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
_NAMES = {"monitoring": "cloudwatch"}
_BUCKET_QUERIES = {
    "list-type": "ListObjectsV2",
    "versioning": "GetBucketVersioning",
    "lifecycle": "GetBucketLifecycleConfiguration",
    "location": "GetBucketLocation",
    "versions": "ListObjectVersions",
    "uploads": "ListMultipartUploads",
    "delete": "DeleteObjects",
}
_PLAIN = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}
_BUCKET_PLAIN = {
    "GET": "ListObjects",
    "HEAD": "HeadBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
}


@dataclass(frozen=True, slots=True)
class AwsRequest:
    """One request as the proxy saw it. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False, default=b"")

    @property
    def service(self) -> str:
        """``s3``, ``sqs``, ``dynamodb``, ``cloudwatch``..., empty for what is not signed."""
        match = _SCOPE.search(self.headers.get("authorization", ""))
        name = match.group(1) if match else ""
        return _NAMES.get(name, name)

    @property
    def operation(self) -> str:
        """The operation's name as AWS documents it, as far as it can be told."""
        target = self.headers.get("x-amz-target", "").rpartition(".")[2]
        if target:
            return target
        if "/operation/" in self.path:
            return self.path.rpartition("/operation/")[2]
        if self.service == "s3":
            return self._s3_operation()
        action = parse_qs(self.body.decode("latin-1")).get("Action", [""])
        return action[0]

    @property
    def text(self) -> str:
        """Everything that may name a key, tenant or run; an uploaded object's bytes do not."""
        source = self.headers.get("x-amz-copy-source", "")
        body = (
            "" if self.service == "s3" else self.body.decode("utf-8", "replace")
        )
        return "\n".join((unquote(self.path), unquote(source), body))

    def _s3_operation(self) -> str:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        bucket, _, key = parts.path.lstrip("/").partition("/")
        if not key:
            named = next(
                (
                    name
                    for word, name in _BUCKET_QUERIES.items()
                    if word in query
                ),
                "",
            )
            return named or (
                _BUCKET_PLAIN.get(self.method, "") if bucket else "ListBuckets"
            )
        if self.method == "PUT" and "x-amz-copy-source" in self.headers:
            return "CopyObject"
        if "uploads" in query:
            return "CreateMultipartUpload"
        if "uploadId" in query:
            return (
                "UploadPart"
                if self.method == "PUT"
                else "CompleteMultipartUpload"
            )
        return _PLAIN.get(self.method, "")
