"""The assets, their checks, and their resource: the run that this process executes.

Glue: the session of ``execution/session.py`` does it, the checks report on it, the metadata shows
it. The checks are evaluated inside the assets, which hold the rows, and block nothing: a blocked
merge would leave nobody to write the reports and to end the run. No run of Dagster makes the feed
in force: runs, releases and rollbacks publish, and ``orchestration/feed_events.py`` reports it.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from relay_core.config import ErrorPolicy
from relay_core.domain.columns import COLUMNS
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.records import ENGINE_VERSION
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import RunFindings
from relay_core.validation.error_policy import judge_policy
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.session import ASSETS, RunSession
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.orchestration.feed_events import (
    FEED_IS_FRESH,
    PUBLISHED_FEED,
    freshness,
)
from relay_dagster.orchestration.jobs import tenant_partitions
from relay_dagster.orchestration.metadata import (
    column_schema,
    failure_metadata,
    fault_table,
    fetched_metadata,
    guard_table,
    merged_metadata,
    normalized_metadata,
    quarantine_table,
    rule_table,
    vendor_table,
    winner_table,
)
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform


class RunFailed(dg.Failure):
    """A run, or an attempt, that has ended for a reason that has a code: what Dagster shows."""


class RunSessions(dg.ConfigurableResource):
    """The run that this process executes."""

    connect: dg.ResourceDependency[Callable[[], Platform]]
    _session: RunSession | None = PrivateAttr(default=None)

    @contextmanager
    def materializing(self, context: dg.AssetExecutionContext) -> Iterator[RunSession]:
        """Do one asset's part inside; `RunFailed`, by the error's code, where the run has ended."""
        if self._session is None:
            self._session = RunSession(self.connect(), _launch(context))
        session = self._session
        try:
            with session.materializing(context.asset_key.to_user_string()):
                yield session
        except RunStoppedError as stopped:
            raise _failure(str(stopped), session.claimed_attempt) from None
        except Exception as error:
            # A fault that has a code is named, not shown with its cause; a defect needs both.
            code, attempt = error_code_of(error), session.claimed_attempt
            if code == INTERNAL_ERROR:
                raise
            text = f"{code}: {error}"
            if (
                attempt is not None and attempt.record.has_ended
            ):  # this was its last attempt
                text = f"{attempt.record.error_code}: {attempt.record.error_message}"
            raise _failure(text, attempt) from None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop what runs beside the assets."""
        if self._session is not None:
            self._session.close()


def _failure(description: str, attempt: Attempt | None) -> RunFailed:
    shown = None if attempt is None else failure_metadata(attempt)
    return RunFailed(description, shown, allow_retries=False)


def _launch(context: dg.AssetExecutionContext) -> Launch:
    run = context.run
    # Dagster names no assets where it is all of them.
    chosen = [key.to_user_string() for key in run.asset_selection or ()]
    return Launch(
        dagster_run_id=run.run_id,
        tenant_id=context.partition_key,
        tags=run.tags,
        assets=frozenset(run.step_keys_to_execute or chosen or ASSETS),
        is_reexecution=run.parent_run_id is not None,
    )


def _specs(asset: str, **described: str) -> tuple[dg.AssetCheckSpec, ...]:
    # Without the partitions one tenant's verdict would stand for every other's. Dagster warns that
    # the argument is young; that is known, and no news to whoever reads the logs.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(
            dg.AssetCheckSpec(
                name, asset=asset, description=text, partitions_def=tenant_partitions
            )
            for name, text in described.items()
        )


NORMALIZED_CHECKS = _specs(
    "normalized_inventory",
    canonical_schema_holds="Every row of every feed keeps the canonical schema; the refused rows, "
    "by vendor and code.",
    invalid_rows_within_max="No more rows are refused than error_policy.max_invalid_rows.",
    invalid_pct_within_max="No greater part of the rows is refused than "
    "error_policy.max_invalid_row_pct.",
)
MERGED_CHECKS = _specs(
    "merged_inventory",
    merged_schema_holds="Every row of the merged feed keeps the merged schema: each with a price, "
    "none of zero.",
    one_row_per_sku="No SKU stands twice in the merged feed.",
    feed_within_guards="Beside the published feed the merged one loses and changes no more than "
    "the guards allow.",
)
_FRESH = "The feed was published no later than an hour after its schedule was last due."
(FRESH_CHECK,) = _specs("published_feed", **{FEED_IS_FRESH: _FRESH})
ALL_CHECKS = (*NORMALIZED_CHECKS, *MERGED_CHECKS, FRESH_CHECK)


def normalized_results(
    policy: ErrorPolicy, vendors: Sequence[NormalizedVendor]
) -> Iterator[dg.AssetCheckResult]:
    """Yield the verdict of each check on the normalized rows."""
    schema_holds, within_max, within_pct = (each.name for each in NORMALIZED_CHECKS)
    invalid = [vendor.invalid_rows for vendor in vendors]
    total = [vendor.total_rows for vendor in vendors]
    verdict = judge_policy(policy, invalid, total)
    counts: dict[str, Any] = {"invalid_rows": sum(invalid), "total_rows": sum(total)}
    counts["vendors"] = vendor_table(vendors)
    yield dg.AssetCheckResult(
        check_name=schema_holds,
        passed=not sum(invalid),
        # Rejected rows are ordinary, the limits decide: a warning, where the others are errors.
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**counts, "errors_by_code": fault_table(vendors)},
    )
    yield dg.AssetCheckResult(
        check_name=within_max,
        passed=verdict.within_max,
        metadata={**counts, "max_invalid_rows": policy.max_invalid_rows},
    )
    share = sum(invalid) / sum(total) if sum(total) else 0.0
    yield dg.AssetCheckResult(
        check_name=within_pct,
        passed=verdict.within_pct,
        metadata={
            **counts,
            "invalid_row_pct": share,
            "max_invalid_row_pct": float(policy.max_invalid_row_pct),
        },
    )


