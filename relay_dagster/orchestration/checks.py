"""The asset checks: their specifications, and the results for the rows of a run.

The assets evaluate them, except ``feed_is_fresh``, which ``feed_events.py`` judges.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from relay_core.config import ErrorPolicy
from relay_core.domain.records import RunContext
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import RunFindings
from relay_core.report.chapters import guards, quarantine
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter
from relay_core.validation.error_policy import judge_policy
from relay_dagster.orchestration import metadata_tables as tables
from relay_dagster.orchestration.feed_events import FEED_IS_FRESH
from relay_dagster.orchestration.jobs import tenant_partitions
from relay_dagster.orchestration.report_metadata import tables_of


def _specs(asset: str, **descriptions: str) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the specification of each check of an asset; ``descriptions`` is by name."""
    # Without partitions, one tenant's result would count for every other tenant. Dagster warns
    # that the argument is in preview, which is no news to readers of the logs.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(
            dg.AssetCheckSpec(
                name,
                asset=asset,
                description=description,
                partitions_def=tenant_partitions,
            )
            for name, description in descriptions.items()
        )


NORMALIZED_CHECKS = _specs(
    "normalized_inventory",
    canonical_schema_holds="Every row matches the canonical schema; rejected rows are counted "
    "by vendor and code.",
    invalid_rows_within_max="The number of rejected rows is at most error_policy.max_invalid_rows.",
    invalid_pct_within_max="The share of rejected rows is at most "
    "error_policy.max_invalid_row_pct.",
)
MERGED_CHECKS = _specs(
    "merged_inventory",
    merged_schema_holds="Every row of the merged feed matches the merged schema and has a price "
    "above zero.",
    one_row_per_sku="Each SKU appears once in the merged feed.",
    feed_within_guards="Compared with the live feed, the merged feed loses and changes no more "
    "SKUs than the guards allow.",
)
_FRESH = "The feed was published within an hour of the last scheduled time."
(FRESH_CHECK,) = _specs("published_feed", **{FEED_IS_FRESH: _FRESH})


def normalized_results(
    policy: ErrorPolicy,
    vendors: Sequence[NormalizedVendor],
) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of each check on the normalized rows."""
    schema_check, rows_check, share_check = NORMALIZED_CHECKS
    invalid_rows = [vendor.invalid_rows for vendor in vendors]
    total_rows = [vendor.total_rows for vendor in vendors]
    verdict = judge_policy(policy, invalid_rows, total_rows)
    invalid_count = sum(invalid_rows)
    total_count = sum(total_rows)
    counts: dict[str, Any] = {
        "invalid_rows": invalid_count,
        "total_rows": total_count,
        "vendors": tables.vendor_table(vendors),
    }
    yield dg.AssetCheckResult(
        check_name=schema_check.name,
        passed=not invalid_count,
        # Rejected rows are ordinary and only warn; their limits are errors.
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**counts, "errors_by_code": tables.fault_table(vendors)},
    )
    yield dg.AssetCheckResult(
        check_name=rows_check.name,
        passed=verdict.within_max,
        metadata={**counts, "max_invalid_rows": policy.max_invalid_rows},
    )
    share = invalid_count / total_count if total_count else 0.0
    yield dg.AssetCheckResult(
        check_name=share_check.name,
        passed=verdict.within_pct,
        metadata={
            **counts,
            "invalid_row_pct": share,
            "max_invalid_row_pct": float(policy.max_invalid_row_pct),
        },
    )


def merged_results(
    merged: MergedInventory,
    findings: RunFindings,
    context: RunContext,
) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of each check on the merged rows."""
    schema_check, uniqueness_check, guards_check = MERGED_CHECKS
    record_count = merged.record_count
    yield dg.AssetCheckResult(
        check_name=schema_check.name,
        passed=not merged.broken_rules,
        metadata={
            "record_count": record_count,
            "vendors": tables.winner_table(merged),
            "broken_rules": tables.rule_table(merged),
        },
    )
    repeated_rows = [
        len(rule.rows) for rule in merged.broken_rules if rule.is_uniqueness
    ]
    yield dg.AssetCheckResult(
        check_name=uniqueness_check.name,
        passed=not repeated_rows,
        metadata={
            "record_count": record_count,
            "repeated_rows": sum(repeated_rows),
        },
    )
    severity = dg.AssetCheckSeverity.ERROR
    if merged.config.guards.mode == "warn":
        severity = dg.AssetCheckSeverity.WARN
    yield dg.AssetCheckResult(
        check_name=guards_check.name,
        passed=not findings.tripped,
        severity=severity,
        metadata={
            "judged": findings.guards is not None,
            "quarantined": findings.quarantined or 0,
            **tables_of(_chapters_on_guards(findings, context)),
        },
    )


def _chapters_on_guards(
    findings: RunFindings, context: RunContext
) -> Iterator[Chapter]:
    """Yield what the run's report says of what the guards judge."""
    run = EndedRun.of(context, findings, findings.status)
    for make in (guards.chapter, quarantine.chapter):
        chapter = make(run)
        if chapter is not None:
            yield chapter
