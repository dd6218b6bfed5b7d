"""A config tried on runs that were: what their inputs come to under it, and under their own."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from relay_core.config import TenantConfig, load_config
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.records import GuardResult
from relay_core.publish.changes import Changes
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import MERGED_INVENTORY
from relay_core.publish.state import StateContext
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_dagster.client.config_files import read_config_file
from relay_dagster.client.errors import BadUsageError, ClientError
from relay_dagster.client.hold_report import show_guard
from relay_dagster.client.run_report import show_changes
from relay_dagster.client.session import Output, Session, argument, command, option
from relay_dagster.client.terminal import Screen, counted
from relay_dagster.replay.engine import KEYS, ReplayInputs, replay
from relay_dagster.replay.run_artifacts import DIFFERENT, RunArtifacts
from relay_dagster.wire.runs import FeedChanges, Run

_MAX_MOVES = 5
_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("ends", "status", str),
    ("rows read", "total_rows", "{:,}".format),
    ("refused", "invalid_rows", "{:,}".format),
    ("SKUs in the feed", "record_count", "{:,}".format),
    ("SKUs without a price", "unpriced_skus", "{:,}".format),
    ("warnings", "warnings", counted),
)
"""What is shown of both outcomes: its title, its name, how it is written."""

commands = typer.Typer()


@command(commands)
def rehearse(
    session: Session,
    run_ids: Annotated[list[str], argument("RUN_ID...", "The runs.")],
    config: Annotated[
        Path, option("The config to try.", show_default=False, metavar="FILE")
    ],
) -> Output:
    """Try a config on runs that were: what would change in their feeds, what the guards would say.

    Stores nothing. Exit status 3 where anything changes; 2 where a run's files are gone.
    """
    try:
        tried, found = load_config(read_config_file(config)), []
    except UnsupportedSchemaVersionError as error:
        raise ClientError(f"schema_version: {error}") from error
    for run_id in run_ids:
        with TemporaryDirectory(prefix="relay-") as folder:
            found.append(try_config(session, run_id, tried, Path(folder)))
        if not session.as_json:
            found[-1].show(session.screen)
    is_same = all(each.is_same for each in found)
    return Output(found, lambda: None, lambda: 0 if is_same else DIFFERENT)


@dataclass
class _FeedDigest:
    """The engine's `Sink` that keeps the feed's hash; no other file is made."""

    sha256: str | None = None

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Hash the feed."""
        if KEYS.artifact_name(key) != MERGED_INVENTORY:
            return
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        self.sha256 = digest.hexdigest()

    def wait(self) -> None:
        """Return: nothing is under way."""


def try_config(
    session: Session, run_id: str, config: TenantConfig, folder: Path
) -> "WhatIf":
    """Replay a run's inputs under its own config and under another.

    Both are judged as the run was; then the other's feed is compared with the run's own, as if that
    were published. Where the run comes to none, it is compared as the run would have been.

    `BadUsageError`: the config is another tenant's. `ConfigError`: it lacks a vendor that the run
    was asked for. `NotReplayableError`: what the run is made of is not there.
    """
    artifacts = RunArtifacts.of(session, run_id, folder)
    run = artifacts.run
    if config.tenant_id != run.tenant_id:
        raise BadUsageError(
            f"the config is of tenant {config.tenant_id}, run {run_id} of {run.tenant_id}"
        )
    digests = (_FeedDigest(), _FeedDigest())
    inputs = ReplayInputs(artifacts, config, artifacts.of_baseline())
    own, merged = replay(ReplayInputs(artifacts), digests[0])
    other, others_merged = replay(inputs, digests[1])
    changes, guards = other.findings.changes, other.findings.guards
    mine = None if merged is None else merged.feed
    others = None if others_merged is None else others_merged.feed
    currency = own.config.default_currency
    if mine is not None and others is not None and currency == config.default_currency:
        rows = own.findings.valid_rows()
        context = StateContext(
            run.run_id, run.tenant_id, run.config_version, currency, rows
        )
        joined = Comparison.of(FeedFigures.of(mine), FeedFigures.of(others))
        changes, guards = other.compared(joined, context)
    elif mine is not None:
        changes, guards = None, None
    ends = _outcome(own.findings, digests[0]), _outcome(other.findings, digests[1])
    return WhatIf(run, *ends, changes, guards)


def _outcome(findings: RunFindings, digest: _FeedDigest) -> dict[str, Any]:
    """Return how a run ends, as programs are shown it."""
    return {
        "status": str(findings.status),
        "error_code": findings.failure and findings.failure.error_code,
        "error_message": findings.failure and findings.failure.error_message,
        **findings.counts(),
        "warnings": dict(sorted(findings.counted_warnings().items())),
        "feed_sha256": digest.sha256,
    }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What one run's inputs come to under its own config and under another."""

    run: Run
    own: Mapping[str, Any]  # how it ends under its own config
    other: Mapping[str, Any]  # and under the other
    changes: Changes | None  # of the other's feed against the run's own
    guards: Sequence[GuardResult] | None  # their results; None where none was judged

    @property
    def is_same(self) -> bool:
        """Whether the run ends the same, counts the same and gives the same feed."""
        return self.own == self.other

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        changes, guards = self.changes, self.guards
        return {
            "run_id": self.run.run_id,
            "tenant_id": self.run.tenant_id,
            "same": self.is_same,
            "own": self.own,
            "rehearsed": self.other,
            "changes": None if changes is None else changes.as_dict(),
            "guards": None
            if guards is None
            else [result.as_dict() for result in guards],
        }

    def show(self, screen: Screen) -> None:
        """Write it for people: how both end, what changes, what the guards say."""
        screen.say(f"run {self.run.run_id} of {self.run.tenant_id}", style="bold")
        sides = ("own config", "rehearsed")
        rows = [
            (title, written(self.own[name]), written(self.other[name]))
            for title, name, written in _FIGURES
        ]
        screen.table(("", *sides), rows, folded=sides)
        for side, outcome in zip(sides, (self.own, self.other), strict=True):
            if outcome["error_message"]:
                screen.say(
                    f"{side}: {outcome['error_code']}: {outcome['error_message']}"
                )
        if self.changes is not None:
            show_changes(screen, FeedChanges.model_validate(self.changes.as_dict()))
            for what, moves in zip(
                ("rises", "falls"), self.changes.greatest_moves(_MAX_MOVES), strict=True
            ):
                if moves:
                    screen.section(f"the greatest price {what}")
                for move in moves:
                    screen.say(f"{move.sku}: {move.before} -> {move.after}", indent=2)
        tripped = dict.fromkeys(
            each.guard for each in self.guards or () if each.tripped
        )
        verdict = f"{', '.join(tripped) or 'none'} would trip"
        screen.section(f"guards: {'not judged' if self.guards is None else verdict}")
        for result in self.guards or ():
            show_guard(screen, result.as_dict())
        if self.is_same:
            screen.say("nothing changes")
