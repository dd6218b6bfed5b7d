"""Files of this machine that the engine reads, mapped into memory rather than held there."""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class InputFile:
    """A feed, a SKU map or a state: its name and its bytes, which may be a file's, mapped."""

    name: str
    data: bytes | memoryview
    mapped: mmap.mmap | None = None

    @classmethod
    def at(cls, path: Path, limit: int | None = None) -> Self:
        """Return a file; of a pipe that gives more than a limit one byte more, without one all.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            if not path.is_file() or path.stat().st_size == 0:  # a pipe, or nothing to map
                return cls(path.name, file.read(-1 if limit is None else limit + 1))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return cls(path.name, memoryview(mapped), mapped)

    def sha256(self) -> str:
        """Return the hash of the bytes, in hexadecimal digits."""
        digest = hashlib.sha256(self.data).hexdigest()
        self.release()
        return digest

    def release(self) -> None:
        """Give the memory of a mapped file back; what is still used of it is mapped again."""
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)
