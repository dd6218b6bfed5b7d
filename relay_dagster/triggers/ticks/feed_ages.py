"""The age of the feeds of tenants with a schedule: a metric that rises when runs fail to come."""

from datetime import datetime

from relay_dagster.wiring import Platform


def report_feed_ages(platform: Platform, now: datetime) -> int:
    """Send the age of each feed in force, if metrics are enabled; return how many were sent."""
    if not platform.settings.metrics_enabled:
        return 0
    tenants = [each.tenant_id for each in platform.triggers.scheduled()]
    feeds = platform.runs.feeds(tenants)
    ages = {name: now - feed.in_force.published_at for name, feed in feeds.items()}
    platform.metrics.feed_ages({name: age.total_seconds() for name, age in ages.items()})
    return len(ages)
