"""The CloudWatch alarms that an installation wants, and bringing them about.

An alarm sees a metric only where name, namespace and dimensions are exactly those that were
written, so all three are taken from the module that writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.cloudwatch import metrics
from relay_dagster.aws.error_mapping import maps_aws_errors

_MINUTE = 60
_HOLD_SECONDS, _LETTER_SECONDS = 3600, 300
# CloudWatch takes no more names in one call.
_NAMES_AT_ONCE = 100
_ACTIONS = ("AlarmActions", "OKActions")
# What operators set by hand: an update must name it, or CloudWatch resets it.
_KEPT = {"ActionsEnabled": True, "InsufficientDataActions": []}


class Kind(StrEnum):
    """What an alarm is about."""

    CONSECUTIVE_FAILURES = "consecutive-failures"
    BACKLOG = "sqs-backlog"
    WORKER_ERRORS = "worker-errors"
    HEARTBEAT = "worker-heartbeat"
    HOLDS = "runs-held"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPlan:
    """What is to be watched, and from when on it is too much.

    ``tenants`` empty is one alarm over all tenants. ``failure_period`` is seconds: how often a
    tenant runs, because a period without a run is no failure. ``topics`` empty leaves to each
    alarm the actions that it has.
    """

    environment: str
    namespace: str
    queue_name: str
    dlq_name: str
    tenants: Sequence[str] = ()
    kinds: Sequence[Kind] = tuple(Kind)
    failure_threshold: int = 3
    failure_period: int = 3600
    backlog_threshold: int = 100
    backlog_minutes: int = 15
    worker_error_threshold: int = 5
    worker_error_period: int = 300
    heartbeat_minutes: int = 5
    topics: Sequence[str] = ()
    name_prefix: str = "relay"


class Verdict(StrEnum):
    """What was done to an alarm, or would be."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """One alarm and what was done to it; ``fields`` are those that an update changed."""

    name: str
    verdict: Verdict
    fields: tuple[str, ...] = ()


def alarm_definitions(plan: AlarmPlan) -> list[dict[str, Any]]:
    """Return the arguments of PutMetricAlarm, one alarm each."""
    makers = {
        Kind.CONSECUTIVE_FAILURES: _consecutive_failures,
        Kind.BACKLOG: _backlog,
        Kind.WORKER_ERRORS: _worker_errors,
        Kind.HEARTBEAT: _heartbeat,
        Kind.HOLDS: _holds,
        Kind.DEAD_LETTERS: _dead_letters,
    }
    return [alarm for kind in plan.kinds for alarm in makers[kind](plan)]


@maps_aws_errors
def set_up_alarms(plan: AlarmPlan, clients: Clients, *, dry_run: bool = False) -> list[Change]:
    """Create the alarms that are missing, and update those that differ.

    Args:
        plan: what is wanted.
        clients: AWS.
        dry_run: change nothing, only tell.

    Raises:
        ExternalServiceError: AWS fails.
    """
    wanted = alarm_definitions(plan)
    present = _describe(clients, [alarm["AlarmName"] for alarm in wanted])
    changes = []
    for alarm in wanted:
        there = present.get(alarm["AlarmName"])
        alarm = _with_actions(alarm, there, plan.topics)
        change = _compare(alarm, there)
        if change.verdict is not Verdict.UNCHANGED and not dry_run:
            clients.cloudwatch.put_metric_alarm(**alarm)
        changes.append(change)
    return changes


def _consecutive_failures(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    tenants: Sequence[str | None] = plan.tenants or [None]
    for tenant in tenants:
        dimensions = {} if tenant is None else {metrics.TENANT_ID: tenant}
        whose = "any tenant" if tenant is None else f"tenant {tenant}"
        yield _alarm(
            plan,
            Kind.CONSECUTIVE_FAILURES,
            tenant,
            AlarmDescription=(
                f"Runs of {whose} failed in {plan.failure_threshold} periods of "
                f"{plan.failure_period} s running. Look at the latest run's error_code and "
                "errors.json, put the input or the config right, start a new run."
            ),
            MetricName=metrics.RUN_FAILED,
            Dimensions=_own_dimensions(plan, dimensions),
            Statistic="Maximum",
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            Threshold=1.0,
            Period=plan.failure_period,
            EvaluationPeriods=plan.failure_threshold,
            # No run is neither success nor failure: the alarm stays what it is.
            TreatMissingData="ignore",
        )


def _backlog(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    yield _alarm(
        plan,
        Kind.BACKLOG,
        AlarmDescription=(
            f"More than {plan.backlog_threshold} jobs waited in {plan.queue_name} for "
            f"{plan.backlog_minutes} minutes. Look at the workers' health and logs "
            "(queue_receive_error, run_retryable_error); add workers, or pause run creation."
        ),
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=_dimensions({"QueueName": plan.queue_name}),
        Statistic="Maximum",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=float(plan.backlog_threshold),
        Period=_MINUTE,
        EvaluationPeriods=plan.backlog_minutes,
        # SQS writes nothing for a queue that nobody uses.
        TreatMissingData="notBreaching",
    )


def _worker_errors(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    yield _alarm(
        plan,
        Kind.WORKER_ERRORS,
        AlarmDescription=(
            f"More than {plan.worker_error_threshold} worker errors in "
            f"{plan.worker_error_period} s. The metric's ErrorType dimension and the logs say "
            "which; check recent deployments, S3, DynamoDB and throttling."
        ),
        MetricName=metrics.WORKER_ERROR,
        Dimensions=_own_dimensions(plan, {}),
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=float(plan.worker_error_threshold),
        Period=plan.worker_error_period,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )


def _heartbeat(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    yield _alarm(
        plan,
        Kind.HEARTBEAT,
        AlarmDescription=(
            f"No sensor has made a tick for {plan.heartbeat_minutes} minutes: runs are accepted, "
            "and none starts. Look at the daemon and the code server."
        ),
        MetricName=metrics.WORKER_HEARTBEAT,
        Dimensions=_own_dimensions(plan, {}),
        Statistic="Sum",
        ComparisonOperator="LessThanThreshold",
        Threshold=1.0,
        Period=_MINUTE,
        EvaluationPeriods=plan.heartbeat_minutes,
        TreatMissingData="breaching",
    )


def _holds(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    yield _alarm(
        plan,
        Kind.HOLDS,
        AlarmDescription=(
            "A run has been held for an hour: its tenant's shop keeps an older feed until somebody "
            "releases or discards it. GET /v1/runs?status=HELD, or relay runs --status HELD; "
            "relay show says what holds it."
        ),
        MetricName=metrics.RUNS_HELD,
        Dimensions=_own_dimensions(plan, {}),
        Statistic="Minimum",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=1.0,
        # One period: a minute that no value falls into does not begin the hour anew.
        Period=_HOLD_SECONDS,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )


def _dead_letters(plan: AlarmPlan) -> Iterator[dict[str, Any]]:
    yield _alarm(
        plan,
        Kind.DEAD_LETTERS,
        AlarmDescription=(
            f"There are messages in {plan.dlq_name}: jobs whose attempts are used up, or what is "
            "no job. relay dlq list says which and why; redrive or discard each."
        ),
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=_dimensions({"QueueName": plan.dlq_name}),
        Statistic="Maximum",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0.0,
        Period=_LETTER_SECONDS,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )


def _alarm(
    plan: AlarmPlan, kind: Kind, tenant: str | None = None, **definition: Any
) -> dict[str, Any]:
    name = "-".join(filter(None, (plan.name_prefix, plan.environment, kind, tenant)))
    return {
        "AlarmName": name,
        "Namespace": plan.namespace,
        "DatapointsToAlarm": definition["EvaluationPeriods"],
        **definition,
    }


def _own_dimensions(plan: AlarmPlan, dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return _dimensions({**dimensions, metrics.ENVIRONMENT: plan.environment})


def _dimensions(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _describe(clients: Clients, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    batches = (
        names[start : start + _NAMES_AT_ONCE] for start in range(0, len(names), _NAMES_AT_ONCE)
    )
    answers = (
        clients.cloudwatch.describe_alarms(AlarmNames=list(batch), MaxRecords=_NAMES_AT_ONCE)
        for batch in batches
    )
    return {
        alarm["AlarmName"]: alarm for answer in answers for alarm in answer.get("MetricAlarms", [])
    }


def _with_actions(
    alarm: Mapping[str, Any], there: Mapping[str, Any] | None, topics: Sequence[str]
) -> dict[str, Any]:
    """Return the alarm with its actions: an update that names none takes none away."""
    there = there or {}
    kept = {name: there.get(name, default) for name, default in _KEPT.items()}
    actions = {name: list(topics) or list(there.get(name, [])) for name in _ACTIONS}
    return {**alarm, **kept, **actions}


def _compare(wanted: Mapping[str, Any], there: Mapping[str, Any] | None) -> Change:
    name = wanted["AlarmName"]
    if there is None:
        return Change(name, Verdict.CREATED)
    changed = tuple(
        field
        for field, value in wanted.items()
        if _comparable(value) != _comparable(there.get(field))
    )
    return Change(name, Verdict.UPDATED if changed else Verdict.UNCHANGED, changed)


def _comparable(value: Any) -> Any:
    """Return a value such that order, which CloudWatch does not keep, does not count."""
    if not isinstance(value, list):
        return value
    return sorted(str(sorted(item.items()) if isinstance(item, dict) else item) for item in value)
