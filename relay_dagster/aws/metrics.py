"""The program's own CloudWatch metrics, and the service level that tenants are promised.

A metric is worth less than the work it measures. Values known at one moment go together, on a
thread that is waited for briefly; values that cannot be sent are logged and dropped.

The promise: a run of all vendors publishes its feed within 15 minutes, and the feed of a tenant
with a schedule is not late. Held feeds, and faults of a tenant or its vendors, are counted apart.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import FailureClass, RunStatus
from relay_dagster.aws.clients import Clients, maps_aws_errors
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.logs import event_log
from relay_dagster.runs.model import RunRecord, Trigger

PUBLISHED_WITHIN = timedelta(minutes=15)
HOLD = "hold"
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
RATE_LIMITED = "RateLimited"
INVARIANTS_BROKEN = "InvariantsBroken"
PUBLISH_LAG_SECONDS = "PublishLagSeconds"
SLO_GOOD = "SloGood"
SLO_BAD = "SloBad"
TENANT_ID = "TenantId"
ENVIRONMENT = "Environment"
ERROR_TYPE = "ErrorType"
FAILURE_CLASS = "FailureClass"
TIME_LIMIT_SECONDS = 3.0
GATHERING_SECONDS = 10.0
"""Refusals, of which there may be many a second, are counted for so long and sent together."""
# CloudWatch takes no more in one call.
_MAX_METRICS = 1000
_log = event_log()
_METRICS_OF_END: Mapping[RunStatus, Mapping[str, int]] = {
    RunStatus.SUCCEEDED: {RUN_SUCCEEDED: 1, RUN_FAILED: 0},
    RunStatus.FAILED: {RUN_SUCCEEDED: 0, RUN_FAILED: 1},
    RunStatus.HELD: {RUN_HELD: 1},
}
"""The metrics of each end of a run; a cancelled run has none."""
_OF_TENANTS = (
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_HELD,
    RUNS_HELD,
    FEED_AGE_SECONDS,
    RUN_DURATION_SECONDS,
    ROWS_PROCESSED,
    CONSECUTIVE_FAILURES,
)
"""The metrics with a tenant's dimension."""


@dataclass(frozen=True, slots=True)
class SloEvent:
    """A judgement of a tenant's service: None for good, else a `FailureClass` or ``hold``."""

    tenant_id: str
    fault: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it is the platform's, good or bad."""
        return self.fault in (None, FailureClass.PLATFORM)


def publish_lag(run: RunRecord) -> timedelta | None:
    """Return how long a feed was on its way; None of a run that published none.

    A run that uploads have started is late from the last of them on, any other from its request.
    """
    if run.published_at is None:
        return None
    uploads = [
        each.uploaded_at for each in run.vendor_results if each.uploaded_at is not None
    ]
    of_uploads = run.trigger is Trigger.UPLOAD and uploads
    began = min(max(uploads), run.requested_at) if of_uploads else run.requested_at
    return max(run.published_at - began, timedelta(0))


def event_of_run(run: RunRecord) -> SloEvent | None:
    """Judge the end of a run; None for a run of some vendors, and for a cancelled one."""
    if run.vendors is not None or run.status is RunStatus.CANCELLED:
        return None
    lag = publish_lag(run)
    is_good = lag is not None and lag <= PUBLISHED_WITHIN
    return SloEvent(run.tenant_id, None if is_good else fault_of(run))


def event_of_feed(
    tenant_id: str, late_at: datetime | None, last_run: RunRecord | None, now: datetime
) -> SloEvent:
    """Judge the age of a feed; the last run says whose fault it is that one is late."""
    is_late = late_at is not None and late_at < now
    return SloEvent(tenant_id, fault_of(last_run) if is_late else None)


def fault_of(run: RunRecord | None) -> str:
    """Return whose fault it is that a run has published nothing in time; None is no run."""
    if run is not None and run.status is RunStatus.HELD:
        return HOLD
    failure_class = None if run is None else run.failure_class
    return str(failure_class or FailureClass.PLATFORM)


