"""A run's record, reports and files, downloaded when a method asks for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TypeVar

from relay_core import config as engine_config
from relay_core.config import Override, TenantConfig
from relay_core.domain.errors import (
    StateUnreadableError,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.mapped_files import InputFile
from relay_core.publish.state import Baseline, read_state
from relay_dagster.client.artifacts import (
    ConfigSnapshot,
    InputManifest,
    RunSummary,
)
from relay_dagster.client.errors import ApiError, ClientError, FileGoneError
from relay_dagster.client.links import download_to, read_report
from relay_dagster.client.session import Session
from relay_dagster.wire.base import ResponseBody
from relay_dagster.wire.runs import Run

DIFFERENT = 3
"""The exit status of a command that finds a difference."""
_Report = TypeVar("_Report", bound=ResponseBody)


class NotReplayableError(ClientError):
    """The files that a replay of the run needs are not all there."""

    exit_status = 2


class TamperedError(ClientError):
    """An input is not the one that the run pinned."""

    exit_status = DIFFERENT


@dataclass(eq=False)
class RunArtifacts:
    """The record, reports and files of one run.

    Each file is downloaded once, to a folder that the caller removes.

    Attributes:
        session: The session of the command.
        run: The run's record.
        links: A link to each artifact, by name.
        folder: The folder for the run's files.
    """

    session: Session
    run: Run
    links: Mapping[str, str]
    folder: Path
    _reports: dict[str, ResponseBody] = field(default_factory=dict)
    _files: dict[str, InputFile] = field(default_factory=dict)
    _config: TenantConfig | None = None

    @classmethod
    def of(cls, session: Session, run_id: str, folder: Path) -> Self:
        """Return the artifacts of a run that has ended.

        Raises:
            NotReplayableError: The run has not ended.
        """
        run = session.api.run(run_id).run
        if not run.has_ended:
            raise NotReplayableError(
                f"Run {run_id} is {run.status}. Wait until it ends: relay runs show "
                f"{run_id} --watch",
            )
        run_folder = folder / run_id
        run_folder.mkdir(exist_ok=True)
        return cls(session, run, session.api.artifacts(run_id), run_folder)

    def summary(self) -> RunSummary | None:
        """Return the run's summary, or None if the run did not write one.

        Raises:
            NotReplayableError: The file is gone.
        """
        if "run_summary" not in self.links:
            return None
        return self._report(RunSummary, "run_summary")

    def manifest(self) -> InputManifest:
        """Return the manifest of the run's inputs and overrides.

        Raises:
            NotReplayableError: The file is gone.
        """
        return self._report(InputManifest, "input_manifest")

    def config(self) -> TenantConfig:
        """Return the run's config as it took effect.

        Raises:
            ConfigError: The engine no longer loads the config.
            NotReplayableError: The file is gone, or its schema version is not supported.
        """
        if self._config is None:
            snapshot = self._report(ConfigSnapshot, "config_snapshot")
            text = json.dumps(snapshot.tenant_config)
            try:
                self._config = engine_config.load_stored_config(text)
            except UnsupportedSchemaVersionError as error:
                raise NotReplayableError(
                    f"Run {self.run.run_id} read nothing: {error}",
                ) from error
        return self._config

    def overrides(self) -> Sequence[Override]:
        """Return the overrides that the run used.

        Raises:
            NotReplayableError: The file is gone.
            TamperedError: The file is not the one that the run pinned.
        """
        pinned = self.manifest().overrides
        if pinned is None:
            return ()
        file = self.file("overrides", pinned.sha256)
        return engine_config.parse_overrides(bytes(file.data).decode(), ())

    def limits(self) -> Limits:
        """Return the limits under which the run read its feeds.

        Raises:
            NotReplayableError: The run's summary is gone.
        """
        summary = self.summary()
        if summary is None:
            return DEFAULT_LIMITS
        feed_limits = {*DEFAULT_LIMITS.of_feeds(), "run_bytes"}
        sizes = {
            name: size
            for name, size in summary.limits.items()
            if name in feed_limits
        }
        return replace(DEFAULT_LIMITS, **sizes)

    def baseline(self) -> Baseline | None:
        """Return the published feed that the run compared its own feed with.

        It is None if there was none, or if the run was of some vendors only.

        Raises:
            ClientError: The file is gone or cannot be read.
        """
        if self.run.baseline_run_id is None or self.run.vendors is not None:
            return None
        try:
            return read_state(self.file("baseline_state").data, keeps_rows=True)
        except StateUnreadableError as error:
            raise ClientError(
                f"The baseline_state of run {self.run.run_id} cannot be read: {error}",
            ) from error

    def baseline_artifacts(self) -> "RunArtifacts | None":
        """Return the artifacts of the baseline's run, or None if they are not there."""
        baseline_run_id = self.run.baseline_run_id
        if baseline_run_id is None:
            return None
        try:
            artifacts = RunArtifacts.of(
                self.session,
                baseline_run_id,
                self.folder,
            )
        except (NotReplayableError, ApiError):
            return None
        return artifacts if "input_manifest" in artifacts.links else None

    def file(self, name: str, sha256: str | None = None) -> InputFile:
        """Return a file of the run; with `sha256`, it must have this hash.

        Raises:
            NotReplayableError: The file is gone.
            TamperedError: The file has another hash.
        """
        if name not in self._files:
            path = self.folder / name
            actual_sha256 = self.fetch(name, path)
            if sha256 not in (None, actual_sha256):
                raise TamperedError(
                    f"{name} of run {self.run.run_id} is not the file that the run read. Its "
                    f"SHA-256 is {actual_sha256}, but the manifest has {sha256}.",
                )
            self._files[name] = InputFile.at(path)
        return self._files[name]

    def fetch(self, name: str, path: Path) -> str:
        """Download a file of the run to a path, and return its SHA-256.

        Raises:
            NotReplayableError: The file is gone.
        """
        self.session.screen.complain(f"Downloading {name}")
        try:
            return download_to(path, name, self._link(name))
        except FileGoneError as error:
            raise NotReplayableError(*error.lines) from error

    def _report(self, model: type[_Report], name: str) -> _Report:
        report = self._reports.get(name)
        if not isinstance(report, model):
            try:
                report = read_report(model, name, self._link(name))
            except FileGoneError as error:
                raise NotReplayableError(*error.lines) from error
            self._reports[name] = report
        return report

    def _link(self, name: str) -> str:
        if name not in self.links:
            raise NotReplayableError(
                f"Run {self.run.run_id} has no {name}. Either it ended before it wrote this "
                "file, or its files are gone: they are kept for RETENTION_DAYS.",
            )
        return self.links[name]
