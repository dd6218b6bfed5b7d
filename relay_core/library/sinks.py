"""The destinations of a local run's files: a folder, or memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Self

Chunks = Iterable[bytes | memoryview]
_FILES_AT_ONCE = 2


class LocalSink:
    """A `Sink` of the engine that stores files on other threads, two at a time.

    The feed and its state are made beside each other, as two vendors' files are.

    Attributes:
        paths: The paths of all files, in the order of their writing.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._executor = ThreadPoolExecutor(_FILES_AT_ONCE)
        self._writes: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        """Return the sink."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the threads."""
        self._executor.shutdown()

    def write(self, key: str, chunks: Chunks) -> None:
        """Start to store a file, when at most one other file is being stored."""
        if len(self._writes) == _FILES_AT_ONCE:
            self._writes.popleft().result()
        self.paths.append(key)
        self._writes.append(self._executor.submit(self._store, key, chunks))

    def wait(self) -> None:
        """Wait until all files are stored.

        Raises:
            OSError: A file could not be written.
        """
        while self._writes:
            self._writes.popleft().result()

    def drain(self) -> None:
        """Wait until no file is being stored, and ignore the result."""
        wait(self._writes)
        self._writes.clear()

    def _store(self, path: str, chunks: Chunks) -> None:
        raise NotImplementedError


class FolderSink(LocalSink):
    """Writes the files of a run below a folder.

    Args:
        tree: The folder.
    """

    def __init__(self, tree: Path) -> None:
        super().__init__()
        self._tree = tree

    def _store(self, path: str, chunks: Chunks) -> None:
        target = self._tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(chunks)


class MemorySink(LocalSink):
    """Keeps the files of a run in memory.

    Attributes:
        contents: The bytes of each file, by its path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.contents: dict[str, bytes] = {}

    def _store(self, path: str, chunks: Chunks) -> None:
        self.contents[path] = b"".join(chunks)
