"""The one job: every asset of one tenant, in one process.

The sensor asks for it by its name, and so do those who read Dagster's runs.
"""

import dagster as dg

INVENTORY_SYNC = "inventory_sync"

inventory_sync = dg.define_asset_job(
    INVENTORY_SYNC,
    selection=dg.AssetSelection.groups("inventory"),
    # A process for each step costs five seconds a run, and the steps follow each other anyway.
    executor_def=dg.in_process_executor,
    description="One pass over one tenant's feeds: fetch, normalize, merge and price, publish.",
)
