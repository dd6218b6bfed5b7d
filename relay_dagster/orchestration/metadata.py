"""What people read of a run in Dagster's UI: numbers, tables, a preview, addresses of files.

Numbers are drawn over time under their labels, so a label stays what it is. No link that ends is
stored: a file has its ``s3://`` address, the report one that ``relay ui`` answers to, and ``relay
show`` or the API give links to follow.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.feed import fields_of, preview
from relay_core.publish.findings import RunFindings
from relay_core.publish.reports import timestamp
from relay_dagster.execution.attempt import Attempt
from relay_dagster.execution.inputs import RunInputs
from relay_dagster.execution.reports import RunReports
from relay_dagster.orchestration.metadata_tables import (
    applied_rule_table,
    column_schema,
    fault_table,
    guard_table,
    input_table,
    quarantine_table,
    row_table,
    table,
    vendor_table,
    warning_table,
)
from relay_dagster.orchestration.report_links import report_link
from relay_dagster.runs.model import RunRecord

PREVIEW_ROWS = 10
REPORTS = (
    "report",
    "merged_inventory",
    "errors",
    "invalid_rows",
    "changes",
    "quarantine",
    "overrides",
    "run_summary",
    "input_manifest",
    "config_snapshot",
)
"""The artifacts that people open, the most wanted first."""


def fetched_metadata(inputs: RunInputs, reports: RunReports) -> dict[str, Any]:
    """Return what to show of the inputs."""
    return {
        "run_id": reports.ctx.run_id,
        # As text: the number of a version is none to draw.
        "config_version": str(reports.ctx.config_version or ""),
        "feeds_found": len(inputs.found()),
        "bytes_in": sum(entry["size"] or 0 for entry in inputs.entries.values()),
        "inputs": input_table(inputs.entries),
        **_uris(reports, ("config_snapshot", "input_manifest")),
    }


def normalized_metadata(vendors: Sequence[NormalizedVendor], reports: RunReports) -> dict[str, Any]:
    """Return what to show of the normalized rows."""
    names = [f"normalized_{vendor.vendor_id}" for vendor in vendors]
    counts = _row_counts(vendors)
    return {
        "run_id": reports.ctx.run_id,
        "dagster/row_count": counts["rows_valid"],
        **counts,
        "vendors": vendor_table(vendors),
        "errors_by_code": fault_table(vendors),
        **_uris(reports, (*names, "invalid_rows")),
    }


def merged_metadata(merged: MergedInventory, attempt: Attempt) -> dict[str, Any]:
    """Return what to show of the merged feed, and of the run, which has ended with it."""
    findings, record = attempt.findings, attempt.record
    normalized = findings.normalized
    columns = {each.header: "string" for each in merged.config.output.columns}
    return {
        "run_id": record.run_id,
        "status": str(record.status),
        "started_by": str(record.trigger),
        "report": report_link(record.tenant_id, record.run_id),
        **_next_run(merged, record),
        **_hold(record),
        "dagster/row_count": merged.record_count,
        **_row_counts(normalized),
        "rows_merged": merged.record_count,
        **_fates(findings),
        "unpriced_skus": merged.unpriced_skus,
        **_quarantined(findings),
        **_changes(findings),
        **_rules(findings),
        **_seconds(record),
        **column_schema((each.header, each.source.kind) for each in fields_of(merged.config)),
        # Dagster keeps the order: what people come for stands before the long tables.
        **_uris(attempt.reports, REPORTS),
        "vendors": vendor_table(normalized, wins=findings.skus_won),
        "rows": row_table(findings.rows),
        "errors_by_code": fault_table(normalized),
        "guards": guard_table(findings.guards or ()),
        "quarantine": quarantine_table(findings),
        "rules": applied_rule_table(findings.rules),
        "warnings": warning_table(merged.warning_counts),
        "preview": table(preview(merged, PREVIEW_ROWS), columns),
    }


def failure_metadata(attempt: Attempt) -> dict[str, Any]:
    """Return what to show beside the error of a run, or attempt, that has failed."""
    record, normalized = attempt.record, attempt.findings.normalized
    shown: dict[str, Any] = {
        "run_id": record.run_id,
        "stage": str(record.failed_stage or record.stage),
        "attempt": record.attempt,
    }
    if record.failure_class is not None:
        shown |= {"failure_class": str(record.failure_class), "next_action": record.next_action}
    if record.next_attempt_at is not None:
        shown["next_attempt_at"] = timestamp(record.next_attempt_at)
    shown["started_by"] = str(record.trigger)
    if "report" in attempt.reports.artifacts:
        shown["report"] = report_link(record.tenant_id, record.run_id)
    # The page of a run shows the first few entries, and the tables only when asked.
    shown |= _uris(attempt.reports, REPORTS)
    if normalized:
        shown |= {"vendors": vendor_table(normalized), "rows": row_table(attempt.findings.rows)}
        shown |= {"errors_by_code": fault_table(normalized)}
    return shown


def _hold(record: RunRecord) -> dict[str, Any]:
    """Return what holds the feed back, and the command that releases it."""
    if record.hold is None:
        return {}
    names = sorted(record.hold.guard_names)
    command = f"relay release {record.run_id} --sha256 {record.hold.sha256}"
    return {
        "held_by": ", ".join(names),
        "to_release": " ".join([command, *(f"--guard {name}" for name in names), "--reason ..."]),
    }


def _changes(findings: RunFindings) -> dict[str, Any]:
    """Return how many SKUs the feed changes against the published one."""
    if findings.changes is None:
        return {}
    counts = {f"changes/{name}": count for name, count in findings.changes.counts.items()}
    return {"baseline_run_id": findings.changes.baseline_run_id, **counts}


def _quarantined(findings: RunFindings) -> dict[str, int]:
    """Return how many SKUs keep their published price, where a quarantine is set."""
    return {} if findings.quarantined is None else {"quarantined": findings.quarantined}


def _fates(findings: RunFindings) -> dict[str, int]:
    """Return where the rows of all vendors went."""
    counts: Counter[str] = Counter()
    for rows in findings.rows.values():
        counts.update({f"rows/{name}": count or 0 for name, count in rows.as_dict().items()})
    return dict(counts)


def _rules(findings: RunFindings) -> dict[str, int]:
    """Return how much the tenant's own rules did, kind by kind."""
    counts: Counter[str] = Counter()
    for rule in findings.rules:
        counts[f"rules/{rule.did}"] += rule.count
    return dict(counts)


