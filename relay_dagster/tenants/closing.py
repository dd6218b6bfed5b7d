"""What stops at once when a tenant is to be deleted, and goes on where it is restored.

That nothing new begins is a condition of each transaction that would make something; what is under
way is cancelled here, by whoever asks and again by the reconciler until it is over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.ports import TenantDeletions, TenantRuns
from relay_dagster.runs.service import RunService
from relay_dagster.tenants.audit import SYSTEM, Origin
from relay_dagster.tenants.deletion import Deletion

_log = event_log()


@dataclass(frozen=True, slots=True)
class TenantClosing:
    """Begins deletions, and ends them in time."""

    deletions: TenantDeletions  # where they are kept
    ledger: RunService  # where runs are cancelled
    runs: TenantRuns  # what a tenant has under way
    grace: timedelta  # for how long a tenant can be restored

    def ask(self, tenant_id: str, origin: Origin = SYSTEM) -> Deletion:
        """Begin a tenant's deletion, and cancel what it has under way; again, it changes nothing.

        Raises:
            UnknownTenantError: there is no such tenant.
        """
        deletion = self.deletions.ask(tenant_id, self.grace, origin)
        try:
            self.stop(tenant_id, origin)
        except ExternalServiceError as error:
            # It is asked for: the reconciler cancels what is left.
            _log.warning("tenant_not_stopped", tenant_id=tenant_id, error=str(error))
        return deletion

    def restore(self, tenant_id: str, origin: Origin = SYSTEM) -> None:
        """Let a tenant be as it was; one that is not to be deleted stays as it is.

        Raises:
            UnknownTenantError: there is no such tenant.
            RestoreTooLateError: its deletion has begun.
        """
        self.deletions.restore(tenant_id, origin)

    def stop(self, tenant_id: str, origin: Origin = SYSTEM) -> bool:
        """Cancel what a tenant has under way; tell whether there is nothing left of it."""
        return not [
            run_id for run_id in self._open_runs(tenant_id) if self._goes_on(run_id, origin)
        ]

    def _open_runs(self, tenant_id: str) -> Iterator[str]:
        """Yield the run that has the lock, those that wait for it, and the one that is held."""
        lock, feed = self.runs.lock(tenant_id), self.runs.feed(tenant_id)
        held = None if feed is None else feed.held_run_id
        yield from (each for each in (lock.holder, *lock.waiters, held) if each is not None)

    def _goes_on(self, run_id: str, origin: Origin) -> bool:
        try:
            record = self.ledger.request_cancel(run_id, origin=origin)
        except RunError as error:
            _log.info("run_not_cancelled", run_id=run_id, reason=str(error))
            return False  # it has ended, or there is none
        return not record.has_ended
