"""The bucket: vendors' uploads, and runs' artifacts under ``<run_id>/tenants/<tenant_id>/``.

This module knows bytes and keys alone; ``execution`` decides which objects a run reads and writes.
"""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from heapq import nlargest
from itertools import chain, takewhile
from pathlib import PurePosixPath
from typing import Any, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.clients import (
    NO_OBJECT,
    PRECONDITION_FAILED,
    WRITE_CONFLICT,
    Clients,
    adapter,
    error_code,
    has_answered,
    retrying,
    unless,
)
from relay_dagster.external_errors import ObjectChangedError, ServiceFailedError

MAX_BYTES = 5 << 30
"""S3 takes no more in one call."""
MAX_KEY_BYTES = 1024
_SECONDS = 15 * 60
_NO_RANGE = frozenset({"416", "InvalidRange"})
_READ_SIZE = 1 << 20
_PART_SIZE = 8 << 20
_STREAM_SIZE = 256 << 10
_LINK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST, bound to a size: its URL, the fields before the file, and its end."""

    url: str
    fields: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """The size of stored bytes, and their SHA-256 in hex."""

    size: int
    sha256: str


class ChunkReader(io.RawIOBase):
    """Chunks as a file to read from, hashed as they pass."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks: Iterator[Any] = iter(chunks)
        self._pending = memoryview(b"")
        self._digest = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def is_longer_than(self, size: int) -> bool:
        """Return whether more than ``size`` bytes are left; none of them is consumed."""
        head = memoryview(self._take(size + 1))
        self._chunks = chain([self._pending], self._chunks)
        self._pending = head
        return len(head) > size

    def read(self, size: int | None = -1) -> bytes:
        """Return exactly ``size`` bytes, fewer only at the end; all that is left for -1 or None."""
        data = self._take(float("inf") if size is None or size < 0 else size)
        self._digest.update(data)
        self._size += len(data)
        return data

    def written(self) -> Written:
        """Return the size and the hash of the bytes read so far."""
        return Written(self._size, self._digest.hexdigest())

    def _take(self, wanted: float) -> bytes:
        pieces: list[memoryview] = []
        while wanted > 0:
            while not self._pending and (chunk := next(self._chunks, None)) is not None:
                self._pending = memoryview(chunk).cast("B")
            if not self._pending:
                break
            piece = self._pending[: int(min(wanted, len(self._pending)))]
            self._pending = self._pending[len(piece) :]
            wanted -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object of a listing; ``etag`` is without its quotes."""

    key: str
    size: int
    etag: str
    last_modified: datetime

    @property
    def file_name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The facts of an object without its bytes."""

    size: int
    content_type: str
    # By S3's checksum, in hex; empty where S3 has one of another kind alone, None where it has none
    sha256: str | None


