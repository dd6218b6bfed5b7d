"""A run proved by replay: its inputs through the engine here, its files held against the run's."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.client.session import Session
from relay_dagster.replay.comparison import ComparedFile, ComparingSink, Match
from relay_dagster.replay.engine import ReplayInputs, replay
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
        self.run = artifacts.run
        stages = set(artifacts.summary.stage_times) if artifacts.summary else set()
        if Stage.MERGE_PRICE in stages and Stage.NORMALIZE not in stages:
            inputs = artifacts.manifest.vendors.values()
            source_runs = sorted({entry.selection for entry in inputs if entry.selection})
            raise NotReplayableError(
                f"run {run_id} has merged rows that another run has read: verify that one "
                f"({', '.join(source_runs) or 'the one before it'})"
            )
        self.engine_version = artifacts.summary.engine_version if artifacts.summary else None
        sink = ComparingSink(artifacts, folder)
        replayed = replay(ReplayInputs(artifacts), sink)
        # A file that comes out here alone tells something of a run that came as far.
        came_as_far = Stage.MERGE_PRICE in stages or self.run.status == RunStatus.FAILED
        whole = came_as_far and _ended_by_its_data(self.run)
        made = {file.name for file in sink.files}
        lost = (name for name in artifacts.links if name.startswith(_COMPARED) and name not in made)
        self.files = [file for file in sink.files if whole or file.verdict is not Match.ONLY_HERE]
        self.files += [ComparedFile(name, Match.ONLY_IN_RUN) for name in lost]
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
            "files": [
                {"name": file.name, "verdict": file.verdict, "bytes": file.size}
                | ({"first_difference": asdict(file.difference)} if file.difference else {})
                for file in self.files
            ],
        }

    def show(self) -> None:
        """Write it for people: each file, then the first difference."""
        screen = self._screen
        if self.engine_version not in (None, ENGINE_VERSION):
            screen.complain(
                f"the run's engine was version {self.engine_version}, here it is {ENGINE_VERSION}: "
                "a difference may be the version's"
            )
        end = self.run.error_code if self.run.status == RunStatus.FAILED else None
        if end != self._end_here and _ended_by_its_data(self.run):
            ends = [code or "with a feed" for code in (end, self._end_here)]
            screen.complain(f"the run ended {ends[0]}, here {ends[1]}")
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


def _ended_by_its_data(run: Run) -> bool:
    return run.status != RunStatus.CANCELLED and run.error_code not in _NOT_BY_ITS_DATA
