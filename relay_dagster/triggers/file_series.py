"""The files of a server's folder that are pulled one after the other. Pure.

They are the full files and the deltas of an input with changes. The first pull begins
with the newest full file, and every later one takes each file that was not there before.
The order is that of the server's times of change, then of names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from relay_core.config.inputs.uploads import FileKind
from relay_dagster.triggers.pulled_files import NO_MARK, FileMark

MAX_PULLED = 500
"""The number of files of a folder that are known to be pulled, at most: the newest ones."""
MAX_NEW = 500
"""The number of new files of a folder that one pull looks at, at most."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a server's folder, as the server lists it."""

    mark: FileMark
    kind: FileKind

    @property
    def order(self) -> tuple[int, str]:
        """A sort key: the time of change, then the path."""
        return self.mark.order

    @property
    def digest(self) -> str:
        """The digest of the file's mark."""
        return self.mark.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSeries:
    """The pulled files of a folder. Instants are aware, UTC.

    ``pulled`` has the digests of the files that are not pulled again. Neither is a file
    that is not newer than ``forgotten``. ``seen`` has the digests of new files, each with
    the time when it was first there.
    """

    is_begun: bool = False
    pulled: frozenset[str] = frozenset()
    forgotten: FileMark = NO_MARK
    seen: Mapping[str, datetime] = field(default_factory=dict)


NO_FILES = FileSeries()
"""The series of a folder that was never pulled."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a list of a folder's files tells of a series."""

    series: FileSeries  # the series, of the files that are still in the folder
    ready: Sequence[ListedFile]  # the files to be pulled now, in order
    # When the next file is ready; None if no other file is new
    next_ready_at: datetime | None


def survey(
    series: FileSeries,
    files: Iterable[ListedFile],
    now: datetime,
    settle: timedelta,
) -> Survey:
    """Compare a folder's files with the series, in any order.

    A file is ready once it has been there for ``settle`` without a change, unless an
    earlier one is not ready. Before the first full file there is none.
    """
    ordered = sorted(files, key=lambda file: file.order)
    started = series if series.is_begun else _begun(series, ordered)
    if started is None:
        return Survey(series, [], None)
    started = _without_gone(started, ordered)
    new_files = []
    for file in ordered:
        is_newer = file.order > started.forgotten.order
        if is_newer and file.digest not in started.pulled:
            new_files.append(file)
    new_files = new_files[:MAX_NEW]
    seen_times = {
        file.digest: series.seen.get(file.digest, now) for file in new_files
    }
    ready: list[ListedFile] = []
    next_ready_at = None
    for file in new_files:
        ready_at = seen_times[file.digest] + settle
        if ready_at > now:
            next_ready_at = ready_at
            break
        ready.append(file)
    return Survey(replace(started, seen=seen_times), ready, next_ready_at)


def with_pulled(series: FileSeries, digest: str) -> FileSeries:
    """Return a series with one more pulled file."""
    seen_times = {
        other_digest: seen_at
        for other_digest, seen_at in series.seen.items()
        if other_digest != digest
    }
    return replace(series, pulled=series.pulled | {digest}, seen=seen_times)


def _begun(
    series: FileSeries, ordered: Sequence[ListedFile]
) -> FileSeries | None:
    """Return a series that begins with the newest full file; None without one."""
    kinds = [file.kind for file in ordered]
    if "full" not in kinds:
        return None
    start = len(kinds) - 1 - kinds[::-1].index("full")
    earlier = frozenset(file.digest for file in ordered[:start])
    return replace(series, is_begun=True, pulled=earlier)


def _without_gone(
    series: FileSeries, ordered: Sequence[ListedFile]
) -> FileSeries:
    """Return a series that knows the newest of its files that are still listed."""
    listed = [file for file in ordered if file.digest in series.pulled]
    forgotten = series.forgotten
    for file in listed[:-MAX_PULLED]:
        forgotten = max(forgotten, file.mark, key=lambda mark: mark.order)
    return replace(
        series,
        pulled=frozenset(file.digest for file in listed[-MAX_PULLED:]),
        forgotten=forgotten,
    )
