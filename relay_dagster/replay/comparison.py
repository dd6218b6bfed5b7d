"""The comparison of a run's files with the files that a replay makes."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from relay_core.domain.formats import FORMATS
from relay_core.publish.files.writers import WRITERS
from relay_dagster.replay.engine import KEYS
from relay_dagster.replay.run_artifacts import RunArtifacts

if TYPE_CHECKING:
    import pandas as pd

# How much of a line is shown before and after a difference.
_CONTEXT_BYTES = 500
_BATCH_ROWS = 1 << 16
_PACKED = ".gz"
_KEYS = (["vendor_id", "row_number"], ["sku"])
"""The columns that identify a row. A table uses the first of these keys that it has."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between two files.

    Attributes:
        line: The number of the line, from 1. In a Parquet file, the columns are line 1,
            and each row is a line.
        run: The line in the run's file, or None if the file has ended.
        here: The line in the replayed file, or None if the file has ended.
    """

    line: int
    run: str | None
    here: str | None


class Match(StrEnum):
    """The result of comparing a run's file with the replayed file."""

    SAME = "the same"
    OTHER_BYTES = "the same rows in other bytes"
    DIFFERS = "differs"
    ONLY_IN_RUN = "does not come out here"
    ONLY_HERE = "comes out here alone"


@dataclass(frozen=True, slots=True)
class ComparedFile:
    """A file of the run beside the replayed file.

    Attributes:
        name: The name of the artifact.
        verdict: The result of the comparison.
        size: The size of the run's file in bytes.
        difference: The first difference.
        columns: The number of rows that differ, by column, with the number of rows that
            only one side has as `rows`. It is empty if the run's file is no table, or if
            only the order of its rows differs.
    """

    name: str
    verdict: Match
    size: int | None = None
    difference: Difference | None = None
    columns: Mapping[str, int] = field(default_factory=dict)


