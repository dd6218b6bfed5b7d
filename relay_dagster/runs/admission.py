"""How runs get in: by request, or by a job sent straight to the queue. `lifecycle` calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs import settling
from relay_dagster.runs.errors import CommitLostError, IdempotencyKeyReusedError, TenantBusyError
from relay_dagster.runs.model import Idempotency, Job, LockState, NewRun, RunRecord
from relay_dagster.runs.ports import Runs

_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Reservation:
    """The run that a request leads to; ``created`` is False for the run of an earlier request."""

    record: RunRecord
    created: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """Makes records, each in one transaction with what must come with it."""

    runs: Runs
    clock: Callable[[], datetime]

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request with this key, or None."""
        found = self.runs.idempotent_run(idempotency.id, self.clock())
        if found is None:
            return None
        run_id, fingerprint = found
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReusedError(run_id)
        return self.runs.get(run_id)

    def reserve(self, request: NewRun, idempotency: Idempotency | None) -> Reservation:
        """Make the record, take the lock and remember the key; the key is looked at first."""
        for _ in range(_ROUNDS):
            earlier = self.earlier_run(idempotency) if idempotency else None
            if earlier is not None:
                return Reservation(earlier, created=False)
            now = self.clock()
            try:
                record = self.runs.commit(
                    None,
                    settling.requested(request, now, idempotency),
                    now=now,
                    idempotency=idempotency,
                    yield_to_waiters=True,
                )
            except CommitLostError:
                known = self.runs.get(request.run_id)
                if known is None:
                    continue  # The key was taken meanwhile: its run is found in the next round.
                # An earlier try of this very request got through, though its answer did not.
                record = settling.matched(request.job)(known)
            return Reservation(record, created=True)
        raise ThrottledError("reserve", f"run {request.run_id}: too many writers at once")

    def adopt(self, job: Job, request_id: str | None) -> RunRecord:
        """Return the record of a message's run, made where there is none."""
        for _ in range(_ROUNDS):
            known = self.runs.get(job.run_id)
            if known is not None:
                return settling.matched(job)(known)
            try:
                return self._put_adopted(job, request_id)
            except CommitLostError:
                continue
        raise ThrottledError("adopt", f"run {job.run_id}: too many writers at once")

    def _put_adopted(self, job: Job, request_id: str | None) -> RunRecord:
        now = self.clock()
        wanted = settling.adopted(job, now, request_id, LockState.OWNER)
        try:
            return self.runs.commit(None, wanted, now=now)
        except TenantBusyError:
            return self.runs.commit(None, replace(wanted, lock_state=LockState.QUEUED), now=now)
