"""The CloudWatch alarms of an installation: their definitions, and the calls that set them up.

An alarm sees a metric only if name, namespace and dimensions are exactly those that were
written. So all three come from the module that writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay_dagster.aws import metrics
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.errors import maps_aws_errors

_MAX_NAMES = 100
"""The maximum number of names in one call of CloudWatch."""
_ACTIONS = ("AlarmActions", "OKActions")
# Operators set these fields by hand. An update must name them, or CloudWatch resets them.
_OPERATORS_FIELDS = {"ActionsEnabled": True, "InsufficientDataActions": []}


class AlarmKind(StrEnum):
    """The subject of an alarm."""

    CONSECUTIVE_FAILURES = "consecutive-failures"
    BACKLOG = "sqs-backlog"
    WORKER_ERRORS = "worker-errors"
    HEARTBEAT = "worker-heartbeat"
    HOLDS = "runs-held"
    DEAD_LETTERS = "dead-letters"
    RATE_LIMITED = "rate-limited"
    ACCESS_DENIED = "access-denied"
    PULLS = "pulls-failed"
    DELIVERIES = "deliveries-failed"
    INVARIANTS = "invariants"
    DOCTOR_CUT_SHORT = "doctor-cut-short"
    SLO_FAST = "slo-fast-burn"
    SLO_SLOW = "slo-slow-burn"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPlan:
    """The alarms to set up, and their thresholds.

    Attributes:
        tenants: The tenants with an alarm of their own; without any, one alarm covers all.
        failure_period: The seconds between two runs of a tenant. A period without a run is
            not a failure.
        topics: The topics to notify; without any, each alarm keeps its actions.
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
    denial_threshold: int = 100
    pull_failure_threshold: int = 20
    delivery_failure_threshold: int = 20
    topics: Sequence[str] = ()
    name_prefix: str = "relay"


