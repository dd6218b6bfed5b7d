"""Create the CloudWatch alarms of an installation; run again, update them.

Reads the variables that the program itself reads, so that the alarms look where it writes. Exit
status 0: the alarms are as wanted; 1: AWS failed; 2: bad usage or a variable that is missing or
bad, and nothing was asked of AWS.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
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
_HOUR, _DAY, _WEEK = 3600, 86_400, 604_800


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    clients: Clients | None = None,
) -> int:
    """Do what the command line asks for, and return the exit status."""
    environ = {
        name: text.strip() for name, text in environ.items()
    }  # as the program reads them
    options = _parser(environ)
    asked = options.parse_args(arguments)
    plan = _plan(asked)
    for problem in _problems(plan):
        options.error(problem)
    try:
        settings = MetricsSettings.from_env(environ)
        if not settings.metrics_enabled:
            _note(
                "CLOUDWATCH_METRICS_ENABLED is not true here; without it in the program's own"
            )
            _note("environment no metric is written, and the heartbeat alarm fires.")
        changes = set_up_alarms(
            plan,
            clients or Clients(asked.region or settings.region),
            dry_run=asked.dry_run,
        )
    except (ExternalServiceError, SettingsError) as error:
        print(f"setup_cloudwatch_alarms: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    for change in changes:
        print(_told(change, dry_run=asked.dry_run))
    return 0


_FROM_NOUGHT = (
    "--backlog-threshold",
    "--worker-error-threshold",
    "--refusal-threshold",
    "--pull-failure-threshold",
)


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    defaults = AlarmPlan(environment="", namespace="", queue_name="", dlq_name="")
    options = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    _add_places(options, environ)
    options.add_argument(
        "--tenant",
        action="append",
        default=[],
        type=_checked(_TENANT, "a tenant's id"),
        help="watch the failures of this tenant; repeatable. Without it: of all tenants together",
    )
    options.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[kind.value for kind in AlarmKind],
        help="set up this kind of alarm alone; repeatable",
    )
    for name, default, meaning in (
        (
            "--consecutive-failure-threshold",
            defaults.failure_threshold,
            "failed periods running",
        ),
        (
            "--consecutive-failure-period",
            defaults.failure_period,
            "seconds; must be the tenant's run interval, or the alarm cannot fire",
        ),
        (
            "--backlog-threshold",
            defaults.backlog_threshold,
            "more waiting jobs than this ...",
        ),
        ("--backlog-minutes", defaults.backlog_minutes, "... for so many minutes"),
        (
            "--worker-error-threshold",
            defaults.worker_error_threshold,
            "more errors than this ...",
        ),
        (
            "--worker-error-period",
            defaults.worker_error_period,
            "... within so many seconds",
        ),
        (
            "--heartbeat-minutes",
            defaults.heartbeat_minutes,
            "minutes without a heartbeat",
        ),
        (
            "--refusal-threshold",
            defaults.refusal_threshold,
            "more 429 in 300 s than this",
        ),
        (
            "--pull-failure-threshold",
            defaults.pull_failure_threshold,
            "more failed pulls in an hour than this",
        ),
    ):
        at_least = 0 if name in _FROM_NOUGHT else 1
        options.add_argument(
            name,
            type=_whole(at_least),
            default=default,
            metavar="N",
            help=f"{meaning} (default {default})",
        )
    options.add_argument(
        "--sns-topic-arn",
        action="append",
        default=[],
        metavar="ARN",
        help="whom to tell, when an alarm fires and when it is over; repeatable. Without it "
        "existing alarms keep their actions, and new ones have none",
    )
    options.add_argument(
        "--dry-run", action="store_true", help="change nothing, only tell"
    )
    return options


def _add_places(options: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    queue, dlq = (
        urlsplit(environ.get(name, "")).path.rpartition("/")[2]
        for name in ("SQS_QUEUE_URL", "SQS_DLQ_URL")
    )
    for name, default, meaning in (
        (
            "--environment",
            environ.get("ENVIRONMENT") or "unknown",
            "ENVIRONMENT of the program",
        ),
        (
            "--namespace",
            environ.get("CLOUDWATCH_METRICS_NAMESPACE") or "RelayInventory",
            "CLOUDWATCH_METRICS_NAMESPACE of the program",
        ),
        (
            "--queue-name",
            queue or QUEUE_NAME,
            "the queue of jobs, by default SQS_QUEUE_URL's",
        ),
        (
            "--dlq-name",
            dlq or DLQ_NAME,
            "the dead letters' queue, by default SQS_DLQ_URL's",
        ),
        ("--name-prefix", "relay", "what the alarms' names begin with"),
    ):
        shown = default.replace("%", "%%")
        options.add_argument(
            name, default=default, metavar="NAME", help=f"{meaning} (default {shown})"
        )
    options.add_argument("--region", metavar="NAME", help="default: AWS_REGION's")


def _plan(asked: argparse.Namespace) -> AlarmPlan:
    return AlarmPlan(
        environment=asked.environment,
        namespace=asked.namespace,
        queue_name=asked.queue_name,
        dlq_name=asked.dlq_name,
        tenants=tuple(dict.fromkeys(asked.tenant)),
        kinds=tuple(
            kind for kind in AlarmKind if not asked.only or kind.value in asked.only
        ),
        failure_threshold=asked.consecutive_failure_threshold,
        failure_period=asked.consecutive_failure_period,
        backlog_threshold=asked.backlog_threshold,
        backlog_minutes=asked.backlog_minutes,
        worker_error_threshold=asked.worker_error_threshold,
        worker_error_period=asked.worker_error_period,
        heartbeat_minutes=asked.heartbeat_minutes,
        refusal_threshold=asked.refusal_threshold,
        pull_failure_threshold=asked.pull_failure_threshold,
        topics=tuple(asked.sns_topic_arn),
        name_prefix=asked.name_prefix,
    )


def _problems(plan: AlarmPlan) -> list[str]:
    """Return what CloudWatch would refuse, in the words of the command line."""
    spans = {
        "--consecutive-failure-period": (plan.failure_period, plan.failure_threshold),
        "--worker-error-period": (plan.worker_error_period, 1),
        "--backlog-minutes": (60, plan.backlog_minutes),
        "--heartbeat-minutes": (60, plan.heartbeat_minutes),
    }
    problems = []
    for name, (period, periods) in spans.items():
        longest = _DAY if period < _HOUR else _WEEK
        if period % 60:
            problems.append(f"{name} must be a multiple of 60 seconds, not {period}")
        elif period * periods > longest:
            problems.append(
                f"{name}: CloudWatch looks back {longest // _HOUR} hours at most with periods of "
                f"{period} s, not {period * periods / _HOUR:.0f}"
            )
    return problems


def _told(change: AlarmChange, *, dry_run: bool) -> str:
    word = change.verdict.value
    if dry_run and change.verdict is not Verdict.UNCHANGED:
        word = f"would be {word}"
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{word}: {change.name}{fields}"


def _whole(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {value}")
        return value

    return whole_number


def _checked(form: re.Pattern[str], what: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not form.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return text

    return checked


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
