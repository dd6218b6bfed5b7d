"""What people read of a run in Dagster's UI: numbers, tables, a preview, addresses of files.

Numbers are drawn over time under their labels, so a label stays what it is. No link that ends is
stored: a file has its ``s3://`` address, the report one that ``relay ui`` answers to, and ``relay
show`` or the API give links to follow.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.domain.columns import REQUIRED_COLUMNS, Kind
from relay_core.domain.records import GuardResult
from relay_core.merge.result import MergedInventory
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.feed import fields_of, preview
from relay_core.publish.findings import AppliedRule, RunFindings
from relay_core.publish.quarantine import QUARANTINE_COLUMNS
from relay_core.publish.reports import timestamp
from relay_dagster.execution.attempt import Attempt
from relay_dagster.execution.inputs import RunInputs
from relay_dagster.execution.run_files import RunReports
from relay_dagster.orchestration.jobs import REPORT_PATH
from relay_dagster.runs.model import RunRecord

_MAX_SUSPECTS = 100
_FILLED = (*REQUIRED_COLUMNS, "vendor_id", "updated_at")
PREVIEW_ROWS = 10
REPORTS = (
    *("report", "merged_inventory", "errors", "invalid_rows", "changes", "quarantine"),
    *("overrides", "run_summary", "input_manifest", "config_snapshot"),
)
"""The artifacts that people open, the most wanted first."""


def table(
    rows: Iterable[Sequence[Any]], columns: Mapping[str, str]
) -> dg.TableMetadataValue:
    """Return rows of cells as a table with these columns, name to kind."""
    schema = dg.TableSchema(
        [dg.TableColumn(name, kind) for name, kind in columns.items()]
    )
    records = [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(records, schema=schema)


def column_schema(columns: Iterable[tuple[str, Kind]]) -> dict[str, dg.TableSchema]:
    """Return the metadata by which Dagster shows the columns of an asset, from names and kinds."""
    may_lack = {
        is_null: dg.TableColumnConstraints(nullable=is_null)
        for is_null in (True, False)
    }
    shown = [
        dg.TableColumn(name, str(kind), constraints=may_lack[name not in _FILLED])
        for name, kind in columns
    ]
    return {"dagster/column_schema": dg.TableSchema(shown)}


def input_table(entries: Mapping[str, Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return the manifest's entries by vendor: what was found, or where it is expected."""
    rows = [
        (
            *(name, entry["status"], entry["s3_key"] or entry["expected_prefix"] or ""),
            *(entry["size"] or 0, entry["last_modified"] or ""),
        )
        for name, entry in entries.items()
    ]
    kinds = {
        "vendor_id": "string",
        "status": "string",
        "s3_key": "string",
        "bytes": "int",
    }
    return table(rows, {**kinds, "last_modified": "string"})


def vendor_table(
    vendors: Sequence[NormalizedVendor], wins: Mapping[str, int] | None = None
) -> dg.TableMetadataValue:
    """Return the counts of each vendor as a table, with the SKUs that it has won where known."""
    kinds = {"vendor_id": "string", "outcome": "string"}
    kinds |= dict.fromkeys(("rows", "valid", "invalid"), "int")
    rows = [
        (
            each.vendor_id,
            str(each.status),
            each.total_rows,
            each.valid_rows,
            each.invalid_rows,
        )
        for each in vendors
    ]
    if wins is None:
        return table(rows, kinds)
    return table(
        [(*row, wins.get(row[0], 0)) for row in rows], {**kinds, "skus_won": "int"}
    )


def row_table(rows: Mapping[str, RowCounts]) -> dg.TableMetadataValue:
    """Return the counts of each vendor's rows by what became of them, as a table."""
    kinds = {
        "vendor_id": "string",
        **dict.fromkeys(RowCounts.__dataclass_fields__, "int"),
    }
    return table(
        [(name, *each.as_dict().values()) for name, each in rows.items()], kinds
    )


