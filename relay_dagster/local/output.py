"""A local run into an output folder, with its limit of memory and its progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from relay_core.columnar.threads import tune_process
from relay_core.library.output_folder import FreshTree, fresh_tree
from relay_core.library.runner import KEYS, LocalRun, Means, RunClock, run
from relay_core.library.sinks import FolderSink
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.local.progress import progress
from relay_dagster.local.request import LocalRequest, UsageError


class LocalOutput(NamedTuple):
    """The result of a run into a folder.

    Attributes:
        run: The run.
        explanations: The explanations of the requested SKUs.
    """

    run: LocalRun
    explanations: Sequence[dict[str, Any]]


def run_into(request: LocalRequest, output_dir: Path) -> LocalOutput:
    """Run the engine over the requested files, and write the output to a folder.

    Raises:
        UsageError: A file cannot be read or written.
    """
    tune_process()
    clock = RunClock()
    try:
        with (
            fresh_tree(output_dir) as tree,
            FolderSink(tree.path) as sink,
            progress(clock, request.run.files.size),
        ):
            means = Means(
                sink,
                clock,
                MemoryLimit(request.memory_mb),
                hands_over=bool(request.explain),
            )
            local_run = run(request.run, means)
            explanations = _explanations(request, local_run, tree)
            tree.status = local_run.findings.status
    except OSError as error:
        raise UsageError(
            f"{error.filename or output_dir}: {error.strerror or error}",
        ) from None
    return LocalOutput(local_run, explanations)


def _explanations(
    request: LocalRequest,
    local_run: LocalRun,
    tree: FreshTree,
) -> list[dict[str, Any]]:
    if not request.explain:
        return []
    # Only this option needs the module.
    from relay_core.library.run_files import FolderFiles, explanation_of

    files = FolderFiles(tree.path)
    run_id = request.run.context.run_id
    return [
        explanation_of(sku, files, local_run.findings, run_id, KEYS)
        for sku in request.explain
    ]
