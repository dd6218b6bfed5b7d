"""Why SKUs' rows of a local run's feed are what they are, from the files that it has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from relay_core.columnar.sorted_file import ByteRange
from relay_core.domain.errors import RelayError, RunNotMergedError, SkuNotFoundError
from relay_core.publish.explanation import explain_sku
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys


class FolderFiles:
    """The files of a run in a folder; the engine's ``RunFiles``.

    Args:
        tree: the folder that they lie under.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes each has, by path."""
        files = (path for path in self._tree.rglob("*") if path.is_file())
        return {
            path.relative_to(self._tree).as_posix(): path.stat().st_size
            for path in files
        }

    def read(self, parts: Sequence[tuple[str, ByteRange]]) -> list[bytes]:
        """Return parts of files."""
        return [self._part(path, part) for path, part in parts]

    def _part(self, path: str, part: ByteRange) -> bytes:
        with (self._tree / path).open("rb") as file:
            file.seek(part.start)
            return file.read(part.stop - part.start)


def explain(
    skus: Sequence[str],
    findings: RunFindings,
    run_id: str,
    keys: ArtifactKeys,
    tree: Path,
) -> list[dict[str, Any]]:
    """Return the explanation of each SKU, in their order; of an unknown one the reason."""
    files = FolderFiles(tree)
    return [_explain(sku, findings, run_id, keys, files) for sku in skus]


def _explain(
    sku: str, findings: RunFindings, run_id: str, keys: ArtifactKeys, files: FolderFiles
) -> dict[str, Any]:
    error: type[RelayError] = RunNotMergedError
    if findings.failure is None:
        try:
            return explain_sku(files, keys, run_id, sku)
        except SkuNotFoundError:
            error = SkuNotFoundError
    return {"sku": sku.strip(), "error_code": error.error_code}
