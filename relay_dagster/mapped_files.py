"""Local files that the engine reads, mapped into memory instead of read."""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from relay_core.ingest.csv_records import release_mapped


@dataclass(frozen=True)
class InputFile:
    """A feed, a SKU map or a state: its name and its bytes, which may be a mapped file's."""

    name: str
    data: bytes | memoryview

    @classmethod
    def at(cls, path: Path, limit: int | None = None) -> Self:
        """Return a file; of a pipe at most ``limit`` bytes and one more; `OSError`: unreadable."""
        with path.open("rb") as file:
            if (
                not path.is_file() or path.stat().st_size == 0
            ):  # a pipe, or nothing to map
                return cls(path.name, file.read(-1 if limit is None else limit + 1))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return cls(path.name, memoryview(mapped))

    def sha256(self) -> str:
        """Return the hash of the bytes, in hexadecimal digits."""
        digest = hashlib.sha256(self.data).hexdigest()
        release_mapped(self.data)
        return digest
