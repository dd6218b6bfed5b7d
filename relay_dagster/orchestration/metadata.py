"""Metadata that people read of a run in Dagster's UI: numbers, tables, links to files.

Dagster draws numbers over time under their labels, so a label never changes. No link that
expires is stored: a file has its ``s3://`` address, and the report a link that ``relay server ui``
answers. ``relay runs show`` and the API give links to the files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.artifacts import (
    NORMALIZED,
    belongs_to_run,
    in_order,
)
from relay_core.publish.feed import fields_of, preview
from relay_core.publish.findings import RunFindings
from relay_core.publish.reports import timestamp
from relay_dagster.execution.attempt import Attempt
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.pinned_inputs import PinnedInputs
from relay_dagster.orchestration import metadata_tables as tables
from relay_dagster.orchestration.jobs import REPORT_PATH
from relay_dagster.runs.model import Hold, RunRecord

PREVIEW_ROWS = 10


def report_link(tenant_id: str, run_id: str) -> dg.UrlMetadataValue:
    """Return a lasting link to a run's report; ``relay server ui`` signs the file when asked."""
    return dg.MetadataValue.url(f"{REPORT_PATH}/{tenant_id}/{run_id}")


def fetched_metadata(inputs: PinnedInputs, sink: BucketSink) -> dict[str, Any]:
    """Return the metadata of the inputs."""
    sizes = [entry["size"] or 0 for entry in inputs.entries.values()]
    return {
        "run_id": sink.context.run_id,
        # As text, because Dagster would draw a number.
        "config_version": str(sink.context.config_version or ""),
        "feeds_found": len(inputs.vendors_with_feed()),
        "bytes_in": sum(sizes),
        "inputs": tables.input_table(inputs.entries),
        **_artifact_paths(sink, ("config_snapshot", "input_manifest")),
    }


def normalized_metadata(
    vendors: Sequence[NormalizedVendor],
    sink: BucketSink,
) -> dict[str, Any]:
    """Return the metadata of the normalized rows."""
    files = [NORMALIZED.name_for(vendor=vendor.vendor_id) for vendor in vendors]
    counts = _row_counts(vendors)
    return {
        "run_id": sink.context.run_id,
        "dagster/row_count": counts["rows_valid"],
        **counts,
        "vendors": tables.vendor_table(vendors),
        "errors_by_code": tables.fault_table(vendors),
        **_artifact_paths(sink, (*files, "invalid_rows")),
    }


def merged_metadata(
    merged: MergedInventory,
    attempt: Attempt,
) -> dict[str, Any]:
    """Return the metadata of the merged feed and of the run, which ends with it."""
    findings = attempt.findings
    vendors = findings.normalized
    config = merged.config
    fields = fields_of(config.output, config.default_currency)
    columns = [(field.header, field.source.kind) for field in fields]
    headers = [field.header for field in fields]
    first_rows = preview(merged, PREVIEW_ROWS)
    return {
        **_run_facts(merged, findings, attempt.record),
        **tables.column_schema(columns),
        # Dagster keeps the order: links come before the long tables.
        **_artifact_paths(attempt.sink, _run_files(attempt.sink)),
        "vendors": tables.vendor_table(vendors, wins=findings.skus_won),
        "rows": tables.row_table(findings.rows),
        "errors_by_code": tables.fault_table(vendors),
        **_matched(findings),
        "guards": tables.guard_table(findings.guards or ()),
        "quarantine": tables.quarantine_table(findings),
        "rules": tables.applied_rule_table(findings.rules),
        "warnings": tables.warning_table(findings.counted_warnings()),
        "preview": tables.text_table(headers, first_rows),
        **tables.channel_tables(findings.channels),
    }


def failure_metadata(attempt: Attempt) -> dict[str, Any]:
    """Return the metadata beside the error of a failed run or attempt."""
    record = attempt.record
    vendors = attempt.findings.normalized
    metadata: dict[str, Any] = {
        "run_id": record.run_id,
        "stage": str(record.failed_stage or record.stage),
        "attempt": record.attempt,
    }
    if record.failure_class is not None:
        metadata["failure_class"] = str(record.failure_class)
        metadata["next_action"] = record.next_action
    if record.next_attempt_at is not None:
        metadata["next_attempt_at"] = timestamp(record.next_attempt_at)
    metadata["started_by"] = str(record.trigger)
    if "report" in attempt.sink.artifacts:
        metadata["report"] = report_link(record.tenant_id, record.run_id)
    # A run's page shows the first few entries, and the tables only on request.
    metadata |= _artifact_paths(attempt.sink, _run_files(attempt.sink))
    if vendors:
        metadata["vendors"] = tables.vendor_table(vendors)
        metadata["rows"] = tables.row_table(attempt.findings.rows)
        metadata["errors_by_code"] = tables.fault_table(vendors)
    return metadata


