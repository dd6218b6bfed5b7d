"""The one job, its partitions, which are the tenants, and the address of a run's report.

A leaf: it imports nothing of ours. ``relay ui`` leads from the address to the file.
"""

import dagster as dg

INVENTORY_SYNC, TENANT_PARTITIONS, REPORTS = "inventory_sync", "tenants", "/reports"

inventory_sync = dg.define_asset_job(
    INVENTORY_SYNC,
    selection=dg.AssetSelection.groups("inventory"),
    # A process for each step costs five seconds a run, and the steps follow each other anyway.
    executor_def=dg.in_process_executor,
    description="One pass over one tenant's feeds: fetch, normalize, merge and price, publish.",
)
tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS)


def report_link(tenant_id: str, run_id: str) -> dg.UrlMetadataValue:
    """Return the link; it stays good, for the file is signed for when it is followed."""
    return dg.MetadataValue.url(f"{REPORTS}/{tenant_id}/{run_id}")
