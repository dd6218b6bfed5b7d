"""The rules of sending: the whole or the changes, and what becomes of a try."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.config.deliveries import DeliveryConfig
from relay_core.domain.cell_rules import cut
from relay_dagster.deliveries.model import (
    DeliveryState,
    PublicationMark,
    SentFile,
)
from relay_dagster.runs.transitions import rule

FEED = "feed"
CHANGES = "changes"
RETRIES = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
)
"""The waits after the first tries of a publication."""
LAST_RETRY = timedelta(hours=1)
"""The wait after every later try."""
CLOSING_RETRY = timedelta(minutes=5)
"""The delay of a delivery whose tenant is being deleted, but may be restored."""
REPORTED_FAILURES = 3
"""The number of failures in a row that sends an event, once until a success."""
_MAX_DOUBTFUL = 2
_MAX_ERROR = 500
_NO_FAILURES: Mapping[str, Any] = {
    "failures": 0,
    "last_error": None,
    "is_reported": False,
}


# --- before a try ---------------------------------------------------------------------


def begun(state: DeliveryState) -> DeliveryState:
    """Begin a try. A server may have the file of a try that was never ended."""
    tried_seq = None if state.pending is None else state.pending.seq
    return replace(
        state,
        tried_seq=tried_seq,
        doubtful_seqs=_doubtful(state, state.tried_seq),
    )


@rule
def caught_up(
    state: DeliveryState, publication: PublicationMark
) -> DeliveryState:
    """Send a newer publication in the try that has begun, before it is planned."""
    pending_seq = 0 if state.pending is None else state.pending.seq
    if pending_seq > publication.seq:
        return state
    return replace(state, pending=publication, tried_seq=publication.seq)


def base_of_changes(
    state: DeliveryState,
    delivery: DeliveryConfig,
    publication: PublicationMark,
    now: datetime,
) -> SentFile | None:
    """Return the file that changes may be sent against, or None for the whole file.

    The whole file is sent the first time, on request, after a change of the entry, and
    once it has not been sent for long enough. It is also sent if the server may have a
    file of another publication: changes against a file that it does not have would
    leave its rows wrong.
    """
    sent = state.delivered
    if delivery.what != CHANGES or sent is None or state.asked_at is not None:
        return None
    if sent.source != delivery.digest:
        return None
    if any(seq != publication.seq for seq in state.doubtful_seqs):
        return None
    hours = delivery.whole_every_hours
    if hours is not None:
        last_whole_at = state.last_whole_at
        if last_whole_at is None or now - last_whole_at >= timedelta(
            hours=hours
        ):
            return None
    return sent


# --- after a try ----------------------------------------------------------------------


@rule
def delivered(
    state: DeliveryState, sent: SentFile, now: datetime
) -> DeliveryState:
    """Note a file that the server has under its name."""
    return replace(
        _ended(state, sent.publication, sent.asked_at, now),
        doubtful_seqs=(),
        delivered=sent,
        last_delivered_at=now,
        last_whole_at=now if sent.what == FEED else state.last_whole_at,
        **_NO_FAILURES,
    )


@rule
def failed(
    state: DeliveryState,
    tried: DeliveryState,
    error: str,
    now: datetime,
    *,
    is_doubtful: bool,
) -> DeliveryState:
    """Note a failure of a try, which began with the state ``tried``.

    A doubtful try may have given the file its name. A publication that has replaced the
    tried one is due now.
    """
    after = _after_failure(state, error)
    if is_doubtful:
        after = replace(after, doubtful_seqs=_doubtful(after, state.tried_seq))
    if _is_same_work(state, tried):
        tries = state.tries + 1
        return replace(after, tries=tries, due_at=now + wait_after(tries))
    return replace(after, tries=0, due_at=now)


@rule
def refused(
    state: DeliveryState,
    tried: DeliveryState,
    error: str,
    now: datetime,
) -> DeliveryState:
    """Note a failure that no further try would change: it waits for a publication."""
    after = _after_failure(state, error)
    if _is_same_work(state, tried):
        return replace(after, pending=None, asked_at=None, due_at=None)
    return replace(after, tries=0, due_at=now)


@rule
def dropped(
    state: DeliveryState, tried: DeliveryState, now: datetime
) -> DeliveryState:
    """Send nothing: the config has changed the entry since it became due."""
    if _is_same_work(state, tried):
        return replace(
            state, pending=None, asked_at=None, tried_seq=None, due_at=None
        )
    return replace(state, tried_seq=None, due_at=now)


@rule
def removed(
    state: DeliveryState, tried: DeliveryState, now: datetime
) -> DeliveryState | None:
    """Remove a delivery that is no longer in the config, unless it is due again."""
    if _is_same_work(state, tried):
        return None
    return replace(state, tried_seq=None, due_at=now)


@rule
def already_sent(state: DeliveryState, now: datetime) -> DeliveryState:
    """End a try of a publication that the server already has."""
    sent = state.delivered
    if sent is None:
        return replace(state, tried_seq=None, due_at=now)
    return _ended(state, sent.publication, None, now)


@rule
def broken_off(
    state: DeliveryState, due_at: datetime, *, is_doubtful: bool = False
) -> DeliveryState:
    """End a try that has told nothing, and let the next one come later."""
    after = replace(state, tried_seq=None, due_at=due_at)
    if is_doubtful:
        after = replace(after, doubtful_seqs=_doubtful(after, state.tried_seq))
    return after


def wait_after(tries: int) -> timedelta:
    """Return the wait after a number of tries of one publication."""
    return RETRIES[tries - 1] if tries <= len(RETRIES) else LAST_RETRY


def _after_failure(state: DeliveryState, error: str) -> DeliveryState:
    failures = state.failures + 1
    return replace(
        state,
        tried_seq=None,
        failures=failures,
        last_error=cut(error, _MAX_ERROR),
        is_reported=failures >= REPORTED_FAILURES,
    )


def _ended(
    state: DeliveryState,
    publication: PublicationMark,
    asked_at: datetime | None,
    now: datetime,
) -> DeliveryState:
    """Return the state after a file of a publication, due now after a newer request."""
    is_newer = state.pending is not None and (
        state.pending.seq > publication.seq
    )
    is_asked_again = state.asked_at != asked_at
    is_open = is_newer or is_asked_again
    return replace(
        state,
        pending=state.pending if is_open else None,
        asked_at=state.asked_at if is_asked_again else None,
        tries=0,
        tried_seq=None,
        due_at=now if is_open else None,
    )


def _is_same_work(state: DeliveryState, tried: DeliveryState) -> bool:
    """Return True if no request has come since a try began."""
    return (state.pending, state.source, state.asked_at) == (
        tried.pending,
        tried.source,
        tried.asked_at,
    )


def _doubtful(state: DeliveryState, seq: int | None) -> tuple[int, ...]:
    """Return the publications that the server may have, with one more of them.

    Two are enough, because the next publication differs from at least one of them.
    """
    seqs = {*state.doubtful_seqs}
    if seq is not None:
        seqs.add(seq)
    return tuple(sorted(seqs))[-_MAX_DOUBTFUL:]
