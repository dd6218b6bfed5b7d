"""How old feeds are of tenants that have a schedule, whatever else they have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from relay_dagster.triggers.ticks.feed_ages import report_feed_ages, scheduled_feeds
from support.fakes import dispatch_run, published_outcome
from support.triggers_world import TriggersWorld, triggers_world


class Told:
    """Metrics that keep what they are told."""

    def __init__(self) -> None:
        self.ages: dict[str, float] = {}

    def feed_ages(self, seconds: dict[str, float]) -> None:
        self.ages = dict(seconds)


def told_after(world: TriggersWorld, hours: float) -> dict[str, float]:
    metrics: Any = Told()
    platform = replace(world.platform, metrics=metrics)
    report_feed_ages(platform, scheduled_feeds(platform), world.clock() + timedelta(hours=hours))
    return metrics.ages


def publish(world: TriggersWorld) -> None:
    dispatch_run(world.platform)
    claimed = world.platform.ledger.claim(world.runs()[0].run_id, 1, "dagster-1")
    world.platform.ledger.succeed(claimed.fence, published_outcome(world.platform, claimed))


def test_the_age_of_a_feed_counts_from_when_it_was_published() -> None:
    with triggers_world() as world:
        world.store(schedule={"cron": "0 6 * * *"})
        world.store("no_feed", schedule={"cron": "0 6 * * *"})
        world.look()
        publish(world)
        assert told_after(world, 3) == {"acme": 3 * 3600}


def test_a_tenant_without_a_schedule_is_not_told_of() -> None:
    with triggers_world() as world:
        world.store(on_upload={"quiet_seconds": 60})
        world.look()
        publish(world)
        assert told_after(world, 3) == {}
