"""The verification of one run: its files beside those of a replay."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import ENGINE_VERSION
from relay_core.publish.artifacts import artifact_named
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.replay.comparison import (
    ComparedFile,
    ComparingSink,
    Match,
)
from relay_dagster.replay.engine import ReplayInputs, replay
from relay_dagster.replay.run_artifacts import NotReplayableError, RunArtifacts
from relay_dagster.wire.runs import Run

_FAILURES_OF_THE_SYSTEM = (FailureCode.POISON_JOB, FailureCode.RUN_TIMEOUT)
"""The failures that a replay does not repeat, because they do not come from the data."""
_VERDICTS = {
    Match.SAME: "the same",
    Match.OTHER_BYTES: "the same rows in other bytes",
    Match.DIFFERS: "differs",
    Match.ONLY_IN_RUN: "only in the run",
    Match.ONLY_HERE: "only in the replay",
}
"""The results of comparing a file, in words for people."""


@dataclass(frozen=True, slots=True)
class Verification:
    """A run beside its replay.

    Attributes:
        run: The run's record.
        engine_version: The version of the run's engine, or None without a run summary.
        files: The compared files.
        end_difference: A sentence if the run and the replay ended differently.
    """

    run: Run
    engine_version: str | None
    files: Sequence[ComparedFile]
    end_difference: str | None

    @property
    def is_same(self) -> bool:
        """True if every file is the same."""
        return not self.differing_files()

    def differing_files(self) -> list[ComparedFile]:
        """Return the files that are not the same.

        The same rows in other bytes are a difference only if both engines have the same
        version.
        """
        accepted = {Match.SAME}
        if self.engine_version != ENGINE_VERSION:
            accepted.add(Match.OTHER_BYTES)
        return [file for file in self.files if file.verdict not in accepted]

    def as_json(self) -> dict[str, Any]:
        """Return the verification for programs."""
        return {
            "run_id": self.run.run_id,
            "same": self.is_same,
            "engine_version": self.engine_version,
            "engine_version_here": ENGINE_VERSION,
            "files": [_file_as_json(file) for file in self.files],
        }

    def show(self, screen: Screen) -> None:
        """Write the verification for people: each file, then the first difference."""
        if self.engine_version not in (None, ENGINE_VERSION):
            screen.complain(
                f"The run used engine {self.engine_version}, and this is engine "
                f"{ENGINE_VERSION}. Differences may come from that.",
            )
        if self.end_difference is not None:
            screen.complain(self.end_difference)
        if self.files:
            rows = []
            for file in self.files:
                size = "-" if file.size is None else f"{file.size:,}"
                rows.append((file.name, size, _VERDICTS[file.verdict]))
            screen.table(("file", "bytes", "here"), rows)
        differing_files = self.differing_files()
        if differing_files:
            _show_difference(screen, differing_files[0])
            return
        are_same_bytes = all(file.verdict is Match.SAME for file in self.files)
        unit = "bytes" if are_same_bytes else "rows"
        screen.say(
            f"Run {self.run.run_id} is verified: {len(self.files)} files, the same {unit}.",
        )


def verify_run(session: Session, run_id: str, folder: Path) -> Verification:
    """Replay a run and compare its files with those of the replay.

    Raises:
        NotReplayableError: The files that the replay needs are not all there.
        TamperedError: An input is not the one that the run read.
    """
    artifacts = RunArtifacts.of(session, run_id, folder)
    run = artifacts.run
    summary = artifacts.summary()
    engine_version = None
    passed_stages: set[str] = set()
    if summary is not None:
        engine_version = summary.engine_version
        passed_stages.update(summary.stage_times)
    has_merged = Stage.MERGE_PRICE in passed_stages
    if has_merged and Stage.NORMALIZE not in passed_stages:
        raise _merged_rows_of_another(artifacts)
    sink = ComparingSink(artifacts, folder)
    _, values = replay(ReplayInputs(artifacts, artifacts.config()), sink)

    # A file that only the replay makes is a difference only if the run came as far.
    is_end_repeatable = (
        run.status != RunStatus.CANCELLED
        and run.error_code not in _FAILURES_OF_THE_SYSTEM
    )
    has_all_files = has_merged or run.status == RunStatus.FAILED
    files = sink.files
    if not (is_end_repeatable and has_all_files):
        files = [file for file in files if file.verdict is not Match.ONLY_HERE]
    replayed_names = {file.name for file in sink.files}
    missing_files = [
        ComparedFile(name, Match.ONLY_IN_RUN)
        for name in artifacts.links
        if _has_rows(name) and name not in replayed_names
    ]
    end_difference = None
    if is_end_repeatable:
        failure = values.failure
        end_difference = _end_difference(
            run,
            failure.error_code if failure else None,
        )
    return Verification(
        run,
        engine_version,
        [*files, *missing_files],
        end_difference,
    )


def _has_rows(name: str) -> bool:
    """Return True if the engine makes the rows of an artifact, in a replay, too."""
    artifact = artifact_named(name)
    return artifact is not None and artifact.has_rows


def _merged_rows_of_another(artifacts: RunArtifacts) -> NotReplayableError:
    """Return the error of a run that merged the rows which an earlier run read."""
    selections = {
        entry.selection
        for entry in artifacts.manifest().vendors.values()
        if entry.selection
    }
    source_runs = ", ".join(sorted(selections)) or "the run before it"
    return NotReplayableError(
        f"Run {artifacts.run.run_id} merged rows that another run read. Verify that run "
        f"instead ({source_runs}).",
    )


def _end_difference(run: Run, replayed_error_code: str | None) -> str | None:
    """Return a sentence if a run and its replay ended differently."""
    error_code = run.error_code if run.status == RunStatus.FAILED else None
    if error_code == replayed_error_code:
        return None
    return (
        f"The run ended with {error_code or 'a feed'}, but the replay ended with "
        f"{replayed_error_code or 'a feed'}."
    )


def _file_as_json(file: ComparedFile) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": file.name,
        "verdict": file.verdict,
        "bytes": file.size,
    }
    if file.difference is not None:
        document["first_difference"] = asdict(file.difference)
    return document


def _show_difference(screen: Screen, file: ComparedFile) -> None:
    screen.say()
    difference = file.difference
    if difference is None:
        screen.say(f"First difference: {file.name}, {_VERDICTS[file.verdict]}")
        return
    screen.say(f"First difference: {file.name}, line {difference.line:,}")
    screen.say(f"run   {_line_as_text(difference.run)}", indent=2)
    screen.say(f"here  {_line_as_text(difference.here)}", indent=2)


def _line_as_text(line: str | None) -> str:
    return "(end of file)" if line is None else line
