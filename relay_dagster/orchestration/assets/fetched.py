"""The first asset: which files the run reads, copied and pinned.

Glue: the session does it, the metadata shows it.
"""

import dagster as dg

from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.orchestration.metadata import fetched_metadata
from relay_dagster.orchestration.partitions import tenant_partitions
from relay_dagster.orchestration.resources import RunSessions


@dg.asset(
    group_name="inventory",
    partitions_def=tenant_partitions,
    kinds={"s3"},
    code_version=ENGINE_VERSION,
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
