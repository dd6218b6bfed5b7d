"""The files of a run in its report."""

from __future__ import annotations

from collections.abc import Mapping

from relay_core.publish import artifacts
from relay_core.report.blocks import File

MAX_FILES = 1_000
"""The number of files that a report lists."""


def file_of(name: str, note: str = "") -> File:
    """Return a file by the artifact's name, as runs have it.

    The path is the name if it differs between runs. ``note`` says what the file lists.
    """
    artifact = artifacts.artifact_named(name)
    path = name
    if artifact is not None and artifact.name == name:
        path = artifact.path
    return File(name, artifacts.title_of(name) or name, path, note)


def files_of(paths: Mapping[str, str]) -> tuple[File, ...]:
    """Return files of a run in the order in which people open them.

    ``paths`` are below the run's prefix, by the artifact's name. A work file has an empty
    name, and is left out.
    """
    names = artifacts.in_order(filter(None, paths))[:MAX_FILES]
    return tuple(
        File(name, artifacts.title_of(name) or name, paths[name])
        for name in names
    )
