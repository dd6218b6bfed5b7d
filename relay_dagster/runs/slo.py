"""The service level that tenants are promised, and whose fault it is where it is missed.

A run of all vendors is good if its feed is published within 15 minutes; the feed of a tenant with a
schedule is good while it is not late. What holds back, or a tenant or its vendors have to mend, is
set apart: the promise is the platform's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_core.domain.codes import FailureClass, RunStatus
from relay_dagster.runs.model import RunRecord, Trigger

PUBLISHED_WITHIN = timedelta(minutes=15)
HOLD = "hold"


@dataclass(frozen=True, slots=True)
class SloEvent:
    """One look at the service that a tenant gets; ``fault`` says whose it is, None of a good one.

    It is a `FailureClass`, or ``hold``.
    """

    tenant_id: str
    fault: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it is the platform's, good or bad."""
        return self.fault in (None, FailureClass.PLATFORM)


def publish_lag(run: RunRecord) -> timedelta | None:
    """Return how long a feed was on its way; None of a run that published none.

    A run that uploads have started is late from the last of them on, any other from its request.
    """
    if run.published_at is None:
        return None
    uploads = [each.uploaded_at for each in run.vendor_results if each.uploaded_at is not None]
    of_uploads = run.trigger is Trigger.UPLOAD and uploads
    began = min(max(uploads), run.requested_at) if of_uploads else run.requested_at
    return max(run.published_at - began, timedelta(0))


def event_of_run(run: RunRecord) -> SloEvent | None:
    """Return what the end of a run says; None of a run of some vendors, and of a cancelled one."""
    if run.vendors is not None or run.status is RunStatus.CANCELLED:
        return None
    lag = publish_lag(run)
    is_good = lag is not None and lag <= PUBLISHED_WITHIN
    return SloEvent(run.tenant_id, None if is_good else fault_of(run))


def event_of_feed(
    tenant_id: str, late_at: datetime | None, last_run: RunRecord | None, now: datetime
) -> SloEvent:
    """Return what the age of a feed says; of a late one the last run tells whose fault it is."""
    is_late = late_at is not None and late_at < now
    return SloEvent(tenant_id, fault_of(last_run) if is_late else None)


def fault_of(run: RunRecord | None) -> str:
    """Return whose it is to mend that a run has published nothing in time; None is no run."""
    if run is not None and run.status is RunStatus.HELD:
        return HOLD
    failure_class = None if run is None else run.failure_class
    return str(failure_class or FailureClass.PLATFORM)
