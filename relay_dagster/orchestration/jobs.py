"""The one job, its partitions, which are the tenants, and where ``relay ui`` has runs' reports.

A leaf: it imports nothing of ours.
"""

import dagster as dg

INVENTORY_SYNC, TENANT_PARTITIONS, REPORT_PATH = "inventory_sync", "tenants", "/reports"

inventory_sync = dg.define_asset_job(
    INVENTORY_SYNC,
    selection=dg.AssetSelection.groups("inventory"),
    # A process for each step costs five seconds a run, and the steps follow each other anyway.
    executor_def=dg.in_process_executor,
    description="One pass over one tenant's feeds: fetch, normalize, merge and price, publish.",
)
tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS)
