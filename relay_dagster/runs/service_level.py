"""Judges whether tenants get the service that they are promised.

A run of all vendors publishes its feed within 15 minutes, and the feed of a tenant with a
schedule is not late. Held feeds, and failures that a tenant or its vendors have caused,
are counted separately.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_core.domain.codes import FailureClass, RunStatus
from relay_dagster.runs.model import RunRecord, Trigger

PUBLISHED_WITHIN = timedelta(minutes=15)
"""How long a run of all vendors may take to publish its feed."""

HOLD = "hold"
"""The reason of a feed that is late because a run is held."""


@dataclass(frozen=True, slots=True)
class SloEvent:
    """A judgement of a tenant's service.

    ``fault`` is None for good service. It is a `FailureClass` or ``hold`` otherwise.
    """

    tenant_id: str
    fault: str | None = None

    @property
    def counts(self) -> bool:
        """True if the service is good, or the platform is why it is not."""
        return self.fault in (None, FailureClass.PLATFORM)


def publish_lag(run: RunRecord) -> timedelta | None:
    """Return how long a run's feed took, or None if the run published none.

    The time of a run that uploads have started begins with the last upload, and that of
    any other run with its request.
    """
    if run.published_at is None:
        return None
    began_at = run.requested_at
    upload_instants = [
        result.uploaded_at
        for result in run.vendor_results
        if result.uploaded_at is not None
    ]
    if run.trigger is Trigger.UPLOAD and upload_instants:
        began_at = min(max(upload_instants), run.requested_at)
    return max(run.published_at - began_at, timedelta(0))


def event_of_run(run: RunRecord) -> SloEvent | None:
    """Judge the end of a run.

    Return None for a run of some vendors, and for a cancelled run.
    """
    if run.vendors is not None or run.status is RunStatus.CANCELLED:
        return None
    lag = publish_lag(run)
    if lag is not None and lag <= PUBLISHED_WITHIN:
        return SloEvent(run.tenant_id)
    return SloEvent(run.tenant_id, _fault_of(run))


def event_of_feed(
    tenant_id: str,
    late_at: datetime | None,
    last_run: RunRecord | None,
    now: datetime,
) -> SloEvent:
    """Judge the age of a feed, which is late from an instant on.

    The last run says why a feed is late.
    """
    if late_at is None or late_at >= now:
        return SloEvent(tenant_id)
    return SloEvent(tenant_id, _fault_of(last_run))


def _fault_of(run: RunRecord | None) -> str:
    """Return why a run has published nothing in time; None means that there was no run."""
    if run is None:
        return str(FailureClass.PLATFORM)
    if run.status is RunStatus.HELD:
        return HOLD
    return str(run.failure_class or FailureClass.PLATFORM)
