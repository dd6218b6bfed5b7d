"""The folder that a local run writes to, and the thread that writes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from local.request import FOLDERS


@contextmanager
def fresh_tree(output_dir: Path) -> Iterator[Path]:
    """Lend an empty folder; when all is written, an earlier run's folders give way to it."""
    output_dir.mkdir(parents=True, exist_ok=True)
    tree = Path(tempfile.mkdtemp(prefix=".relay-", dir=output_dir))
    try:
        yield tree
        for name in FOLDERS:
            _remove(output_dir / name)
            if (tree / name).exists():
                (tree / name).rename(output_dir / name)
    finally:
        shutil.rmtree(tree, ignore_errors=True)


class FolderSink:
    """Writes files on another thread, one after another.

    Args:
        tree: the folder that they lie under.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._beside = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> FolderSink:
        """Return the sink."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no thread behind."""
        self._beside.shutdown()

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file; the one before is written then."""
        self.wait()
        self._last = self._beside.submit(_write, self._tree / key, chunks)

    def wait(self) -> None:
        """Return when all is written.

        Raises:
            OSError: it could not be.
        """
        if self._last is not None:
            self._last.result()

    def drain(self) -> None:
        """Return when nothing is being written; what became of it does not matter any more."""
        if self._last is not None:
            wait([self._last])
            self._last = None


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(chunks)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
