"""The CloudWatch alarms of an installation: their definitions, and the calls that set them up.

An alarm sees a metric only where name, namespace and dimensions are exactly those that were
written, so all three are taken from the module that writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay_dagster.aws import metrics
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.errors import maps_aws_errors

# CloudWatch takes no more names in one call.
_MAX_NAMES = 100
_ACTIONS = ("AlarmActions", "OKActions")
# Fields that operators set by hand: an update must name them, or CloudWatch resets them.
_KEPT = {"ActionsEnabled": True, "InsufficientDataActions": []}


class AlarmKind(StrEnum):
    """The subject of an alarm."""

    CONSECUTIVE_FAILURES = "consecutive-failures"
    BACKLOG = "sqs-backlog"
    WORKER_ERRORS = "worker-errors"
    HEARTBEAT = "worker-heartbeat"
    HOLDS = "runs-held"
    DEAD_LETTERS = "dead-letters"
    RATE_LIMITED = "rate-limited"
    PULLS = "pulls-failed"
    INVARIANTS = "invariants"
    SLO_FAST = "slo-fast-burn"
    SLO_SLOW = "slo-slow-burn"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPlan:
    """The alarms that are wanted, and their thresholds.

    Without ``tenants`` one alarm covers all tenants. ``failure_period`` is the seconds between two
    runs of a tenant: a period without a run is no failure. Without ``topics`` each alarm keeps its
    actions.
    """

    environment: str
    namespace: str
    queue_name: str
    dlq_name: str
    tenants: Sequence[str] = ()
    kinds: Sequence[AlarmKind] = tuple(AlarmKind)
    failure_threshold: int = 3
    failure_period: int = 3600
    backlog_threshold: int = 100
    backlog_minutes: int = 15
    worker_error_threshold: int = 5
    worker_error_period: int = 300
    heartbeat_minutes: int = 5
    refusal_threshold: int = 300
    pull_failure_threshold: int = 20
    topics: Sequence[str] = ()
    name_prefix: str = "relay"


class Verdict(StrEnum):
    """The outcome for an alarm."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One alarm and what was done to it; ``fields`` are those that an update changed."""

    name: str
    verdict: Verdict
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Condition:
    """The condition under which an alarm is raised: a metric of ours, or of a queue."""

    metric: str
    statistic: str
    comparison: str
    threshold: float
    period: int
    periods: int = 1
    missing: str = "notBreaching"
    queue: str | None = None


