"""The program's own CloudWatch metrics. One that cannot be sent is logged and forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay_core.models import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.verdicts import speaks_aws
from relay_dagster.faults import WorldError
from relay_dagster.records import RunRecord

_LOG = logging.getLogger(__name__)
_ENDS = (RunStatus.SUCCEEDED, RunStatus.FAILED)


class Metrics:
    """Sends metrics, or nothing where they are not enabled.

    CloudWatch does not add up across dimensions, so what is wanted both for one tenant and for all
    is written twice.

    Args:
        clients: AWS.
        namespace: of all metrics.
        environment: the dimension that all metrics have.
        enabled: whether anything is sent.
        consecutive_failures: tells how many runs of a tenant have failed running.
    """

    def __init__(
        self,
        clients: Clients,
        *,
        namespace: str,
        environment: str,
        enabled: bool,
        consecutive_failures: Callable[[str], int],
    ) -> None:
        self._clients = clients
        self._namespace = namespace
        self._environment = environment
        self._enabled = enabled
        self._consecutive_failures = consecutive_failures

    def run_finished(self, record: RunRecord) -> None:
        """Tell how a run ended; to be called by whoever made it final. A cancel sends nothing."""
        if self._enabled and record.status in _ENDS:
            self._try(lambda: self._run_data(record))

    def worker_heartbeat(self) -> None:
        """Tell that a tick of a sensor has been made."""
        if self._enabled:
            self._try(lambda: [self._datum("WorkerHeartbeat", 1)])

    def worker_error(self, error_type: str) -> None:
        """Count a fault that is none of the data's, in all and by its type."""
        if self._enabled:
            self._try(
                lambda: [
                    self._datum("WorkerError", 1),
                    self._datum("WorkerError", 1, ErrorType=error_type),
                ]
            )

    def _run_data(self, record: RunRecord) -> list[dict[str, Any]]:
        failed = record.status is RunStatus.FAILED
        began = record.started_at or record.requested_at
        seconds = (record.finished_at - began).total_seconds() if record.finished_at else 0.0
        values = {
            "RunSucceeded": (0 if failed else 1, "Count"),
            "RunFailed": (1 if failed else 0, "Count"),
            "RunDurationSeconds": (max(seconds, 0.0), "Seconds"),
            "RowsProcessed": (record.counts.get("total_rows", 0), "Count"),
        }
        tenant = {"TenantId": record.tenant_id}
        data = [
            self._datum(name, value, unit, **dimensions)
            for dimensions in (tenant, {})
            for name, (value, unit) in values.items()
        ]
        running = self._consecutive_failures(record.tenant_id)
        return [*data, self._datum("ConsecutiveFailures", running, **tenant)]

    def _datum(
        self, name: str, value: float, unit: str = "Count", **dimensions: str
    ) -> dict[str, Any]:
        named: Mapping[str, str] = {**dimensions, "Environment": self._environment}
        return {
            "MetricName": name,
            "Value": float(value),
            "Unit": unit,
            "Dimensions": [{"Name": key, "Value": text} for key, text in named.items()],
        }

    def _try(self, data: Callable[[], Sequence[Any]]) -> None:
        try:
            self._send(data())
        except WorldError as error:
            _LOG.warning("metric_not_sent", extra={"error": str(error)})

    @speaks_aws
    def _send(self, data: Sequence[Any]) -> None:
        self._clients.cloudwatch.put_metric_data(Namespace=self._namespace, MetricData=data)
