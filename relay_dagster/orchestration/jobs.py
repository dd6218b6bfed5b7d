"""The one job, its partitions by tenant, and the path of reports in ``relay server ui``.

This module imports no other module of the project.
"""

import dagster as dg

INVENTORY_SYNC = "inventory_sync"
TENANT_PARTITIONS = "tenants"
REPORT_PATH = "/reports"

inventory_sync = dg.define_asset_job(
    INVENTORY_SYNC,
    selection=dg.AssetSelection.groups("inventory"),
    # A process for each step costs five seconds a run, and the steps follow each other anyway.
    executor_def=dg.in_process_executor,
    description="One pass over one tenant's feeds: fetch, normalize, merge and price, publish.",
)
tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS)
