"""The folder of a tenant, on disk or in S3: the candidate, and the feed with its state and reports.

A candidate lies in ``candidate/`` of the folder until the feed takes its files over. So the
files of the live feed never change before it is decided.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from relay_core.publish.artifacts import FEED, LOCAL_FOLDERS, name_at, path_of
from relay_dagster.component.attributes import is_s3, split_s3
from relay_dagster.external_errors import ExternalServiceError

CANDIDATE = "candidate/"
STATE = path_of("published_state")
SUMMARY = path_of("run_summary")
REPORT = path_of("report")
_OF_EVERY_RUN = ("normalized", "reports")
_Value = TypeVar("_Value")


class FolderUnusableError(Exception):
    """A folder cannot be read or written; the message says what to do."""


class Files(Protocol):
    """The files below a folder, by their paths from there."""

    def names(self, below: str) -> list[str]:
        """Return the paths of all files below a subfolder, which ends in a slash."""

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None if there is no such file."""

    def put(self, source: Path, name: str) -> None:
        """Store a copy of a local file, in place of any file there."""

    def copy(self, source: str, name: str) -> None:
        """Store a copy of a file of the folder, in place of any file there."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""

    def address(self, name: str) -> str:
        """Return the path or the address of a file, for people."""


class DiskFiles:
    """Files on disk. A file that is replaced is never seen half written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, below: str) -> list[str]:
        """Return the paths of all files below a subfolder."""
        return sorted(
            path.relative_to(self._folder).as_posix()
            for path in (self._folder / below).rglob("*")
            if not path.is_dir()
        )

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None if there is no such file."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, source: Path, name: str) -> None:
        """Store a copy of a local file, in place of any file there."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, copy = tempfile.mkstemp(prefix=".relay-", dir=target.parent)
        os.close(descriptor)
        try:
            shutil.copyfile(source, copy)
            Path(copy).chmod(0o644)
            Path(copy).replace(target)
        except BaseException:
            Path(copy).unlink(missing_ok=True)
            raise

    def copy(self, source: str, name: str) -> None:
        """Store a copy of a file of the folder, in place of any file there."""
        self.put(self._folder / source, name)

    def delete(self, name: str) -> None:
        """Delete a file, if it is there, and the subfolders that this leaves empty."""
        path = self._folder / name
        if not path.exists():
            return
        path.unlink()
        for subfolder in path.parents:
            if subfolder == self._folder or any(subfolder.iterdir()):
                break
            subfolder.rmdir()

    def address(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._folder / name)


class BucketFiles:
    """Files below a prefix in S3."""

    def __init__(self, address: str) -> None:
        from relay_dagster.component.buckets import bucket

        name, prefix = split_s3(address)
        self._objects = bucket(name)
        self._prefix = f"{prefix}/" if prefix else ""

    def names(self, below: str) -> list[str]:
        """Return the paths of all files below a subfolder."""
        return [
            stored.key.removeprefix(self._prefix)
            for stored in self._objects.list_objects(f"{self._prefix}{below}")
            if not stored.is_folder
        ]

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None if there is no such file."""
        return self._objects.read_or_none(self._prefix + name)

    def put(self, source: Path, name: str) -> None:
        """Store a copy of a local file, in place of any file there."""
        with source.open("rb") as file:
            self._objects.put_stream(
                self._prefix + name,
                iter(lambda: file.read(1 << 20), b""),
            )

    def copy(self, source: str, name: str) -> None:
        """Store a copy of a file of the folder, in place of any file there."""
        self._objects.copy(self._prefix + source, self._prefix + name)

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self._objects.delete(self._prefix + name)

    def address(self, name: str) -> str:
        """Return the address of a file."""
        return self._objects.uri(self._prefix + name)


def files_of(folder: str) -> Files:
    """Return the files of a folder: a path, or an ``s3://`` address."""
    return BucketFiles(folder) if is_s3(folder) else DiskFiles(Path(folder))


