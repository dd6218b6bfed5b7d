"""From an order to a run on the queue: record and lock first, then the message, or neither."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from relay_core.config import load_config, parse_document
from relay_core.domain.errors import ConfigError, RelayError
from relay_dagster.api.http.problems import ProblemError, unavailable
from relay_dagster.api.models.runs_tenants import RunOrder
from relay_dagster.api.security.api_keys import Caller
from relay_dagster.api.services import ApiServices
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunAlreadyFinishedError
from relay_dagster.runs.model import Idempotency, NewRun, RunRecord

PAUSE_RETRY_SECONDS = 60
_log = event_log()


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """Takes orders for runs."""

    services: ApiServices

    def take(self, order: RunOrder, idempotency: Idempotency | None, request_id: str) -> RunRecord:
        """Return the run that an order leads to: a new one, or that of an earlier request.

        Raises:
            ProblemError: 422 for a vendor that the config lacks, 503 where the queue fails or
                run creation is paused.
            TenantBusyError: the tenant has an unfinished run.
            IdempotencyKeyReusedError: the key came with another body.
        """
        earlier = self.services.ledger.earlier_run(idempotency) if idempotency else None
        if earlier is not None:
            return _not_withdrawn(earlier)
        self._refuse_paused(order.tenant_id)
        request = NewRun(
            run_id=str(uuid.uuid4()),
            tenant_id=order.tenant_id,
            vendors=order.chosen,
            config_version=_version_for(self.services.tenants, order),
            request_id=request_id,
        )
        reservation = self.services.ledger.reserve(request, idempotency)
        if not reservation.created:
            return _not_withdrawn(reservation.record)
        record = self._send(reservation.record)
        _log.info(
            "run_requested",
            **record.log_facts,
            config_version=record.config_version,
        )
        return record

    def _refuse_paused(self, tenant_id: str) -> None:
        pause = self.services.pauses.of(tenant_id)
        if pause is not None:
            whose = "all tenants" if pause.tenant_id is None else f"tenant {tenant_id}"
            what = f"no runs of {whose} are started for now: {pause.reason}"
            raise unavailable("RUN_CREATION_PAUSED", what, wait_seconds=PAUSE_RETRY_SECONDS)

    def _send(self, record: RunRecord) -> RunRecord:
        try:
            message_id = self.services.queue.send(record.job, request_id=record.request_id)
        except ExternalServiceError as error:
            return self._withdraw(record, error)
        try:
            return self.services.ledger.mark_sent(record.run_id, message_id, known=record)
        except RunAlreadyFinishedError:
            return self.services.runs.get(record.run_id) or record
        except ExternalServiceError as error:
            # The message is on its way, whoever receives it notes it.
            _log.warning("send_not_noted", error=str(error)[:500], **record.log_facts)
            return record

    def _withdraw(self, record: RunRecord, error: ExternalServiceError) -> RunRecord:
        """Leave no run behind, unless the message arrived after all and the run is under way."""
        _log.error(
            "queue_send_error",
            **record.log_facts,
            error=str(error)[:500],
        )
        return _not_withdrawn(self.services.ledger.tombstone(record.run_id), error)


def idempotency_of(caller: Caller, order: RunOrder, key: str | None) -> Idempotency | None:
    """Return what is remembered of a request with an ``Idempotency-Key``."""
    if key is None:
        return None
    body = order.model_dump(mode="json") | {"vendors": order.chosen}
    return Idempotency(id=_digest([caller.id, order.tenant_id, key]), fingerprint=_digest([body]))


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _not_withdrawn(record: RunRecord, cause: ExternalServiceError | None = None) -> RunRecord:
    if not record.hidden:
        return record
    problem = unavailable("QUEUE_UNAVAILABLE", "the queue does not answer, no run was started")
    raise problem from cause


def _version_for(tenants: TenantStore, order: RunOrder) -> int | None:
    """Return the config version that the run is pinned to, None where the tenant has no config.

    Raises:
        ProblemError: 422, the config lacks a vendor that the order names.
    """
    if order.chosen is None:
        return tenants.latest_version(order.tenant_id)
    stored = tenants.latest(order.tenant_id)
    if stored is None:
        return None
    try:
        config = load_config(parse_document(stored.text, format="json"))
    except RelayError:
        # The run will fail with what is wrong with its config.
        return stored.version
    try:
        config.selecting(order.chosen)
    except ConfigError as error:
        raise ProblemError("UNKNOWN_VENDOR", str(error), errors=error.faults) from error
    return stored.version
