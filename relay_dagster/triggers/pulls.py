"""What is kept of a vendor's pulls, and the rules of what becomes of it.

Pure: no clock, no AWS, no network. One item a vendor says what was pulled last, when the next pull
is due, and who is at it: whoever has the lease writes, and nobody else's file is taken over.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from relay_core.config.pulls import PullConfig
from relay_core.domain.cell_rules import cut
from relay_dagster.webhooks.model import Event, EventType, new_event

LEASE = timedelta(minutes=2)
"""A pull that nobody has renewed for so long is over: its process is dead."""
FIRST_RETRY, LAST_RETRY = timedelta(minutes=5), timedelta(hours=6)
REPORTED_FAILURES = 3
"""So many failures in a row are reported, once until a pull succeeds."""
MAX_KEPT = 5
"""The newest of a vendor's pulled files, which stay beside his uploads."""
_MAX_NAME, _MAX_ERROR = 100, 500
_NO_NAME = re.compile("[^A-Za-z0-9._-]")


class PullQueue(StrEnum):
    """The queue of the due index that vendors with a pull stand in."""

    PULL = "pull"


class LeaseLostError(Exception):
    """Somebody else is at the pull by now, or there is nothing to pull any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """What tells a file from a later one without reading it.

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
    """A new file that is whole in the bucket under ``key``, and is to be copied to ``target``.

    ``source`` is the digest of the pull that has found it.
    """

    key: str
    source: str
    target: str
    sha256: str
    mark: FileMark


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """What a vendor's pulls have come to. Instants are aware, UTC.

    ``source`` is the digest of the config's pull, ``host`` the one that it leads to. ``mark`` and
    ``sha256`` are of the file that was pulled last; ``seen`` is a file that was not old enough at
    ``seen_at``. ``staged`` is a new file that is being taken over. ``failures`` are those in a row,
    ``is_reported`` whether an event was made of them. ``asked_at`` is when somebody asked for a
    pull that has not begun. ``lease`` is who is at it, until ``leased_until``; ``due_at`` is when
    to look again.
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


Rule = Callable[[PullState], PullState | None]
"""Returns the state that is to be; None where nothing is."""


def noted(pull: PullConfig, now: datetime) -> Rule:
    """Let a pull that is new, or another than before, be due now; what was pulled stays known."""

    def rule(state: PullState) -> PullState | None:
        if state.source == pull.digest:
            return None
        after = PullState(
            tenant_id=state.tenant_id,
            vendor_id=state.vendor_id,
            source=pull.digest,
            host=pull.destination(allow_loopback=True).host,
            sha256=state.sha256,
            staged=state.staged,
            last_success_at=state.last_success_at,
            last_unchanged_at=state.last_unchanged_at,
            lease=state.lease,
            leased_until=state.leased_until,
            due_at=state.due_at,
            revision=state.revision,
        )
        return _due_now(after, now)

    return rule


def asked(now: datetime) -> Rule:
    """Let a pull be due now, or once the one under way is over."""
    return lambda state: _due_now(state, now)


def _due_now(state: PullState, now: datetime) -> PullState:
    due_at = now if state.lease is None else state.due_at
    return replace(state, asked_at=now, due_at=due_at)


def taken(lease: str, now: datetime) -> Rule:
    """Take the lease, where the pull is due and nobody has it."""

    def rule(state: PullState) -> PullState | None:
        if state.due_at is None or state.due_at > now:
            return None
        until = now + LEASE
        return replace(state, lease=lease, leased_until=until, due_at=until, asked_at=None)

    return rule


def renewed(lease: str, now: datetime) -> Rule:
    """Keep the lease for longer."""
    return _held(lease, lambda state: replace(state, leased_until=now + LEASE, due_at=now + LEASE))


def staged(lease: str, file: StagedFile, now: datetime) -> Rule:
    """Note a new file that is whole: from here on whoever has the lease takes it over."""
    until = now + LEASE
    return _held(lease, lambda state: replace(state, staged=file, leased_until=until, due_at=until))


def pulled(lease: str, file: StagedFile, now: datetime, every: timedelta) -> Rule:
    """Note that a new file lies beside the vendor's uploads."""

    def rule(state: PullState) -> PullState:
        after = _succeeded(state, file.source, file.mark, now, every)
        return replace(after, sha256=file.sha256, staged=None, last_success_at=now)

    return _held(lease, rule)


def unchanged(lease: str, source: str, mark: FileMark, now: datetime, every: timedelta) -> Rule:
    """Note that the file is the one that was pulled last."""

    def rule(state: PullState) -> PullState:
        after = _succeeded(state, source, mark, now, every)
        return replace(after, staged=None, last_unchanged_at=now)

    return _held(lease, rule)


def failed(lease: str, error: str, now: datetime) -> Rule:
    """Note a failure; the next try waits twice as long as the one before."""

    def rule(state: PullState) -> PullState:
        failures = state.failures + 1
        # Doubled ten times it is far more than the longest wait.
        wait = min(FIRST_RETRY * 2 ** min(failures - 1, 10), LAST_RETRY)
        after = replace(
            state,
            failures=failures,
            last_error=cut(error, _MAX_ERROR),
            is_reported=failures >= REPORTED_FAILURES,
        )
        return _released(after, now, wait)

    return _held(lease, rule)


def unsettled(lease: str, seen: FileMark, now: datetime, settle: timedelta) -> Rule:
    """Note a file that must stay as it is for a while before it is read."""

    def rule(state: PullState) -> PullState:
        since = state.seen_at if state.seen == seen and state.seen_at else now
        after = replace(state, seen=seen, seen_at=since)
        return _released(after, now, max(since + settle - now, timedelta(seconds=1)))

    return _held(lease, rule)


def put_off(lease: str, now: datetime, wait: timedelta) -> Rule:
    """Give the lease back: nothing was learnt of the file."""
    return _held(lease, lambda state: _released(state, now, wait))


def waiting(now: datetime, wait: timedelta) -> Rule:
    """Let a pull be due later that must not begin now."""

    def rule(state: PullState) -> PullState | None:
        is_due = state.due_at is not None and state.due_at <= now
        return replace(state, due_at=now + wait) if is_due else None

    return rule


def _held(lease: str, rule: Callable[[PullState], PullState]) -> Rule:
    """Return a rule for whoever has the lease; it raises `LeaseLostError` for all others."""

    def rule_of_holder(state: PullState) -> PullState:
        if state.lease != lease:
            raise LeaseLostError
        return rule(state)

    return rule_of_holder


def _succeeded(
    state: PullState, source: str, mark: FileMark, now: datetime, every: timedelta
) -> PullState:
    known = mark if state.source == source else FileMark()
    after = replace(
        state,
        mark=known,
        seen=FileMark(),
        seen_at=None,
        last_error=None,
        failures=0,
        is_reported=False,
    )
    return _released(after, now, every)


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
