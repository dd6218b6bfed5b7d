"""The files of a run in its report."""

from __future__ import annotations

from relay_core.publish.keys import ArtifactKeys
from relay_core.report.blocks import File

_PATHS = ArtifactKeys("", "")


def file_of(artifact: str, note: str = "") -> File:
    """Return a file of a run by the artifact's name; a note says what it lists."""
    return File(artifact, artifact, getattr(_PATHS, artifact, artifact), note)