@dataclass(eq=False)
class Metrics:
    """Sends metrics, or nothing where they are not enabled. No method raises, or takes long.

    CloudWatch sums across no dimensions: a metric for one tenant and for all is sent twice.
    """

    clients: Clients  # AWS
    _: KW_ONLY
    namespace: str  # of all metrics
    environment: str  # a dimension of all metrics
    enabled: bool  # whether anything is sent
    consecutive_failures: Callable[[str], int]  # of a tenant's runs, in a row
    time_limit_seconds: float = TIME_LIMIT_SECONDS  # the longest that a caller waits
    gathering_seconds: float = GATHERING_SECONDS  # for so long refusals are counted
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _refusals: int = 0

    def run_finished(self, record: RunRecord) -> None:
        """Report the end of a run, for whoever ended it. A cancelled run sends nothing."""
        if record.status in _METRICS_OF_END:
            self._send(lambda: self._run_data(record))

    def run_released(self, record: RunRecord) -> None:
        """Report that a held run has succeeded after all."""
        self._send(lambda: self._end_data(record))

    def runs_held(self, holds: Mapping[str, int]) -> None:
        """Report how many holds wait for a decision: of each tenant that has any, and in all."""
        self._send(lambda: self._of_each(RUNS_HELD, holds, sum(holds.values())))

    def feed_ages(self, seconds: Mapping[str, float]) -> None:
        """Report the feed's age of each tenant that has a schedule, and the greatest age of all."""
        if seconds:
            oldest = max(seconds.values())
            self._send(
                lambda: self._of_each(FEED_AGE_SECONDS, seconds, oldest, "Seconds")
            )

    def feeds_judged(self, events: Sequence[SloEvent]) -> None:
        """Report whether the feeds of tenants that have a schedule are as they are to be."""
        if events:
            self._send(lambda: self._slo_data(events))

    def count(self, name: str, number: int = 1) -> None:
        """Report how often something has happened: a metric that is of no tenant."""
        self._send(lambda: [self._datum(name, number)])

    def rate_limited(self) -> None:
        """Count a request that was refused for too many of them; the count is sent later."""
        if not self.enabled:
            return
        with self._lock:
            self._refusals += 1
            if self._refusals > 1:
                return
        sender = threading.Timer(self.gathering_seconds, self._send_refusals)
        sender.daemon = True
        sender.start()

    def _send_refusals(self) -> None:
        with self._lock:
            count, self._refusals = self._refusals, 0
        self.count(RATE_LIMITED, count)

    def worker_error(self, error_type: str) -> None:
        """Count a fault of the platform, in all and by its type."""
        self._send(
            lambda: [
                self._datum(WORKER_ERROR, 1),
                self._datum(WORKER_ERROR, 1, **{ERROR_TYPE: error_type}),
            ]
        )

    def _run_data(self, record: RunRecord) -> list[dict[str, Any]]:
        began = record.started_at or record.requested_at
        seconds = (
            (record.finished_at - began).total_seconds() if record.finished_at else 0.0
        )
        rows = record.counts.get("total_rows", 0)
        event, lag = event_of_run(record), publish_lag(record)
        slo = [] if event is None else self._slo_data([event])
        if lag is not None:
            slo += self._for_both(
                record, PUBLISH_LAG_SECONDS, lag.total_seconds(), "Seconds"
            )
        return [
            *slo,
            *self._end_data(record),
            *self._for_both(record, RUN_DURATION_SECONDS, max(seconds, 0.0), "Seconds"),
            *self._for_both(record, ROWS_PROCESSED, rows),
        ]

    def _end_data(self, record: RunRecord) -> list[dict[str, Any]]:
        metrics = _METRICS_OF_END[record.status].items()
        data = [
            datum
            for name, value in metrics
            for datum in self._for_both(record, name, value)
        ]
        if record.status is RunStatus.HELD:
            return data  # a hold leaves the count of failures as it is
        # A success has just set the count to 0.
        failed = record.status is RunStatus.FAILED
        running = self.consecutive_failures(record.tenant_id) if failed else 0
        return [
            *data,
            self._datum(CONSECUTIVE_FAILURES, running, **{TENANT_ID: record.tenant_id}),
        ]

    def _slo_data(self, events: Sequence[SloEvent]) -> list[dict[str, Any]]:
        """Return good and bad, 1 and 0 both, of each tenant and all, and bad by whose it is."""
        counted = [each for each in events if each.counts]
        data = []
        for name, values in (
            (SLO_GOOD, [float(each.fault is None) for each in counted]),
            (SLO_BAD, [float(each.fault is not None) for each in counted]),
        ):
            data += [
                self._datum(name, value, **{TENANT_ID: each.tenant_id})
                for each, value in zip(counted, values, strict=True)
            ]
            if values:
                total = self._datum(name, 0)
                del total["Value"]
                bounds = {"Minimum": min(values), "Maximum": max(values)}
                counts = {"SampleCount": float(len(values)), "Sum": sum(values)}
                data.append({**total, "StatisticValues": {**bounds, **counts}})
        faults = Counter(each.fault for each in events if each.fault is not None)
        return data + [
            self._datum(SLO_BAD, n, **{FAILURE_CLASS: fault})
            for fault, n in faults.items()
        ]

    def _of_each(
        self, name: str, values: Mapping[str, float], total: float, unit: str = "Count"
    ) -> list[dict[str, Any]]:
        """Return a metric's total, and its value of each tenant."""
        by_tenant = (
            self._datum(name, n, unit, **{TENANT_ID: each})
            for each, n in values.items()
        )
        return [self._datum(name, total, unit), *by_tenant]

    def _for_both(
        self, record: RunRecord, name: str, value: float, unit: str = "Count"
    ) -> list[dict[str, Any]]:
        """Return a metric for the tenant and for all."""
        dimensions: tuple[dict[str, str], ...] = ({TENANT_ID: record.tenant_id}, {})
        return [self._datum(name, value, unit, **each) for each in dimensions]

    def _datum(
        self, name: str, value: float, unit: str = "Count", **dimensions: str
    ) -> dict[str, Any]:
        named: Mapping[str, str] = {**dimensions, ENVIRONMENT: self.environment}
        return {
            "MetricName": name,
            "Value": float(value),
            "Unit": unit,
            "Dimensions": [{"Name": key, "Value": text} for key, text in named.items()],
        }

    def _send(self, data: Callable[[], Sequence[Any]]) -> None:
        if not self.enabled:
            return
        # A daemon: neither the caller nor the end of the process waits for a service that hangs.
        sender = threading.Thread(
            target=self._put, args=(data,), name="metrics", daemon=True
        )
        try:
            sender.start()
        except RuntimeError as error:
            # No thread is to be had: the process ends, or the machine is full.
            _not_sent(str(error))
            return
        sender.join(self.time_limit_seconds)
        if sender.is_alive():
            _not_sent(f"no answer within {self.time_limit_seconds} s")

    def _put(self, data: Callable[[], Sequence[Any]]) -> None:
        try:
            put, metrics = self.clients.cloudwatch.put_metric_data, data()
            for start in range(0, len(metrics), _MAX_METRICS):
                some = metrics[start : start + _MAX_METRICS]
                put(Namespace=self.namespace, MetricData=some)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            _not_sent(f"{type(error).__name__}: {error}")


