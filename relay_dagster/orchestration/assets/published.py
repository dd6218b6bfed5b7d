"""The feed in force: an asset that no run of Dagster makes, and the check whether it is late.

Runs, releases and rollbacks publish; ``relay_dagster/orchestration/feed_events.py`` reports it.
"""

from collections.abc import Iterator

import dagster as dg

from relay_dagster.orchestration.assets.merged import merged_inventory
from relay_dagster.orchestration.checks import FRESH_CHECK
from relay_dagster.orchestration.feed_events import PUBLISHED_FEED, freshness
from relay_dagster.orchestration.partitions import tenant_partitions
from relay_dagster.orchestration.resources import RunSessions
from relay_dagster.runs.ports import utc_now

published_feed = dg.AssetSpec(
    PUBLISHED_FEED,
    deps=[merged_inventory],
    partitions_def=tenant_partitions,
    group_name="inventory",
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
