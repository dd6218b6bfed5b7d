"""The last asset: the priced feed, the reports and the run's end."""

from collections.abc import Iterator

import dagster as dg

from relay_dagster.execution.attempt import RunStoppedError
from relay_dagster.orchestration.assets.normalized import normalized_inventory
from relay_dagster.orchestration.checks import MERGED_CHECKS, merged_result
from relay_dagster.orchestration.metadata import merged_metadata
from relay_dagster.orchestration.partitions import tenant_partitions
from relay_dagster.orchestration.resources import RunSessions


@dg.asset(
    group_name="inventory",
    partitions_def=tenant_partitions,
    deps=[normalized_inventory],
    check_specs=MERGED_CHECKS,
    kinds={"csv"},
    description="The best offer of each SKU, priced: the feed that the merchant gets.",
)
def merged_inventory(
    context: dg.AssetExecutionContext, run_sessions: dg.ResourceParam[RunSessions]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Merge and price, judge the run, publish the feed."""
    with run_sessions.step(context) as run:
        merged = run.merge()
        verdict = merged_result(merged)
        try:
            run.publish(merged)
        except RunStoppedError:
            yield verdict
            raise
    # Only now has the run succeeded: what was cancelled at the last moment is not materialized.
    yield dg.MaterializeResult(metadata=merged_metadata(merged, run.life), check_results=[verdict])