def report_fault(
    metrics: Metrics, event: str, error: Exception, **facts: object
) -> None:
    """Log a tick's exception, a defect with its traceback, and count it as ``WorkerError``."""
    code = error_code_of(error)
    trace = error if code == INTERNAL_ERROR else False
    _log.error(event, error_code=code, error=str(error), exc_info=trace, **facts)
    metrics.worker_error(code)


def _not_sent(why: str) -> None:
    _log.warning("metric_not_sent", error=why)


@maps_aws_errors
def remove_alarms(
    clients: Clients, namespace: str, environment: str, tenant_id: str
) -> int:
    """Delete the alarms on a tenant's metrics, whatever their names; return how many there were."""
    names: set[str] = set()
    wanted = {TENANT_ID: tenant_id, ENVIRONMENT: environment}
    dimensions: Any = [{"Name": name, "Value": value} for name, value in wanted.items()]
    for name in _OF_TENANTS:
        answer = clients.cloudwatch.describe_alarms_for_metric(
            MetricName=name, Namespace=namespace, Dimensions=dimensions
        )
        for alarm in answer["MetricAlarms"]:
            watched = {
                each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])
            }
            if watched == wanted:  # embedded AWS returns others too
                names.add(alarm["AlarmName"])
    if names:
        clients.cloudwatch.delete_alarms(AlarmNames=sorted(names))
    return len(names)
