"""One SKU's rows in the work files of a run, which are sorted by SKU.

Only the parts of a file that may have the SKU are read, a few megabytes at a time.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Protocol

import pyarrow as pa

from relay_core.columnar import sorted_file
from relay_core.domain.errors import ArtifactsExpiredError

_MAX_BYTES_AT_ONCE = 8 << 20


class RunFiles(Protocol):
    """The files of a run, wherever they are stored."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The size of each file in bytes, by key."""

    def read(
        self,
        parts: Sequence[tuple[str, sorted_file.ByteRange]],
    ) -> Sequence[bytes]:
        """Return the bytes of parts of files, some megabytes at most, one a part.

        Raises:
            ArtifactsExpiredError: A file is gone.
        """


@dataclass(frozen=True, slots=True, eq=False)
class WorkFile:
    """A work file that is sorted by SKU."""

    key: str  # the key of the file
    schema: pa.Schema  # the columns of the file
    # The function that gets the SKU's rows, a part of the file at a time
    take: Callable[[Iterable[pa.Table]], None]


def size_of(files: RunFiles, key: str) -> int:
    """Return the size of a file in bytes.

    Raises:
        ArtifactsExpiredError: The file is gone.
    """
    if key not in files.sizes:
        file_name = key.rpartition("/")[2]
        raise ArtifactsExpiredError(
            f"{file_name} of the run was deleted, so its feed cannot be explained; "
            "start a new run"
        )
    return files.sizes[key]


def read_sku_rows(
    files: RunFiles,
    sources: Sequence[WorkFile],
    sku: str,
) -> None:
    """Hand the rows of a SKU to the sources' functions, in the order of ``sources``.

    Raises:
        ArtifactsExpiredError: A file is gone.
    """
    tables = _tables(files, sources, sku)
    for source, group in groupby(tables, key=itemgetter(0)):
        source.take(rows for _, rows in group)


def _tables(
    files: RunFiles,
    sources: Sequence[WorkFile],
    sku: str,
) -> Iterator[tuple[WorkFile, pa.Table]]:
    """Yield each source with the SKU's rows of one part of it."""
    pending = _parts_with(files, sources, sku)
    while pending:
        sizes = [part.stop - part.start for _, part in pending]
        ends = list(accumulate(sizes))
        count = max(1, bisect_right(ends, _MAX_BYTES_AT_ONCE))
        batch = pending[:count]
        pending = pending[count:]
        parts = [(source.key, part) for source, part in batch]
        contents = files.read(parts)
        for (source, _), content in zip(batch, contents, strict=True):
            yield (
                source,
                sorted_file.rows_with(sku, content, source.schema, "sku"),
            )


def _parts_with(
    files: RunFiles,
    sources: Sequence[WorkFile],
    sku: str,
) -> list[tuple[WorkFile, sorted_file.ByteRange]]:
    """Return each source with each of its parts that may have rows of the SKU."""
    sizes = [size_of(files, source.key) for source in sources]
    tails = files.read(
        [
            (source.key, sorted_file.tail_range(size))
            for source, size in zip(sources, sizes, strict=True)
        ],
    )
    parts_with_sku: list[tuple[WorkFile, sorted_file.ByteRange]] = []
    for source, size, tail in zip(sources, sizes, tails, strict=True):
        tail_start = size - len(tail)
        index_range = sorted_file.index_range(size, tail)
        if index_range.start >= tail_start:
            index = tail[
                index_range.start - tail_start : index_range.stop - tail_start
            ]
        else:
            (index,) = files.read([(source.key, index_range)])
        entries = json.loads(index)
        for part in sorted_file.ranges_with(sku, entries, _MAX_BYTES_AT_ONCE):
            parts_with_sku.append((source, part))
    return parts_with_sku