def merged_results(
    merged: MergedInventory, findings: RunFindings
) -> Iterator[dg.AssetCheckResult]:
    """Yield the verdict of each check on the merged rows."""
    schema_holds, one_row, within_guards = (each.name for each in MERGED_CHECKS)
    broken, record_count = merged.broken_rules, merged.record_count
    yield dg.AssetCheckResult(
        check_name=schema_holds,
        passed=not broken,
        metadata={
            "record_count": record_count,
            "vendors": winner_table(merged),
            "broken_rules": rule_table(merged),
        },
    )
    repeated = [len(each.rows) for each in broken if each.is_uniqueness]
    yield dg.AssetCheckResult(
        check_name=one_row,
        passed=not repeated,
        metadata={"record_count": record_count, "repeated_rows": sum(repeated)},
    )
    only_warns = merged.config.guards.mode == "warn"
    yield dg.AssetCheckResult(
        check_name=within_guards,
        passed=not findings.tripped,
        severity=dg.AssetCheckSeverity.WARN
        if only_warns
        else dg.AssetCheckSeverity.ERROR,
        metadata={
            "judged": findings.guards is not None,
            "guards": guard_table(findings.guards or ()),
            "quarantined": findings.quarantined or 0,
            "quarantine": quarantine_table(findings),
        },
    )


_IN_COMMON: Any = {
    "group_name": "inventory",
    "partitions_def": tenant_partitions,
    "code_version": ENGINE_VERSION,
    "tags": {"domain": "inventory", "tier": "core"},
}


@dg.asset(
    **_IN_COMMON,
    kinds={"s3"},
    description="The latest feed of each vendor, copied into the run and pinned by its manifest.",
)
def fetched_inventory(
    context: dg.AssetExecutionContext, run_sessions: RunSessions
) -> dg.MaterializeResult:
    """Claim the run, load its config, pin its inputs."""
    with run_sessions.materializing(context) as run:
        run.claim()
        run.load_config()
        inputs = run.pin_inputs()
        if run.ends_here:
            run.end()
    context.add_asset_metadata(fetched_metadata(inputs, run.attempt.reports))
    return dg.MaterializeResult()


@dg.asset(
    **_IN_COMMON,
    deps=[fetched_inventory],
    check_specs=NORMALIZED_CHECKS,
    kinds={"pandas", "pandera"},
    metadata=column_schema((each.name, each.kind) for each in COLUMNS),
    description="Each vendor's rows in the canonical columns; what was refused is listed.",
)
def normalized_inventory(
    context: dg.AssetExecutionContext, run_sessions: RunSessions
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Read every vendor's feed, whatever is wrong with another, and only then judge them."""
    with run_sessions.materializing(context) as run:
        run.claim()
        config = run.load_config()
        inputs = run.pin_inputs()
        normalized = run.normalize(inputs)
        verdicts = [*normalized_results(config.error_policy, normalized)]
        try:
            run.stop_if_failed()
        except RunStoppedError:
            yield from verdicts
            raise
        if run.ends_here:
            run.end()
    # With the rows that they are about: Dagster forgets a verdict that is older than its rows.
    context.add_asset_metadata(normalized_metadata(normalized, run.attempt.reports))
    yield dg.MaterializeResult(check_results=verdicts)


@dg.asset(
    **_IN_COMMON,
    deps=[normalized_inventory],
    check_specs=MERGED_CHECKS,
    kinds={"csv"},
    description="The best offer of each SKU, priced: the feed that the merchant gets.",
)
def merged_inventory(
    context: dg.AssetExecutionContext, run_sessions: RunSessions
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Merge and price, judge the run, write the feed, end the run: published, or held back."""
    with run_sessions.materializing(context) as run:
        run.claim()
        run.load_config()
        run.pin_inputs()
        merged = run.merge()
        verdicts = [*merged_results(merged, run.attempt.findings)]
        try:
            run.write(merged)
        except (RunStoppedError, ContractBrokenError):
            yield from verdicts
            raise
        run.end()
    # Only now is it materialized: a run that was cancelled at the last moment has not got here.
    # A result's own metadata would be stored a second time, with the step's output.
    context.add_asset_metadata(merged_metadata(merged, run.attempt))
    yield dg.MaterializeResult(
        check_results=verdicts,
        data_version=dg.DataVersion(str(run.attempt.record.feed_sha256)),
    )


published_feed = dg.AssetSpec(
    PUBLISHED_FEED,
    deps=[merged_inventory],
    partitions_def=tenant_partitions,
    group_name="inventory",
    tags={"domain": "inventory", "tier": "core"},
    kinds={"csv"},
    description="The feed in force: an event for each publication by a run, a release, a rollback.",
)


@dg.multi_asset_check(specs=[FRESH_CHECK])
def feed_is_fresh(
    context: dg.AssetCheckExecutionContext, run_sessions: RunSessions
) -> Iterator[dg.AssetCheckResult]:
    """Judge a tenant's feed now; housekeeping does so every five minutes."""
    platform, tenant_id = run_sessions.connect(), context.partition_key
    feed = platform.runs.feed(tenant_id)
    if feed is None:
        raise dg.Failure(f"tenant {tenant_id} has no feed yet", allow_retries=False)
    yield freshness(platform.triggers.get(tenant_id), feed, utc_now())