def _next_run(merged: MergedInventory, record: RunRecord) -> dict[str, str]:
    """Return when the schedule of the run's config is due next."""
    upcoming = merged.config.next_run_after(record.finished_at or record.requested_at)
    return {} if upcoming is None else {"next_run_at": timestamp(upcoming)}


def _row_counts(vendors: Sequence[NormalizedVendor]) -> dict[str, int]:
    return {
        "rows_in": sum(vendor.total_rows for vendor in vendors),
        "rows_valid": sum(vendor.valid_rows for vendor in vendors),
        "rows_invalid": sum(vendor.invalid_rows for vendor in vendors),
    }


def _seconds(record: RunRecord) -> dict[str, float]:
    """Return the seconds by stage, and of the whole attempt."""
    if record.finished_at is None or record.started_at is None:
        return {}
    stages = record.stage_times(record.finished_at)
    total = (record.finished_at - record.started_at).total_seconds()
    return {f"seconds/{name}": round(n, 3) for name, n in {**stages, "total": total}.items()}


def _uris(reports: RunReports, names: Sequence[str]) -> dict[str, dg.PathMetadataValue]:
    return {
        f"artifact/{name}": dg.MetadataValue.path(reports.uri(reports.artifacts[name]))
        for name in names
        if name in reports.artifacts
    }
