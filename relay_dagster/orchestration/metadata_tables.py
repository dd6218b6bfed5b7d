"""Tables of what a run found, as Dagster's UI shows them: by vendor, by error code, by warning.

Pure builders: a table is made of what the engine returns, and given its columns, so that one
without rows is a table too. `metadata` and `checks` say where each is shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.domain.columns import REQUIRED_COLUMNS, Kind
from relay_core.domain.records import GuardResult
from relay_core.merge.result import MergedInventory
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import AppliedRule, RunFindings
from relay_core.publish.quarantine import COLUMNS as QUARANTINE_COLUMNS

_MAX_SUSPECTS = 100
_FILLED = (*REQUIRED_COLUMNS, "vendor_id", "updated_at")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.TableMetadataValue:
    """Return rows as a table with these columns, name to kind."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema=schema)


def column_schema(columns: Iterable[tuple[str, Kind]]) -> dict[str, dg.TableSchema]:
    """Return the metadata by which Dagster shows the columns of an asset, from names and kinds."""
    return {
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(
                    name,
                    str(kind),
                    constraints=dg.TableColumnConstraints(nullable=name not in _FILLED),
                )
                for name, kind in columns
            ]
        )
    }


def input_table(entries: Mapping[str, Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return the manifest's entries by vendor: what was found, or where it is expected."""
    rows = [
        {
            "vendor_id": vendor_id,
            "status": entry["status"],
            "s3_key": entry["s3_key"] or entry["expected_prefix"] or "",
            "bytes": entry["size"] or 0,
            "last_modified": entry["last_modified"] or "",
        }
        for vendor_id, entry in entries.items()
    ]
    kinds = {"vendor_id": "string", "status": "string", "s3_key": "string", "bytes": "int"}
    return table(rows, {**kinds, "last_modified": "string"})


def vendor_table(
    vendors: Sequence[NormalizedVendor], wins: Mapping[str, int] | None = None
) -> dg.TableMetadataValue:
    """Return the counts of each vendor as a table, with the SKUs that it has won where known."""
    kinds = {"vendor_id": "string", "outcome": "string"}
    kinds |= dict.fromkeys(("rows", "valid", "invalid"), "int")
    if wins is not None:
        kinds["skus_won"] = "int"
    rows: list[dict[str, str | int]] = [
        {
            "vendor_id": vendor.vendor_id,
            "outcome": str(vendor.status),
            "rows": vendor.total_rows,
            "valid": vendor.valid_rows,
            "invalid": vendor.invalid_rows,
            "skus_won": (wins or {}).get(vendor.vendor_id, 0),
        }
        for vendor in vendors
    ]
    return table([{name: row[name] for name in kinds} for row in rows], kinds)


def row_table(rows: Mapping[str, RowCounts]) -> dg.TableMetadataValue:
    """Return where each vendor's rows went."""
    kinds = {"vendor_id": "string", **dict.fromkeys(RowCounts.__dataclass_fields__, "int")}
    counts = [{"vendor_id": name, **each.as_dict()} for name, each in rows.items()]
    return table(counts, kinds)


def fault_table(vendors: Sequence[NormalizedVendor]) -> dg.TableMetadataValue:
    """Return how often each vendor's rows have each fault, and what makes a whole feed unusable."""
    rows: list[dict[str, str | int]] = []
    for vendor in vendors:
        counts = {str(code): count for code, count in vendor.fault_counts.items()}
        if vendor.fault is not None:
            counts[vendor.fault.error_code] = 1
        rows += [
            {"vendor_id": vendor.vendor_id, "error_code": code, "entries": count}
            for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
    return table(rows, {"vendor_id": "string", "error_code": "string", "entries": "int"})


def winner_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return how many SKUs each vendor of the config has won."""
    rows = [{"vendor_id": name, "skus_won": won} for name, won in merged.skus_won().items()]
    return table(rows, {"vendor_id": "string", "skus_won": "int"})


def warning_table(counts: Mapping[str, int]) -> dg.TableMetadataValue:
    """Return how often each warning was given."""
    rows = [{"warning": str(code), "entries": n} for code, n in sorted(counts.items())]
    return table(rows, {"warning": "string", "entries": "int"})


def rule_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return the rules of the merged schema that rows break, and how many rows."""
    rows = [
        {"column": rule.column, "rule": rule.rule, "rows": len(rule.rows)}
        for rule in merged.broken_rules
    ]
    return table(rows, {"column": "string", "rule": "string", "rows": "int"})


def applied_rule_table(rules: Sequence[AppliedRule]) -> dg.TableMetadataValue:
    """Return what each rule of the tenant's own did."""
    kinds = {"path": "string", "rule": "string", "vendor_id": "string"}
    rows = [{**rule.as_dict(), "vendor_id": rule.vendor_id or ""} for rule in rules]
    return table(rows, {**kinds, "did": "string", "count": "int"})


def quarantine_table(findings: RunFindings) -> dg.TableMetadataValue:
    """Return the first SKUs that keep their published price, as quarantine.csv has them."""
    rows = findings.first_quarantined(_MAX_SUSPECTS)
    return table(rows, dict.fromkeys(QUARANTINE_COLUMNS, "string"))


def guard_table(results: Sequence[GuardResult]) -> dg.TableMetadataValue:
    """Return what each guard came to: so many of so many, held against its limit."""
    kinds = {"guard": "string", "about": "string", "tripped": "boolean", "value": "string"}
    kinds |= {"limit": "string", "count": "int", "of": "int", "examples": "string"}
    rows: list[dict[str, str | int]] = [
        {
            "guard": result.guard,
            "about": result.vendor_id or result.side or "",
            "tripped": result.tripped,
            "value": result.value,
            "limit": result.limit,
            "count": result.count,
            "of": result.of,
            "examples": ", ".join(
                f"{e['sku']}: {e['before']} -> {e['after']}" for e in result.examples
            ),
        }
        for result in results
    ]
    return table(rows, kinds)
