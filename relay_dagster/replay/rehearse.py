"""The command `relay config rehearse`: tries a config on earlier runs."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import typer

from relay_core.config import TenantConfig, load_config
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.records import GuardResult
from relay_core.publish.artifacts import CHANNEL, FEED, artifact_named
from relay_core.publish.changes import Changes, PriceMove
from relay_core.publish.findings import RunFindings
from relay_core.publish.state import StateContext
from relay_core.run_stages import RunStages
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_dagster.client.config_files import read_config_file
from relay_dagster.client.errors import BadUsageError, ClientError
from relay_dagster.client.hold_report import show_guard
from relay_dagster.client.session import (
    Output,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import Screen, named_counts
from relay_dagster.replay.engine import KEYS, ReplayInputs, replay
from relay_dagster.replay.run_artifacts import DIFFERENT, RunArtifacts
from relay_dagster.wire.runs import FeedChanges, Run

_MAX_MOVES = 5
_SIDES = ("own config", "rehearsed")


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure in the table that compares the outcomes of both configs.

    Attributes:
        title: The title of its row.
        name: The key of the figure in the outcome.
        text_of: The function that writes it.
    """

    title: str
    name: str
    text_of: Callable[[Any], str]


_FIGURES = (
    _Figure("status", "status", str),
    _Figure("rows read", "total_rows", "{:,}".format),
    _Figure("rows rejected", "invalid_rows", "{:,}".format),
    _Figure("SKUs in the feed", "record_count", "{:,}".format),
    _Figure("SKUs without a price", "unpriced_skus", "{:,}".format),
    _Figure("warnings", "warnings", named_counts),
    _Figure("rows of channels", "channels", named_counts),
)

commands = typer.Typer()


@command(commands)
def rehearse(
    session: Session,
    run_ids: Annotated[list[str], argument("RUN_ID...", "Run IDs.")],
    config: Annotated[
        Path,
        option("Config file to try.", show_default=False, metavar="FILE"),
    ],
) -> Output:
    """Try a config on earlier runs: show the changes of their feeds, and the guards' results.

    Nothing is stored. The exit status is 0 if nothing changes, 3 if anything
    changes, and 2 if a run's files are gone.
    """
    try:
        tried_config = load_config(read_config_file(config))
    except UnsupportedSchemaVersionError as error:
        raise ClientError(f"schema_version: {error}") from error
    rehearsals = []
    for run_id in run_ids:
        with TemporaryDirectory(prefix="relay-") as folder:
            rehearsal = rehearse_run(
                session,
                run_id,
                tried_config,
                Path(folder),
            )
        rehearsals.append(rehearsal)
        # Each run takes a while, so its outcome is shown at once.
        if not session.as_json:
            rehearsal.show(session.screen)
    is_same = all(rehearsal.is_same for rehearsal in rehearsals)
    return Output(rehearsals, lambda: None, lambda: 0 if is_same else DIFFERENT)


@dataclass
class _FeedDigest:
    """A `Sink` of the engine that keeps only the hashes of the feed and its channels.

    Attributes:
        sha256_by_name: The SHA-256 of the files that the engine made, by artifact.
    """

    sha256_by_name: dict[str, str] = field(default_factory=dict)

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Hash the feed or a channel; other files are not made."""
        name = KEYS.artifact_name(key)
        if artifact_named(name) not in (FEED, CHANNEL):
            return
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        self.sha256_by_name[name] = digest.hexdigest()

    def wait(self) -> None:
        """Return at once, since nothing is written in the background."""


class _Replayed(NamedTuple):
    """The result of a replay.

    Attributes:
        stages: The stages of the engine.
        findings: The findings of the run.
        feed: The merged feed, or None if there is none.
        outcome: The outcome as JSON shows it.
    """

    stages: RunStages
    findings: RunFindings
    feed: pa.Table | None
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The outcomes of one run's inputs under the run's own config and under another.

    Attributes:
        run: The run's record.
        own: The outcome under the run's own config.
        rehearsed: The outcome under the other config.
        changes: The changes from the run's own feed to the other one, or None.
        guards: The results of the guards, or None if no guard was judged.
    """

    run: Run
    own: Mapping[str, Any]
    rehearsed: Mapping[str, Any]
    changes: Changes | None
    guards: Sequence[GuardResult] | None

    @property
    def is_same(self) -> bool:
        """True if the run has the same end, the same counts and the same feed."""
        return self.own == self.rehearsed

    def as_json(self) -> dict[str, Any]:
        """Return the rehearsal for programs."""
        changes = None
        if self.changes is not None:
            changes = self.changes.as_dict()
        guards = None
        if self.guards is not None:
            guards = [result.as_dict() for result in self.guards]
        return {
            "run_id": self.run.run_id,
            "tenant_id": self.run.tenant_id,
            "same": self.is_same,
            "own": self.own,
            "rehearsed": self.rehearsed,
            "changes": changes,
            "guards": guards,
        }

    def show(self, screen: Screen) -> None:
        """Write the rehearsal for people: both outcomes, the changes, and the guards."""
        screen.say(
            f"run {self.run.run_id} of {self.run.tenant_id}",
            style="bold",
        )
        rows = []
        for figure in _FIGURES:
            own_text = figure.text_of(self.own[figure.name])
            rehearsed_text = figure.text_of(self.rehearsed[figure.name])
            rows.append((figure.title, own_text, rehearsed_text))
        screen.table(("", *_SIDES), rows, folded=_SIDES)
        outcomes = zip(_SIDES, (self.own, self.rehearsed), strict=True)
        for side, outcome in outcomes:
            if outcome["error_message"]:
                screen.say(
                    f"{side}: {outcome['error_code']}: {outcome['error_message']}",
                )
        if self.changes is not None:
            _show_changes(
                screen,
                FeedChanges.model_validate(self.changes.as_dict()),
            )
            rises, falls = self.changes.greatest_moves(_MAX_MOVES)
            _show_moves(screen, "largest price increases", rises)
            _show_moves(screen, "largest price decreases", falls)
        self._show_guards(screen)
        if self.is_same:
            screen.say("Nothing changes.")

    def _show_guards(self, screen: Screen) -> None:
        if self.guards is None:
            screen.section("guards: not evaluated")
            return
        tripped = dict.fromkeys(
            result.guard for result in self.guards if result.tripped
        )
        screen.section(f"guards: {', '.join(tripped) or 'none'} would trip")
        for result in self.guards:
            show_guard(screen, result.as_dict())


