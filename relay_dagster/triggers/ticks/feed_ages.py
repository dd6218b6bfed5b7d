"""The feeds of tenants with a schedule: their ages, and whether they are late, as metrics."""

from collections.abc import Sequence
from datetime import datetime

from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.slo import event_of_feed
from relay_dagster.triggers.rules import late_at
from relay_dagster.triggers.state import TriggerState
from relay_dagster.wiring import Platform


def scheduled_feeds(platform: Platform) -> list[tuple[TriggerState, FeedPointer]]:
    """Return the triggers and the feed of each tenant that has a schedule and a feed."""
    states = {each.tenant_id: each for each in platform.triggers.scheduled()}
    feeds = platform.runs.feeds(states)
    return [(states[name], feed) for name, feed in feeds.items()]


def report_feed_ages(
    platform: Platform, feeds: Sequence[tuple[TriggerState, FeedPointer]], now: datetime
) -> None:
    """Send the age of each feed in force, and whether it is late, and by whose fault."""
    if not platform.settings.metrics_enabled:
        return
    ages = {feed.tenant_id: now - feed.in_force.published_at for _, feed in feeds}
    platform.metrics.feed_ages({name: age.total_seconds() for name, age in ages.items()})
    lates = {feed.tenant_id: late_at(state, feed.in_force.published_at) for state, feed in feeds}
    asked = [name for name, late in lates.items() if late is not None and late < now]
    last_runs = platform.runs.last_runs(asked)
    platform.metrics.feeds_judged(
        [event_of_feed(name, late, last_runs.get(name), now) for name, late in lates.items()]
    )
