"""The asset checks: what Pandera says of the rows, as people read it in the UI.

They are evaluated inside the assets, which hold the rows, and block nothing: a blocked merge would
leave nobody to write the reports and to end the run.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from relay_core.config import ErrorPolicy
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import RunFindings
from relay_core.validation.error_policy import judge_policy
from relay_dagster.orchestration.metadata_tables import (
    fault_table,
    guard_table,
    quarantine_table,
    rule_table,
    vendor_table,
    winner_table,
)
from relay_dagster.orchestration.partitions import tenant_partitions

CANONICAL_SCHEMA_HOLDS = "canonical_schema_holds"
INVALID_ROWS_WITHIN_MAX = "invalid_rows_within_max"
INVALID_PCT_WITHIN_MAX = "invalid_pct_within_max"
MERGED_SCHEMA_HOLDS = "merged_schema_holds"
ONE_ROW_PER_SKU = "one_row_per_sku"
FEED_WITHIN_GUARDS = "feed_within_guards"
FEED_IS_FRESH = "feed_is_fresh"


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
        "Every row of the merged feed keeps the merged schema: each with a price, none of zero.",
    ),
    _spec(ONE_ROW_PER_SKU, "merged_inventory", "No SKU stands twice in the merged feed."),
    _spec(
        FEED_WITHIN_GUARDS,
        "merged_inventory",
        "Beside the published feed the merged one loses and changes no more than the guards allow.",
    ),
)
FRESH_CHECK = _spec(
    FEED_IS_FRESH,
    "published_feed",
    "The feed was published no later than an hour after its schedule was last due.",
)
ALL_CHECKS = (*NORMALIZED_CHECKS, *MERGED_CHECKS, FRESH_CHECK)


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


def merged_results(merged: MergedInventory, findings: RunFindings) -> Iterator[dg.AssetCheckResult]:
    """Yield the verdict of each check on the merged rows."""
    broken, record_count = merged.broken_rules, merged.record_count
    yield dg.AssetCheckResult(
        check_name=MERGED_SCHEMA_HOLDS,
        passed=not broken,
        metadata={
            "record_count": record_count,
            "vendors": winner_table(merged),
            "broken_rules": rule_table(merged),
        },
    )
    repeated = [len(each.rows) for each in broken if each.is_uniqueness]
    yield dg.AssetCheckResult(
        check_name=ONE_ROW_PER_SKU,
        passed=not repeated,
        metadata={"record_count": record_count, "repeated_rows": sum(repeated)},
    )
    only_warns = merged.config.guards.mode == "warn"
    yield dg.AssetCheckResult(
        check_name=FEED_WITHIN_GUARDS,
        passed=not findings.tripped,
        severity=dg.AssetCheckSeverity.WARN if only_warns else dg.AssetCheckSeverity.ERROR,
        metadata={
            "judged": findings.guards is not None,
            "guards": guard_table(findings.guards or ()),
            "quarantined": findings.quarantined or 0,
            "quarantine": quarantine_table(findings),
        },
    )
