"""The last asset: the priced feed, the reports and the run's end.

Glue: the session does it, the checks report on it, the metadata shows it.
"""

from collections.abc import Iterator

import dagster as dg

from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.execution.attempt import RunStoppedError
from relay_dagster.orchestration.assets.normalized import normalized_inventory
from relay_dagster.orchestration.checks import MERGED_CHECKS, merged_results
from relay_dagster.orchestration.metadata import merged_metadata
from relay_dagster.orchestration.partitions import tenant_partitions
from relay_dagster.orchestration.resources import RunSessions


@dg.asset(
    group_name="inventory",
    partitions_def=tenant_partitions,
    deps=[normalized_inventory],
    check_specs=MERGED_CHECKS,
    kinds={"csv"},
    code_version=ENGINE_VERSION,
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
