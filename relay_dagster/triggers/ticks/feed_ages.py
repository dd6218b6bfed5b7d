"""The feeds of tenants with a schedule, and their ages: a metric that rises when no runs come."""

from collections.abc import Iterable
from datetime import datetime

from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.triggers.state import TriggerState
from relay_dagster.wiring import Platform


def scheduled_feeds(platform: Platform) -> list[tuple[TriggerState, FeedPointer]]:
    """Return the triggers and the feed of each tenant that has a schedule and a feed."""
    states = {each.tenant_id: each for each in platform.triggers.scheduled()}
    feeds = platform.runs.feeds(states)
    return [(states[name], feed) for name, feed in feeds.items()]


def report_feed_ages(
    platform: Platform, feeds: Iterable[tuple[TriggerState, FeedPointer]], now: datetime
) -> None:
    """Send the age of each feed in force."""
    ages = {feed.tenant_id: now - feed.in_force.published_at for _, feed in feeds}
    platform.metrics.feed_ages({name: age.total_seconds() for name, age in ages.items()})
