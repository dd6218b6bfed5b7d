"""The results of a run for programs: tables, reports, and the files to write."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from relay_core.config import TenantConfig
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunFailure
from relay_core.library.configs import Config
from relay_core.library.output_folder import fresh_tree
from relay_core.library.run_files import MemoryFiles, explanation_of
from relay_core.library.runner import KEYS, LocalRun
from relay_core.library.sinks import FolderSink
from relay_core.publish.artifacts import LOCAL_FOLDERS
from relay_core.publish.feed import feed_table

_PRICE = pa.decimal128(18, 2)


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run.

    Attributes:
        run_id: The ID of the run.
    """

    run_id: str
    _config: TenantConfig
    _run: LocalRun
    _contents: dict[str, bytes]

    def __repr__(self) -> str:
        """Return the run's ID and status, and the error code of a failure."""
        code = f", {self.error_code}" if self.error_code else ""
        return f"<Result of run {self.run_id}: {self.status}{code}>"

    @property
    def status(self) -> str:
        """``succeeded``, ``failed``, or ``held`` if guards put the feed on hold."""
        return str(self._run.findings.status).lower()

    @property
    def error_code(self) -> str | None:
        """The error code of a failed run, or None."""
        failure = self._failure
        return None if failure is None else str(failure.error_code)

    @property
    def error_message(self) -> str | None:
        """The cause of a failure and the fix, or None."""
        failure = self._failure
        return None if failure is None else failure.error_message

    @cached_property
    def feed(self) -> pa.Table | None:
        """The merged feed, one row per SKU, or None if the run failed.

        The columns are those of ``output.columns``. Amounts are decimals.
        """
        merged = self._run.values.merged
        if merged is None or self._failure is not None:
            return None
        return feed_table(merged)

    @cached_property
    def rejected(self) -> pa.Table | None:
        """The rejected rows, as in ``invalid_rows.csv``, or None if there are none."""
        content = self._contents.get(KEYS.invalid_rows)
        if content is None:
            return None
        names = content.partition(b"\n")[0].decode().split(",")
        types = {name: pa.string() for name in names}
        types["row_number"] = pa.int64()
        return csv.read_csv(
            io.BytesIO(content),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=types),
        )

    @cached_property
    def changes(self) -> pa.Table | None:
        """The SKUs that differ from the baseline, or None if nothing was compared.

        The columns are those of ``changes.csv``. Prices are decimals.
        """
        compared = self._run.values.compared
        if compared is None or compared.changes is None or self._failure:
            return None
        rows = compared.changes.rows
        columns = {}
        for name in rows.column_names:
            cells = rows[name]
            if pa.types.is_dictionary(cells.type):
                cells = pc.cast(cells, cells.type.value_type)
            elif pa.types.is_decimal(cells.type):
                cells = cells.cast(_PRICE)
            columns[name] = cells
        return pa.table(columns)

    @cached_property
    def errors(self) -> dict[str, Any] | None:
        """``errors.json``: errors, warnings, and rejected rows; None if there are none."""
        return self._document(KEYS.errors)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``run_summary.json``: the counts of the run."""
        return self._document(KEYS.run_summary) or {}

    @property
    def guards(self) -> list[dict[str, Any]]:
        """The result of each guard, as in ``run_summary.json``.

        The list is empty if the run has no baseline, or failed.
        """
        return self.summary.get("guards") or []

    def explain(self, sku: str) -> dict[str, Any]:
        """Return how a SKU's row of the feed came about, as `relay local --explain` does.

        A SKU that no file has, and every SKU of a failed run, has only an ``error_code``.
        """
        files = MemoryFiles(self._contents)
        return explanation_of(sku, files, self._run.findings, self.run_id, KEYS)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write the files of the run to a folder, as `relay local` does.

        They replace those of an earlier run, and all other files stay. A failed run
        leaves ``outputs/`` and ``published/`` as they are, and a feed on hold leaves
        ``published/``.

        Raises:
            OSError: A file cannot be written.
        """
        with (
            fresh_tree(Path(folder)) as tree,
            FolderSink(tree.path) as sink,
        ):
            tree.status = RunStatus(self._run.findings.status)
            for path, content in self._contents.items():
                if path.startswith(tuple(f"{name}/" for name in LOCAL_FOLDERS)):
                    sink.write(path, [content])
            sink.wait()

    @property
    def state(self) -> bytes | None:
        """The state of the feed, for the baseline of a later run.

        It is None if the run failed, or its feed is on hold.
        """
        return self._contents.get(KEYS.published_state)

    @property
    def _failure(self) -> RunFailure | None:
        return self._run.findings.failure

    def _document(self, path: str) -> dict[str, Any] | None:
        content = self._contents.get(path)
        if content is None:
            return None
        document: dict[str, Any] = json.loads(content)
        return document


@dataclass(frozen=True)
class Check:
    """The check of files against a config.

    Attributes:
        verdict: ``succeeds`` if a run with these files would not fail, else ``fails``.
            Guards are not judged.
        message: The verdict as a sentence, with the cause of a failure.
        doubts: Valid settings and rows that are probably not meant, each with its code,
            path, vendor, count, samples, and message.
        proposals: The changes to the config that the files need, as a JSON Patch.
        config: The config with the proposals.
    """

    verdict: str
    message: str
    doubts: list[dict[str, Any]]
    proposals: list[dict[str, Any]]
    config: Config
