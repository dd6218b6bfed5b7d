"""Metadata that people read of a run in Dagster's UI: numbers, tables, links to files.

Dagster draws numbers over time under their labels, so a label never changes. No link that
expires is stored: a file has its ``s3://`` address, and the report a link that ``relay server ui``
answers. ``relay runs show`` and the API give links to the files.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.artifacts import (
    NORMALIZED,
    belongs_to_run,
    in_order,
)
from relay_core.publish.feed import preview
from relay_core.publish.files.fields import fields_of
from relay_core.publish.reports import timestamp
from relay_dagster.execution.attempt import Attempt
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.pinned_inputs import PinnedInputs
from relay_dagster.orchestration import metadata_tables as tables
from relay_dagster.orchestration.jobs import REPORT_PATH
from relay_dagster.orchestration.report_metadata import (
    commands_of,
    facts_of,
    tables_of,
)
from relay_dagster.runs.model import RunRecord

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
    report = attempt.sink.report
    chapters = () if report is None else report.chapters
    return {
        **_run_facts(merged, attempt.record),
        **facts_of(chapters),
        **commands_of(chapters),
        **_seconds(attempt.record),
        **tables.column_schema(columns),
        # Dagster keeps the order: links come before the long tables.
        **_artifact_paths(attempt.sink, _run_files(attempt.sink)),
        **tables_of(chapters),
        # The report has the first vendors of these tables, and fewer counts.
        "vendors": tables.vendor_table(vendors, wins=findings.skus_won),
        "rows": tables.row_table(findings.rows),
        "errors_by_code": tables.fault_table(vendors),
        "preview": tables.text_table(headers, first_rows),
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


def _run_facts(merged: MergedInventory, record: RunRecord) -> dict[str, Any]:
    """Return what the record says of a run that has merged, and the rows of its feed."""
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
    facts["dagster/row_count"] = merged.record_count
    return facts


def _seconds(record: RunRecord) -> dict[str, float]:
    """Return the duration of each stage of a run and of the whole."""
    if record.started_at is None or record.finished_at is None:
        return {}
    times = record.stage_times(record.finished_at)
    seconds = {
        f"seconds/{stage}": round(stage_seconds, 3)
        for stage, stage_seconds in times.items()
    }
    duration = record.finished_at - record.started_at
    seconds["seconds/total"] = round(duration.total_seconds(), 3)
    return seconds


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
