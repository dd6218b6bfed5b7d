"""The folder that a local run writes to, and the thread that writes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from local.request import FOLDERS
from relay_core.config.models import OutputFormat

_FILES = (
    "normalized/*/normalized.csv",
    *(f"outputs/merged_inventory.{each}" for each in get_args(OutputFormat)),
    *(
        f"reports/{each}.json"
        for each in ("config_snapshot", "input_manifest", "errors")
    ),
    *(f"reports/{each}.json" for each in ("overrides", "run_summary")),
    *(f"reports/{each}.csv" for each in ("invalid_rows", "changes", "quarantine")),
    "reports/report.html",
    "published/state.parquet",
)
"""What a run leaves, and a later one replaces; any other file stays where it is."""


@dataclass(slots=True)
class FreshTree:
    """An empty folder to write to, and what of an earlier run stays beside what is written.

    Attributes:
        path: the folder.
        kept: the folders of the earlier run that the new one leaves as they are.
    """

    path: Path
    kept: Collection[str] = ()


@contextmanager
def fresh_tree(output_dir: Path) -> Iterator[FreshTree]:
    """Lend an empty folder; when all is written, an earlier run's files give way to it."""
    output_dir.mkdir(parents=True, exist_ok=True)
    tree = FreshTree(Path(tempfile.mkdtemp(prefix=".relay-", dir=output_dir)))
    try:
        yield tree
        for name in FOLDERS:
            if name not in tree.kept:
                _replace(tree.path, output_dir, name)
    finally:
        shutil.rmtree(tree.path, ignore_errors=True)


def _replace(tree: Path, output_dir: Path, name: str) -> None:
    """Put the new run's files of a folder in place of the earlier one's."""
    folder = output_dir / name
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
    for pattern in _FILES:
        for path in output_dir.glob(pattern) if pattern.startswith(name) else ():
            _remove(path)
    for path in [each for each in (tree / name).rglob("*") if not each.is_dir()]:
        target = output_dir / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    for emptied in sorted(folder.glob("*/"), reverse=True):
        with suppress(OSError):  # others' files are in it
            emptied.rmdir()
    with suppress(OSError):
        folder.rmdir()


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
