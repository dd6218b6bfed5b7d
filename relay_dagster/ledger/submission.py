"""The one way in which a run is submitted: first its record and lock, then its message.

A run whose message cannot be sent is withdrawn. Everyone who starts runs uses this: the
API, the triggers of tenants, the redrive of a dead letter, and the reconciler for a run
whose submitter died in between.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from relay_core.domain.errors import ConfigError, RelayError
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.logs import event_log
from relay_dagster.runs import errors
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

    ledger: RunLedger  # creates the records
    # Sends a job; returns the message's id
    send: Callable[[Job, str | None], str]
    # Returns the pause of a tenant's runs
    pause_of: Callable[[str], Pause | None]
    configs: TenantStore  # reads configs
    # The quota of a tenant's callers; None for none.
    runs_per_hour: int | None = None

    def submit(
        self,
        tenant_id: str,
        vendors: Sequence[str] | None = None,
        *,
        request_id: str | None = None,
        idempotency: Idempotency | None = None,
        origin: Origin = SYSTEM,
    ) -> RunRecord:
        """Return the run of a request: a new one, or that of an earlier request.

        None or no vendors are all vendors. A tenant without a config gets a run that
        will fail. The errors are checked in the order of this list.

        Raises:
            IdempotencyKeyReusedError: the key came with another body.
            RunCreationPausedError: an operator has paused the creation of runs.
            NoVendorsError: the config has no vendors.
            UnknownVendorError: the config lacks a vendor.
            TenantBusyError: the tenant has an active run.
            QuotaExceededError: the tenant has had its runs of this hour.
            QueueUnavailableError: the message could not be sent; no run was started.
        """
        earlier_run = (
            self.ledger.earlier_run(idempotency) if idempotency else None
        )
        if earlier_run is not None:
            return _visible(earlier_run)
        self._refuse_paused(tenant_id)
        new_run = NewRun(
            tenant_id=tenant_id,
            vendors=tuple(vendors or ()),
            config_version=self._version_for(tenant_id, vendors),
            request_id=request_id,
            origin=origin,
        )
        return self._start(new_run, idempotency, self.runs_per_hour)

    def start_triggered(
        self,
        trigger: Trigger,
        update: TriggerUpdate,
    ) -> RunRecord:
        """Start a run of all vendors that triggers want, and take the run from them.

        It counts for no quota. A run whose message cannot be sent stays: the triggers
        no longer want it, and the reconciler sends it.

        Raises:
            RunCreationPausedError: an operator has paused the creation of runs.
            NoVendorsError: the config has no vendors any more.
            TenantBusyError: the tenant has an active run.
            CommitLostError: the triggers have changed; somebody else was first.
        """
        tenant_id = update.before.tenant_id
        self._refuse_paused(tenant_id)
        new_run = NewRun(
            tenant_id=tenant_id,
            trigger=trigger,
            config_version=self._version_for(tenant_id),
        )
        record = self.ledger.start_triggered(new_run, update)
        _log.info(
            "run_requested",
            trigger=trigger,
            config_version=record.config_version,
            **record.log_facts,
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
        """Start a run instead of one that died, with the latest config, since fixed.

        An operator asks for it, so no pause and no quota stops it. A vendor that the
        config lacks fails the run.

        Raises:
            NoVendorsError: the config has no vendors.
            TenantBusyError: the tenant has an active run.
            QueueUnavailableError: the message could not be sent; no run was started.
        """
        new_run = NewRun(
            tenant_id=tenant_id,
            vendors=tuple(vendors or ()),
            config_version=self._version_for(tenant_id),
            origin=origin,
            in_place_of=in_place_of,
        )
        return self._start(new_run, None, None)

    def send_unsent(self, run_id: str) -> RunRecord:
        """Send the message of a run that never had one.

        Raises:
            TransitionRefusedError: the message is sent, or somebody is sending it.
        """
        record = self.ledger.messages.claim_send(run_id)
        message_id = self.send(record.job, record.request_id)
        return self.ledger.messages.mark_sent(
            run_id,
            message_id,
            cached_record=record,
        )

    def send_again(self, record: RunRecord) -> RunRecord:
        """Send a queued run's lost message again; without success the run stays."""
        message_id = self.send(record.job, record.request_id)
        _log.warning(
            "message_lost",
            sent_again_as=message_id,
            **record.log_facts,
        )
        return self.ledger.messages.mark_sent(
            record.run_id,
            message_id,
            cached_record=record,
        )

    def _start(
        self,
        new_run: NewRun,
        idempotency: Idempotency | None,
        runs_per_hour: int | None,
    ) -> RunRecord:
        reservation = self.ledger.reserve(new_run, idempotency, runs_per_hour)
        if not reservation.created:
            return _visible(reservation.record)
        try:
            record = self._sent(reservation.record)
        except ExternalServiceError as error:
            # The run is withdrawn, unless its message arrived after all.
            record = self.ledger.tombstone(new_run.run_id)
            if record.hidden:
                if runs_per_hour is not None:
                    self.ledger.uncount(reservation.record)
                raise errors.QueueUnavailableError from error
        _log.info(
            "run_requested",
            **record.log_facts,
            config_version=record.config_version,
        )
        return record

    def _sent(self, record: RunRecord) -> RunRecord:
        """Send a run's message and note it.

        A fault of the queue is logged and raised. A fault of the store is only logged:
        the message is on its way, and its receiver notes it.
        """
        try:
            message_id = self.send(record.job, record.request_id)
        except ExternalServiceError as error:
            _log.error(
                "queue_send_error",
                error=str(error)[:_MAX_SHOWN],
                **record.log_facts,
            )
            raise
        try:
            return self.ledger.messages.mark_sent(
                record.run_id,
                message_id,
                cached_record=record,
            )
        except ExternalServiceError as error:
            _log.warning(
                "send_not_noted",
                error=str(error)[:_MAX_SHOWN],
                **record.log_facts,
            )
            return record

    def _refuse_paused(self, tenant_id: str) -> None:
        pause = self.pause_of(tenant_id)
        if pause is not None:
            raise errors.RunCreationPausedError(
                pause.tenant_id,
                pause.reason,
                pause.public_reason,
            )

    def _version_for(
        self,
        tenant_id: str,
        vendors: Sequence[str] | None = None,
    ) -> int | None:
        """Return the config version for a run; None if the tenant has no config.

        Raises:
            NoVendorsError: the config has no vendors.
            UnknownVendorError: the config lacks one of `vendors`.
        """
        stored = self.configs.latest(tenant_id)
        if stored is None:
            return None
        try:
            config = self.configs.parsed(stored)
        except RelayError:
            # The run will fail with the errors of its config.
            return stored.version
        if not config.vendors:
            raise errors.NoVendorsError(tenant_id)
        try:
            config.selecting(vendors)
        except ConfigError as error:
            raise errors.UnknownVendorError(str(error), error.faults) from error
        return stored.version


def _visible(record: RunRecord) -> RunRecord:
    """Return the record of an earlier request's run, unless that run was withdrawn."""
    if record.hidden:
        raise errors.QueueUnavailableError
    return record