def fault_table(vendors: Sequence[NormalizedVendor]) -> dg.TableMetadataValue:
    """Return how often each vendor's rows have each fault, and what makes a whole feed unusable."""
    rows: list[tuple[str, str, int]] = []
    for vendor in vendors:
        whole = {} if vendor.fault is None else {vendor.fault.error_code: 1}
        counts = {
            **{str(code): count for code, count in vendor.fault_counts.items()},
            **whole,
        }
        by_count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        rows += [(vendor.vendor_id, code, count) for code, count in by_count]
    return table(
        rows, {"vendor_id": "string", "error_code": "string", "entries": "int"}
    )


def winner_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return how many SKUs each vendor of the config has won."""
    return table(merged.skus_won().items(), {"vendor_id": "string", "skus_won": "int"})


def warning_table(counts: Mapping[str, int]) -> dg.TableMetadataValue:
    """Return how often each warning was given."""
    rows = [(str(code), count) for code, count in sorted(counts.items())]
    return table(rows, {"warning": "string", "entries": "int"})


def rule_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return the rules of the merged schema that rows break, and how many rows."""
    rows = [(each.column, each.rule, len(each.rows)) for each in merged.broken_rules]
    return table(rows, {"column": "string", "rule": "string", "rows": "int"})


def applied_rule_table(rules: Sequence[AppliedRule]) -> dg.TableMetadataValue:
    """Return the effects of the tenant's own rules as a table."""
    rows = [
        (each.path, each.rule, each.vendor_id or "", each.did, each.count)
        for each in rules
    ]
    kinds = dict.fromkeys(("path", "rule", "vendor_id", "did"), "string")
    return table(rows, {**kinds, "count": "int"})


def quarantine_table(findings: RunFindings) -> dg.TableMetadataValue:
    """Return the first SKUs that keep their published price, as quarantine.csv has them."""
    found = findings.first_quarantined(_MAX_SUSPECTS)
    rows = ([row[name] for name in QUARANTINE_COLUMNS] for row in found)
    return table(rows, dict.fromkeys(QUARANTINE_COLUMNS, "string"))


def guard_table(results: Sequence[GuardResult]) -> dg.TableMetadataValue:
    """Return the results of the guards as a table: so many of so many, against the limit."""
    kinds = {
        "guard": "string",
        "about": "string",
        "tripped": "boolean",
        "value": "string",
    }
    kinds |= {"limit": "string", "count": "int", "of": "int", "examples": "string"}
    rows = [
        (
            each.guard,
            each.vendor_id or each.side or "",
            each.tripped,
            *(each.value, each.limit, each.count, each.of),
            ", ".join(
                f"{e['sku']}: {e['before']} -> {e['after']}" for e in each.examples
            ),
        )
        for each in results
    ]
    return table(rows, kinds)


def report_link(tenant_id: str, run_id: str) -> dg.UrlMetadataValue:
    """Return the link to a run's report; it stays good: the file is signed for on the way."""
    return dg.MetadataValue.url(f"{REPORT_PATH}/{tenant_id}/{run_id}")


def fetched_metadata(inputs: RunInputs, reports: RunReports) -> dict[str, Any]:
    """Return the metadata of the inputs."""
    return {
        "run_id": reports.ctx.run_id,
        # As text: the number of a version is none to draw.
        "config_version": str(reports.ctx.config_version or ""),
        "feeds_found": len(inputs.found()),
        "bytes_in": sum(entry["size"] or 0 for entry in inputs.entries.values()),
        "inputs": input_table(inputs.entries),
        **_uris(reports, ("config_snapshot", "input_manifest")),
    }


