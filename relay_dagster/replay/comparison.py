"""Files that the engine makes here, held against those of the run while they are made."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from relay_dagster.replay.engine import KEYS
from relay_dagster.replay.run_artifacts import RunArtifacts

_AROUND = 500
"""So many bytes of a line are told before the first that differs, and from it on."""
_PIECE = 1 << 16
_ROWS = 1 << 16
_KEYS = (("vendor_id", "row_number"), ("sku",))
"""What tells the rows of a file apart, the first of which all are there."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two files differ; a line is None where its file has ended."""

    # Counted from 1, by line ends; in Parquet the columns are the first, and each row one
    line: int
    run: str | None  # the run's line
    here: str | None  # the line that comes out here


class Match(StrEnum):
    """How a file of the run and the one that comes out here compare."""

    SAME = "the same"
    OTHER_BYTES = "the same rows in other bytes"
    DIFFERS = "differs"
    ONLY_IN_RUN = "does not come out here"
    ONLY_HERE = "comes out here alone"


@dataclass(frozen=True, slots=True)
class ComparedFile:
    """One file of both sides."""

    name: str  # of the artifact
    verdict: Match  # how both compare
    size: int | None = None  # how many bytes the run's has
    difference: Difference | None = None  # the first
    # In how many rows each column differs; under ``rows`` those that one side lacks. Empty where
    # the run's file is no table, or its rows are in another order alone
    columns: Mapping[str, int] = field(default_factory=dict)


class ComparingSink:
    """The engine's `Sink` that keeps nothing: each file is held against the run's."""

    def __init__(self, artifacts: RunArtifacts, folder: Path) -> None:
        self._artifacts = artifacts
        self._run, self._here = folder / "run", folder / "here"
        self.files: list[ComparedFile] = []

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Compare a file that the engine makes."""
        name = KEYS.artifact_name(key)
        if name not in self._artifacts.links:
            self.files.append(ComparedFile(name, Match.ONLY_HERE))
            return
        self._artifacts.fetch(name, self._run)
        with self._here.open("wb") as file:
            file.writelines(chunks)
        format = PurePosixPath(key).suffix.removeprefix(".")
        compare = _compared_rows if format == "parquet" else _compared_lines
        verdict, difference = compare(self._run, self._here)
        columns = self._columns(format) if verdict is Match.DIFFERS else {}
        size = self._run.stat().st_size
        self.files.append(ComparedFile(name, verdict, size, difference, columns))

    def _columns(self, format: str) -> dict[str, int]:
        try:
            return differing_columns(_table(self._run, format), _table(self._here, format))
        except pa.ArrowInvalid:
            return {}  # the run's is no table any more

    def wait(self) -> None:
        """Return: nothing is under way."""


def _compared_lines(run: Path, here: Path) -> tuple[Match, Difference | None]:
    with run.open("rb") as found, here.open("rb") as made:
        difference = first_difference(found, iter(lambda: made.read(_PIECE), b""))
    return Match.SAME if difference is None else Match.DIFFERS, difference


def _compared_rows(run: Path, here: Path) -> tuple[Match, Difference | None]:
    found, made = run.read_bytes(), here.read_bytes()
    if found == made:
        return Match.SAME, None
    difference = first_other_row(found, made)
    return Match.OTHER_BYTES if difference is None else Match.DIFFERS, difference


def differing_columns(run: pa.Table, here: pa.Table) -> dict[str, int]:
    """Return in how many rows each column differs; under ``rows`` how many rows one side lacks.

    Rows are told apart by vendor and number, or by SKU, where the tables have them: else by place.
    """
    one, other = _by_key(run), _by_key(here)
    both = one.index.intersection(other.index)
    counts = {"rows": len(one) + len(other) - 2 * len(both)}
    for name in dict.fromkeys([*one.columns, *other.columns]):
        if name in one and name in other:
            counts[name] = int((one.loc[both, name] != other.loc[both, name]).sum())
        else:
            counts[name] = len(both)
    return {name: count for name, count in counts.items() if count}


def _by_key(table: pa.Table) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            name: table[name].cast(pa.string()).fill_null("").to_numpy()
            for name in table.column_names
        }
    )
    keys = next((list(each) for each in _KEYS if set(each) <= set(frame.columns)), None)
    if keys is None:
        return frame
    # A key may stand in several rows: they are told apart by their order.
    return frame.set_index([*(frame[name] for name in keys), frame.groupby(keys).cumcount()])


def _table(path: Path, format: str) -> pa.Table:
    """Return a file of rows; all cells of one of texts are texts."""
    if format == "parquet":
        return pq.read_table(path)
    if format == "jsonl":
        return pa_json.read_json(path)
    delimiter = "\t" if format == "tsv" else ","
    parsing = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with path.open("rb") as file:
        names = pa_csv.open_csv(file, parse_options=parsing).schema.names
    types = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa_csv.read_csv(path, parse_options=parsing, convert_options=types)


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
        _, end, last = here[:same].rpartition(b"\n")
        begun = last[-_AROUND:] if end else (begun + last)[-_AROUND:]
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
