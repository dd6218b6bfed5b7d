"""The command: usage in, a run through the engine's stages, lines for people, exit status."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from local.request import Request, UsageError, parser, read_request
from relay_core.domain.run_faults import next_action
from relay_dagster.settings import LimitSettings, SettingsError

if TYPE_CHECKING:
    from local.run import LocalRun
    from relay_core.publish.findings import RunFindings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    try:
        request = read_request(arguments, _settings())
        # Both load the engine, which bad usage need not wait for.
        if arguments.check:
            from local.check import check

            gc.enable()
            return check(request)
        from local.run import run

        gc.freeze()  # or it would go through all that is loaded at once
        gc.enable()
        finished = run(request, arguments.output_dir)
    except UsageError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return 2
    status = _report(request, finished, arguments.output_dir)
    for explained in finished.explanations:
        print(json.dumps(explained))
    return status


def _settings() -> LimitSettings:
    try:
        return LimitSettings.from_env()
    except SettingsError as error:
        raise UsageError(str(error)) from None


def _report(request: Request, finished: LocalRun, output_dir: Path) -> int:
    """Say how it went, and where to look; return the exit status."""
    context, findings = request.context, finished.findings
    counts = findings.counts()
    faults: Counter[str] = sum(
        (Counter(v.fault_counts) for v in findings.normalized), Counter()
    )
    lines = [
        f"{counts['total_rows']:,} rows read, {counts['invalid_rows']:,} refused{_listed(faults)}"
    ]
    if findings.failure is None:
        lines.append(f"{findings.record_count:,} SKUs in the merged feed")
    if warnings := findings.counted_warnings():
        lines.append(f"warnings{_listed(warnings)}")
    reports = output_dir / "reports"
    if findings.failure is None:
        print(f"run {context.run_id} of {context.tenant_id}: {findings.status}")
        lines.append(
            f"feed: {output_dir / str(finished.feed_path)}; reports: {reports}"
        )
        print(*(f"  {line}" for line in lines), sep="\n")
        if not findings.is_held:
            for doubt in finished.doubts:
                print(f"doubt: {doubt.code}: {doubt}", file=sys.stderr)
        if findings.is_held:
            names = dict.fromkeys(result.guard for result in findings.tripped)
            print(f"HELD: {', '.join(names)}", file=sys.stderr)
        return 3 if findings.is_held else 0
    print(f"run {context.run_id} failed in {findings.failure.stage}", file=sys.stderr)
    lines.append(f"to do: {next_action(findings.failure)}")
    lines += [f"give it here with {hint}" for hint in _hints(findings)]
    lines.append(f"what was wrong, and where: {reports / 'errors.json'}")
    print(*(f"  {line}" for line in lines), sep="\n", file=sys.stderr)
    message = " ".join(findings.failure.error_message.splitlines())
    print(f"{findings.failure.error_code}: {message}", file=sys.stderr)
    return 1


def _hints(findings: RunFindings) -> list[str]:
    """Say which options stand in for what the run did not find."""
    options = {
        "REQUIRED_VENDOR_MISSING": "--vendor-file",
        "missing_sku_map": "--sku-map",
    }
    return [
        f"{options[fault.error_code]} {fault.vendor_id}=FILE"
        for fault in findings.faults
        if fault.error_code in options
    ]


def _listed(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items()))
    return f": {named}" if named else ""
