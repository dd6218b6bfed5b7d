"""Which events a change of a run makes, and what is told in each: pure.

Whoever stores the change stores its events with it, in the same transaction: so none is lost, and
none tells of an end that was not stored.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus
from relay_dagster.feeds.hold import Hold
from relay_dagster.feeds.pointer import FeedUpdate
from relay_dagster.runs.model import RunRecord
from relay_dagster.webhooks.model import Event, EventType, new_event

_OF_END = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.HELD: EventType.RUN_HELD,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}
# What is told is small: a receiver that wants more asks for the run.
_MAX_GUARDS, _MAX_TEXT = 10, 200


def events_of(
    before: RunRecord | None, after: RunRecord, feed: FeedUpdate | None, now: datetime
) -> Iterator[Event]:
    """Yield the events of a change, in the order in which they are to be understood.

    A run that is hidden is none to those outside. A held run that a newer one makes void ends too.
    """
    yield from _of_end(before, after, now)
    if feed is None:
        return
    if feed.before is None or feed.before.in_force != feed.after.in_force:
        yield new_event(EventType.FEED_PUBLISHED, after.tenant_id, run_data(after), now)
    if feed.voided is not None:
        yield from _of_end(*feed.voided, now)


def run_data(run: RunRecord) -> dict[str, Any]:
    """Return what is told of a run, in the words and shapes of the API's answer."""
    failure_class, code = run.failure_class, run.error_code
    changes = None
    if run.changes is not None:
        changes = {"baseline_run_id": run.baseline_run_id, **run.changes}
    return {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": str(run.status),
        "error_code": None if code is None else cut(str(code), _MAX_TEXT),
        "failure_class": None if failure_class is None else str(failure_class),
        "counts": dict(run.counts) or None,
        "changes": changes,
        "hold": None if run.hold is None else _hold(run.hold),
    }


def trial_event(tenant_id: str, webhook_id: str, now: datetime) -> Event:
    """Return an event that tries one webhook out: of no run, but in the shape of all others."""
    nothing = dict.fromkeys(
        ("status", "error_code", "failure_class", "counts", "changes", "hold"), None
    )
    data = {"run_id": None, "tenant_id": tenant_id, **nothing}
    return new_event(EventType.TEST, tenant_id, data, now, only_for=webhook_id)


def _of_end(before: RunRecord | None, after: RunRecord, now: datetime) -> Iterator[Event]:
    has_changed = before is None or before.status is not after.status
    if has_changed and after.has_ended and not after.hidden:
        yield new_event(_OF_END[after.status], after.tenant_id, run_data(after), now)


def _hold(hold: Hold) -> dict[str, Any]:
    guards = [_guard(result) for result in hold.guards[:_MAX_GUARDS]]
    return {"sha256": hold.sha256, "baseline_run_id": hold.baseline_run_id, "guards": guards}


def _guard(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a guard's result without its examples."""
    kept = {name: value for name, value in result.items() if name != "examples"}
    return {
        name: cut(each, _MAX_TEXT) if isinstance(each, str) else each for name, each in kept.items()
    }
