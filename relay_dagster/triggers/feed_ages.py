"""How old the feeds are of tenants that have a schedule: a metric that rises when runs stay out."""

from datetime import datetime

from relay_dagster.wiring import Platform


def tell_feed_ages(platform: Platform, now: datetime) -> int:
    """Send the age of each feed that is in force, where metrics are sent; return of how many."""
    if not platform.settings.metrics_enabled:
        return 0
    tenants = [each.tenant_id for each in platform.triggers.scheduled()]
    feeds = platform.runs.feeds(tenants)
    ages = {name: now - feed.in_force.published_at for name, feed in feeds.items()}
    platform.metrics.feed_ages({name: age.total_seconds() for name, age in ages.items()})
    return len(ages)
