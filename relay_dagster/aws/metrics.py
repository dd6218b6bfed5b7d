"""Sends the program's own CloudWatch metrics.

A metric is worth less than the work that it measures. Values that are known at the same
moment are sent together, by a thread for which the caller waits briefly. Values that
cannot be sent are logged and dropped.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.errors import maps_aws_errors
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.logs import event_log
from relay_dagster.runs import service_level
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.service_level import SloEvent

# Metrics
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
PULL_FAILED = "PullFailed"
DELIVERY_FAILED = "DeliveryFailed"
RATE_LIMITED = "RateLimited"
ACCESS_DENIED = "AccessDenied"
INVARIANTS_BROKEN = "InvariantsBroken"
DOCTOR_CUT_SHORT = "DoctorCutShort"
PUBLISH_LAG_SECONDS = "PublishLagSeconds"
SLO_GOOD = "SloGood"
SLO_BAD = "SloBad"

# Dimensions
TENANT_ID = "TenantId"
ENVIRONMENT = "Environment"
ERROR_TYPE = "ErrorType"
FAILURE_CLASS = "FailureClass"

TIME_LIMIT_SECONDS = 3.0
"""How long a caller waits for its metrics to be sent."""

GATHERING_SECONDS = 10.0
"""The time over which refused requests are counted; there may be many a second."""

# The number of metrics that CloudWatch takes in one call
_MAX_METRICS = 1000
_log = event_log()

_METRICS_OF_END: Mapping[RunStatus, Mapping[str, int]] = {
    RunStatus.SUCCEEDED: {RUN_SUCCEEDED: 1, RUN_FAILED: 0},
    RunStatus.FAILED: {RUN_SUCCEEDED: 0, RUN_FAILED: 1},
    RunStatus.HELD: {RUN_HELD: 1},
}
"""The metrics of a run's end, by its status. A cancelled run has none."""

_TENANT_METRICS = (
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_HELD,
    RUNS_HELD,
    FEED_AGE_SECONDS,
    RUN_DURATION_SECONDS,
    ROWS_PROCESSED,
    CONSECUTIVE_FAILURES,
)
"""The metrics that have a value for each tenant."""

_Datum = dict[str, Any]
"""One value of a metric, as CloudWatch takes it."""


