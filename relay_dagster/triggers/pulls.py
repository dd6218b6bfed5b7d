"""The stored state of an input's pulls, and the rules by which it changes.

Pure: no clock, no AWS, no network. Each input with a pull has one item: the marks of
the file that was pulled last, the failures since, and the time of the next pull. Its
lease in the queue of work, `relay_dagster.work`, lets only one process at a time pull.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_core.config.pulls import PullConfig
from relay_core.domain.cell_rules import cut
from relay_core.domain.input_names import name_of
from relay_dagster.runs.transitions import rule
from relay_dagster.triggers.file_series import FileSeries, with_pulled
from relay_dagster.triggers.pulled_files import NO_MARK, FileMark, StagedFile
from relay_dagster.webhooks.model import Event, EventType, new_event

FIRST_RETRY = timedelta(minutes=5)
LAST_RETRY = timedelta(hours=6)
REPORTED_FAILURES = 3
"""The number of failures in a row that sends an event, once until a pull succeeds."""
ASK_AGAIN_AFTER = timedelta(minutes=5)
"""The time after which an input's pull may be requested again."""
MAX_KEPT = 5
"""The number of pulled files of an input that stay beside its uploads."""
MIN_WAIT = timedelta(seconds=1)
"""The shortest wait of a pull that must wait for a file to be settled."""
# Doubled that often, the first wait is far longer than the longest one.
_MAX_DOUBLINGS = 10
_MAX_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """The state of an input's pulls. Instants are aware, UTC.

    ``source`` is the digest of the pull in the config, empty if the config has none, and
    ``host`` the host that it leads to. ``mark`` and ``sha256`` are of the file that was
    pulled last. ``seen`` is a file that was too new to be read when it was first seen,
    at ``seen_at``. ``series`` has the files of an input with changes. ``staged`` is a new
    file that is being taken over. ``failures`` are those since the last success, and
    ``is_reported`` tells whether an event was made of them. ``asked_at`` is when somebody
    asked for a pull that has not begun yet, and ``last_asked_at`` when the API was last
    asked for one. ``due_at`` is the time of the next pull.
    """

    tenant_id: str
    vendor_id: str
    part_id: str | None = None
    source: str = ""
    host: str = ""
    mark: FileMark = NO_MARK
    sha256: str | None = None
    seen: FileMark = NO_MARK
    seen_at: datetime | None = None
    series: FileSeries | None = None
    staged: StagedFile | None = None
    last_success_at: datetime | None = None
    last_unchanged_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    is_reported: bool = False
    asked_at: datetime | None = None
    last_asked_at: datetime | None = None
    due_at: datetime | None = None
    revision: int = 0

    @property
    def input_name(self) -> str:
        """The name of the input."""
        return name_of(self.vendor_id, self.part_id)

    @property
    def next_at(self) -> datetime | None:
        """The time of the next pull, as the API calls it."""
        return self.due_at


_NO_FAILURES: Mapping[str, Any] = {
    "seen": NO_MARK,
    "seen_at": None,
    "last_error": None,
    "failures": 0,
    "is_reported": False,
}
Rule = Callable[[PullState], PullState | None]
"""Returns the new state, or None if nothing is to change."""


# --- the pulls of a config ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPlan:
    """A tenant whose config has changed since its pulls were compared with it."""

    tenant_id: str
    due_at: datetime | None = None
    revision: int = 0


def configured_pulls(config: TenantConfig) -> dict[str, PullConfig]:
    """Return the pulls of a config, by the names of their inputs."""
    pulls = {}
    for name, tenant_input in inputs_of(config).items():
        if tenant_input.pull is not None:
            pulls[name] = tenant_input.pull
    return pulls


def changed_pulls(
    config: TenantConfig, states: Mapping[str, PullState]
) -> list[tuple[str, PullConfig | None]]:
    """Return the inputs whose pulls differ from their stored states, with their pulls.

    The pull of an input that has none any more is None.
    """
    pulls = configured_pulls(config)
    changed: list[tuple[str, PullConfig | None]] = []
    for input_name, pull in pulls.items():
        state = states.get(input_name)
        if state is None or state.source != pull.digest:
            changed.append((input_name, pull))
    for input_name, state in states.items():
        if input_name not in pulls and state.source:
            changed.append((input_name, None))
    return changed


# --- changes by others than the puller ------------------------------------------------


@rule
def noted(
    state: PullState, pull: PullConfig | None, now: datetime
) -> PullState | None:
    """Let a new or changed pull be due now; None if the state has this pull already.

    The hash of the last file stays, so that the same bytes are no new upload.
    """
    if pull is None:
        # The config has no pull any more. One that is put back counts as new.
        return replace(state, source="")
    if state.source == pull.digest:
        return None
    return replace(
        state,
        source=pull.digest,
        host=pull.destination(allow_loopback=True).host,
        mark=NO_MARK,
        series=None,
        asked_at=now,
        due_at=now,
        **_NO_FAILURES,
    )