_COMPARISONS = {
    "<": "LessThanThreshold",
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
}
# 1 % may be bad: these shares use it up 14.4 and 6 times as fast.
_FAST_SHARE, _SLOW_SHARE = 0.144, 0.06
_WAITING = "ApproximateNumberOfMessagesVisible"
_DESCRIPTIONS = {
    AlarmKind.CONSECUTIVE_FAILURES: (
        "Runs of {whose} failed in {plan.failure_threshold} periods of {plan.failure_period} s "
        "running. Look at the latest run's error_code and errors.json, put the input or the config "
        "right, start a new run."
    ),
    AlarmKind.BACKLOG: (
        "More than {plan.backlog_threshold} jobs waited in {plan.queue_name} for "
        "{plan.backlog_minutes} minutes. Look at the workers' health and logs "
        "(queue_receive_error, run_retryable_error); add workers, or pause run creation."
    ),
    AlarmKind.WORKER_ERRORS: (
        "More than {plan.worker_error_threshold} worker errors in {plan.worker_error_period} s. "
        "The metric's ErrorType dimension and the logs say which; check recent deployments, S3, "
        "DynamoDB and throttling."
    ),
    AlarmKind.HEARTBEAT: (
        "sqs_run_sensor has made no tick for {plan.heartbeat_minutes} minutes: runs are accepted, "
        "and none starts. Look at the daemon, the code server, and whether the sensor is on."
    ),
    AlarmKind.HOLDS: (
        "A run has been held for an hour: its tenant's shop keeps an older feed until somebody "
        "releases or discards it. GET /v1/runs?status=HELD, or relay runs --status HELD; "
        "relay show says what holds it."
    ),
    AlarmKind.DEAD_LETTERS: (
        "There are messages in {plan.dlq_name}: jobs whose attempts are used up, or what is no "
        "job. relay dlq list says which and why; redrive or discard each."
    ),
    AlarmKind.RATE_LIMITED: (
        "The API refused more than {plan.refusal_threshold} requests with 429 RATE_LIMITED in 300 "
        "s: a tenant or an admin asks too often, or somebody tries keys. The log's lines of event "
        "request with status 429 have caller and address."
    ),
    AlarmKind.PULLS: (
        "More than {plan.pull_failure_threshold} pulls of vendors' files failed in an hour: that "
        "many at once are a fault here rather than of suppliers. The log's lines of event "
        "pull_failed say which and why; check the way out, DNS and Secrets Manager."
    ),
    AlarmKind.INVARIANTS: (
        "The hourly check has found stored things that contradict each other: the log has "
        "invariant_broken for each. relay doctor says which they are now."
    ),
    AlarmKind.SLO_FAST: (
        "Within an hour 14.4 % of feeds were late by the platform's fault: at that rate two days "
        "use up a month's 1 %. Look at the other alarms, the queue and the workers."
    ),
    AlarmKind.SLO_SLOW: (
        "Within six hours 6 % of feeds were late by the platform's fault: at that rate five days "
        "use up a month's 1 %. relay tenants shows which feeds are old."
    ),
}


def alarm_definitions(plan: AlarmPlan) -> list[dict[str, Any]]:
    """Return the arguments of PutMetricAlarm, one alarm each."""
    errors, seconds = plan.worker_error_threshold, plan.worker_error_period
    failures = (plan.failure_period, plan.failure_threshold)
    conditions = {
        # No run is neither success nor failure: the alarm keeps its state.
        AlarmKind.CONSECUTIVE_FAILURES: _Condition(
            metrics.RUN_FAILED, "Maximum", ">=", 1, *failures, missing="ignore"
        ),
        # SQS writes nothing for a queue that nobody uses.
        AlarmKind.BACKLOG: _Condition(
            _WAITING,
            "Maximum",
            ">",
            plan.backlog_threshold,
            60,
            plan.backlog_minutes,
            queue=plan.queue_name,
        ),
        AlarmKind.WORKER_ERRORS: _Condition(
            metrics.WORKER_ERROR, "Sum", ">", errors, seconds
        ),
        AlarmKind.HEARTBEAT: _Condition(
            metrics.WORKER_HEARTBEAT,
            "Sum",
            "<",
            1,
            60,
            plan.heartbeat_minutes,
            missing="breaching",
        ),
        # One period: a minute that no value falls into does not begin the hour anew.
        AlarmKind.HOLDS: _Condition(metrics.RUNS_HELD, "Minimum", ">=", 1, 3600),
        AlarmKind.DEAD_LETTERS: _Condition(
            _WAITING, "Maximum", ">", 0, 300, queue=plan.dlq_name
        ),
        AlarmKind.RATE_LIMITED: _Condition(
            metrics.RATE_LIMITED, "Sum", ">", plan.refusal_threshold, 300
        ),
        AlarmKind.PULLS: _Condition(
            metrics.PULL_FAILED, "Sum", ">", plan.pull_failure_threshold, 3600
        ),
        AlarmKind.INVARIANTS: _Condition(
            metrics.INVARIANTS_BROKEN, "Maximum", ">", 0, 3600
        ),
        # The average of what is 0 or 1 is its share.
        AlarmKind.SLO_FAST: _Condition(
            metrics.SLO_BAD, "Average", ">=", _FAST_SHARE, 3600
        ),
        AlarmKind.SLO_SLOW: _Condition(
            metrics.SLO_BAD, "Average", ">=", _SLOW_SHARE, 6 * 3600
        ),
    }
    alarms = []
    for kind in plan.kinds:
        tenants: list[str | None] = [None]
        if kind is AlarmKind.CONSECUTIVE_FAILURES and plan.tenants:
            tenants = [*plan.tenants]
        for tenant in tenants:
            alarms.append(_alarm(plan, kind, conditions[kind], tenant))
    return alarms