@dataclass(eq=False)
class Metrics:
    """Sends metrics, or nothing if they are disabled. No method raises or takes long.

    CloudWatch adds up nothing over a dimension. A metric of one tenant and of all tenants
    is therefore sent twice.
    """

    # The clients of AWS
    clients: Clients
    _: KW_ONLY
    # The namespace of all metrics
    namespace: str
    # The value of a dimension that all metrics have
    environment: str
    # False if nothing is sent
    enabled: bool
    # Returns the number of a tenant's runs that have failed in succession
    consecutive_failures: Callable[[str], int]
    # How long a caller waits
    time_limit_seconds: float = TIME_LIMIT_SECONDS
    # How long refused requests are counted before their number is sent
    gathering_seconds: float = GATHERING_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _refusals: Counter[str] = field(default_factory=Counter)

    def run_finished(self, record: RunRecord) -> None:
        """Send the metrics of a run's end. A cancelled run has none."""
        if record.status in _METRICS_OF_END:
            self._send(lambda: self._run_data(record))

    def run_released(self, record: RunRecord) -> None:
        """Send that a held run has succeeded."""
        self._send(lambda: self._end_data(record))

    def runs_held(self, holds: Mapping[str, int]) -> None:
        """Send the number of holds that wait for a decision, by tenant and in all.

        ``holds`` has the tenants with at least one.
        """
        total = sum(holds.values())
        self._send(lambda: self._by_tenant(RUNS_HELD, holds, total))

    def feed_ages(self, seconds: Mapping[str, float]) -> None:
        """Send the ages of the feeds of tenants with a schedule, and the greatest age."""
        if seconds:
            greatest = max(seconds.values())
            self._send(
                lambda: self._by_tenant(
                    FEED_AGE_SECONDS,
                    seconds,
                    greatest,
                    "Seconds",
                ),
            )

    def feeds_judged(self, events: Sequence[SloEvent]) -> None:
        """Send the judgements of the feeds of tenants with a schedule."""
        if events:
            self._send(lambda: self._slo_data(events))

    def count(self, name: str, number: int = 1) -> None:
        """Send how often something has happened that is not of one tenant."""
        self._send(lambda: [self._datum(name, number)])

    def worker_error(self, error_type: str) -> None:
        """Send a failure of the platform, in all and by its type."""
        self._send(
            lambda: [
                self._datum(WORKER_ERROR, 1),
                self._datum(WORKER_ERROR, 1, **{ERROR_TYPE: error_type}),
            ],
        )

    def rate_limited(self) -> None:
        """Count a request that was refused by a rate limit. The number is sent later."""
        self._count_refusal(RATE_LIMITED)

    def access_denied(self) -> None:
        """Count a request without the right to it. The number is sent later."""
        self._count_refusal(ACCESS_DENIED)

    def _count_refusal(self, name: str) -> None:
        if not self.enabled:
            return
        with self._lock:
            self._refusals[name] += 1
            if self._refusals.total() > 1:
                return
        sender = threading.Timer(self.gathering_seconds, self._send_refusals)
        sender.daemon = True
        sender.start()

    def _send_refusals(self) -> None:
        with self._lock:
            refusals = self._refusals
            self._refusals = Counter()
        self._send(
            lambda: [
                self._datum(name, count) for name, count in refusals.items()
            ],
        )

    # --- values -----------------------------------------------------------------------

    def _run_data(self, record: RunRecord) -> list[_Datum]:
        """Return the metrics of a run's end."""
        data = []
        event = service_level.event_of_run(record)
        if event is not None:
            data += self._slo_data([event])
        lag = service_level.publish_lag(record)
        if lag is not None:
            lag_seconds = lag.total_seconds()
            data += self._for_both(
                record,
                PUBLISH_LAG_SECONDS,
                lag_seconds,
                "Seconds",
            )
        data += self._end_data(record)
        duration_seconds = 0.0
        if record.finished_at is not None:
            began_at = record.started_at or record.requested_at
            duration_seconds = (record.finished_at - began_at).total_seconds()
        data += self._for_both(
            record,
            RUN_DURATION_SECONDS,
            max(duration_seconds, 0.0),
            "Seconds",
        )
        rows = record.counts.get("total_rows", 0)
        data += self._for_both(record, ROWS_PROCESSED, rows)
        return data

    def _end_data(self, record: RunRecord) -> list[_Datum]:
        """Return the metrics that say how a run has ended."""
        data = []
        for name, value in _METRICS_OF_END[record.status].items():
            data += self._for_both(record, name, value)
        if record.status is RunStatus.HELD:
            # A hold leaves the number of failures as it is.
            return data
        failures = 0
        if record.status is RunStatus.FAILED:
            # A success has just set the number to 0, so only a failure asks for it.
            failures = self.consecutive_failures(record.tenant_id)
        tenant = {TENANT_ID: record.tenant_id}
        data.append(self._datum(CONSECUTIVE_FAILURES, failures, **tenant))
        return data

    def _slo_data(self, events: Sequence[SloEvent]) -> list[_Datum]:
        """Return good and bad service, each as 1 or 0, by tenant and in all.

        Bad service is also returned by its fault.
        """
        counted = [event for event in events if event.counts]
        data = []
        if counted:
            good = [float(event.fault is None) for event in counted]
            bad = [float(event.fault is not None) for event in counted]
            data += self._slo_values(SLO_GOOD, counted, good)
            data += self._slo_values(SLO_BAD, counted, bad)
        faults = Counter(
            event.fault for event in events if event.fault is not None
        )
        for fault, number in faults.items():
            data.append(self._datum(SLO_BAD, number, **{FAILURE_CLASS: fault}))
        return data

    def _slo_values(
        self,
        name: str,
        events: Sequence[SloEvent],
        values: Sequence[float],
    ) -> list[_Datum]:
        """Return the value of each event for its tenant, and the statistics of all."""
        data = []
        for event, value in zip(events, values, strict=True):
            data.append(
                self._datum(name, value, **{TENANT_ID: event.tenant_id}),
            )
        statistics = self._datum(name, 0)
        del statistics["Value"]
        statistics["StatisticValues"] = {
            "Minimum": min(values),
            "Maximum": max(values),
            "SampleCount": float(len(values)),
            "Sum": sum(values),
        }
        return [*data, statistics]

    def _by_tenant(
        self,
        name: str,
        values: Mapping[str, float],
        total: float,
        unit: str = "Count",
    ) -> list[_Datum]:
        """Return a metric's total, and its value for each tenant."""
        data = [self._datum(name, total, unit)]
        for tenant_id, value in values.items():
            data.append(
                self._datum(name, value, unit, **{TENANT_ID: tenant_id}),
            )
        return data

    def _for_both(
        self,
        record: RunRecord,
        name: str,
        value: float,
        unit: str = "Count",
    ) -> list[_Datum]:
        """Return a metric for a run's tenant, and for all tenants."""
        tenant = {TENANT_ID: record.tenant_id}
        return [
            self._datum(name, value, unit, **tenant),
            self._datum(name, value, unit),
        ]

    def _datum(
        self,
        name: str,
        value: float,
        unit: str = "Count",
        **dimensions: str,
    ) -> _Datum:
        all_dimensions = {**dimensions, ENVIRONMENT: self.environment}
        return {
            "MetricName": name,
            "Value": float(value),
            "Unit": unit,
            "Dimensions": [
                {"Name": dimension, "Value": text}
                for dimension, text in all_dimensions.items()
            ],
        }

    # --- sending ----------------------------------------------------------------------

    def _send(self, data: Callable[[], Sequence[_Datum]]) -> None:
        if not self.enabled:
            return
        # As a daemon, the thread keeps neither the caller nor the process waiting for a
        # service that hangs.
        sender = threading.Thread(
            target=self._put,
            args=(data,),
            name="metrics",
            daemon=True,
        )
        try:
            sender.start()
        except RuntimeError as error:
            # There is no thread: the process is ending, or the machine is full.
            _log_unsent(str(error))
            return
        sender.join(self.time_limit_seconds)
        if sender.is_alive():
            _log_unsent(f"no answer within {self.time_limit_seconds} s")

    def _put(self, data: Callable[[], Sequence[_Datum]]) -> None:
        try:
            client = self.clients.cloudwatch
            metrics: Any = data()
            for start in range(0, len(metrics), _MAX_METRICS):
                batch = metrics[start : start + _MAX_METRICS]
                client.put_metric_data(
                    Namespace=self.namespace,
                    MetricData=batch,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            _log_unsent(f"{type(error).__name__}: {error}")


def _log_unsent(reason: str) -> None:
    _log.warning("metric_not_sent", error=reason)


def report_fault(
    metrics: Metrics,
    event: str,
    error: Exception,
    **facts: object,
) -> None:
    """Log an exception of a tick and count it as ``WorkerError``.

    A defect is logged with its traceback.
    """
    code = error_code_of(error)
    trace = error if code == INTERNAL_ERROR else False
    _log.error(
        event,
        error_code=code,
        error=str(error),
        exc_info=trace,
        **facts,
    )
    metrics.worker_error(code)


@maps_aws_errors
def remove_alarms(
    clients: Clients,
    namespace: str,
    environment: str,
    tenant_id: str,
) -> int:
    """Delete the alarms on a tenant's metrics, and return how many there were."""
    dimensions = {TENANT_ID: tenant_id, ENVIRONMENT: environment}
    dimension_filter: Any = [
        {"Name": name, "Value": value} for name, value in dimensions.items()
    ]
    alarm_names: set[str] = set()
    for metric in _TENANT_METRICS:
        response = clients.cloudwatch.describe_alarms_for_metric(
            MetricName=metric,
            Namespace=namespace,
            Dimensions=dimension_filter,
        )
        for alarm in response["MetricAlarms"]:
            alarm_dimensions = {
                dimension["Name"]: dimension["Value"]
                for dimension in alarm.get("Dimensions", [])
            }
            # The embedded AWS also returns alarms with other dimensions.
            if alarm_dimensions == dimensions:
                alarm_names.add(alarm["AlarmName"])
    if alarm_names:
        clients.cloudwatch.delete_alarms(AlarmNames=sorted(alarm_names))
    return len(alarm_names)
