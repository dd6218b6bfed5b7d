"""A run proved by replay: its inputs through the engine here, its files held against the run's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.client.artifacts import RunSummary
from relay_dagster.client.session import Session
from relay_dagster.replay.comparison import ComparedFile, ComparingSink, Match
from relay_dagster.replay.engine import LastGood, replay
from relay_dagster.replay.run_artifacts import NotReplayableError, RunArtifacts
from relay_dagster.wire.runs import Run

_COMPARED = ("normalized_", "invalid_rows", "changes", "merged_inventory")
_NOT_BY_ITS_DATA = (FailureCode.POISON_JOB, FailureCode.RUN_TIMEOUT)


class Verification:
    """One run beside what comes out of its inputs here.

    Raises:
        NotReplayableError: what it is made of is not there.
        TamperedError: an input is not the one that it has read.
    """

    def __init__(self, session: Session, run_id: str, folder: Path) -> None:
        self._screen = session.screen
        artifacts = RunArtifacts(session, run_id, folder)
        _refuse_reused_rows(artifacts)
        self.run = artifacts.run
        self.engine_version = artifacts.summary.engine_version if artifacts.summary else None
        sink = ComparingSink(artifacts, folder)
        config = artifacts.config
        replayed = replay(artifacts, config, sink, LastGood(artifacts, config))
        self.files = list(_files(artifacts, sink))
        failure = replayed.findings.failure
        self._end_here = None if failure is None else failure.error_code

    @property
    def is_same(self) -> bool:
        """Whether every file is the same."""
        return not self.different()

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "run_id": self.run.run_id,
            "same": self.is_same,
            "engine_version": self.engine_version,
            "engine_version_here": ENGINE_VERSION,
            "files": [_file_json(file) for file in self.files],
        }

    def show(self) -> None:
        """Write it for people: each file, then the first difference."""
        screen = self._screen
        for line in self._remarks():
            screen.complain(line)
        if self.files:
            rows = [
                (file.name, "-" if file.size is None else f"{file.size:,}", file.verdict)
                for file in self.files
            ]
            screen.table(("file", "bytes", "here"), rows)
        different = self.different()
        if not different:
            what = "bytes" if all(file.verdict is Match.SAME for file in self.files) else "rows"
            screen.say(f"run {self.run.run_id}: {len(self.files)} files, the same {what} here")
            return
        file = different[0]
        screen.say()
        if file.difference is None:
            screen.say(f"first difference: {file.name} {file.verdict}")
            return
        screen.say(f"first difference: {file.name}, line {file.difference.line:,}")
        for where, text in (("run ", file.difference.run), ("here", file.difference.here)):
            screen.say(f"{where}  {'(the file has ended)' if text is None else text}", indent=2)

    def different(self) -> list[ComparedFile]:
        """Return what is not the same; one version of the engine writes rows in the same bytes."""
        same = {Match.SAME}
        if self.engine_version != ENGINE_VERSION:
            same.add(Match.OTHER_BYTES)
        return [file for file in self.files if file.verdict not in same]

    def _remarks(self) -> Iterator[str]:
        """Yield what else tells the run and this replay apart."""
        if self.engine_version not in (None, ENGINE_VERSION):
            yield (
                f"the run's engine was version {self.engine_version}, here it is {ENGINE_VERSION}: "
                "a difference may be the version's"
            )
        end = self.run.error_code if self.run.status == RunStatus.FAILED else None
        if end != self._end_here and _ended_by_its_data(self.run):
            yield f"the run ended {end or 'with a feed'}, here {self._end_here or 'with a feed'}"


def _refuse_reused_rows(artifacts: RunArtifacts) -> None:
    """Refuse a run that has merged what another one has read."""
    stages = _stages(artifacts.summary)
    if Stage.MERGE_PRICE in stages and Stage.NORMALIZE not in stages:
        source_runs = {entry.selection for entry in artifacts.inputs.values() if entry.selection}
        raise NotReplayableError(
            f"run {artifacts.run.run_id} has merged rows that another run has read: verify that "
            f"one ({', '.join(sorted(source_runs)) or 'the one before it'})"
        )


def _files(artifacts: RunArtifacts, sink: ComparingSink) -> Iterator[ComparedFile]:
    """Yield what was compared; then the files that only the run, or a full run only here, has."""
    merged = Stage.MERGE_PRICE in _stages(artifacts.summary)
    whole = _ended_by_its_data(artifacts.run) and (
        merged or artifacts.run.status == RunStatus.FAILED
    )
    yield from (file for file in sink.files if whole or file.verdict is not Match.ONLY_HERE)
    made = {file.name for file in sink.files}
    for name in artifacts.links:
        if name.startswith(_COMPARED) and name not in made:
            yield ComparedFile(name, Match.ONLY_IN_RUN)


def _stages(summary: RunSummary | None) -> set[str]:
    return set() if summary is None else set(summary.stage_times)


def _ended_by_its_data(run: Run) -> bool:
    return run.status != RunStatus.CANCELLED and run.error_code not in _NOT_BY_ITS_DATA


def _file_json(file: ComparedFile) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": file.name, "verdict": file.verdict, "bytes": file.size}
    if file.difference is not None:
        first = file.difference
        shown["first_difference"] = {"line": first.line, "run": first.run, "here": first.here}
    return shown