@rule
def asked(state: PullState, now: datetime) -> PullState:
    """Let a pull be due now, or as soon as the one in progress is over."""
    return replace(state, asked_at=now, last_asked_at=now, due_at=now)


def wait_to_ask(state: PullState, now: datetime) -> timedelta:
    """Return the time until a pull may be requested again; 0 if it may be now."""
    if state.last_asked_at is None:
        return timedelta(0)
    return max(state.last_asked_at + ASK_AGAIN_AFTER - now, timedelta(0))


# --- changes by the puller ------------------------------------------------------------


def begun(state: PullState) -> PullState:
    """Begin a pull: a request from now on is for the next one."""
    return replace(state, asked_at=None)


@rule
def surveyed(state: PullState, series: FileSeries) -> PullState:
    """Note what the list of a folder's files tells of an input with changes."""
    return replace(state, series=series)


@rule
def staged(state: PullState, file: StagedFile) -> PullState:
    """Note a new file that is complete: from here on it is taken over, by whomever."""
    return replace(state, staged=file)


@rule
def pulled(
    state: PullState, file: StagedFile, now: datetime, every: timedelta
) -> PullState:
    """Note that a new file is beside the input's uploads."""
    after = _succeeded(state, file.source, file.mark)
    after = replace(after, sha256=file.sha256, last_success_at=now)
    return _due_after(after, now, every)


@rule
def passed_over(state: PullState, mark: FileMark) -> PullState:
    """Note a file of an input with changes that adds nothing to the uploads."""
    return _succeeded(state, state.source, mark)


@rule
def unchanged(
    state: PullState,
    source: str,
    mark: FileMark,
    now: datetime,
    every: timedelta,
) -> PullState:
    """Note that the file is the one that was pulled last."""
    after = replace(_succeeded(state, source, mark), last_unchanged_at=now)
    return _due_after(after, now, every)


@rule
def failed(state: PullState, error: str, now: datetime) -> PullState:
    """Note a failure; each wait is twice as long as the one before, up to a limit."""
    failures = state.failures + 1
    doublings = min(failures - 1, _MAX_DOUBLINGS)
    after = replace(
        state,
        failures=failures,
        last_error=cut(error, _MAX_ERROR),
        is_reported=failures >= REPORTED_FAILURES,
    )
    return _due_after(after, now, min(FIRST_RETRY * 2**doublings, LAST_RETRY))


@rule
def unsettled(
    state: PullState, seen: FileMark, now: datetime, settle: timedelta
) -> PullState:
    """Note a file that must stay as it is for a while before it is read."""
    is_same = state.seen == seen and state.seen_at is not None
    seen_at = state.seen_at if is_same and state.seen_at else now
    after = replace(state, seen=seen, seen_at=seen_at)
    return _due_after(after, now, max(seen_at + settle - now, MIN_WAIT))


@rule
def postponed(state: PullState, now: datetime, wait: timedelta) -> PullState:
    """Let a pull that has told nothing come later."""
    return _due_after(state, now, wait)


@rule
def forgotten(state: PullState, now: datetime) -> PullState | None:
    """Remove a pull that is no longer in the config, unless somebody has asked for it."""
    return None if state.asked_at is None else replace(state, due_at=now)


def _succeeded(state: PullState, source: str, mark: FileMark) -> PullState:
    # The marks of another source than the config's say nothing of the next file.
    if state.source != source:
        return replace(state, mark=NO_MARK, staged=None, **_NO_FAILURES)
    series = state.series
    if series is not None:
        series = with_pulled(series, mark.digest)
    return replace(state, mark=mark, series=series, staged=None, **_NO_FAILURES)


def _due_after(state: PullState, now: datetime, wait: timedelta) -> PullState:
    """Return the state due after a wait, or now if somebody has asked in the meantime."""
    return replace(state, due_at=now + wait if state.asked_at is None else now)


def event_of(
    before: PullState, after: PullState, now: datetime, *, names_part: bool
) -> Event | None:
    """Return the event of a change: one, when failures in a row are to be reported."""
    if before.is_reported or not after.is_reported:
        return None
    data: dict[str, Any] = {
        "tenant_id": after.tenant_id,
        "vendor_id": after.vendor_id,
    }
    if names_part:
        data["part_id"] = after.part_id
    data["failures"] = after.failures
    data["last_error"] = after.last_error
    return new_event(EventType.VENDOR_PULL_FAILED, after.tenant_id, data, now)
