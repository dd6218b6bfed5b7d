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


def explain(
    skus: Sequence[str],
    findings: RunFindings,
    run_id: str,
    keys: ArtifactKeys,
    tree: Path,
) -> list[dict[str, Any]]:
    """Return the explanation of each SKU, or an error code if it has none."""
    files = FolderFiles(tree)
    explanations = []
    for sku in skus:
        error_type: type[RelayError] = RunNotMergedError
        explanation = None
        if findings.failure is None:
            try:
                explanation = explain_sku(files, keys, run_id, sku)
            except SkuNotFoundError:
                error_type = SkuNotFoundError
        if explanation is None:
            explanation = {
                "sku": sku.strip(),
                "error_code": error_type.error_code,
            }
        explanations.append(explanation)
    return explanations
