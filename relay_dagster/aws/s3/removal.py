"""Removal of a prefix of the bucket for good: all versions, and unfinished uploads.

In a versioned bucket a plain delete leaves an object's versions behind; this one leaves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.external_errors import ServiceFailedError


@dataclass(frozen=True)
class PrefixRemoval:
    """Removes prefixes of one bucket."""

    clients: Clients
    bucket: str

    @maps_aws_errors
    def remove(self, prefix: str, is_late: Callable[[], bool]) -> tuple[int, bool]:
        """Remove a prefix's unfinished uploads, then its objects, until ``is_late``.

        Returns:
            The number of removed objects, and whether that is all.

        Raises:
            ServiceFailedError: S3 keeps an object.
        """
        s3, count = self.clients.s3, 0
        place: Any = {"Bucket": self.bucket, "Prefix": prefix}
        for listed in s3.get_paginator("list_multipart_uploads").paginate(**place):
            for each in listed.get("Uploads", []):
                if each["Key"].startswith(prefix):
                    s3.abort_multipart_upload(
                        Bucket=self.bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )
                    count += 1
        for page in s3.get_paginator("list_object_versions").paginate(**place):
            # As many as one call deletes.
            versions = [
                {"Key": each["Key"], "VersionId": each["VersionId"]}
                for each in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
            ]
            if not versions:
                continue
            order: Any = {"Objects": versions, "Quiet": True}
            answer = s3.delete_objects(Bucket=self.bucket, Delete=order)
            for refused in answer.get("Errors", []):
                raise ServiceFailedError("s3.DeleteObjects", str(refused))
            count += len(versions)
            if is_late():
                return count, False
        return count, True
