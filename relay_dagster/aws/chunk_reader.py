"""Makes a file to read from chunks of bytes, for uploads whose hash is needed too."""

import hashlib
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any


@dataclass(frozen=True, slots=True)
class Written:
    """The number of stored bytes, and their SHA-256 in hex."""

    size: int
    sha256: str


class ChunkReader(io.RawIOBase):
    """A file of chunks, which hashes the bytes that are read from it."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        """Read from chunks, each of them bytes or a buffer."""
        self._chunks: Iterator[Any] = iter(chunks)
        self._current_chunk = memoryview(b"")
        self._digest = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def is_longer_than(self, size: int) -> bool:
        """Return True if more than ``size`` bytes remain. They can still be read."""
        head = memoryview(self._take(size + 1))
        self._chunks = chain([self._current_chunk], self._chunks)
        self._current_chunk = head
        return len(head) > size

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, or fewer at the end. -1 and None return all that remain."""
        limit = math.inf if size is None or size < 0 else size
        data = self._take(limit)
        self._digest.update(data)
        self._size += len(data)
        return data

    def written(self) -> Written:
        """Return the size and the hash of the bytes that were read."""
        return Written(self._size, self._digest.hexdigest())

    def _take(self, size: float) -> bytes:
        """Return ``size`` bytes without hashing them, or fewer at the end.

        Chunks are joined as they come: a list of a million small ones would take far
        more memory than their bytes.
        """
        data = bytearray()
        while size > 0:
            if not self._current_chunk:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._current_chunk = memoryview(chunk).cast("B")
            piece_size = int(min(size, len(self._current_chunk)))
            data += self._current_chunk[:piece_size]
            self._current_chunk = self._current_chunk[piece_size:]
            size -= piece_size
        return bytes(data)