class Verdict(StrEnum):
    """The outcome for an alarm."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """The change of one alarm.

    Attributes:
        name: The name of the alarm.
        verdict: The outcome.
        fields: The fields that an update changed.
    """

    name: str
    verdict: Verdict
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Condition:
    """The condition under which an alarm fires.

    Attributes:
        queue: The queue whose metric it is; None for a metric of the program.
    """

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
# 1 % of feeds may be late. These shares use it up 14.4 and 6 times as fast.
_FAST_SHARE = 0.144
_SLOW_SHARE = 0.06
_WAITING_MESSAGES = "ApproximateNumberOfMessagesVisible"
_DESCRIPTIONS = {
    AlarmKind.CONSECUTIVE_FAILURES: (
        "Runs of {tenants} failed in {plan.failure_threshold} consecutive periods of "
        "{plan.failure_period} s. Check the latest run's error_code and errors.json, fix the "
        "input or the config, and start a new run."
    ),
    AlarmKind.BACKLOG: (
        "More than {plan.backlog_threshold} jobs waited in {plan.queue_name} for "
        "{plan.backlog_minutes} minutes. Check the workers' health and logs "
        "(queue_receive_error, run_retryable_error). Add workers, or pause run creation."
    ),
    AlarmKind.WORKER_ERRORS: (
        "There were more than {plan.worker_error_threshold} worker errors in "
        "{plan.worker_error_period} s. The metric's ErrorType dimension and the logs name "
        "them. Check recent deployments, S3, DynamoDB, and throttling."
    ),
    AlarmKind.HEARTBEAT: (
        "sqs_run_sensor has not ticked for {plan.heartbeat_minutes} minutes: runs are "
        "accepted, but none starts. Check the daemon, the code server, and whether the sensor "
        "is on."
    ),
    AlarmKind.HOLDS: (
        "A run has been on hold for an hour. Its tenant keeps an older live feed until "
        "somebody releases or discards the feed. List these runs with GET "
        "/v1/runs?status=HELD, or with relay runs list --status HELD. relay runs show "
        "explains the hold."
    ),
    AlarmKind.DEAD_LETTERS: (
        "There are messages in {plan.dlq_name}: jobs without further attempts, or messages "
        "that are not jobs. List them with relay server dlq list, and redrive or discard each."
    ),
    AlarmKind.RATE_LIMITED: (
        "The API rejected more than {plan.refusal_threshold} requests with 429 RATE_LIMITED "
        "in 300 s: a tenant or an admin sends too many requests, or somebody tries keys. The "
        "log entries of event request with status 429 have the caller and the address."
    ),
    AlarmKind.ACCESS_DENIED: (
        "The API answered more than {plan.denial_threshold} requests with 401 or 403 in 300 s: "
        "somebody tries keys, or a program uses a key that was deleted. The log entries of "
        "event request with status 401 and 403 have the address."
    ),
    AlarmKind.PULLS: (
        "More than {plan.pull_failure_threshold} pulls of vendors' files failed in an hour. "
        "This many failures are probably caused here, and not by suppliers. The log entries "
        "of event pull_failed have the reasons. Check outbound connections, DNS, and Secrets "
        "Manager."
    ),
    AlarmKind.DELIVERIES: (
        "More than {plan.delivery_failure_threshold} deliveries of feeds failed in an hour. "
        "This many failures are probably caused here, and not by the servers. The log entries "
        "of event delivery_failed have the reasons. Check outbound connections, DNS, and "
        "Secrets Manager."
    ),
    AlarmKind.INVARIANTS: (
        "The hourly check found stored data that contradicts itself. The log has an entry "
        "invariant_broken for each case. relay server doctor lists the current cases."
    ),
    AlarmKind.DOCTOR_CUT_SHORT: (
        "The hourly check of stored data did not finish in its time, so part of the data is "
        "not checked yet. The next check goes on where this one stopped. Run relay server doctor, "
        "which has no time limit."
    ),
    AlarmKind.SLO_FAST: (
        "Within an hour, 14.4 % of feeds were late because of the platform. At that rate, two "
        "days use up a month's budget of 1 %. Check the other alarms, the queue, and the "
        "workers."
    ),
    AlarmKind.SLO_SLOW: (
        "Within six hours, 6 % of feeds were late because of the platform. At that rate, five "
        "days use up a month's budget of 1 %. relay tenants list shows the feeds that are old."
    ),
}


def alarm_definitions(plan: AlarmPlan) -> list[dict[str, Any]]:
    """Return the arguments of `PutMetricAlarm` for each alarm."""
    conditions = _job_conditions(plan) | _health_conditions(plan)
    alarms = []
    for kind in plan.kinds:
        tenants: Sequence[str | None] = [None]
        if kind is AlarmKind.CONSECUTIVE_FAILURES and plan.tenants:
            tenants = plan.tenants
        for tenant in tenants:
            alarms.append(_alarm(plan, kind, conditions[kind], tenant))
    return alarms


def _job_conditions(plan: AlarmPlan) -> dict[AlarmKind, _Condition]:
    """Return the conditions of the alarms about runs, jobs and workers."""
    return {
        # A period without a run is neither success nor failure: the alarm keeps its state.
        AlarmKind.CONSECUTIVE_FAILURES: _Condition(
            metrics.RUN_FAILED,
            "Maximum",
            ">=",
            1,
            plan.failure_period,
            plan.failure_threshold,
            missing="ignore",
        ),
        # SQS writes nothing for a queue that nobody uses.
        AlarmKind.BACKLOG: _Condition(
            _WAITING_MESSAGES,
            "Maximum",
            ">",
            plan.backlog_threshold,
            60,
            plan.backlog_minutes,
            queue=plan.queue_name,
        ),
        AlarmKind.WORKER_ERRORS: _Condition(
            metrics.WORKER_ERROR,
            "Sum",
            ">",
            plan.worker_error_threshold,
            plan.worker_error_period,
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
        AlarmKind.DEAD_LETTERS: _Condition(
            _WAITING_MESSAGES,
            "Maximum",
            ">",
            0,
            300,
            queue=plan.dlq_name,
        ),
    }


def _health_conditions(plan: AlarmPlan) -> dict[AlarmKind, _Condition]:
    """Return the conditions of the alarms about holds, requests, pulls and lateness."""
    return {
        # One long period: a minute without a value does not start the hour again.
        AlarmKind.HOLDS: _Condition(
            metrics.RUNS_HELD,
            "Minimum",
            ">=",
            1,
            3600,
        ),
        AlarmKind.RATE_LIMITED: _Condition(
            metrics.RATE_LIMITED,
            "Sum",
            ">",
            plan.refusal_threshold,
            300,
        ),
        AlarmKind.ACCESS_DENIED: _Condition(
            metrics.ACCESS_DENIED,
            "Sum",
            ">",
            plan.denial_threshold,
            300,
        ),
        AlarmKind.PULLS: _Condition(
            metrics.PULL_FAILED,
            "Sum",
            ">",
            plan.pull_failure_threshold,
            3600,
        ),
        AlarmKind.DELIVERIES: _Condition(
            metrics.DELIVERY_FAILED,
            "Sum",
            ">",
            plan.delivery_failure_threshold,
            3600,
        ),
        AlarmKind.INVARIANTS: _Condition(
            metrics.INVARIANTS_BROKEN,
            "Maximum",
            ">",
            0,
            3600,
        ),
        AlarmKind.DOCTOR_CUT_SHORT: _Condition(
            metrics.DOCTOR_CUT_SHORT,
            "Maximum",
            ">",
            0,
            3600,
        ),
        # The metric is 0 or 1, so its average is the share of late feeds.
        AlarmKind.SLO_FAST: _Condition(
            metrics.SLO_BAD,
            "Average",
            ">=",
            _FAST_SHARE,
            3600,
        ),
        AlarmKind.SLO_SLOW: _Condition(
            metrics.SLO_BAD,
            "Average",
            ">=",
            _SLOW_SHARE,
            6 * 3600,
        ),
    }


def _alarm(
    plan: AlarmPlan,
    kind: AlarmKind,
    condition: _Condition,
    tenant: str | None,
) -> dict[str, Any]:
    namespace = plan.namespace
    dimensions: dict[str, str] = {}
    if tenant is not None:
        dimensions[metrics.TENANT_ID] = tenant
    if condition.queue is None:
        dimensions[metrics.ENVIRONMENT] = plan.environment
    else:
        namespace = "AWS/SQS"
        dimensions["QueueName"] = condition.queue
    name_parts = (plan.name_prefix, plan.environment, kind, tenant)
    tenants = "any tenant" if tenant is None else f"tenant {tenant}"
    return {
        "AlarmName": "-".join(filter(None, name_parts)),
        "Namespace": namespace,
        "DatapointsToAlarm": condition.periods,
        "AlarmDescription": _DESCRIPTIONS[kind].format(
            plan=plan,
            tenants=tenants,
        ),
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
    plan: AlarmPlan,
    clients: Clients,
    *,
    dry_run: bool = False,
) -> list[AlarmChange]:
    """Create the alarms that are missing, and update those that differ.

    A dry run only returns the changes.

    Raises:
        ExternalServiceError: AWS fails.
    """
    definitions = alarm_definitions(plan)
    names = [definition["AlarmName"] for definition in definitions]
    existing_alarms = _existing_alarms(names, clients)
    changes = []
    for definition in definitions:
        existing = existing_alarms.get(definition["AlarmName"])
        alarm = _with_actions(definition, existing or {}, plan.topics)
        change = _compare(alarm, existing)
        if change.verdict is not Verdict.UNCHANGED and not dry_run:
            clients.cloudwatch.put_metric_alarm(**alarm)
        changes.append(change)
    return changes


def _existing_alarms(
    names: Sequence[str],
    clients: Clients,
) -> dict[str, Mapping[str, Any]]:
    """Return the alarms of these names that exist, by name."""
    alarms: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(names), _MAX_NAMES):
        response = clients.cloudwatch.describe_alarms(
            AlarmNames=names[start : start + _MAX_NAMES],
            MaxRecords=_MAX_NAMES,
        )
        for alarm in response.get("MetricAlarms", []):
            alarms[alarm["AlarmName"]] = alarm
    return alarms


def _with_actions(
    definition: Mapping[str, Any],
    existing: Mapping[str, Any],
    topics: Sequence[str],
) -> dict[str, Any]:
    """Return an alarm with its actions. Without topics, it keeps those that it has."""
    alarm = dict(definition)
    for name, default in _OPERATORS_FIELDS.items():
        alarm[name] = existing.get(name, default)
    for name in _ACTIONS:
        alarm[name] = list(topics) or list(existing.get(name, []))
    return alarm


def _compare(
    alarm: Mapping[str, Any],
    existing: Mapping[str, Any] | None,
) -> AlarmChange:
    name = alarm["AlarmName"]
    if existing is None:
        return AlarmChange(name, Verdict.CREATED)
    changed_fields = tuple(
        field
        for field, value in alarm.items()
        if _comparable(value) != _comparable(existing.get(field))
    )
    verdict = Verdict.UPDATED if changed_fields else Verdict.UNCHANGED
    return AlarmChange(name, verdict, changed_fields)


def _comparable(value: Any) -> Any:
    """Return a value in a form without order, because CloudWatch does not keep the order."""
    if not isinstance(value, list):
        return value
    texts = [
        str(sorted(item.items()) if isinstance(item, dict) else item)
        for item in value
    ]
    return sorted(texts)
