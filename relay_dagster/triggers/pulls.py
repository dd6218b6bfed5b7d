"""The stored state of a vendor's pulls, and the rules by which it changes.

Pure: no clock, no AWS, no network. One item a vendor has the file that was pulled last, the time of
the next pull, and the lease of the pull under way: only its holder changes the item.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from relay_core.config.pulls import PullConfig
from relay_core.domain.cell_rules import cut
from relay_dagster.runs.transitions import rule
from relay_dagster.webhooks.model import Event, EventType, new_event

LEASE = timedelta(minutes=2)
"""A pull that nobody has renewed for so long is over: its process is dead."""
FIRST_RETRY, LAST_RETRY = timedelta(minutes=5), timedelta(hours=6)
REPORTED_FAILURES = 3
"""So many failures in a row are reported, once until a pull succeeds."""
MAX_KEPT = 5
"""The newest of a vendor's pulled files, which stay beside his uploads."""
_MAX_NAME, _MAX_ERROR = 100, 500
_Facts = ParamSpec("_Facts")
_NO_NAME = re.compile("[^A-Za-z0-9._-]")


class LeaseLostError(Exception):
    """Somebody else has the pull's lease by now, or there is nothing to pull any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """The marks by which a file differs from a later one, without reading it.

    ``etag`` and ``last_modified`` are a server's of HTTPS, as it wrote them; ``path``, ``size`` and
    ``mtime``, in seconds since 1970 by its own clock, one's of SFTP.
    """

    etag: str | None = None
    last_modified: str | None = None
    path: str | None = None
    size: int | None = None
    mtime: int | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A file at a host outside that is open, and can be read once."""

    name: str  # the last part of its path, decoded
    mark: FileMark  # what may spare the next transfer
    chunks: Iterator[bytes]  # its bytes; `CallError` where they break off


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A new file, whole under ``key``, for ``target``; ``source`` is the digest of its pull."""

    key: str
    source: str
    target: str
    sha256: str
    mark: FileMark


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """The state of a vendor's pulls. Instants are aware, UTC.

    ``source`` is the digest of the config's pull, empty where it has none, ``host`` the one that it
    leads to. ``mark`` and ``sha256`` are of the file that was pulled last; ``seen`` is a file that
    was not old enough at ``seen_at``. ``staged`` is a new file that is being taken over.
    ``failures`` are those in a row, ``is_reported`` whether an event was made of them. ``asked_at``
    is when somebody asked for a pull that has not begun. ``lease`` is the id of the pull under way,
    good until ``leased_until``; ``due_at`` is the time of the next check.
    """

    tenant_id: str
    vendor_id: str
    source: str = ""
    host: str = ""
    mark: FileMark = FileMark()
    sha256: str | None = None
    seen: FileMark = FileMark()
    seen_at: datetime | None = None
    staged: StagedFile | None = None
    last_success_at: datetime | None = None
    last_unchanged_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    is_reported: bool = False
    asked_at: datetime | None = None
    lease: str | None = None
    leased_until: datetime | None = None
    due_at: datetime | None = None
    revision: int = 0

    @property
    def next_at(self) -> datetime | None:
        """When the next pull is due; None while one is under way."""
        return self.due_at if self.lease is None else None


_NOTHING_WRONG: dict[str, Any] = {
    **{"seen": FileMark(), "seen_at": None},
    **{"last_error": None, "failures": 0, "is_reported": False},
}
Rule = Callable[[PullState], PullState | None]
"""Returns the state that is to be; None where nothing is."""


def _holders_rule(
    function: Callable[Concatenate[PullState, _Facts], PullState],
) -> Callable[Concatenate[str, _Facts], Rule]:
    """Make a rule of whoever has the lease, the first fact; all others get `LeaseLostError`."""

    @rule
    def of_holder(
        state: PullState, lease: str, /, *facts: _Facts.args, **named: _Facts.kwargs
    ) -> PullState:
        if state.lease != lease:
            raise LeaseLostError
        return function(state, *facts, **named)

    return wraps(function)(of_holder)


@rule
def noted(state: PullState, pull: PullConfig | None, now: datetime) -> PullState | None:
    """Let a pull that is new, or another than before, be due now; what was pulled stays known."""
    if (
        pull is None
    ):  # it was taken out of the config: one that is put back counts as new
        return replace(state, source="")
    if state.source == pull.digest:
        return None
    host = pull.destination(allow_loopback=True).host
    after = replace(
        state, source=pull.digest, host=host, mark=FileMark(), **_NOTHING_WRONG
    )
    return _due_now(after, now)


@rule
def asked(state: PullState, now: datetime) -> PullState:
    """Let a pull be due now, or once the one under way is over."""
    return _due_now(state, now)


def _due_now(state: PullState, now: datetime) -> PullState:
    due_at = now if state.lease is None else state.due_at
    return replace(state, asked_at=now, due_at=due_at)


@rule
def taken(state: PullState, lease: str, now: datetime) -> PullState | None:
    """Take the lease, where the pull is due and nobody has it."""
    if state.due_at is None or state.due_at > now:
        return None
    until = now + LEASE
    return replace(state, lease=lease, leased_until=until, due_at=until, asked_at=None)


@_holders_rule
def renewed(state: PullState, now: datetime) -> PullState:
    """Keep the lease for longer."""
    return replace(state, leased_until=now + LEASE, due_at=now + LEASE)


@_holders_rule
def staged(state: PullState, file: StagedFile, now: datetime) -> PullState:
    """Note a new file that is whole: from here on whoever has the lease takes it over."""
    return replace(state, staged=file, leased_until=now + LEASE, due_at=now + LEASE)


@_holders_rule
def pulled(
    state: PullState, file: StagedFile, now: datetime, every: timedelta
) -> PullState:
    """Note that a new file lies beside the vendor's uploads."""
    after = _succeeded(state, file.source, file.mark, now, every)
    return replace(after, sha256=file.sha256, staged=None, last_success_at=now)


