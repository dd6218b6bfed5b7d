"""The second asset: each vendor's rows in one shape.

Glue: the session does it, the checks report on it, the metadata shows it.
"""

from collections.abc import Iterator

import dagster as dg

from relay_core.domain.columns import COLUMNS
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.execution.attempt import RunStoppedError
from relay_dagster.orchestration.assets.fetched import fetched_inventory
from relay_dagster.orchestration.checks import NORMALIZED_CHECKS, normalized_results
from relay_dagster.orchestration.metadata import normalized_metadata
from relay_dagster.orchestration.metadata_tables import column_schema
from relay_dagster.orchestration.partitions import tenant_partitions
from relay_dagster.orchestration.resources import RunSessions


@dg.asset(
    group_name="inventory",
    partitions_def=tenant_partitions,
    deps=[fetched_inventory],
    check_specs=NORMALIZED_CHECKS,
    kinds={"pandas", "pandera"},
    code_version=ENGINE_VERSION,
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
