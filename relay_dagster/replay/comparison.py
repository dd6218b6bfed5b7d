"""Files that the engine makes here, held against those of the run while they are made."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from relay_dagster.replay.engine import KEYS
from relay_dagster.replay.run_artifacts import RunArtifacts

_AROUND = 500
"""So many bytes of a line are told before the first that differs, and from it on."""
_PIECE = 1 << 16
_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two files differ; a line is None where its file has ended.

    Attributes:
        line: counted from 1, by line ends; in Parquet the columns are the first, and each row one.
        run: the run's line.
        here: the line that comes out here.
    """

    line: int
    run: str | None
    here: str | None


class Match(StrEnum):
    """How a file of the run and the one that comes out here compare."""

    SAME = "the same"
    OTHER_BYTES = "the same rows in other bytes"
    DIFFERS = "differs"
    ONLY_IN_RUN = "does not come out here"
    ONLY_HERE = "comes out here alone"


@dataclass(frozen=True, slots=True)
class ComparedFile:
    """One file: what it is called, how many bytes the run's has, where it differs first."""

    name: str
    verdict: Match
    size: int | None = None
    difference: Difference | None = None


class ComparingSink:
    """The engine's `Sink` that keeps nothing: each file is held against the run's.

    Args:
        artifacts: what the run has left.
        folder: where one of its files is put at a time.
    """

    def __init__(self, artifacts: RunArtifacts, folder: Path) -> None:
        self._artifacts = artifacts
        self._path = folder / "compared"
        self.files: list[ComparedFile] = []

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Compare a file that the engine makes."""
        name = KEYS.artifact_name(key)
        if name not in self._artifacts.links:
            self.files.append(ComparedFile(name, Match.ONLY_HERE))
            return
        self._artifacts.fetch(name, self._path)
        compare = _compared_rows if PurePosixPath(key).suffix == ".parquet" else _compared_lines
        verdict, difference = compare(self._path, chunks)
        size = self._path.stat().st_size
        self._path.unlink()
        self.files.append(ComparedFile(name, verdict, size, difference))

    def wait(self) -> None:
        """Return: nothing is under way."""


def _compared_lines(
    path: Path, chunks: Iterable[bytes | memoryview]
) -> tuple[Match, Difference | None]:
    with path.open("rb") as file:
        difference = first_difference(file, chunks)
    return Match.SAME if difference is None else Match.DIFFERS, difference


def _compared_rows(
    path: Path, chunks: Iterable[bytes | memoryview]
) -> tuple[Match, Difference | None]:
    found, here = path.read_bytes(), b"".join(chunks)
    if found == here:
        return Match.SAME, None
    difference = first_other_row(found, here)
    return Match.OTHER_BYTES if difference is None else Match.DIFFERS, difference


def first_other_row(run: bytes, here: bytes) -> Difference | None:
    """Return where two Parquet files differ first, as rows; None where they do not."""
    one, other = (pq.read_table(pa.BufferReader(data)) for data in (run, here))
    if not one.schema.equals(other.schema):
        return Difference(1, *(", ".join(map(_column, each.schema)) for each in (one, other)))
    for start in range(0, max(len(one), len(other)), _ROWS):
        parts = [each.slice(start, _ROWS) for each in (one, other)]
        if not parts[0].equals(parts[1]):
            pairs = enumerate(zip_longest(*(part.to_pylist() for part in parts)))
            place, rows = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
            return Difference(start + place + 2, *map(_row, rows))
    return None


def _column(field: pa.Field) -> str:
    return f"{field.name}: {field.type}"


def _row(cells: dict[str, Any] | None) -> str | None:
    return None if cells is None else json.dumps(cells, ensure_ascii=False, default=str)


def first_difference(file: BinaryIO, chunks: Iterable[bytes | memoryview]) -> Difference | None:
    """Return where a file differs first from what should be in it; None where it does not."""
    line, begun = 1, b""  # which line both are in, and the end of what they share of it
    rest = iter(lambda: file.read(_PIECE), b"")
    made = map(bytes, chunks)
    for here in made:
        found = file.read(len(here))
        same = len(here) if found == here else _shared(found, here)
        line += here.count(b"\n", 0, same)
        begun = _line_so_far(begun, here[:same])
        if same < len(here):
            return _difference(
                line, _line(begun, found[same:], rest), _line(begun, here[same:], made)
            )
    more = file.read(_PIECE)
    return _difference(line, _line(begun, more, rest), _line(begun, b"", made)) if more else None


def _difference(line: int, run: str | None, here: str | None) -> Difference:
    """Return lines without their ends, unless it is an end that one of them lacks."""
    lines = [None if text is None else text.removesuffix("\n") for text in (run, here)]
    return Difference(line, *(lines if lines[0] != lines[1] else (run, here)))


def _shared(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _line_so_far(begun: bytes, text: bytes) -> bytes:
    _, end, last = text.rpartition(b"\n")
    return last[-_AROUND:] if end else (begun + last)[-_AROUND:]


def _line(begun: bytes, text: bytes, more: Iterator[bytes]) -> str | None:
    """Return a line from its start to its end, cut on both sides; None where there is none."""
    while b"\n" not in text and len(text) <= _AROUND and (piece := next(more, None)) is not None:
        text += piece
    if not begun and not text:
        return None
    after = b"".join(text.partition(b"\n")[:2])
    cut_before, cut_after = len(begun) == _AROUND, len(after) > _AROUND
    cut = (begun + after[:_AROUND]).decode(errors="backslashreplace")
    return f"{'…' * cut_before}{cut}{'…' * cut_after}"
