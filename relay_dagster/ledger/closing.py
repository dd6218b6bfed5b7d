"""What stops at once when a tenant is to be deleted.

That nothing new begins is a condition of each transaction that would make something; what is under
way is cancelled here, by whoever asks and again by the reconciler until it is over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.tenants.audit import SYSTEM, Origin
from relay_dagster.tenants.deletion import Deletion

_log = event_log()


@dataclass(frozen=True, slots=True)
class TenantClosing:
    """Begins deletions, and ends what is under way."""

    begin: Callable[
        [str, timedelta, Origin], Deletion
    ]  # stores a deletion that is asked for
    ledger: RunLedger  # where runs are cancelled
    runs: RunStore  # what a tenant has under way
    grace: timedelta  # for how long a tenant can be restored

    def ask(self, tenant_id: str, origin: Origin = SYSTEM) -> Deletion:
        """Begin a tenant's deletion, cancel what it has under way; else `UnknownTenantError`."""
        deletion = self.begin(tenant_id, self.grace, origin)
        try:
            self.stop(tenant_id, origin)
        except ExternalServiceError as error:
            # It is asked for: the reconciler cancels what is left.
            _log.warning("tenant_not_stopped", tenant_id=tenant_id, error=str(error))
        return deletion

    def stop(self, tenant_id: str, origin: Origin = SYSTEM) -> bool:
        """Cancel what a tenant has under way; tell whether there is nothing left of it."""
        lock, feed = self.runs.lock(tenant_id), self.runs.feed(tenant_id)
        held, is_over = None if feed is None else feed.held_run_id, True
        for run_id in (lock.holder, *lock.waiters, held):
            if run_id is None:
                continue
            try:
                record = self.ledger.request_cancel(run_id, origin=origin)
            except RunError as error:  # it has ended, or there is none
                _log.info("run_not_cancelled", run_id=run_id, reason=str(error))
                continue
            is_over = is_over and record.has_ended
        return is_over
