"""Stores a file of a stranger's server, whatever the sizes of the pieces in which it comes.

An upload holds one part of the file in a temporary file, not in memory, so several of
them at once need hardly more memory than none.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay_dagster.aws import errors
from relay_dagster.aws.chunk_reader import Written
from relay_dagster.aws.object_store import ObjectStore

PART_BYTES = 8 << 20
_BUFFER_BYTES = 64 << 10


@errors.adapter
@dataclass(eq=False)
class SpooledUpload:
    """Stores one object from chunks of bytes."""

    objects: ObjectStore  # the bucket
    key: str  # where the object is stored
    part_bytes: int = PART_BYTES  # the size of every part but the last
    # Empty before the second part.
    _upload_id: str = field(default="", init=False)
    _parts: list[Any] = field(default_factory=list, init=False)

    def put(self, chunks: Iterable[bytes]) -> Written:
        """Store the chunks in place of any object under the key.

        The object appears when all chunks are stored. If a chunk raises an error, nothing
        is stored.
        """
        size = 0
        digest = hashlib.sha256()
        with self._aborted_on_error(), _spool() as part:
            for chunk in chunks:
                if part.tell() >= self.part_bytes:
                    self._store_part(part)
                size += len(chunk)
                digest.update(chunk)
                part.write(chunk)
            if self._upload_id:
                self._store_part(part)
                self._complete()
            else:
                self._store_whole(part)
        return Written(size, digest.hexdigest())

    def _store_whole(self, part: IO[bytes]) -> None:
        part.seek(0)
        self.objects.clients.s3.put_object(Body=part, **self._place)

    def _store_part(self, part: IO[bytes]) -> None:
        """Store what the temporary file holds as the next part, and empty the file."""
        s3 = self.objects.clients.s3
        if not self._upload_id:
            upload = s3.create_multipart_upload(**self._place)
            self._upload_id = str(upload["UploadId"])
        number = len(self._parts) + 1
        part.seek(0)
        response = s3.upload_part(
            Body=part,
            PartNumber=number,
            UploadId=self._upload_id,
            **self._place,
        )
        self._parts.append({"PartNumber": number, "ETag": response["ETag"]})
        part.seek(0)
        part.truncate()

    def _complete(self) -> None:
        self.objects.clients.s3.complete_multipart_upload(
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
            **self._place,
        )

    @contextmanager
    def _aborted_on_error(self) -> Iterator[None]:
        """Remove the parts that are stored if the upload does not come to its end."""
        try:
            yield
        except BaseException:
            if self._upload_id:
                with suppress(BotoCoreError, ClientError):
                    self.objects.clients.s3.abort_multipart_upload(
                        UploadId=self._upload_id,
                        **self._place,
                    )
            raise

    @property
    def _place(self) -> dict[str, Any]:
        return {"Bucket": self.objects.bucket, "Key": self.key}


def _spool() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=_BUFFER_BYTES)
