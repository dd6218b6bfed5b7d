"""The program's own CloudWatch metrics: what they are called, their dimensions, and how they go.

A metric is worth less than what it tells of: all that is known at one moment goes together, on
a thread that is waited for briefly, and one that cannot be sent is logged and forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.logs import event_log
from relay_dagster.runs.model import RunRecord

RUN_SUCCEEDED = "RunSucceeded"
RUN_FAILED = "RunFailed"
RUN_HELD = "RunHeld"
RUNS_HELD = "RunsHeld"
FEED_AGE_SECONDS = "FeedAgeSeconds"
RUN_DURATION_SECONDS = "RunDurationSeconds"
ROWS_PROCESSED = "RowsProcessed"
CONSECUTIVE_FAILURES = "ConsecutiveFailures"
WORKER_HEARTBEAT = "WorkerHeartbeat"
WORKER_ERROR = "WorkerError"
WEBHOOK_FAILED = "WebhookFailed"

TENANT_ID = "TenantId"
ENVIRONMENT = "Environment"
ERROR_TYPE = "ErrorType"

TIME_LIMIT_SECONDS = 3.0
# CloudWatch takes no more in one call.
_AT_ONCE = 1000
_log = event_log()
_TOLD: Mapping[RunStatus, Mapping[str, int]] = {
    RunStatus.SUCCEEDED: {RUN_SUCCEEDED: 1, RUN_FAILED: 0},
    RunStatus.FAILED: {RUN_SUCCEEDED: 0, RUN_FAILED: 1},
    RunStatus.HELD: {RUN_HELD: 1},
}
"""What is told of an end; of a cancel nothing."""


class Metrics:
    """Sends metrics, or nothing where they are not enabled. No method raises, or takes long.

    CloudWatch does not add up across dimensions, so what is wanted both for one tenant and for all
    is written twice.

    Args:
        clients: AWS.
        namespace: of all metrics.
        environment: the dimension that all metrics have.
        enabled: whether anything is sent.
        consecutive_failures: tells how many runs of a tenant have failed running.
        time_limit_seconds: how long a caller waits for the sending.
    """

    def __init__(
        self,
        clients: Clients,
        *,
        namespace: str,
        environment: str,
        enabled: bool,
        consecutive_failures: Callable[[str], int],
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self._clients = clients
        self._namespace = namespace
        self._environment = environment
        self._enabled = enabled
        self._consecutive_failures = consecutive_failures
        self._time_limit_seconds = time_limit_seconds

    def run_finished(self, record: RunRecord) -> None:
        """Tell how a run ended; to be called by whoever ended it. A cancel sends nothing."""
        if record.status in _TOLD:
            self._send(lambda: self._run_data(record))

    def run_released(self, record: RunRecord) -> None:
        """Tell that a run that was held has succeeded after all."""
        self._send(lambda: self._end_data(record))

    def runs_held(self, holds: Mapping[str, int]) -> None:
        """Tell how many holds wait for a decision: of each tenant that has any, and in all."""
        self._send(
            lambda: [
                self._datum(RUNS_HELD, sum(holds.values())),
                *(self._datum(RUNS_HELD, n, **{TENANT_ID: each}) for each, n in holds.items()),
            ]
        )

    def feed_ages(self, seconds: Mapping[str, float]) -> None:
        """Tell how old the feed of each tenant is that has a schedule, and in all the oldest."""
        if seconds:
            self._send(
                lambda: [
                    self._datum(FEED_AGE_SECONDS, max(seconds.values()), "Seconds"),
                    *(
                        self._datum(FEED_AGE_SECONDS, age, "Seconds", **{TENANT_ID: each})
                        for each, age in seconds.items()
                    ),
                ]
            )

    def worker_heartbeat(self) -> None:
        """Tell that a tick of a sensor has been made."""
        self._send(lambda: [self._datum(WORKER_HEARTBEAT, 1)])

    def webhooks_failed(self, count: int) -> None:
        """Count what webhooks are not told after all: deliveries given up, receivers disabled."""
        self._send(lambda: [self._datum(WEBHOOK_FAILED, count)])

    def worker_error(self, error_type: str) -> None:
        """Count a fault that is none of the data's, in all and by its type."""
        self._send(
            lambda: [
                self._datum(WORKER_ERROR, 1),
                self._datum(WORKER_ERROR, 1, **{ERROR_TYPE: error_type}),
            ]
        )

    def _run_data(self, record: RunRecord) -> list[dict[str, Any]]:
        began = record.started_at or record.requested_at
        seconds = (record.finished_at - began).total_seconds() if record.finished_at else 0.0
        rows = record.counts.get("total_rows", 0)
        return [
            *self._end_data(record),
            *self._for_both(record, RUN_DURATION_SECONDS, max(seconds, 0.0), "Seconds"),
            *self._for_both(record, ROWS_PROCESSED, rows),
        ]

    def _end_data(self, record: RunRecord) -> list[dict[str, Any]]:
        told = _TOLD[record.status].items()
        data = [datum for name, value in told for datum in self._for_both(record, name, value)]
        if record.status is RunStatus.HELD:
            return data  # a hold leaves the count of failures as it is
        # A success has just set the count to 0.
        failed = record.status is RunStatus.FAILED
        running = self._consecutive_failures(record.tenant_id) if failed else 0
        return [*data, self._datum(CONSECUTIVE_FAILURES, running, **{TENANT_ID: record.tenant_id})]

    def _for_both(
        self, record: RunRecord, name: str, value: float, unit: str = "Count"
    ) -> list[dict[str, Any]]:
        """Return a metric for the tenant and for all."""
        dimensions: tuple[dict[str, str], ...] = ({TENANT_ID: record.tenant_id}, {})
        return [self._datum(name, value, unit, **each) for each in dimensions]

    def _datum(
        self, name: str, value: float, unit: str = "Count", **dimensions: str
    ) -> dict[str, Any]:
        named: Mapping[str, str] = {**dimensions, ENVIRONMENT: self._environment}
        return {
            "MetricName": name,
            "Value": float(value),
            "Unit": unit,
            "Dimensions": [{"Name": key, "Value": text} for key, text in named.items()],
        }

    def _send(self, data: Callable[[], Sequence[Any]]) -> None:
        if not self._enabled:
            return
        # A daemon: neither the caller nor the end of the process waits for a service that hangs.
        sender = threading.Thread(target=self._put, args=(data,), name="metrics", daemon=True)
        try:
            sender.start()
        except RuntimeError as error:
            # No thread is to be had: the process ends, or the machine is full.
            _not_sent(str(error))
            return
        sender.join(self._time_limit_seconds)
        if sender.is_alive():
            _not_sent(f"no answer within {self._time_limit_seconds} s")

    def _put(self, data: Callable[[], Sequence[Any]]) -> None:
        try:
            put, told = self._clients.cloudwatch.put_metric_data, data()
            for start in range(0, len(told), _AT_ONCE):
                some = told[start : start + _AT_ONCE]
                put(Namespace=self._namespace, MetricData=some)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            _not_sent(f"{type(error).__name__}: {error}")


def report_fault(metrics: Metrics, event: str, error: Exception, **facts: object) -> None:
    """Log an exception that a tick has met and count it as ``WorkerError``.

    One that has a code of its own is a fault that is known; any other is a defect, of which the
    log has the stack of calls. Whether the tick goes on after it is its own business.
    """
    code = error_code_of(error)
    trace = error if code == INTERNAL_ERROR else False
    _log.error(event, error_code=code, error=str(error), exc_info=trace, **facts)
    metrics.worker_error(code)


def _not_sent(why: str) -> None:
    _log.warning("metric_not_sent", error=why)
