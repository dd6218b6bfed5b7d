"""The output folder of a local run, and the threads that write to it."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from relay_core.publish.artifacts import LOCAL_FOLDERS, local_patterns

_FILES_AT_ONCE = 2


@dataclass(slots=True)
class FreshTree:
    """An empty folder for the files of a run.

    Attributes:
        path: The folder.
        preserved_folders: The folders of the earlier run that this run does not replace.
    """

    path: Path
    preserved_folders: Collection[str] = ()


@contextmanager
def fresh_tree(output_dir: Path) -> Iterator[FreshTree]:
    """Open an empty folder; at the end, its files replace those of an earlier run."""
    output_dir.mkdir(parents=True, exist_ok=True)
    tree = FreshTree(Path(tempfile.mkdtemp(prefix=".relay-", dir=output_dir)))
    try:
        yield tree
        for name in LOCAL_FOLDERS:
            if name not in tree.preserved_folders:
                _replace(tree.path, output_dir, name)
    finally:
        shutil.rmtree(tree.path, ignore_errors=True)


def _replace(tree: Path, output_dir: Path, name: str) -> None:
    """Replace the earlier run's files of one folder with those of the new run."""
    folder = output_dir / name
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
    for pattern in local_patterns(name):
        for path in output_dir.glob(pattern):
            _remove(path)
    new_files = [path for path in (tree / name).rglob("*") if not path.is_dir()]
    for path in new_files:
        target = output_dir / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    # A folder that holds files of other programs is not empty, and stays.
    for subfolder in sorted(folder.glob("*/"), reverse=True):
        with suppress(OSError):
            subfolder.rmdir()
    with suppress(OSError):
        folder.rmdir()


class FolderSink:
    """A `Sink` of the engine that writes files on other threads, two at a time.

    The feed and its state are made beside each other, as two vendors' files are.

    Args:
        tree: The folder to write to.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._executor = ThreadPoolExecutor(_FILES_AT_ONCE)
        self._writes: deque[Future[None]] = deque()

    def __enter__(self) -> FolderSink:
        """Return the sink."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the threads."""
        self._executor.shutdown()

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Start to write a file, when at most one other file is being written."""
        if len(self._writes) == _FILES_AT_ONCE:
            self._writes.popleft().result()
        self._writes.append(
            self._executor.submit(_write, self._tree / key, chunks),
        )

    def wait(self) -> None:
        """Wait until all files are written.

        Raises:
            OSError: A file could not be written.
        """
        while self._writes:
            self._writes.popleft().result()

    def drain(self) -> None:
        """Wait until no file is being written, and ignore the result."""
        wait(self._writes)
        self._writes.clear()


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(chunks)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
