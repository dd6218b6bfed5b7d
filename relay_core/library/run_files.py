"""The explanations of SKUs of a local run, from the files that the run left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from relay_core.columnar.sorted_file import ByteRange
from relay_core.domain.errors import (
    RelayError,
    RunNotMergedError,
    SkuNotFoundError,
)
from relay_core.publish.explaining.explanation import explain_sku
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.work_files import RunFiles


class FolderFiles:
    """The files of a run in a folder; it implements the engine's `RunFiles`.

    Args:
        tree: The folder of the run.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size of each file in bytes, by its path below the folder."""
        return {
            path.relative_to(self._tree).as_posix(): path.stat().st_size
            for path in self._tree.rglob("*")
            if path.is_file()
        }

    def read(self, parts: Sequence[tuple[str, ByteRange]]) -> list[bytes]:
        """Return parts of files."""
        return [self._part(path, byte_range) for path, byte_range in parts]

    def _part(self, path: str, byte_range: ByteRange) -> bytes:
        with (self._tree / path).open("rb") as file:
            file.seek(byte_range.start)
            return file.read(byte_range.stop - byte_range.start)


class MemoryFiles:
    """The files of a run in memory; it implements the engine's `RunFiles`.

    Args:
        contents: The bytes of each file, by its path.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size of each file in bytes, by its path."""
        return {path: len(data) for path, data in self._contents.items()}

    def read(self, parts: Sequence[tuple[str, ByteRange]]) -> list[bytes]:
        """Return parts of files."""
        return [
            self._contents[path][byte_range.start : byte_range.stop]
            for path, byte_range in parts
        ]


def explanation_of(
    sku: str,
    files: RunFiles,
    findings: RunFindings,
    run_id: str,
    keys: ArtifactKeys,
) -> dict[str, Any]:
    """Return the explanation of a SKU, or its error code if it has none.

    The run must have handed its work files over.
    """
    error_type: type[RelayError] = RunNotMergedError
    if findings.failure is None:
        try:
            explanation: dict[str, Any] = explain_sku(files, keys, run_id, sku)
        except SkuNotFoundError:
            error_type = SkuNotFoundError
        else:
            return explanation
    return {"sku": sku.strip(), "error_code": error_type.error_code}
