"""The one way in which a run is submitted: its record with the lock first, then its message.

Where the message cannot be sent no run is left behind. Whoever starts runs comes through here: the
API, tenants' triggers, the redrive of a dead letter, and the reconciler for a run whose submitter
died in between.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from relay_core.domain.errors import ConfigError, RelayError
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import (
    QueueUnavailableError,
    RunCreationPausedError,
    UnknownVendorError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import Idempotency, NewRun, RunRecord, Trigger
from relay_dagster.runs.ports import Pause
from relay_dagster.tenants.audit import SYSTEM, Origin
from relay_dagster.triggers.rules import TriggerUpdate

_MAX_SHOWN = 500
_log = event_log()


@dataclass(frozen=True, slots=True)
class Submission:
    """Submits runs."""

    ledger: RunLedger  # where records are made
    send: Callable[
        [Job, str | None], str
    ]  # sends a job of a request; returns the message's id
    pause_of: Callable[[str], Pause | None]  # the pause that stops a tenant's runs
    configs: TenantStore
    runs_per_hour: int | None = (
        None  # that a tenant's callers may make; None for any number
    )

    def submit(
        self,
        tenant_id: str,
        vendors: Sequence[str] | None = None,
        *,
        request_id: str | None = None,
        idempotency: Idempotency | None = None,
        origin: Origin = SYSTEM,
    ) -> RunRecord:
        """Return the run that a request leads to: a new one, or that of an earlier request.

        A tenant without a config gets a run that will fail. None or no vendors are all. The
        request's key is read first: `IdempotencyKeyReusedError`. Then come, in this order,
        `RunCreationPausedError`, `UnknownVendorError`, `TenantBusyError`, `QuotaExceededError`, and
        `QueueUnavailableError`, where the message could not be sent: no run was started.
        """
        earlier = self.ledger.earlier_run(idempotency) if idempotency else None
        if earlier is not None:
            return _refuse_withdrawn(earlier)
        self._refuse_paused(tenant_id)
        version = self._version_for(tenant_id, vendors)
        wanted = NewRun(
            tenant_id=tenant_id,
            vendors=tuple(vendors or ()),
            config_version=version,
            request_id=request_id,
            origin=origin,
        )
        return self._start(wanted, idempotency, self.runs_per_hour)

    def start_triggered(self, trigger: Trigger, update: TriggerUpdate) -> RunRecord:
        """Start a run of all vendors that a tenant's triggers want, and take it from them.

        It counts for no quota. Where its message cannot be sent it stays: it was taken, nobody
        would ask again, and the reconciler sends it.

        `RunCreationPausedError`, `TenantBusyError`: as for `submit`; nothing was taken.
        `CommitLostError`: the triggers have changed: somebody else was first.
        """
        tenant_id = update.before.tenant_id
        self._refuse_paused(tenant_id)
        version = self.configs.latest_version(tenant_id)
        wanted = NewRun(tenant_id=tenant_id, trigger=trigger, config_version=version)
        record = self.ledger.start_triggered(wanted, update)
        _log.info(
            "run_requested", trigger=trigger, config_version=version, **record.log_facts
        )
        with suppress(ExternalServiceError):
            return self._sent(record)
        return record

    def resubmit(
        self,
        tenant_id: str,
        vendors: Sequence[str] | None,
        *,
        in_place_of: str,
        origin: Origin = SYSTEM,
    ) -> RunRecord:
        """Start a run in place of one that died, with the latest config: that is what was mended.

        It is an operator's own act: no pause and no quota stops it, and what the config lacks fails
        the run. `TenantBusyError`, `QueueUnavailableError`: as for `submit`.
        """
        version = self.configs.latest_version(tenant_id)
        wanted = NewRun(
            tenant_id=tenant_id,
            vendors=tuple(vendors or ()),
            config_version=version,
            origin=origin,
            in_place_of=in_place_of,
        )
        return self._start(wanted, None, None)

    def send_unsent(self, run_id: str) -> RunRecord:
        """Send the message of a run that never had one; `TransitionRefusedError` where it has."""
        claimed = self.ledger.claim_send(run_id)
        message_id = self.send(claimed.job, claimed.request_id)
        return self.ledger.mark_sent(run_id, message_id, cached_record=claimed)

    def send_again(self, record: RunRecord) -> RunRecord:
        """Send a queued run's lost message again; the run stays where it cannot be sent."""
        message_id = self.send(record.job, record.request_id)
        _log.warning("message_lost", sent_again_as=message_id, **record.log_facts)
        return self.ledger.mark_sent(record.run_id, message_id, cached_record=record)

    def _start(
        self, wanted: NewRun, idempotency: Idempotency | None, runs_per_hour: int | None
    ) -> RunRecord:
        reservation = self.ledger.reserve(wanted, idempotency, runs_per_hour)
        if not reservation.created:
            return _refuse_withdrawn(reservation.record)
        record = reservation.record
        try:
            record = self._sent(record)
        except ExternalServiceError as error:
            # No run is left behind, unless the message arrived after all and it is under way.
            record = self.ledger.tombstone(record.run_id)
            if record.hidden:
                if runs_per_hour is not None:
                    self.ledger.uncount(reservation.record)
                raise QueueUnavailableError from error
        _log.info(
            "run_requested", **record.log_facts, config_version=record.config_version
        )
        return record

    def _sent(self, record: RunRecord) -> RunRecord:
        """Send a run's message, and note it; a fault of the queue is logged and raised."""
        try:
            message_id = self.send(record.job, record.request_id)
        except ExternalServiceError as error:
            _log.error(
                "queue_send_error", error=str(error)[:_MAX_SHOWN], **record.log_facts
            )
            raise
        try:
            return self.ledger.mark_sent(
                record.run_id, message_id, cached_record=record
            )
        except ExternalServiceError as error:
            # The message is on its way, whoever receives it notes it.
            _log.warning(
                "send_not_noted", error=str(error)[:_MAX_SHOWN], **record.log_facts
            )
            return record

    def _refuse_paused(self, tenant_id: str) -> None:
        pause = self.pause_of(tenant_id)
        if pause is not None:
            raise RunCreationPausedError(
                pause.tenant_id, pause.reason, pause.public_reason
            )

    def _version_for(self, tenant_id: str, vendors: Sequence[str] | None) -> int | None:
        """Return the version that the run is pinned to, None where the tenant has no config."""
        if not vendors:
            return self.configs.latest_version(tenant_id)
        stored = self.configs.latest(tenant_id)
        if stored is None:
            return None
        try:
            config = self.configs.parsed(stored)
        except RelayError:
            # The run will fail with what is wrong with its config.
            return stored.version
        try:
            config.selecting(vendors)
        except ConfigError as error:
            raise UnknownVendorError(str(error), error.faults) from error
        return stored.version


def _refuse_withdrawn(record: RunRecord) -> RunRecord:
    """Return a run that is there to be seen."""
    if record.hidden:
        raise QueueUnavailableError
    return record