# --- parts of the metadata -------------------------------------------------------------


def _matched(findings: RunFindings) -> dict[str, Any]:
    """Return the table of matched rows; nothing without a catalog."""
    if findings.catalog is None:
        return {}
    return {"matched_by": tables.matched_table(findings.catalog.matched_by)}


def _run_facts(
    merged: MergedInventory,
    findings: RunFindings,
    record: RunRecord,
) -> dict[str, Any]:
    """Return the numbers and texts of a run that has merged, in their order."""
    facts: dict[str, Any] = {
        "run_id": record.run_id,
        "status": str(record.status),
        "started_by": str(record.trigger),
        "report": report_link(record.tenant_id, record.run_id),
    }
    ended_at = record.finished_at or record.requested_at
    next_run = merged.config.next_run_after(ended_at)
    if next_run is not None:
        facts["next_run_at"] = timestamp(next_run)
    if record.hold is not None:
        facts |= _hold(record.run_id, record.hold)
    facts["dagster/row_count"] = merged.record_count
    facts |= _row_counts(findings.normalized)
    facts["rows_merged"] = merged.record_count
    facts |= _sums("rows", [rows.as_dict() for rows in findings.rows.values()])
    facts["unpriced_skus"] = merged.unpriced_skus
    if findings.quarantined is not None:
        facts["quarantined"] = findings.quarantined
    if findings.catalog is not None:
        numbers = findings.catalog.as_dict()
        numbers = {
            name: count
            for name, count in numbers.items()
            if name != "matched_by" and count is not None
        }
        facts |= _sums("catalog", [numbers])
    if findings.changes is not None:
        facts["baseline_run_id"] = findings.changes.baseline_run_id
        facts |= _sums("changes", [findings.changes.counts])
    facts |= _sums(
        "rules",
        [{str(rule.did): rule.count} for rule in findings.rules],
    )
    if record.started_at is not None and record.finished_at is not None:
        for stage, seconds in record.stage_times(record.finished_at).items():
            facts[f"seconds/{stage}"] = round(seconds, 3)
        duration = record.finished_at - record.started_at
        facts["seconds/total"] = round(duration.total_seconds(), 3)
    return facts


def _hold(run_id: str, hold: Hold) -> dict[str, str]:
    """Return the guards that keep the feed on hold, and the command that releases it."""
    guards = sorted(hold.guard_names)
    command = [f"relay feed release {run_id} --sha256 {hold.sha256}"]
    command += [f"--guard {guard}" for guard in guards]
    command.append("--reason ...")
    return {"held_by": ", ".join(guards), "to_release": " ".join(command)}


def _sums(
    label: str,
    parts: Iterable[Mapping[str, int | None]],
) -> dict[str, int]:
    """Return the sum of each count over the parts, which are vendors or rules."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(
            {f"{label}/{name}": count or 0 for name, count in part.items()},
        )
    return dict(sums)


def _row_counts(vendors: Sequence[NormalizedVendor]) -> dict[str, int]:
    return {
        "rows_in": sum(vendor.total_rows for vendor in vendors),
        "rows_valid": sum(vendor.valid_rows for vendor in vendors),
        "rows_invalid": sum(vendor.invalid_rows for vendor in vendors),
    }


def _run_files(sink: BucketSink) -> list[str]:
    """Return the artifacts that belong to the whole run, in the order of people's use."""
    names = [name for name in sink.artifacts if belongs_to_run(name)]
    return in_order(names)


def _artifact_paths(
    sink: BucketSink,
    names: Sequence[str],
) -> dict[str, dg.PathMetadataValue]:
    """Return the addresses of the artifacts that exist among the named ones."""
    paths = {}
    for name in names:
        if name in sink.artifacts:
            uri = sink.objects.uri(sink.artifacts[name])
            paths[f"artifact/{name}"] = dg.MetadataValue.path(uri)
    return paths
