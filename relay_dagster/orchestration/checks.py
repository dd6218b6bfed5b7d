"""The asset checks: what Pandera says of the rows, as people read it in the UI.

They are evaluated inside the assets, which hold the rows, and block nothing: a blocked merge would
leave nobody to write the reports and to end the run.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.config import ErrorPolicy
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation.gate import judge_policy
from relay_dagster.orchestration.partitions import tenant_partitions

CANONICAL_SCHEMA_HOLDS = "canonical_schema_holds"
INVALID_ROWS_WITHIN_MAX = "invalid_rows_within_max"
INVALID_PCT_WITHIN_MAX = "invalid_pct_within_max"
MERGED_SCHEMA_HOLDS = "merged_schema_holds"


def _spec(name: str, asset: str, description: str) -> dg.AssetCheckSpec:
    # Without the partitions one tenant's verdict would stand for every other's. Dagster warns that
    # the argument is young; that is known, and no news to whoever reads the logs.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, partitions_def=tenant_partitions
        )


NORMALIZED_CHECKS = (
    _spec(
        CANONICAL_SCHEMA_HOLDS,
        "normalized_inventory",
        "Every row of every feed keeps the canonical schema; the refused rows, by vendor and code.",
    ),
    _spec(
        INVALID_ROWS_WITHIN_MAX,
        "normalized_inventory",
        "No more rows are refused than error_policy.max_invalid_rows.",
    ),
    _spec(
        INVALID_PCT_WITHIN_MAX,
        "normalized_inventory",
        "No greater part of the rows is refused than error_policy.max_invalid_row_pct.",
    ),
)
MERGED_CHECKS = (
    _spec(
        MERGED_SCHEMA_HOLDS,
        "merged_inventory",
        "Every row of the merged feed keeps the merged schema: one row a SKU, each with a price.",
    ),
)
ALL_CHECKS = (*NORMALIZED_CHECKS, *MERGED_CHECKS)


def normalized_results(
    policy: ErrorPolicy, vendors: Sequence[NormalizedVendor]
) -> Iterator[dg.AssetCheckResult]:
    """Yield the verdict of each check on the normalized rows."""
    invalid = [vendor.invalid_rows for vendor in vendors]
    total = [vendor.total_rows for vendor in vendors]
    verdict = judge_policy(policy, invalid, total)
    counts: dict[str, Any] = {"invalid_rows": sum(invalid), "total_rows": sum(total)}
    counts["vendors"] = vendor_table(vendors)
    yield dg.AssetCheckResult(
        check_name=CANONICAL_SCHEMA_HOLDS,
        passed=not sum(invalid),
        # Refused rows are ordinary, the limits decide: a warning, where the others are errors.
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**counts, "errors_by_code": fault_table(vendors)},
    )
    yield dg.AssetCheckResult(
        check_name=INVALID_ROWS_WITHIN_MAX,
        passed=verdict.within_max,
        metadata={**counts, "max_invalid_rows": policy.max_invalid_rows},
    )
    share = sum(invalid) / sum(total) if sum(total) else 0.0
    yield dg.AssetCheckResult(
        check_name=INVALID_PCT_WITHIN_MAX,
        passed=verdict.within_pct,
        metadata={
            **counts,
            "invalid_row_pct": share,
            "max_invalid_row_pct": float(policy.max_invalid_row_pct),
        },
    )


def merged_result(merged: MergedInventory) -> dg.AssetCheckResult:
    """Return the verdict on the merged rows."""
    broken = merged.broken_rules()
    rules = [
        dg.TableRecord({"column": rule.column, "rule": rule.rule, "rows": len(rule.rows)})
        for rule in broken
    ]
    return dg.AssetCheckResult(
        check_name=MERGED_SCHEMA_HOLDS,
        passed=not broken,
        metadata={
            "record_count": merged.record_count,
            "vendors": _winner_table(merged),
            "broken_rules": dg.MetadataValue.table(
                rules, schema=table_schema(column="string", rule="string", rows="int")
            ),
        },
    )


def vendor_table(
    vendors: Sequence[NormalizedVendor], wins: Mapping[str, int] | None = None
) -> dg.TableMetadataValue:
    """Return the counts of each vendor as a table, with the SKUs that it has won where told."""
    kinds = {"vendor_id": "string", "outcome": "string"}
    kinds |= dict.fromkeys(("rows", "valid", "invalid"), "int")
    if wins is not None:
        kinds["skus_won"] = "int"
    rows: list[dict[str, str | int]] = [
        {
            "vendor_id": vendor.vendor_id,
            "outcome": vendor.outcome,
            "rows": vendor.total_rows,
            "valid": vendor.valid_rows,
            "invalid": vendor.invalid_rows,
            "skus_won": (wins or {}).get(vendor.vendor_id, 0),
        }
        for vendor in vendors
    ]
    records = [dg.TableRecord({name: row[name] for name in kinds}) for row in rows]
    return dg.MetadataValue.table(records, schema=table_schema(**kinds))


def fault_table(vendors: Sequence[NormalizedVendor]) -> dg.TableMetadataValue:
    """Return how often each vendor's rows have each fault, and what makes a whole feed unusable."""
    records = []
    for vendor in vendors:
        counts = {str(code): count for code, count in vendor.fault_counts.items()}
        if vendor.fault is not None:
            counts[vendor.fault.error_code] = 1
        records += [
            dg.TableRecord({"vendor_id": vendor.vendor_id, "error_code": code, "entries": count})
            for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
    schema = table_schema(vendor_id="string", error_code="string", entries="int")
    return dg.MetadataValue.table(records, schema=schema)


def skus_won(merged: MergedInventory) -> dict[str, int]:
    """Return how many rows of the feed are each vendor's, in the order of the config."""
    wins: dict[int, int] = {}
    if merged.winners is not None:
        counts = merged.winners["vendor_rank"].value_counts()
        wins = {row["values"]: row["counts"] for row in counts.to_pylist()}
    return {
        vendor.vendor_id: wins.get(rank, 0) for rank, vendor in enumerate(merged.config.vendors)
    }


def table_schema(**columns: str) -> dg.TableSchema:
    """Return the schema of a metadata table; it is given, so that an empty table is one too."""
    return dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])


def _winner_table(merged: MergedInventory) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"vendor_id": vendor_id, "skus_won": won})
            for vendor_id, won in skus_won(merged).items()
        ],
        schema=table_schema(vendor_id="string", skus_won="int"),
    )
