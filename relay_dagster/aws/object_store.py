"""Reads and writes the objects of the bucket.

These are vendors' uploads, and runs' artifacts under ``<run_id>/tenants/<tenant_id>/``.
This module knows only bytes and keys. ``execution`` decides which objects a run reads
and writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import takewhile
from typing import Any, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from relay_core.domain.codes import CATALOG
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws import errors
from relay_dagster.aws.chunk_reader import ChunkReader, Written
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.stored_objects import (
    ObjectHead,
    ObjectInfo,
    UploadForm,
    whole_sha256,
)
from relay_dagster.external_errors import ObjectChangedError, ServiceFailedError

MAX_BYTES = 5 << 30
"""The greatest object that S3 stores or copies in one call."""

MAX_KEY_BYTES = 1024
_LINK_SECONDS = 3600
_NO_RANGE = frozenset({"416", "InvalidRange"})
_HASHED_CHUNK_BYTES = 1 << 20
_PART_BYTES = 8 << 20
_STREAMED_CHUNK_BYTES = 256 << 10
# What a listing returns beyond the wanted keys costs more than another call.
_SHORT_PAGE_KEYS = 300


@errors.adapter
@dataclass(eq=False)
class ObjectStore:
    """The objects of one bucket, by their whole keys."""

    clients: Clients
    bucket: str

    def uri(self, key: str) -> str:
        """Return the ``s3://`` address of a key."""
        return f"s3://{self.bucket}/{key}"

    def check(self) -> None:
        """Ask for the bucket, to find out whether it is ready.

        Raises:
            ExternalServiceError: The bucket is not ready.
        """
        self.clients.s3.head_bucket(Bucket=self.bucket)

    # --- listings ---------------------------------------------------------------------

    def latest_object(
        self,
        prefix: str,
        on_page: Callable[[], object] | None = None,
        fits: Callable[[str], bool] = lambda _: True,
    ) -> ObjectInfo | None:
        """Return the newest object under a prefix, or None where there is none.

        Of equally new objects, the one with the greatest key is returned. Folders are
        ignored, and objects whose key does not fit. ``on_page`` is called for each
        thousand objects, and can end the listing by raising an error.
        """
        objects = self._listed(prefix, on_page)
        files = (stored for stored in objects if not stored.is_folder)
        fitting = (file for file in files if fits(file.key))
        return max(fitting, key=lambda file: file.age_order, default=None)

    def newest_objects(self, prefix: str, count: int) -> list[ObjectInfo]:
        """Return the newest objects under a prefix, in the order of `latest_object`."""
        objects = self._listed(prefix)
        files = (stored for stored in objects if not stored.is_folder)
        return nlargest(count, files, key=lambda file: file.age_order)

    def listed_object(self, key: str) -> ObjectInfo | None:
        """Return an object as a listing has it, or None where there is no such object."""
        # Of the keys that begin with this one, none sorts before it.
        first_object = next(self._listed(key), None)
        if first_object is None or first_object.key != key:
            return None
        return first_object

    def list_objects(self, prefix: str) -> list[ObjectInfo]:
        """Return all objects under a prefix, in the order of their keys."""
        return list(self._listed(prefix))

    def keys_between(self, first: str, last: str) -> set[str]:
        """Return the keys that sort after the first, up to and including the last."""
        objects = self._listed("", StartAfter=first, MaxKeys=_SHORT_PAGE_KEYS)
        keys = (stored.key for stored in objects)
        return set(takewhile(lambda key: key <= last, keys))

    def artifacts(self, run_id: str, tenant_id: str) -> dict[str, str]:
        """Return the keys of a run's artifacts by name, in the order of the names.

        Work files are not artifacts. Of several copies of a vendor's feed, the one that
        the run's manifest names is the artifact.
        """
        run_keys = ArtifactKeys(run_id, tenant_id)
        keys_by_name: dict[str, list[str]] = {}
        for stored in self.list_objects(run_keys.prefix):
            name = run_keys.artifact_name(stored.key)
            if name:
                keys_by_name.setdefault(name, []).append(stored.key)
        body = None
        copy = f"inbound_{CATALOG}"
        if any(keys[1:] or name == copy for name, keys in keys_by_name.items()):
            body = self.read_or_none(run_keys.input_manifest)
        manifest = json.loads(body or b"{}")
        if copy in keys_by_name and "catalog" in manifest:
            keys_by_name[CATALOG] = keys_by_name.pop(copy)
        entries = [
            *manifest.get("vendors", {}).values(),
            manifest.get("catalog"),
        ]
        pinned_keys = {entry["run_copy_key"] for entry in entries if entry}
        artifacts = {}
        for name, keys in sorted(keys_by_name.items()):
            pinned = [key for key in keys if key in pinned_keys]
            artifacts[name] = pinned[0] if pinned else keys[-1]
        return artifacts

    def _listed(
        self,
        prefix: str,
        on_page: Callable[[], object] | None = None,
        **options: Any,
    ) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix, page by page, in the order of their keys."""
        paginator = self.clients.s3.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, **options)
        for page in pages:
            if on_page is not None:
                on_page()
            for entry in page.get("Contents", []):
                yield ObjectInfo(
                    entry["Key"],
                    entry["Size"],
                    entry["ETag"].strip('"'),
                    entry["LastModified"],
                )

    # --- reads ------------------------------------------------------------------------

    def head(self, key: str) -> ObjectHead | None:
        """Return the facts of an object, or None where there is no such object."""
        response: Any = errors.unless(
            errors.NO_OBJECT,
            self.clients.s3.head_object,
            Bucket=self.bucket,
            Key=key,
            ChecksumMode="ENABLED",
        )
        if response is None:
            return None
        sha256 = whole_sha256(response)
        if sha256 is None and any(
            name.startswith("Checksum") for name in response
        ):
            sha256 = ""
        return ObjectHead(
            response["ContentLength"],
            response["ContentType"],
            sha256,
        )

    def size_of(self, key: str) -> int | None:
        """Return the number of an object's bytes, or None where there is no such object."""
        head = self.head(key)
        return None if head is None else head.size

    def exists(self, key: str) -> bool:
        """Return True if there is an object with the key."""
        return self.head(key) is not None

    def read(self, key: str) -> bytes:
        """Return an object's bytes.

        Raises:
            MissingResourceError: There is no such object.
        """
        return self.clients.s3.get_object(Bucket=self.bucket, Key=key)[
            "Body"
        ].read()

    def read_or_none(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is no such object."""
        response: Any = errors.unless(
            errors.NO_OBJECT,
            self.clients.s3.get_object,
            Bucket=self.bucket,
            Key=key,
        )
        return None if response is None else response["Body"].read()

    def read_range(self, key: str, start: int, stop: int) -> bytes | None:
        """Return the bytes of an object from ``start`` to before ``stop``.

        Return fewer where the object ends earlier, and None where there is no object.
        """
        try:
            response = self.clients.s3.get_object(
                Bucket=self.bucket,
                Key=key,
                Range=f"bytes={start}-{stop - 1}",
            )
            body = response["Body"]
            if response["ContentLength"] > stop - start:
                # A store that has no ranges returns the whole object.
                return body.read(stop)[start:]
            # Reading to the end makes a broken connection an error.
            return body.read()
        except ClientError as error:
            if errors.error_code(error) in _NO_RANGE:
                # The object has no byte in the range.
                return b""
            if errors.error_code(error) in errors.NO_OBJECT:
                return None
            raise

    def chunks(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """Return a part of an object in chunks, which are read when they are needed.

        Raises:
            MissingResourceError: There is no such object.
        """
        if start >= stop:
            return iter(())
        byte_range = f"bytes={start}-{stop - 1}"
        response = self.clients.s3.get_object(
            Bucket=self.bucket,
            Key=key,
            Range=byte_range,
        )
        return response["Body"].iter_chunks(_STREAMED_CHUNK_BYTES)

    # --- writes -----------------------------------------------------------------------

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
    ) -> Written:
        """Store bytes under a key, instead of any object there."""
        self.clients.s3.put_object(
            Bucket=self.bucket,
            Key=key,
            Body=data,
            **_type_option(content_type),
        )
        return Written(len(data), hashlib.sha256(data).hexdigest())

    def put_stream(
        self,
        key: str,
        chunks: Iterable[Any],
        *,
        content_type: str | None = None,
    ) -> Written:
        """Store chunks of bytes under a key, instead of any object there.

        The object appears when all chunks are stored. If a chunk raises an error, nothing
        is stored.
        """
        stream = ChunkReader(chunks)
        if not stream.is_longer_than(_PART_BYTES):
            # An upload in parts costs more than the call itself.
            return self.put(key, stream.read(), content_type=content_type)
        self.clients.s3.upload_fileobj(
            cast("Any", stream),
            self.bucket,
            key,
            ExtraArgs=_type_option(content_type),
            Config=TransferConfig(
                multipart_chunksize=_PART_BYTES,
                use_threads=False,
            ),
        )
        return stream.written()

    def put_if_absent(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
    ) -> bool:
        """Store bytes under a key. Return False, and store nothing, if the key is taken."""
        # S3 asks for another attempt while another writer stores the same key.
        again = errors.retrying(
            errors.has_answered(*errors.WRITE_CONFLICT),
            tries=5,
        )
        response = errors.unless(
            errors.PRECONDITION_FAILED,
            again,
            self.clients.s3.put_object,
            Bucket=self.bucket,
            Key=key,
            Body=data,
            IfNoneMatch="*",
            **_type_option(content_type),
        )
        return response is not None

    def copy(self, source_key: str, target_key: str) -> None:
        """Copy an object, instead of any object at the target.

        Raises:
            MissingResourceError: There is no such object.
        """
        self._copy(source_key, target_key)

    def copy_if_there(self, source_key: str, target_key: str) -> bool:
        """Copy an object like `copy`. Return False where there is no such object."""
        response = errors.unless(
            errors.NO_OBJECT,
            self._copy,
            source_key,
            target_key,
        )
        return response is not None

    def copy_pinned(self, source: ObjectInfo, target_key: str) -> str:
        """Copy an object as it was listed, and return the copy's SHA-256 in hex.

        Raises:
            ObjectChangedError: The object was replaced or deleted after it was listed.
        """
        etag = f'"{source.etag}"'
        try:
            response = self._copy(
                source.key,
                target_key,
                CopySourceIfMatch=etag,
            )
        except ClientError as error:
            changed = errors.NO_OBJECT | errors.PRECONDITION_FAILED
            if errors.error_code(error) not in changed:
                raise
            message = f"{source.key} was replaced"
            raise ObjectChangedError("s3.CopyObject", message) from error
        sha256 = whole_sha256(response.get("CopyObjectResult", {}))
        if sha256 is not None:
            return sha256
        digest = hashlib.sha256()
        copy = self.clients.s3.get_object(Bucket=self.bucket, Key=target_key)[
            "Body"
        ]
        for chunk in copy.iter_chunks(_HASHED_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _copy(self, source_key: str, target_key: str, **condition: Any) -> Any:
        """Copy an object, and let S3 compute a checksum of the whole copy."""
        return self.clients.s3.copy_object(
            Bucket=self.bucket,
            Key=target_key,
            CopySource={"Bucket": self.bucket, "Key": source_key},
            ChecksumAlgorithm="SHA256",
            **condition,
        )

    def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        self.clients.s3.delete_object(Bucket=self.bucket, Key=key)

    def remove_all(
        self,
        prefix: str,
        is_late: Callable[[], bool],
    ) -> tuple[int, bool]:
        """Delete the unfinished uploads under a prefix, then the objects, until ``is_late``.

        All versions of an object are deleted, which `delete` does not do in a versioned
        bucket. Return the number of deleted uploads and versions, and True if none remain.

        Raises:
            ServiceFailedError: S3 has not deleted a version.
        """
        count = self._abort_uploads(prefix)
        paginator = self.clients.s3.get_paginator("list_object_versions")
        for page in paginator.paginate(Bucket=self.bucket, Prefix=prefix):
            # A page has as many versions as one call deletes.
            entries = [
                *page.get("Versions", []),
                *page.get("DeleteMarkers", []),
            ]
            if not entries:
                continue
            versions: Any = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for entry in entries
            ]
            response = self.clients.s3.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": versions, "Quiet": True},
            )
            for failure in response.get("Errors", []):
                raise ServiceFailedError("s3.DeleteObjects", str(failure))
            count += len(versions)
            if is_late():
                return count, False
        return count, True

    def _abort_uploads(self, prefix: str) -> int:
        """Delete the unfinished uploads under a prefix, and return their number."""
        count = 0
        paginator = self.clients.s3.get_paginator("list_multipart_uploads")
        for page in paginator.paginate(Bucket=self.bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                if upload["Key"].startswith(prefix):
                    self.clients.s3.abort_multipart_upload(
                        Bucket=self.bucket,
                        Key=upload["Key"],
                        UploadId=upload["UploadId"],
                    )
                    count += 1
        return count

    def bring_back(self, key: str) -> bool:
        """Restore a deleted object. Return False if it was not deleted, or is lost."""
        response = self.clients.s3.list_object_versions(
            Bucket=self.bucket,
            Prefix=key,
        )
        markers = [
            marker
            for marker in response.get("DeleteMarkers", [])
            if marker["Key"] == key and marker["IsLatest"]
        ]
        for marker in markers:
            # Deleting the marker of a deletion undoes the deletion.
            self.clients.s3.delete_object(
                Bucket=self.bucket,
                Key=key,
                VersionId=marker["VersionId"],
            )
        return bool(markers) and self.exists(key)

    # --- links ------------------------------------------------------------------------

    def presign(
        self,
        key: str,
        *,
        is_page: bool = False,
        expires_in: int = _LINK_SECONDS,
    ) -> str:
        """Return a presigned link to an object, valid for ``expires_in`` seconds.

        A browser saves the object. It must not show a page in the bucket's name that a
        supplier has uploaded. Only a page of our own (``is_page``) is shown.
        """
        return self.clients.s3_links.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": "inline"
                if is_page
                else "attachment",
            },
            ExpiresIn=expires_in,
        )

    def upload_form(
        self,
        key: str,
        max_bytes: int,
        redirect: str | None = None,
    ) -> UploadForm:
        """Return a form that stores an object of at most ``max_bytes``.

        A browser goes to ``redirect`` after the upload.
        """
        client = self.clients.s3_links
        return UploadForm.signed(client, self.bucket, key, max_bytes, redirect)


def _type_option(content_type: str | None) -> Any:
    """Return the option of a call that stores an object of a type; None has no option."""
    return {} if content_type is None else {"ContentType": content_type}