class ComparingSink:
    """A `Sink` of the engine that compares each file with the run's, and keeps none.

    Attributes:
        files: The files that are compared.
    """

    def __init__(self, artifacts: RunArtifacts, folder: Path) -> None:
        self._artifacts = artifacts
        self._run_path = folder / "run"
        self._replayed_path = folder / "here"
        self.files: list[ComparedFile] = []

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Compare a file that the engine makes."""
        name = KEYS.artifact_name(key)
        if name in self._artifacts.links:
            self.files.append(self._compared(name, key, chunks))
        else:
            self.files.append(ComparedFile(name, Match.ONLY_HERE))

    def wait(self) -> None:
        """Return at once, since nothing is written in the background."""

    def _compared(
        self,
        name: str,
        key: str,
        chunks: Iterable[bytes | memoryview],
    ) -> ComparedFile:
        run_sha256 = self._artifacts.fetch(name, self._run_path)
        size = self._run_path.stat().st_size
        with self._replayed_path.open("w+b") as file:
            file.writelines(chunks)
            file.seek(0)
            replayed_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if replayed_sha256 == run_sha256 or self._is_packed_the_same(key):
            return ComparedFile(name, Match.SAME, size)
        file_name = PurePosixPath(key.removesuffix(_PACKED))
        file_format = file_name.suffix.removeprefix(".")
        difference = self._first_difference(file_format)
        if difference is None:
            return ComparedFile(name, Match.OTHER_BYTES, size)
        columns: Mapping[str, int] = {}
        # The run's file may have been damaged, so that it is no table any more.
        with suppress(pa.ArrowInvalid):
            columns = differing_columns(
                _read_table(self._run_path, file_format),
                _read_table(self._replayed_path, file_format),
            )
        return ComparedFile(name, Match.DIFFERS, size, difference, columns)

    def _is_packed_the_same(self, key: str) -> bool:
        """Return whether two packed files have the same content, and unpack them.

        Only the unpacked bytes are the same on every machine. A file that has been
        damaged stays as it is.
        """
        if not key.endswith(_PACKED):
            return False
        digests = []
        for path in (self._run_path, self._replayed_path):
            with suppress(OSError, EOFError, zlib.error):
                content = gzip.decompress(path.read_bytes())
                path.write_bytes(content)
                digests.append(hashlib.sha256(content).digest())
        return len(digests) == 2 and digests[0] == digests[1]

    def _first_difference(self, file_format: str) -> Difference | None:
        has_rows = file_format in FORMATS and FORMATS[file_format].is_binary
        if has_rows:
            return first_differing_row(
                self._run_path.read_bytes(),
                self._replayed_path.read_bytes(),
            )
        with (
            self._run_path.open("rb") as run,
            self._replayed_path.open("rb") as here,
        ):
            return first_differing_line(run, here)


def differing_columns(run: pa.Table, here: pa.Table) -> dict[str, int]:
    """Return the number of rows that differ, by column; `rows` counts unpaired rows.

    Rows are paired by vendor and row number, or by SKU, if the tables have these columns,
    and else by their order.
    """
    run_rows = _rows_by_key(run)
    replayed_rows = _rows_by_key(here)
    common_keys = run_rows.index.intersection(replayed_rows.index)
    counts = {"rows": len(run_rows) + len(replayed_rows) - 2 * len(common_keys)}
    for name in dict.fromkeys([*run_rows.columns, *replayed_rows.columns]):
        if name in run_rows and name in replayed_rows:
            run_cells = run_rows.loc[common_keys, name]
            replayed_cells = replayed_rows.loc[common_keys, name]
            counts[name] = int((run_cells != replayed_cells).sum())
        else:
            counts[name] = len(common_keys)
    return {name: count for name, count in counts.items() if count}


def first_differing_row(run: bytes, here: bytes) -> Difference | None:
    """Return the first row in which two Parquet files differ, or None."""
    run_table = pq.read_table(pa.BufferReader(run))
    replayed_table = pq.read_table(pa.BufferReader(here))
    if not run_table.schema.equals(replayed_table.schema):
        return Difference(
            1,
            _columns_as_text(run_table.schema),
            _columns_as_text(replayed_table.schema),
        )
    for start in range(
        0,
        max(len(run_table), len(replayed_table)),
        _BATCH_ROWS,
    ):
        run_batch = run_table.slice(start, _BATCH_ROWS)
        replayed_batch = replayed_table.slice(start, _BATCH_ROWS)
        if run_batch.equals(replayed_batch):
            continue
        pairs = zip_longest(run_batch.to_pylist(), replayed_batch.to_pylist())
        for index, (run_row, replayed_row) in enumerate(pairs):
            if run_row != replayed_row:
                return Difference(
                    # The columns are the first line, and lines are counted from 1.
                    start + index + 2,
                    _row_as_text(run_row),
                    _row_as_text(replayed_row),
                )
    return None


def first_differing_line(run: BinaryIO, here: BinaryIO) -> Difference | None:
    """Return the first line in which two files differ, cut around the difference, or None.

    The texts have no line end, unless the line ends are the difference.
    """
    for number, (run_line, here_line) in enumerate(zip_longest(run, here), 1):
        if run_line == here_line:
            continue
        position = _first_differing_byte(run_line or b"", here_line or b"")
        run_text = _text_around(run_line, position)
        here_text = _text_around(here_line, position)
        bare_run_text = _without_line_end(run_text)
        bare_here_text = _without_line_end(here_text)
        if bare_run_text != bare_here_text:
            return Difference(number, bare_run_text, bare_here_text)
        return Difference(number, run_text, here_text)
    return None


def _rows_by_key(table: pa.Table) -> "pd.DataFrame":
    """Return the rows of a table as texts, indexed by their key if they have one."""
    # Only runs with a file that differs load pandas.
    import pandas as pd

    frame = pd.DataFrame(
        {
            name: table[name].cast(pa.string()).fill_null("").to_numpy()
            for name in table.column_names
        },
    )
    for key in _KEYS:
        if set(key) <= set(frame.columns):
            # The order of rows with the same key distinguishes them.
            repetition = frame.groupby(key).cumcount()
            key_columns = [frame[name] for name in key]
            return frame.set_index([*key_columns, repetition])
    return frame


def _read_table(path: Path, file_format: str) -> pa.Table:
    """Return a file of rows as a table; a file of another format is read as CSV."""
    writer = WRITERS.get(file_format, WRITERS["csv"])
    return writer.table(path)


def _columns_as_text(schema: pa.Schema) -> str:
    return ", ".join(f"{column.name}: {column.type}" for column in schema)


def _row_as_text(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    return json.dumps(row, ensure_ascii=False, default=str)


def _first_differing_byte(run_line: bytes, here_line: bytes) -> int:
    pairs = zip(run_line, here_line, strict=False)
    for position, (run_byte, here_byte) in enumerate(pairs):
        if run_byte != here_byte:
            return position
    return min(len(run_line), len(here_line))


def _text_around(line: bytes | None, position: int) -> str | None:
    """Return the part of a line around a position."""
    if line is None:
        return None
    start = max(position - _CONTEXT_BYTES, 0)
    end = position + _CONTEXT_BYTES
    text = line[start:end].decode(errors="backslashreplace")
    before = "…" if start > 0 else ""
    after = "…" if len(line) > end else ""
    return f"{before}{text}{after}"


def _without_line_end(text: str | None) -> str | None:
    return None if text is None else text.removesuffix("\n")
