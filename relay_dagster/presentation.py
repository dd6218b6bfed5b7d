"""What people read of a run in Dagster's UI: numbers, tables, a preview, addresses of files."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.merged import MergedInventory
from relay_core.normalized import NormalizedVendor
from relay_dagster.checks import table_schema, vendor_table
from relay_dagster.run_inputs import RunInputs
from relay_dagster.run_life import RunLife
from relay_dagster.run_reports import RunReports

PREVIEW_ROWS = 10


def fetched_metadata(inputs: RunInputs, reports: RunReports) -> dict[str, Any]:
    """Return what to show of the inputs."""
    rows = [
        {
            "vendor_id": vendor_id,
            "status": entry["status"],
            "s3_key": entry["s3_key"] or entry["expected_prefix"] or "",
            "bytes": entry["size"] or 0,
            "last_modified": entry["last_modified"] or "",
        }
        for vendor_id, entry in inputs.entries.items()
    ]
    columns = table_schema(
        vendor_id="string", status="string", s3_key="string", bytes="int", last_modified="string"
    )
    return {
        "run_id": reports.ctx.run_id,
        "config_version": reports.ctx.config_version or 0,
        "feeds_found": len(inputs.found()),
        "bytes_in": sum(row["bytes"] for row in rows),
        "inputs": _table(rows, columns),
        **_uris(reports, ("config_snapshot", "input_manifest")),
    }


def normalized_metadata(vendors: Sequence[NormalizedVendor], reports: RunReports) -> dict[str, Any]:
    """Return what to show of the normalized rows."""
    valid = sum(vendor.valid_rows for vendor in vendors)
    names = [f"normalized_{vendor.vendor_id}" for vendor in vendors]
    return {
        "run_id": reports.ctx.run_id,
        "dagster/row_count": valid,
        "rows_in": sum(vendor.total_rows for vendor in vendors),
        "rows_valid": valid,
        "rows_invalid": sum(vendor.invalid_rows for vendor in vendors),
        "vendors": vendor_table(vendors),
        **_uris(reports, (*names, "invalid_rows")),
    }


def merged_metadata(merged: MergedInventory, life: RunLife) -> dict[str, Any]:
    """Return what to show of the merged feed."""
    normalized = life.findings.normalized
    preview = merged.preview(PREVIEW_ROWS)
    columns = table_schema(**dict.fromkeys(merged.config.output.columns, "string"))
    return {
        "run_id": life.record.run_id,
        "dagster/row_count": merged.record_count,
        "rows_in": sum(vendor.total_rows for vendor in normalized),
        "rows_valid": sum(vendor.valid_rows for vendor in normalized),
        "rows_invalid": sum(vendor.invalid_rows for vendor in normalized),
        "rows_merged": merged.record_count,
        "unpriced_skus": merged.unpriced_skus,
        "warnings": {str(code): count for code, count in merged.warning_counts.items()},
        "vendors": vendor_table(normalized),
        "preview": _table(preview, columns),
        **_uris(life.reports, ("merged_inventory", "invalid_rows")),
    }


def _table(rows: Sequence[Mapping[str, Any]], schema: dg.TableSchema) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema=schema)


def _uris(reports: RunReports, names: Sequence[str]) -> dict[str, dg.PathMetadataValue]:
    return {
        f"artifact/{name}": dg.MetadataValue.path(reports.uri(reports.artifacts[name]))
        for name in names
        if name in reports.artifacts
    }