@dataclass(frozen=True)
class Candidate:
    """A feed that is written and not yet live.

    Attributes:
        summary: Its run_summary.json.
        feed: The path of its feed, from the candidate's folder.
        sha256: The SHA-256 of its feed.
    """

    summary: dict[str, Any]
    feed: str
    sha256: str


class FeedFolder:
    """The folder of a tenant.

    Args:
        folder: A path, or an ``s3://`` address.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files = files_of(folder)

    def address(self, name: str) -> str:
        """Return the path or the address of a file, for people."""
        return self._files.address(name)

    def state(self) -> bytes | None:
        """Return the state of the live feed, or None if there is none.

        Raises:
            FolderUnusableError: The folder cannot be read.
        """
        return self._safely(lambda: self._files.read(STATE))

    def report_run(self, tree: Path) -> None:
        """Put the reports and normalized files of a run, however it ended, into the folder.

        Raises:
            FolderUnusableError: The folder cannot be written.
        """
        self._safely(lambda: self._replace(tree, "", _OF_EVERY_RUN))

    def keep_candidate(self, tree: Path) -> None:
        """Keep a run's files as the candidate, in place of any earlier one.

        Raises:
            FolderUnusableError: The folder cannot be written.
        """
        self._safely(lambda: self._replace(tree, CANDIDATE, LOCAL_FOLDERS))

    def candidate(self) -> Candidate | None:
        """Return the candidate, or None if there is none.

        Raises:
            FolderUnusableError: The folder cannot be read.
        """
        return self._safely(self._candidate)

    def take_over(self) -> None:
        """Make the candidate the live feed: its files replace those of the last one.

        Raises:
            FolderUnusableError: The folder cannot be written.
        """
        self._safely(self._take_over)

    def _candidate(self) -> Candidate | None:
        summary = self._files.read(CANDIDATE + SUMMARY)
        feeds = [
            name
            for name in self._files.names(CANDIDATE)
            if name_at(name.removeprefix(CANDIDATE)) == FEED.name
        ]
        if summary is None or not feeds:
            return None
        digest = hashlib.sha256(self._files.read(feeds[0]) or b"").hexdigest()
        feed = feeds[0].removeprefix(CANDIDATE)
        return Candidate(json.loads(summary), feed, digest)

    def _take_over(self) -> None:
        names = [
            name.removeprefix(CANDIDATE)
            for name in self._files.names(CANDIDATE)
        ]
        for name in _state_last(names):
            self._files.copy(CANDIDATE + name, name)
        self._clear("", LOCAL_FOLDERS, names)

    def _replace(
        self,
        tree: Path,
        below: str,
        folders: Collection[str],
    ) -> None:
        names = [
            path.relative_to(tree).as_posix()
            for path in sorted(tree.rglob("*"))
            if path.is_file() and path.relative_to(tree).parts[0] in folders
        ]
        if below:
            # Without its summary, a candidate that is being replaced is none.
            self._files.delete(below + SUMMARY)
        names.sort(key=lambda name: name == SUMMARY)
        for name in names:
            self._files.put(tree / name, below + name)
        self._clear(below, folders, names)

    def _clear(
        self,
        below: str,
        folders: Collection[str],
        names: Iterable[str],
    ) -> None:
        """Delete the artifacts of earlier runs in some folders."""
        kept = {below + name for name in names}
        for folder in folders:
            for name in self._files.names(f"{below}{folder}/"):
                if name not in kept and name_at(name.removeprefix(below)):
                    self._files.delete(name)

    def _safely(self, action: Callable[[], _Value]) -> _Value:
        """Carry out an action, and say in words why the folder cannot be used."""
        try:
            return action()
        except OSError as error:
            place = error.filename or self._folder
            reason = error.strerror or str(error)
        except ExternalServiceError as error:
            place, reason = self._folder, str(error)
        raise FolderUnusableError(
            f"The folder {self._folder} cannot be used: {place}: {reason}. Let this process read "
            "and write the folder, or name another one in the attribute `folder`.",
        )


def _state_last(names: Iterable[str]) -> list[str]:
    """Return names with the state last, since the next candidate is compared with it."""
    return sorted(names, key=lambda name: (name == STATE, name))
