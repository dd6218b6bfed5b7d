"""The one job: every asset of one tenant, in one process."""

import dagster as dg

from relay_dagster.partitions import tenant_partitions

INVENTORY_SYNC = "inventory_sync"

inventory_sync = dg.define_asset_job(
    INVENTORY_SYNC,
    selection=dg.AssetSelection.groups("inventory"),
    partitions_def=tenant_partitions,
    # A process for each step costs five seconds a run, and the steps follow each other anyway.
    executor_def=dg.in_process_executor,
    description="One pass over one tenant's feeds: fetch, normalize, merge and price, publish.",
)
