"""Where a run's files go in tests: nowhere but memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class MemorySink:
    """Keeps each file that a run writes, whole, under its key."""

    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        self.files[key] = b"".join(map(bytes, chunks))

    def wait(self) -> None:
        return None
