"""The output folder of a local run: a run's files replace those of an earlier run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from relay_core.domain.codes import RunStatus
from relay_core.publish.artifacts import LOCAL_FOLDERS, local_patterns

_PRESERVED_FOLDERS = {
    RunStatus.FAILED: ("outputs", "published"),
    RunStatus.HELD: ("published",),
}
"""The folders of an earlier run that a run does not replace, by its status."""


@dataclass(slots=True)
class FreshTree:
    """An empty folder for the files of a run.

    Attributes:
        path: The folder.
        status: The status of the run, which decides on the folders that it replaces.
    """

    path: Path
    status: RunStatus = RunStatus.SUCCEEDED


@contextmanager
def fresh_tree(output_dir: Path) -> Iterator[FreshTree]:
    """Open an empty folder; at the end, its files replace those of an earlier run."""
    output_dir.mkdir(parents=True, exist_ok=True)
    tree = FreshTree(Path(tempfile.mkdtemp(prefix=".relay-", dir=output_dir)))
    try:
        yield tree
        preserved_folders = _PRESERVED_FOLDERS.get(tree.status, ())
        for name in LOCAL_FOLDERS:
            if name not in preserved_folders:
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


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
