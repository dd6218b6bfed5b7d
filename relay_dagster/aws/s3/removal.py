"""Everything under a prefix of the bucket, removed for good: all versions, and unfinished uploads.

A plain delete of a versioned bucket's object leaves the object behind; here nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.external_errors import ServiceFailedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class PrefixRemoval:
    """Removes what lies under prefixes of one bucket."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients = clients
        self._bucket = bucket

    @property
    def _s3(self) -> S3Client:
        return self._clients.s3

    @maps_aws_errors
    def remove(self, prefix: str, is_late: Callable[[], bool]) -> tuple[int, bool]:
        """Remove a prefix's uploads that are unfinished, then its objects, until it is late.

        Returns:
            How much was removed, and whether that is all.

        Raises:
            ServiceFailedError: S3 keeps an object.
        """
        count = 0
        for upload in self._uploads(prefix):
            self._s3.abort_multipart_upload(Bucket=self._bucket, **upload)
            count += 1
        for page in self._versions(prefix):
            order: Any = {"Objects": page, "Quiet": True}
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete=order)
            for refused in answer.get("Errors", []):
                raise ServiceFailedError("s3.DeleteObjects", str(refused))
            count += len(page)
            if is_late():
                return count, False
        return count, True

    def _uploads(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            for each in page.get("Uploads", []):
                if each["Key"].startswith(prefix):
                    yield {"Key": each["Key"], "UploadId": each["UploadId"]}

    def _versions(self, prefix: str) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the versions and delete markers under a prefix, as many as one call deletes."""
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if listed:
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed]