@adapter
@dataclass(eq=False)
class ObjectStore:
    """Objects of one bucket. Keys are whole keys."""

    clients: Clients
    bucket: str

    def uri(self, key: str) -> str:
        """Return the ``s3://`` address of a key."""
        return f"s3://{self.bucket}/{key}"

    def latest_object(
        self, prefix: str, each_page: Callable[[], object] = lambda: None
    ) -> ObjectInfo | None:
        """Return the newest object under a prefix: last modified, then greatest key; None for none.

        Keys that end in ``/`` are folders that consoles make, and do not count. ``each_page`` is
        called for each thousand of them, and ends the listing by what it raises.
        """
        uploads = (
            each
            for each in self._listed(prefix, each_page)
            if not each.key.endswith("/")
        )
        return max(uploads, key=_age, default=None)

    def newest_objects(self, prefix: str, count: int) -> list[ObjectInfo]:
        """Return the newest objects under a prefix, in the order of `latest_object`."""
        uploads = (each for each in self._listed(prefix) if not each.key.endswith("/"))
        return nlargest(count, uploads, key=_age)

    def listed_object(self, key: str) -> ObjectInfo | None:
        """Return an object as a listing has it, None where there is no such object."""
        first = next(self._listed(key), None)  # no key sorts before its own beginning
        return first if first is not None and first.key == key else None

    def list_objects(self, prefix: str) -> list[ObjectInfo]:
        """Return all objects under a prefix, all pages of them."""
        return list(self._listed(prefix))

    def keys_between(self, first: str, last: str) -> set[str]:
        """Return the keys after one, up to another."""
        # Short pages: what is listed beyond the last costs more than a call.
        keys = (each.key for each in self._listed("", StartAfter=first, MaxKeys=300))
        return {*takewhile(lambda key: key <= last, keys)}

    def copy_pinned(self, source: ObjectInfo, target_key: str) -> str:
        """Copy an object as listed, return the copy's SHA-256; else `ObjectChangedError`."""
        try:
            answer = self._copy(
                source.key, target_key, CopySourceIfMatch=f'"{source.etag}"'
            )
        except ClientError as error:
            if error_code(error) not in NO_OBJECT | PRECONDITION_FAILED:
                raise
            raise ObjectChangedError(
                "s3.CopyObject", f"{source.key} was replaced"
            ) from error
        if known := _whole_sha256(answer.get("CopyObjectResult", {})):
            return known
        digest = hashlib.sha256()
        copy = self.clients.s3.get_object(Bucket=self.bucket, Key=target_key)["Body"]
        for piece in copy.iter_chunks(_READ_SIZE):
            digest.update(piece)
        return digest.hexdigest()

    def copy(self, source_key: str, target_key: str) -> None:
        """Copy an object, whatever was at the target; `MissingResourceError` where it is gone."""
        self._copy(source_key, target_key)

    def copy_if_there(self, source_key: str, target_key: str) -> bool:
        """Copy an object as `copy` does, where there is one; return whether there was."""
        return unless(NO_OBJECT, lambda: self._copy(source_key, target_key)) is not None

    def upload_form(
        self, key: str, max_bytes: int, redirect: str | None = None
    ) -> UploadForm:
        """Return a form to store one object, at most ``max_bytes``, which leads to ``redirect``."""
        back = {"success_action_redirect": redirect} if redirect else {}
        post = self.clients.s3_links.generate_presigned_post(
            self.bucket,
            key,
            Fields=dict(back),
            Conditions=[
                ["content-length-range", 0, max_bytes],
                *([back] if back else []),
            ],
            ExpiresIn=_SECONDS,
        )
        policy = json.loads(base64.b64decode(post["fields"]["policy"]))
        return UploadForm(
            post["url"], post["fields"], datetime.fromisoformat(policy["expiration"])
        )

    def read(self, key: str) -> bytes:
        """Return an object's bytes; `MissingResourceError` where there is no such object."""
        return self.clients.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def read_or_none(self, key: str) -> bytes | None:
        """Return an object's bytes, None where there is no such object."""
        get = partial(self.clients.s3.get_object, Bucket=self.bucket, Key=key)
        return unless(NO_OBJECT, lambda: get()["Body"].read())

    def read_range(self, key: str, start: int, stop: int) -> bytes | None:
        """Return an object's bytes from ``start`` to ``stop`` that it has; None for no object."""
        try:
            answer = self.clients.s3.get_object(
                Bucket=self.bucket, Key=key, Range=f"bytes={start}-{stop - 1}"
            )
            if (
                answer["ContentLength"] > stop - start
            ):  # a store that knows no ranges sends it all
                return answer["Body"].read(stop)[start:]
            return answer["Body"].read()  # to the end: a broken connection shows
        except ClientError as error:
            if error_code(error) in _NO_RANGE:  # the object has no byte there
                return b""
            if error_code(error) in NO_OBJECT:
                return None
            raise

    def chunks(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield a part of an object as it comes; `MissingResourceError` where there is none."""
        if start >= stop:
            return iter(())
        wanted = f"bytes={start}-{stop - 1}"
        body = self.clients.s3.get_object(Bucket=self.bucket, Key=key, Range=wanted)[
            "Body"
        ]
        return body.iter_chunks(_STREAM_SIZE)

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> Written:
        """Store bytes under a key, whatever was there."""
        self.clients.s3.put_object(
            Bucket=self.bucket, Key=key, Body=data, **_extra(content_type)
        )
        return Written(len(data), hashlib.sha256(data).hexdigest())

    def put_stream(
        self, key: str, chunks: Iterable[Any], *, content_type: str | None = None
    ) -> Written:
        """Store chunks of bytes; the object appears when all are there, and not if one raises."""
        stream = ChunkReader(chunks)
        if not stream.is_longer_than(_PART_SIZE):
            # The machinery for parts costs more than the call itself.
            return self.put(key, stream.read(), content_type=content_type)
        self.clients.s3.upload_fileobj(
            cast("Any", stream),
            self.bucket,
            key,
            ExtraArgs=_extra(content_type),
            Config=TransferConfig(multipart_chunksize=_PART_SIZE, use_threads=False),
        )
        return stream.written()

    def put_if_absent(
        self, key: str, data: bytes, *, content_type: str | None = None
    ) -> bool:
        """Store bytes unless the key is taken; return whether they were stored."""
        # Where another writer is at it just then, S3 asks to try again.
        again = retrying(has_answered(*WRITE_CONFLICT), tries=5)
        wanted: Any = {
            "Key": key,
            "Body": data,
            "IfNoneMatch": "*",
            **_extra(content_type),
        }
        put = partial(again, self.clients.s3.put_object, Bucket=self.bucket, **wanted)
        return unless(PRECONDITION_FAILED, put) is not None

    def head(self, key: str) -> ObjectHead | None:
        """Return the facts of an object, None where there is no such object."""
        head = partial(
            self.clients.s3.head_object,
            Bucket=self.bucket,
            Key=key,
            ChecksumMode="ENABLED",
        )
        if (answer := unless(NO_OBJECT, head)) is None:
            return None
        has_checksum = any(name.startswith("Checksum") for name in answer)
        sha256 = _whole_sha256(answer) or ("" if has_checksum else None)
        return ObjectHead(answer["ContentLength"], answer["ContentType"], sha256)

    def size_of(self, key: str) -> int | None:
        """Return how many bytes an object has, None where there is no such object."""
        found = self.head(key)
        return None if found is None else found.size

    def exists(self, key: str) -> bool:
        """Return whether there is an object under the key."""
        return self.head(key) is not None

    def delete(self, key: str) -> None:
        """Delete an object; one that does not exist counts as deleted."""
        self.clients.s3.delete_object(Bucket=self.bucket, Key=key)

    def remove_all(self, prefix: str, is_late: Callable[[], bool]) -> tuple[int, bool]:
        """Remove a prefix's unfinished uploads, then its objects, until ``is_late``.

        All versions go: a plain delete leaves them behind in a versioned bucket. Returned are the
        number of removed objects, and whether that is all; `ServiceFailedError`: S3 keeps one.
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

    def bring_back(self, key: str) -> bool:
        """Bring an object back that was deleted; return whether it was and could be."""
        found = self.clients.s3.list_object_versions(Bucket=self.bucket, Prefix=key)
        markers = [each for each in found.get("DeleteMarkers", []) if each["IsLatest"]]
        mine = [each["VersionId"] for each in markers if each["Key"] == key]
        for version in mine:
            self.clients.s3.delete_object(
                Bucket=self.bucket, Key=key, VersionId=version
            )
        return bool(mine) and self.exists(key)

    def check(self) -> None:
        """Ask for the bucket, for readiness; raises the fault."""
        self.clients.s3.head_bucket(Bucket=self.bucket)

    def artifacts(self, run_id: str, tenant_id: str) -> dict[str, str]:
        """Return the artifacts that a run has, name to key, in the order of the names.

        Work files are no artifacts. Where several attempts have copied a vendor's feed under names
        of its own, the one that is pinned is the run's.
        """
        keys = ArtifactKeys(run_id, tenant_id)
        found: dict[str, list[str]] = {}
        for each in self.list_objects(keys.prefix):
            found.setdefault(keys.artifact_name(each.key), []).append(each.key)
        found.pop("", None)
        pinned: set[str] = set()
        if any(len(copies) > 1 for copies in found.values()):
            manifest = json.loads(self.read_or_none(keys.input_manifest) or b"{}")
            pinned = {
                str(each["run_copy_key"])
                for each in manifest.get("vendors", {}).values()
            }
        return {
            name: next((key for key in copies if key in pinned), copies[-1])
            for name, copies in sorted(found.items())
        }

    def presign(
        self, key: str, *, is_page: bool = False, expires_in: int = _LINK_SECONDS
    ) -> str:
        """Return a presigned link to an object (SigV4), good for ``expires_in`` seconds.

        Browsers save the object: a supplier chooses the type of an upload, and a page of his must
        not be shown as the bucket's. A page of our own (``is_page``) is shown.
        """
        return self.clients.s3_links.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": "inline" if is_page else "attachment",
            },
            ExpiresIn=expires_in,
        )

    def _listed(
        self, prefix: str, each_page: Callable[[], object] = lambda: None, **where: Any
    ) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix, a page at a time; ``where`` are options of the call."""
        pages = self.clients.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, **where
        )
        for page in pages:
            each_page()
            for each in page.get("Contents", []):
                etag = each["ETag"].strip('"')
                yield ObjectInfo(each["Key"], each["Size"], etag, each["LastModified"])

    def _copy(self, source_key: str, target_key: str, **condition: Any) -> Any:
        """Copy an object; a checksum of the whole takes the place of one of its parts."""
        return self.clients.s3.copy_object(
            Bucket=self.bucket,
            Key=target_key,
            CopySource={"Bucket": self.bucket, "Key": source_key},
            ChecksumAlgorithm="SHA256",
            **condition,
        )


def _age(each: ObjectInfo) -> tuple[datetime, str]:
    return each.last_modified, each.key


def _whole_sha256(answer: Mapping[str, Any]) -> str | None:
    """Return an object's SHA-256 by S3's own checksum; with "-3" that is one of parts."""
    checksum = answer.get("ChecksumSHA256", "-")
    return None if "-" in checksum else base64.b64decode(checksum).hex()


def _extra(content_type: str | None) -> Any:
    return {} if content_type is None else {"ContentType": content_type}