def _alarm(
    plan: AlarmPlan, kind: AlarmKind, condition: _Condition, tenant: str | None
) -> dict[str, Any]:
    dimensions = {} if tenant is None else {metrics.TENANT_ID: tenant}
    if condition.queue is None:
        dimensions[metrics.ENVIRONMENT] = plan.environment
    else:
        dimensions["QueueName"] = condition.queue
    whose = "any tenant" if tenant is None else f"tenant {tenant}"
    return {
        "AlarmName": "-".join(
            filter(None, (plan.name_prefix, plan.environment, kind, tenant))
        ),
        "Namespace": plan.namespace if condition.queue is None else "AWS/SQS",
        "DatapointsToAlarm": condition.periods,
        "AlarmDescription": _DESCRIPTIONS[kind].format(plan=plan, whose=whose),
        "MetricName": condition.metric,
        "Dimensions": [
            {"Name": name, "Value": value} for name, value in dimensions.items()
        ],
        "Statistic": condition.statistic,
        "ComparisonOperator": _COMPARISONS[condition.comparison],
        "Threshold": float(condition.threshold),
        "Period": condition.period,
        "EvaluationPeriods": condition.periods,
        "TreatMissingData": condition.missing,
    }


@maps_aws_errors
def set_up_alarms(
    plan: AlarmPlan, clients: Clients, *, dry_run: bool = False
) -> list[AlarmChange]:
    """Create the alarms that are missing, and update those that differ; a dry run reports.

    Raises:
        ExternalServiceError: AWS fails.
    """
    wanted = alarm_definitions(plan)
    names = [alarm["AlarmName"] for alarm in wanted]
    present: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(names), _MAX_NAMES):
        answer = clients.cloudwatch.describe_alarms(
            AlarmNames=names[start : start + _MAX_NAMES], MaxRecords=_MAX_NAMES
        )
        present |= {
            alarm["AlarmName"]: alarm for alarm in answer.get("MetricAlarms", [])
        }
    changes = []
    for alarm in wanted:
        there = present.get(alarm["AlarmName"])
        alarm = _with_actions(alarm, there or {}, plan.topics)
        change = _compare(alarm, there)
        if change.verdict is not Verdict.UNCHANGED and not dry_run:
            clients.cloudwatch.put_metric_alarm(**alarm)
        changes.append(change)
    return changes


def _with_actions(
    alarm: Mapping[str, Any], there: Mapping[str, Any], topics: Sequence[str]
) -> dict[str, Any]:
    """Return the alarm with its actions: an update that names none takes none away."""
    kept = {name: there.get(name, default) for name, default in _KEPT.items()}
    actions = {name: list(topics) or list(there.get(name, [])) for name in _ACTIONS}
    return {**alarm, **kept, **actions}


def _compare(wanted: Mapping[str, Any], there: Mapping[str, Any] | None) -> AlarmChange:
    name = wanted["AlarmName"]
    if there is None:
        return AlarmChange(name, Verdict.CREATED)
    changed = tuple(
        field
        for field, value in wanted.items()
        if _comparable(value) != _comparable(there.get(field))
    )
    return AlarmChange(name, Verdict.UPDATED if changed else Verdict.UNCHANGED, changed)


def _comparable(value: Any) -> Any:
    """Return a value such that order, which CloudWatch does not keep, does not count."""
    if not isinstance(value, list):
        return value
    return sorted(
        str(sorted(item.items()) if isinstance(item, dict) else item) for item in value
    )
