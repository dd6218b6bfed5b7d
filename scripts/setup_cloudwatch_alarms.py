"""Create or update the CloudWatch alarms of an installation.

The script reads the same variables as the program, so that the alarms watch the program's
metrics. The exit status is 0 if the alarms are set up, 1 if AWS fails, and 2 for bad usage or a
variable that is missing or not valid. With status 2, no request was sent to AWS.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

# Also works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alarms import AlarmChange, AlarmKind, AlarmPlan, Verdict, set_up_alarms
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning.resources import DLQ_NAME, QUEUE_NAME
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.settings import MetricsSettings, SettingsError

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOUR = 3600
_DAY = 86_400
_WEEK = 604_800


@dataclass(frozen=True)
class _Threshold:
    """An option for a threshold.

    Attributes:
        option: The name of the option.
        field: The field of the plan that has the default.
        help: The help text.
        minimum: The least value.
    """

    option: str
    field: str
    help: str
    minimum: int = 1


_THRESHOLDS = (
    _Threshold(
        "--consecutive-failure-threshold",
        "failure_threshold",
        "number of failed periods in a row",
    ),
    _Threshold(
        "--consecutive-failure-period",
        "failure_period",
        "length of a period in seconds; it must be the tenant's run interval, or the alarm "
        "cannot fire",
    ),
    _Threshold(
        "--backlog-threshold",
        "backlog_threshold",
        "maximum number of waiting jobs",
        minimum=0,
    ),
    _Threshold(
        "--backlog-minutes",
        "backlog_minutes",
        "minutes for which the backlog must be too large",
    ),
    _Threshold(
        "--worker-error-threshold",
        "worker_error_threshold",
        "maximum number of worker errors in a period",
        minimum=0,
    ),
    _Threshold(
        "--worker-error-period",
        "worker_error_period",
        "length of the period of worker errors in seconds",
    ),
    _Threshold(
        "--heartbeat-minutes",
        "heartbeat_minutes",
        "maximum number of minutes without a heartbeat",
    ),
    _Threshold(
        "--refusal-threshold",
        "refusal_threshold",
        "maximum number of 429 responses in 300 s",
        minimum=0,
    ),
    _Threshold(
        "--denial-threshold",
        "denial_threshold",
        "maximum number of 401 and 403 responses in 300 s",
        minimum=0,
    ),
    _Threshold(
        "--pull-failure-threshold",
        "pull_failure_threshold",
        "maximum number of failed pulls in an hour",
        minimum=0,
    ),
    _Threshold(
        "--delivery-failure-threshold",
        "delivery_failure_threshold",
        "maximum number of failed deliveries in an hour",
        minimum=0,
    ),
)


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    clients: Clients | None = None,
) -> int:
    """Set up the alarms of the command line, and return the exit status."""
    # The program trims its variables, too.
    environ = {name: text.strip() for name, text in environ.items()}
    parser = _parser(environ)
    options = parser.parse_args(arguments)
    plan = _plan(options)
    for problem in _problems(plan):
        parser.error(problem)
    try:
        settings = MetricsSettings.from_env(environ)
        if not settings.metrics_enabled:
            _note(
                "CLOUDWATCH_METRICS_ENABLED is not true here. If it is not true for the program,",
            )
            _note("no metric is written, and the heartbeat alarm fires.")
        changes = set_up_alarms(
            plan,
            clients or Clients(options.region or settings.region),
            dry_run=options.dry_run,
        )
    except (ExternalServiceError, SettingsError) as error:
        print(f"setup_cloudwatch_alarms: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    for change in changes:
        print(_change_as_line(change, dry_run=options.dry_run))
    return 0


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    _add_names(parser, environ)
    parser.add_argument(
        "--tenant",
        action="append",
        default=[],
        type=_text(_TENANT, "a tenant ID"),
        help="tenant whose failures have an alarm of their own; can be repeated. Without it, "
        "one alarm covers all tenants",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[kind.value for kind in AlarmKind],
        help="kind of alarm to set up; can be repeated. Without it, all kinds are set up",
    )
    plan_defaults = AlarmPlan(
        environment="",
        namespace="",
        queue_name="",
        dlq_name="",
    )
    for threshold in _THRESHOLDS:
        default = getattr(plan_defaults, threshold.field)
        parser.add_argument(
            threshold.option,
            type=_whole_number(threshold.minimum),
            default=default,
            metavar="N",
            help=f"{threshold.help} (default {default})",
        )
    parser.add_argument(
        "--sns-topic-arn",
        action="append",
        default=[],
        metavar="ARN",
        help="SNS topic to notify when an alarm fires and when it ends; can be repeated. "
        "Without it, existing alarms keep their actions, and new alarms have none",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the changes without making them",
    )
    return parser


def _add_names(
    parser: argparse.ArgumentParser,
    environ: Mapping[str, str],
) -> None:
    def add_name(option: str, default: str, help_text: str) -> None:
        # argparse formats help texts with the operator %.
        default_text = default.replace("%", "%%")
        parser.add_argument(
            option,
            default=default,
            metavar="NAME",
            help=f"{help_text} (default {default_text})",
        )

    add_name(
        "--environment",
        environ.get("ENVIRONMENT") or "unknown",
        "environment of the program",
    )
    add_name(
        "--namespace",
        environ.get("CLOUDWATCH_METRICS_NAMESPACE") or "RelayInventory",
        "namespace of the program's metrics",
    )
    add_name(
        "--queue-name",
        _queue_name(environ.get("SQS_QUEUE_URL", "")) or QUEUE_NAME,
        "queue of jobs; by default that of SQS_QUEUE_URL",
    )
    add_name(
        "--dlq-name",
        _queue_name(environ.get("SQS_DLQ_URL", "")) or DLQ_NAME,
        "dead-letter queue; by default that of SQS_DLQ_URL",
    )
    add_name("--name-prefix", "relay", "prefix of the alarms' names")
    parser.add_argument(
        "--region",
        metavar="NAME",
        help="AWS region; by default that of AWS_REGION",
    )


def _queue_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _plan(options: argparse.Namespace) -> AlarmPlan:
    kinds = tuple(AlarmKind)
    if options.only:
        kinds = tuple(kind for kind in AlarmKind if kind.value in options.only)
    return AlarmPlan(
        environment=options.environment,
        namespace=options.namespace,
        queue_name=options.queue_name,
        dlq_name=options.dlq_name,
        tenants=tuple(dict.fromkeys(options.tenant)),
        kinds=kinds,
        failure_threshold=options.consecutive_failure_threshold,
        failure_period=options.consecutive_failure_period,
        backlog_threshold=options.backlog_threshold,
        backlog_minutes=options.backlog_minutes,
        worker_error_threshold=options.worker_error_threshold,
        worker_error_period=options.worker_error_period,
        heartbeat_minutes=options.heartbeat_minutes,
        refusal_threshold=options.refusal_threshold,
        pull_failure_threshold=options.pull_failure_threshold,
        delivery_failure_threshold=options.delivery_failure_threshold,
        topics=tuple(options.sns_topic_arn),
        name_prefix=options.name_prefix,
    )


def _problems(plan: AlarmPlan) -> list[str]:
    """Return what CloudWatch would reject, in the terms of the command line."""
    spans = {
        "--consecutive-failure-period": (
            plan.failure_period,
            plan.failure_threshold,
        ),
        "--worker-error-period": (plan.worker_error_period, 1),
        "--backlog-minutes": (60, plan.backlog_minutes),
        "--heartbeat-minutes": (60, plan.heartbeat_minutes),
    }
    problems = []
    for option, (period, periods) in spans.items():
        max_span = _DAY if period < _HOUR else _WEEK
        span = period * periods
        if period % 60:
            problems.append(
                f"{option} must be a multiple of 60 seconds, not {period}",
            )
        elif span > max_span:
            problems.append(
                f"{option}: with periods of {period} s, CloudWatch looks back at most "
                f"{max_span // _HOUR} hours, not {span / _HOUR:.0f}",
            )
    return problems


def _change_as_line(change: AlarmChange, *, dry_run: bool) -> str:
    verdict = change.verdict.value
    if dry_run and change.verdict is not Verdict.UNCHANGED:
        verdict = f"would be {verdict}"
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{verdict}: {change.name}{fields}"


def _whole_number(minimum: int) -> Callable[[str], int]:
    # argparse uses the function's name in its message about an invalid value.
    def whole_number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"must be {minimum} or more, not {value}",
            )
        return value

    return whole_number


def _text(pattern: re.Pattern[str], noun: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {noun}")
        return text

    return checked


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
