"""Files that the engine makes here, held against those of the run while they are made."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from relay_dagster.replay.engine import KEYS
from relay_dagster.replay.run_artifacts import RunArtifacts

_AROUND = 500  # so many bytes of a line are shown before the first that differs, and from it on
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
        name, run, here = KEYS.artifact_name(key), self._run, self._here
        if name not in self._artifacts.links:
            self.files.append(ComparedFile(name, Match.ONLY_HERE))
            return
        sha256 = self._artifacts.fetch(name, run)
        with here.open("w+b") as file:
            file.writelines(chunks)
            file.seek(0)
            is_same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        format, size = PurePosixPath(key).suffix.removeprefix("."), run.stat().st_size
        if is_same:
            self.files.append(ComparedFile(name, Match.SAME, size))
            return
        if format == "parquet":
            difference = first_other_row(run.read_bytes(), here.read_bytes())
        else:
            with run.open("rb") as found, here.open("rb") as made:
                difference = first_difference(found, made)
        verdict = Match.OTHER_BYTES if difference is None else Match.DIFFERS
        columns: Mapping[str, int] = {}
        if verdict is Match.DIFFERS:
            with suppress(pa.ArrowInvalid):  # the run's is no table any more
                columns = differing_columns(_table(run, format), _table(here, format))
        self.files.append(ComparedFile(name, verdict, size, difference, columns))

    def wait(self) -> None:
        """Return: nothing is under way."""


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
    return frame.set_index(
        [*(frame[name] for name in keys), frame.groupby(keys).cumcount()]
    )


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
        columns = (
            ", ".join(f"{f.name}: {f.type}" for f in each.schema)
            for each in (one, other)
        )
        return Difference(1, *columns)
    for start in range(0, max(len(one), len(other)), _ROWS):
        parts = [each.slice(start, _ROWS) for each in (one, other)]
        if not parts[0].equals(parts[1]):
            pairs = enumerate(zip_longest(*(part.to_pylist() for part in parts)))
            place, rows = next(
                (place, pair) for place, pair in pairs if pair[0] != pair[1]
            )
            texts = (
                row and json.dumps(row, ensure_ascii=False, default=str) for row in rows
            )
            return Difference(start + place + 2, *texts)
    return None


def first_difference(run: BinaryIO, here: BinaryIO) -> Difference | None:
    """Return the first lines that differ, cut around the place; None where two files do not.

    They are without their ends, unless it is an end that one of them lacks.
    """
    for number, lines in enumerate(zip_longest(run, here), 1):
        if lines[0] != lines[1]:
            one, other = (line or b"" for line in lines)
            pairs = enumerate(zip(one, other, strict=False))
            at = next(
                (at for at, pair in pairs if pair[0] != pair[1]),
                min(len(one), len(other)),
            )
            cut = [None if line is None else _around(line, at) for line in lines]
            bare = [None if text is None else text.removesuffix("\n") for text in cut]
            return Difference(number, *(bare if bare[0] != bare[1] else cut))
    return None


def _around(line: bytes, at: int) -> str:
    text = line[max(at - _AROUND, 0) : at + _AROUND].decode(errors="backslashreplace")
    return f"{'…' * (at > _AROUND)}{text}{'…' * (len(line) > at + _AROUND)}"
