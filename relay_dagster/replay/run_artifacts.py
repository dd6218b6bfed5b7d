"""A run's record, reports and files: fetched through its links when asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

from relay_core.config import (
    Override,
    TenantConfig,
    load_stored_config,
    parse_overrides,
)
from relay_core.domain.errors import StateUnreadableError, UnsupportedSchemaVersionError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.publish.state import Baseline, read_state
from relay_dagster.client.artifacts import ConfigSnapshot, InputManifest, RunSummary
from relay_dagster.client.errors import ApiError, ClientError, FileGoneError
from relay_dagster.client.links import download_to, read_report
from relay_dagster.client.session import Session
from relay_dagster.mapped_files import InputFile
from relay_dagster.wire.base import ResponseBody
from relay_dagster.wire.runs import Run

DIFFERENT = 3
"""The exit status where something is not the same."""
_File = TypeVar("_File", bound=ResponseBody)


class NotReplayableError(ClientError):
    """What the run is made of is not there, or not all of it."""

    exit_status = 2


class TamperedError(ClientError):
    """An input is not the one that the run has pinned."""

    exit_status = DIFFERENT


@dataclass(eq=False)
class RunArtifacts:
    """One run's record, reports and files, in a folder that whoever made it removes."""

    session: Session
    run: Run
    links: Mapping[str, str]  # of its artifacts, by their names
    folder: Path  # the run's own
    _files: dict[str, InputFile] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Session, run_id: str, folder: Path) -> Self:
        """Return a run's artifacts; `NotReplayableError`: it has not ended, or they are gone."""
        run = session.api.run(run_id).run
        if not run.has_ended:
            raise NotReplayableError(
                f"run {run_id} is {run.status}; wait for its end: relay show {run_id} --watch"
            )
        own = folder / run_id
        own.mkdir(exist_ok=True)
        return cls(session, run, session.api.artifacts(run_id), own)

    @cached_property
    def summary(self) -> RunSummary | None:
        """Its numbers; a run that has left none has nothing else to tell."""
        return (
            self._report(RunSummary, "run_summary")
            if "run_summary" in self.links
            else None
        )

    @cached_property
    def manifest(self) -> InputManifest:
        """Its inputs, by vendor, and the overrides that it used."""
        return self._report(InputManifest, "input_manifest")

    @cached_property
    def config(self) -> TenantConfig:
        """Its config, as it took effect; `ConfigError`, `NotReplayableError`: it can no longer."""
        snapshot = self._report(ConfigSnapshot, "config_snapshot")
        try:
            return load_stored_config(json.dumps(snapshot.tenant_config))
        except UnsupportedSchemaVersionError as error:
            raise NotReplayableError(
                f"run {self.run.run_id} read nothing: {error}"
            ) from error

    @cached_property
    def overrides(self) -> Sequence[Override]:
        """The overrides that it used."""
        pins = self.manifest.overrides
        if pins is None:
            return ()
        return parse_overrides(
            bytes(self.file("overrides", pins.sha256).data).decode(), ()
        )

    @property
    def limits(self) -> Limits:
        """What its feeds were read under."""
        known = {*DEFAULT_LIMITS.of_feeds(), "run_bytes"}
        limits = self.summary.limits if self.summary is not None else {}
        return replace(
            DEFAULT_LIMITS, **{n: size for n, size in limits.items() if n in known}
        )

    @cached_property
    def baseline(self) -> Baseline | None:
        """Return the published feed that it was compared with; one of some vendors was not."""
        if self.run.baseline_run_id is None or self.run.vendors is not None:
            return None
        try:
            return read_state(self.file("baseline_state").data, keeps_rows=True)
        except StateUnreadableError as error:
            raise ClientError(
                f"baseline_state of run {self.run.run_id}: {error}"
            ) from error

    def of_baseline(self) -> "RunArtifacts | None":
        """Return what its baseline's run has left; None where there is none to be had."""
        if self.run.baseline_run_id is None:
            return None
        try:
            artifacts = RunArtifacts.of(
                self.session, self.run.baseline_run_id, self.folder
            )
            return artifacts if "input_manifest" in artifacts.links else None
        except (NotReplayableError, ApiError):
            return None

    def file(self, name: str, sha256: str | None = None) -> InputFile:
        """Return one of its files; `NotReplayableError`: gone, `TamperedError`: of another hash."""
        if name not in self._files:
            path = self.folder / name
            found = self.fetch(name, path)
            if sha256 not in (None, found):
                raise TamperedError(
                    f"{name} of run {self.run.run_id} is not what the run has read: its SHA-256 is "
                    f"{found}, the manifest's {sha256}"
                )
            self._files[name] = InputFile.at(path)
        return self._files[name]

    def fetch(self, name: str, path: Path) -> str:
        """Write one of its files to a path; return its SHA-256."""
        self.session.screen.complain(f"fetching {name}")
        try:
            return download_to(path, name, self._link(name))
        except FileGoneError as error:
            raise NotReplayableError(*error.lines) from error

    def _report(self, model: type[_File], name: str) -> _File:
        try:
            return read_report(model, name, self._link(name))
        except FileGoneError as error:
            raise NotReplayableError(*error.lines) from error

    def _link(self, name: str) -> str:
        if name not in self.links:
            raise NotReplayableError(
                f"run {self.run.run_id} has no {name}: it ended before it had one, or its files "
                "are gone, which are kept for RETENTION_DAYS"
            )
        return self.links[name]
