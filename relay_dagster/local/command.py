"""The command line of the local runner: it runs or checks, and reports to people."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relay_core.domain.run_faults import next_action
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.local.options import parser
from relay_dagster.local.request import UsageError, read_request

if TYPE_CHECKING:
    from relay_core.library.requests import Request
    from relay_core.library.runner import LocalRun
    from relay_core.publish.findings import RunFindings
    from relay_dagster.settings import LimitSettings

_KEYS = ArtifactKeys("", "")
_OPTIONS_FOR_MISSING_FILES = {
    "REQUIRED_VENDOR_MISSING": "--vendor-file",
    "missing_sku_map": "--sku-map",
    "missing_catalog": "--vendor-file",
}


def main(
    argv: Sequence[str] | None = None,
    program: str | None = None,
) -> int:
    """Run the command line of a program, and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser(program).parse_args(argv)
    try:
        request = read_request(arguments, _settings())
        # The imports below load the engine; a usage error is reported without it.
        if arguments.check:
            from relay_dagster.local.check_output import check

            gc.enable()
            return check(request.run, request.assumed)
        from relay_dagster.local.output import run_into

        # Without freezing, the first collection would visit everything loaded so far.
        gc.freeze()
        gc.enable()
        output = run_into(request, arguments.output_dir)
    except UsageError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return 2
    status = _report(request.run, output.run, arguments.output_dir)
    for explanation in output.explanations:
        print(json.dumps(explanation))
    return status


def _settings() -> LimitSettings:
    from relay_dagster.settings import LimitSettings, SettingsError

    try:
        return LimitSettings.from_env()
    except SettingsError as error:
        raise UsageError(str(error)) from None


def _report(request: Request, run: LocalRun, output_dir: Path) -> int:
    """Print the result of a run, and return the exit status."""
    lines = list(run.report.lines)
    if run.findings.failure is not None:
        _report_failure(request, run.findings, lines, output_dir)
        return 1
    _report_feed(request, run, lines, output_dir)
    return 3 if run.findings.is_held else 0


def _report_feed(
    request: Request,
    run: LocalRun,
    lines: list[str],
    output_dir: Path,
) -> None:
    context = request.context
    findings = run.findings
    feed_path = output_dir / _feed_path(request)
    lines.append(f"feed: {feed_path}; reports: {output_dir / 'reports'}")
    print(f"run {context.run_id} of {context.tenant_id}: {findings.status}")
    for line in lines:
        print(f"  {line}")
    if findings.is_held:
        guards = dict.fromkeys(tripped.guard for tripped in findings.tripped)
        print(f"HELD: {', '.join(guards)}", file=sys.stderr)
        return
    for doubt in run.doubts:
        print(f"doubt: {doubt.code}: {doubt}", file=sys.stderr)


def _feed_path(request: Request) -> str:
    """Return the path of the feed below the output folder."""
    if request.config is None:
        return _KEYS.outputs
    return _KEYS.merged_inventory(request.config.output.format)


def _report_failure(
    request: Request,
    findings: RunFindings,
    lines: list[str],
    output_dir: Path,
) -> None:
    failure = findings.failure
    if failure is None:
        return
    lines.append(f"next step: {next_action(failure)}")
    for fault in findings.faults:
        option = _OPTIONS_FOR_MISSING_FILES.get(fault.error_code)
        if option is not None:
            lines.append(f"name the file with {option} {fault.vendor_id}=FILE")
    errors_file = output_dir / "reports" / "errors.json"
    lines.append(f"details: {errors_file}")
    print(
        f"run {request.context.run_id} failed in {failure.stage}",
        file=sys.stderr,
    )
    for line in lines:
        print(f"  {line}", file=sys.stderr)
    message = " ".join(failure.error_message.splitlines())
    print(f"{failure.error_code}: {message}", file=sys.stderr)