def normalized_metadata(
    vendors: Sequence[NormalizedVendor], reports: RunReports
) -> dict[str, Any]:
    """Return the metadata of the normalized rows."""
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
    """Return the metadata of the merged feed, and of the run, which has ended with it."""
    findings, record = attempt.findings, attempt.record
    normalized = findings.normalized
    columns = {each.header: "string" for each in merged.config.output.columns}
    shown = preview(merged, PREVIEW_ROWS)
    changes: dict[str, Any] = {}
    if findings.changes is not None:
        changes = {
            f"changes/{name}": count for name, count in findings.changes.counts.items()
        }
        changes = {"baseline_run_id": findings.changes.baseline_run_id, **changes}
    upcoming = merged.config.next_run_after(record.finished_at or record.requested_at)
    return {
        "run_id": record.run_id,
        "status": str(record.status),
        "started_by": str(record.trigger),
        "report": report_link(record.tenant_id, record.run_id),
        **({} if upcoming is None else {"next_run_at": timestamp(upcoming)}),
        **_hold(record),
        "dagster/row_count": merged.record_count,
        **_row_counts(normalized),
        "rows_merged": merged.record_count,
        **_sums("rows", (each.as_dict() for each in findings.rows.values())),
        "unpriced_skus": merged.unpriced_skus,
        **(
            {}
            if findings.quarantined is None
            else {"quarantined": findings.quarantined}
        ),
        **changes,
        **_sums("rules", ({str(rule.did): rule.count} for rule in findings.rules)),
        **_seconds(record),
        **column_schema(
            (each.header, each.source.kind) for each in fields_of(merged.config)
        ),
        # Dagster keeps the order: what people come for stands before the long tables.
        **_uris(attempt.reports, REPORTS),
        "vendors": vendor_table(normalized, wins=findings.skus_won),
        "rows": row_table(findings.rows),
        "errors_by_code": fault_table(normalized),
        "guards": guard_table(findings.guards or ()),
        "quarantine": quarantine_table(findings),
        "rules": applied_rule_table(findings.rules),
        "warnings": warning_table(findings.counted_warnings()),
        "preview": table([[row[name] for name in columns] for row in shown], columns),
    }


def failure_metadata(attempt: Attempt) -> dict[str, Any]:
    """Return the metadata beside the error of a run, or attempt, that has failed."""
    record, normalized = attempt.record, attempt.findings.normalized
    shown: dict[str, Any] = {
        "run_id": record.run_id,
        "stage": str(record.failed_stage or record.stage),
        "attempt": record.attempt,
    }
    if record.failure_class is not None:
        shown |= {
            "failure_class": str(record.failure_class),
            "next_action": record.next_action,
        }
    if record.next_attempt_at is not None:
        shown["next_attempt_at"] = timestamp(record.next_attempt_at)
    shown["started_by"] = str(record.trigger)
    if "report" in attempt.reports.artifacts:
        shown["report"] = report_link(record.tenant_id, record.run_id)
    # The page of a run shows the first few entries, and the tables only when asked.
    shown |= _uris(attempt.reports, REPORTS)
    if normalized:
        shown |= {
            "vendors": vendor_table(normalized),
            "rows": row_table(attempt.findings.rows),
        }
        shown |= {"errors_by_code": fault_table(normalized)}
    return shown


def _hold(record: RunRecord) -> dict[str, Any]:
    """Return the guards that hold the feed back, and the command that releases it."""
    if record.hold is None:
        return {}
    names = sorted(record.hold.guard_names)
    command = f"relay release {record.run_id} --sha256 {record.hold.sha256}"
    return {
        "held_by": ", ".join(names),
        "to_release": " ".join(
            [command, *(f"--guard {name}" for name in names), "--reason ..."]
        ),
    }


def _sums(label: str, parts: Iterable[Mapping[str, int | None]]) -> dict[str, int]:
    """Return the sum of each count over vendors, or over the tenant's own rules."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update({f"{label}/{name}": count or 0 for name, count in part.items()})
    return dict(counts)


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
    return {
        f"seconds/{name}": round(n, 3) for name, n in {**stages, "total": total}.items()
    }


def _uris(reports: RunReports, names: Sequence[str]) -> dict[str, dg.PathMetadataValue]:
    return {
        f"artifact/{name}": dg.MetadataValue.path(
            reports.objects.uri(reports.artifacts[name])
        )
        for name in names
        if name in reports.artifacts
    }
