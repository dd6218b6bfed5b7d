"""Local files that the engine reads, mapped into memory instead of read."""

import hashlib
import mmap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from relay_core.ingest.csv_records import release_mapped


@dataclass(frozen=True)
class InputFile:
    """A feed, a SKU map or a state."""

    name: str  # the name of the file
    data: bytes | memoryview  # its bytes, which may be mapped
    # When it was uploaded, aware; None if it has no age, as a file of this machine
    uploaded_at: datetime | None = None

    @classmethod
    def at(cls, path: Path, limit: int | None = None) -> Self:
        """Return a file, mapped into memory.

        A pipe cannot be mapped: at most ``limit`` bytes of it are read, and one more,
        which shows that there are more.

        Raises:
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            is_mappable = path.is_file() and path.stat().st_size > 0
            if not is_mappable:
                max_bytes = -1 if limit is None else limit + 1
                return cls(path.name, file.read(max_bytes))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return cls(path.name, memoryview(mapped))

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal digits."""
        digest = hashlib.sha256(self.data).hexdigest()
        release_mapped(self.data)
        return digest
