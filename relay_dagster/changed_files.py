"""The changes between two published files, made in a process of their own.

The process has limits of memory and time. Of a tenant one file of changes is made at a
time, and two in all.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay_core import sandbox
from relay_core.config.models import FileConfig
from relay_dagster.logs import event_log

MEMORY_BYTES = 1 << 30
"""The most memory of a process that makes changes."""
MAX_SECONDS = 60.0
"""The most time for a file of changes."""
AT_ONCE = 2
"""The number of files of changes that are made at once, at most."""
_ENGINE_MODULES = ("relay_core.publish.changed_rows",)
_TOO_MUCH = (
    sandbox.TaskFailedError,
    sandbox.TaskTooSlowError,
    sandbox.SandboxEndedError,
)

_log = event_log()


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A published file on this machine, with its format and its columns."""

    path: Path
    file: FileConfig


class ChangedFiles:
    """Makes files of changes, each in its turn."""

    def __init__(
        self,
        *,
        memory_bytes: int = MEMORY_BYTES,
        seconds: float = MAX_SECONDS,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._turns = threading.Condition()
        self._busy_tenants: set[str] = set()

    def make(
        self,
        tenant_id: str,
        older: FileVersion,
        newer: FileVersion,
        target: Path,
    ) -> int | None:
        """Write the changes to a path, and return the number of their rows.

        Return None where the whole file is to be used instead: the files cannot be
        compared, or the changes need more memory or time than they may have.

        Args:
            tenant_id: The tenant, whose turn is awaited.
            older: The older published file.
            newer: The newer published file.
            target: The path of the file of changes.
        """
        with self._turn_of(tenant_id):
            process = sandbox.Sandbox.start(
                _ENGINE_MODULES,
                memory_bytes=self._memory_bytes,
            )
            try:
                (count,) = process.run(
                    _MakeChanges(older, newer, target),
                    seconds=self._seconds,
                )
            except _TOO_MUCH as error:
                _log.warning(
                    "changes_not_made",
                    tenant_id=tenant_id,
                    reason=f"{type(error).__name__}: {error}",
                )
                return None
            finally:
                process.end()
        rows: int | None = count
        return rows

    @contextmanager
    def _turn_of(self, tenant_id: str) -> Iterator[None]:
        """Wait until neither the tenant nor all places are busy."""

        def is_free() -> bool:
            return (
                tenant_id not in self._busy_tenants
                and len(self._busy_tenants) < AT_ONCE
            )

        with self._turns:
            self._turns.wait_for(is_free)
            self._busy_tenants.add(tenant_id)
        try:
            yield
        finally:
            with self._turns:
                self._busy_tenants.remove(tenant_id)
                self._turns.notify_all()


@dataclass(frozen=True, slots=True)
class _MakeChanges:
    """The task of the process: it compares two files and writes a third."""

    older: FileVersion
    newer: FileVersion
    target: Path

    def __call__(self, ask: sandbox.Ask) -> int | None:
        """Write the changes, and return the number of rows; None if there are none."""
        # Only the process of the task loads Arrow.
        from relay_core.mapped_files import InputFile
        from relay_core.publish.changed_rows import changed_rows

        changes = changed_rows(
            InputFile.at(self.older.path).data,
            InputFile.at(self.newer.path).data,
            self.older.file,
            self.newer.file,
        )
        if changes is None:
            return None
        with self.target.open("wb") as file:
            file.writelines(changes.chunks)
        return changes.count