@_holders_rule
def unchanged(
    state: PullState, source: str, mark: FileMark, now: datetime, every: timedelta
) -> PullState:
    """Note that the file is the one that was pulled last."""
    after = _succeeded(state, source, mark, now, every)
    return replace(after, staged=None, last_unchanged_at=now)


@_holders_rule
def failed(state: PullState, error: str, now: datetime) -> PullState:
    """Note a failure; the next try waits twice as long as the one before."""
    failures = state.failures + 1
    # Doubled ten times it is far more than the longest wait.
    wait = min(FIRST_RETRY * 2 ** min(failures - 1, 10), LAST_RETRY)
    text, is_reported = cut(error, _MAX_ERROR), failures >= REPORTED_FAILURES
    after = replace(state, failures=failures, last_error=text, is_reported=is_reported)
    return _released(after, now, wait)


@_holders_rule
def unsettled(
    state: PullState, seen: FileMark, now: datetime, settle: timedelta
) -> PullState:
    """Note a file that must stay as it is for a while before it is read."""
    since = state.seen_at if state.seen == seen and state.seen_at else now
    after = replace(state, seen=seen, seen_at=since)
    return _released(after, now, max(since + settle - now, timedelta(seconds=1)))


@_holders_rule
def put_off(state: PullState, now: datetime, wait: timedelta) -> PullState:
    """Give the lease back: nothing was learnt of the file."""
    return _released(state, now, wait)


@rule
def waiting(state: PullState, now: datetime, wait: timedelta) -> PullState | None:
    """Let a pull be due later that must not begin now."""
    is_due = state.due_at is not None and state.due_at <= now
    return replace(state, due_at=now + wait) if is_due else None


def _succeeded(
    state: PullState, source: str, mark: FileMark, now: datetime, every: timedelta
) -> PullState:
    known = mark if state.source == source else FileMark()
    return _released(replace(state, mark=known, **_NOTHING_WRONG), now, every)


def _released(state: PullState, now: datetime, wait: timedelta) -> PullState:
    """Return the state that nobody is at; due now where somebody has asked meanwhile."""
    due_at = now + wait if state.asked_at is None else now
    return replace(state, lease=None, leased_until=None, due_at=due_at)


def event_of(before: PullState, after: PullState, now: datetime) -> Event | None:
    """Return the event of a change: one, once failures in a row are to be reported."""
    if before.is_reported or not after.is_reported:
        return None
    data: dict[str, Any] = {
        "tenant_id": after.tenant_id,
        "vendor_id": after.vendor_id,
        "failures": after.failures,
        "last_error": after.last_error,
    }
    return new_event(EventType.VENDOR_PULL_FAILED, after.tenant_id, data, now)


def target_key(prefix: str, name: str, now: datetime) -> str:
    """Return the key of a pulled file of a name, under a vendor's prefix."""
    kept = _NO_NAME.sub("_", name)[-_MAX_NAME:] or "feed"
    return f"{prefix}pulled/{now:%Y%m%dT%H%M%SZ}-{kept}"
