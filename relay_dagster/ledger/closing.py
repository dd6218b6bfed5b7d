"""The end of a tenant's runs when the tenant is to be deleted.

Nothing new begins by then: every transaction that would create something is conditional
on that. The runs that are in progress are cancelled here, when the deletion is requested
and again by the reconciler until they are over.
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
    """Begins deletions of tenants, and ends their runs."""

    # Stores a requested deletion
    begin: Callable[[str, timedelta, Origin], Deletion]
    ledger: RunLedger  # cancels runs
    runs: RunStore  # reads the tenant's lock and feed
    grace: timedelta  # how long a tenant can be restored

    def ask(self, tenant_id: str, origin: Origin = SYSTEM) -> Deletion:
        """Begin a tenant's deletion, and cancel its runs.

        Raises:
            UnknownTenantError: the tenant has no config.
        """
        deletion = self.begin(tenant_id, self.grace, origin)
        try:
            self.stop(tenant_id, origin)
        except ExternalServiceError as error:
            # The deletion is requested: the reconciler cancels the remaining runs.
            _log.warning(
                "tenant_not_stopped",
                tenant_id=tenant_id,
                error=str(error),
            )
        return deletion

    def stop(self, tenant_id: str, origin: Origin = SYSTEM) -> bool:
        """Cancel a tenant's runs; return True if none of them is in progress any more."""
        lock = self.runs.lock(tenant_id)
        feed = self.runs.feed(tenant_id)
        run_ids = [lock.holder, *lock.waiters]
        if feed is not None:
            run_ids.append(feed.held_run_id)
        is_stopped = True
        for run_id in run_ids:
            if run_id is not None and not self._cancel(run_id, origin):
                is_stopped = False
        return is_stopped

    def _cancel(self, run_id: str, origin: Origin) -> bool:
        """Cancel a run; return False if its attempt has yet to end."""
        try:
            record = self.ledger.request_cancel(run_id, origin=origin)
        except RunError as error:
            # The run has ended, or there is none.
            _log.info("run_not_cancelled", run_id=run_id, reason=str(error))
            return True
        return record.has_ended
