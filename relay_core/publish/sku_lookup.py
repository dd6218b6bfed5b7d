"""The rows of one SKU, from work files that are sorted by it: of each a few parts are read."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

import pyarrow as pa

from relay_core.columnar.sorted_file import (
    Index,
    Part,
    index_part,
    parts_with,
    rows_with,
    tail_part,
)
from relay_core.domain.errors import ArtifactsExpiredError

_Item = TypeVar("_Item")
_BYTES_AT_ONCE = 8 << 20
"""About how many bytes are read at once."""


class RunFiles(Protocol):
    """The files of a run, where they are to be had."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes each has, by key."""

    def read(self, parts: Sequence[tuple[str, Part]]) -> Sequence[bytes]:
        """Return parts of files; they are not more than some megabytes.

        Raises:
            ArtifactsExpiredError: one of the files is gone.
        """


@dataclass(frozen=True, slots=True, eq=False)
class WorkFile:
    """A work file, sorted by SKU, and the taker of its rows, which come some at a time."""

    key: str
    schema: pa.Schema
    take: Callable[[Iterable[pa.Table]], None]


@dataclass(frozen=True, slots=True)
class _Span:
    """Neighbouring batches of a work file, which are read as one."""

    source: WorkFile
    parts: Sequence[Part]

    @property
    def whole(self) -> Part:
        return Part(self.parts[0].start, self.parts[-1].stop)

    @property
    def size(self) -> int:
        return self.whole.stop - self.whole.start

    def rows_with(self, sku: str, data: bytes) -> pa.Table:
        start, view, schema = self.whole.start, memoryview(data), self.source.schema
        batches = (view[part.start - start : part.stop - start] for part in self.parts)
        return pa.concat_tables(rows_with(sku, batch, schema, "sku") for batch in batches)


def size_of(files: RunFiles, key: str) -> int:
    """Return how many bytes a file has.

    Raises:
        ArtifactsExpiredError: it is gone.
    """
    if key not in files.sizes:
        raise ArtifactsExpiredError(
            f"{key.rpartition('/')[2]} of the run is gone, and with it what explains its feed; "
            "start a new run"
        )
    return files.sizes[key]


def read_rows(files: RunFiles, sources: Sequence[WorkFile], sku: str) -> None:
    """Give each source's rows of a SKU to their taker, in order, some megabytes at a time."""
    for source, parts in groupby(_parts(files, sources, sku), key=itemgetter(0)):
        source.take(rows for _, rows in parts)


def _parts(
    files: RunFiles, sources: Sequence[WorkFile], sku: str
) -> Iterator[tuple[WorkFile, pa.Table]]:
    indexes = _indexes(files, [source.key for source in sources])
    spans = [
        span
        for source, index in zip(sources, indexes, strict=True)
        for span in _spans(source, parts_with(sku, index))
    ]
    at_once = _grouped(
        spans, lambda some, span: sum(s.size for s in (*some, span)) <= _BYTES_AT_ONCE
    )
    for some in at_once:
        read = files.read([(span.source.key, span.whole) for span in some])
        for span, data in zip(some, read, strict=True):
            yield span.source, span.rows_with(sku, data)


def _spans(source: WorkFile, parts: Sequence[Part]) -> Iterator[_Span]:
    """Yield neighbouring batches together, as many as are read at once."""

    def fits(some: Sequence[Part], part: Part) -> bool:
        return part.start <= some[-1].stop and part.stop - some[0].start <= _BYTES_AT_ONCE

    return (_Span(source, some) for some in _grouped(parts, fits))


def _grouped(
    items: Iterable[_Item], fits: Callable[[list[_Item], _Item], bool]
) -> Iterator[list[_Item]]:
    """Yield items in order, each together with those before it while it fits to them."""
    some: list[_Item] = []
    for item in items:
        if some and not fits(some, item):
            yield some
            some = []
        some.append(item)
    if some:
        yield some


def _indexes(files: RunFiles, keys: Sequence[str]) -> list[Index]:
    sizes = [size_of(files, key) for key in keys]
    tails = files.read([(key, tail_part(size)) for key, size in zip(keys, sizes, strict=True)])
    indexes = []
    for key, size, tail in zip(keys, sizes, tails, strict=True):
        part, begins = index_part(size, tail), size - len(tail)
        if part.start >= begins:
            data = tail[part.start - begins : part.stop - begins]
        else:
            (data,) = files.read([(key, part)])
        indexes.append(json.loads(data))
    return indexes
