"""The events of a run's changes, and the data that receivers get with them.

The module is pure. The store writes a run's change and its events in one transaction:
none is lost, and none reports an end that was not stored.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus
from relay_dagster.feeds.pointer import FeedUpdate
from relay_dagster.runs.model import Hold, RunRecord
from relay_dagster.webhooks.model import Event, EventType, new_event

# An event is small: a receiver that wants to know more asks for the run.
_MAX_GUARDS = 10
_MAX_TEXT = 200
_EVENT_TYPES_OF_ENDS = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.HELD: EventType.RUN_HELD,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def events_of(
    before: RunRecord | None,
    after: RunRecord,
    feed: FeedUpdate | None,
    now: datetime,
) -> Iterator[Event]:
    """Yield the events of a change of a run, in the order in which they make sense.

    A hidden run has none. If the change supersedes an older run's held feed, that run
    has ended too.
    """
    yield from _end_events(before, after, now)
    if feed is None:
        return
    if feed.is_publication:
        yield new_event(
            EventType.FEED_PUBLISHED,
            after.tenant_id,
            run_data(after),
            now,
        )
    if feed.superseded is not None:
        held_run, superseded_run = feed.superseded
        yield from _end_events(held_run, superseded_run, now)


def _end_events(
    before: RunRecord | None,
    after: RunRecord,
    now: datetime,
) -> Iterator[Event]:
    has_changed = before is None or before.status is not after.status
    if has_changed and after.has_ended and not after.hidden:
        event_type = _EVENT_TYPES_OF_ENDS[after.status]
        yield new_event(event_type, after.tenant_id, run_data(after), now)


def run_data(run: RunRecord) -> dict[str, Any]:
    """Return the data of a run's event, in the words and shapes of the API's response."""
    changes = None
    if run.changes is not None:
        changes = {"baseline_run_id": run.baseline_run_id, **run.changes}
    error_code = run.error_code
    failure_class = run.failure_class
    return {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": str(run.status),
        "error_code": None
        if error_code is None
        else cut(str(error_code), _MAX_TEXT),
        "failure_class": None if failure_class is None else str(failure_class),
        "counts": dict(run.counts) or None,
        "changes": changes,
        "hold": None if run.hold is None else _hold_data(run.hold),
    }


def _hold_data(hold: Hold) -> dict[str, Any]:
    """Return the hold of a run's feed, its guards without their examples."""
    guards = []
    for result in hold.guards[:_MAX_GUARDS]:
        guard = {}
        for name, value in result.items():
            if name != "examples":
                guard[name] = (
                    cut(value, _MAX_TEXT) if isinstance(value, str) else value
                )
        guards.append(guard)
    return {
        "sha256": hold.sha256,
        "baseline_run_id": hold.baseline_run_id,
        "guards": guards,
    }


def trial_event(tenant_id: str, webhook_id: str, now: datetime) -> Event:
    """Return an event that tries out one webhook: about no run, in the usual shape."""
    data = {
        "run_id": None,
        "tenant_id": tenant_id,
        "status": None,
        "error_code": None,
        "failure_class": None,
        "counts": None,
        "changes": None,
        "hold": None,
    }
    return new_event(EventType.TEST, tenant_id, data, now, only_for=webhook_id)