def rehearse_run(
    session: Session,
    run_id: str,
    config: TenantConfig,
    folder: Path,
) -> Rehearsal:
    """Replay a run's inputs under the run's own config and under another.

    Both replays are judged as the run was. Then the guards compare the other config's
    feed with the run's own feed, as if that were published. If the run makes no feed, the
    other feed stays compared with the run's baseline.

    Raises:
        BadUsageError: The config is of another tenant.
        ConfigError: The config lacks a vendor that the run was requested for.
        NotReplayableError: The files that a replay needs are not all there.
    """
    artifacts = RunArtifacts.of(session, run_id, folder)
    run = artifacts.run
    if config.tenant_id != run.tenant_id:
        raise BadUsageError(
            f"The config is of tenant {config.tenant_id}, but run {run_id} is of {run.tenant_id}.",
        )
    baseline_artifacts = artifacts.baseline_artifacts()
    own = _replayed(ReplayInputs(artifacts, artifacts.config()))
    tried = _replayed(ReplayInputs(artifacts, config, baseline_artifacts))
    changes, guards = _compared(run, own, tried)
    return Rehearsal(run, own.outcome, tried.outcome, changes, guards)


def _replayed(inputs: ReplayInputs) -> _Replayed:
    digest = _FeedDigest()
    stages, values = replay(inputs, digest)
    findings = stages.findings(values)
    feed = None if values.merged is None else values.merged.feed
    return _Replayed(stages, findings, feed, _outcome(findings, digest))


def _compared(
    run: Run,
    own: _Replayed,
    tried: _Replayed,
) -> tuple[Changes | None, Sequence[GuardResult] | None]:
    """Return the changes from the run's own feed to the other one, judged by guards."""
    if own.feed is None:
        return tried.findings.changes, tried.findings.guards
    own_currency = own.stages.config.default_currency
    if (
        tried.feed is None
        or tried.stages.config.default_currency != own_currency
    ):
        return None, None
    context = StateContext(
        run.run_id,
        run.tenant_id,
        run.config_version,
        own_currency,
        own.findings.valid_rows(),
    )
    comparison = Comparison.of(
        FeedFigures.of(own.feed),
        FeedFigures.of(tried.feed),
    )
    return tried.stages.comparer.judge(
        comparison,
        context,
        tried.findings.states,
        tried.findings.valid_rows(),
    )


def _outcome(findings: RunFindings, digest: _FeedDigest) -> dict[str, Any]:
    """Return the outcome of a replay as JSON shows it."""
    failure = findings.failure
    return {
        "status": str(findings.status),
        "error_code": None if failure is None else failure.error_code,
        "error_message": None if failure is None else failure.error_message,
        **findings.counts(),
        "warnings": dict(sorted(findings.counted_warnings().items())),
        "feed_sha256": digest.sha256_by_name.get(FEED.name),
        "channels": findings.channel_rows() or {},
        "channel_sha256": {
            channel.channel_id: digest.sha256_by_name.get(
                CHANNEL.name_for(channel=channel.channel_id),
            )
            for channel in findings.channels
        },
    }


def _show_moves(screen: Screen, title: str, moves: Sequence[PriceMove]) -> None:
    if moves:
        screen.section(title)
    for move in moves:
        screen.say(f"{move.sku}: {move.before} -> {move.after}", indent=2)


def _show_changes(screen: Screen, changes: FeedChanges) -> None:
    """Write the numbers of SKUs that a feed changes, compared with another feed."""
    screen.section(f"changes from the feed of run {changes.baseline_run_id}")
    counts = {
        "SKUs added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "  price up": changes.price_up,
        "  price down": changes.price_down,
        "  back in stock": changes.came_in_stock,
        "  out of stock": changes.went_out_of_stock,
        "  other vendor": changes.vendor_changed,
        "unchanged": changes.unchanged,
    }
    for title, count in counts.items():
        screen.say(f"{count:>11,}  {title}", indent=2)
