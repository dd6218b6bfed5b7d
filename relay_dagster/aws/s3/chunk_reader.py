"""Chunks of bytes as a file to read from, hashed as they pass.

It serves uploads that are produced piece by piece: only the piece being read is in memory.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any


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
