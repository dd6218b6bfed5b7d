"""How old feeds are of tenants that have a schedule, whatever else they have."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure, VendorResult
from relay_dagster.drain import Deadline
from relay_dagster.maintenance.housekeeping import (
    Occasion,
    report_feed_ages,
    scheduled_feeds,
)
from relay_dagster.runs.model import Outcome
from relay_dagster.runs.service_level import SloEvent
from support.fakes import dispatch_run, published_outcome
from support.triggers_world import TriggersWorld, triggers_world


class Told:
    """Metrics that keep what they are told."""

    def __init__(self) -> None:
        self.ages: dict[str, float] = {}
        self.faults: dict[str, str | None] = {}

    def feed_ages(self, seconds: dict[str, float]) -> None:
        self.ages = dict(seconds)

    def feeds_judged(self, events: list[SloEvent]) -> None:
        self.faults = {event.tenant_id: event.fault for event in events}


def told_after(
    world: TriggersWorld, hours: float, *, enabled: bool = True
) -> Told:
    metrics: Any = Told()
    settings = world.platform.settings.model_copy(
        update={"metrics_enabled": enabled}
    )
    platform = replace(world.platform, metrics=metrics, settings=settings)
    on = Occasion(
        platform, world.clock() + timedelta(hours=hours), Deadline.after(60)
    )
    report_feed_ages(on, scheduled_feeds(platform))
    return metrics


def publish(world: TriggersWorld) -> None:
    dispatch_run(world.platform)
    claimed = world.platform.ledger.claim(
        world.runs()[0].run_id, 1, "dagster-1"
    )
    world.platform.ledger.succeed(
        claimed.fence, published_outcome(world.platform, claimed)
    )


def test_the_age_of_a_feed_counts_from_when_it_was_published() -> None:
    with triggers_world() as world:
        world.store(schedule={"cron": "0 6 * * *"})
        world.store("no_feed", schedule={"cron": "0 6 * * *"})
        world.look()
        publish(world)
        assert told_after(world, 3).ages == {"acme": 3 * 3600}
        assert told_after(world, 3, enabled=False).ages == {}


def test_a_tenant_without_a_schedule_is_not_told_of() -> None:
    with triggers_world() as world:
        world.store(on_upload={"quiet_seconds": 60})
        world.look()
        publish(world)
        assert told_after(world, 3).ages == {}


def test_a_feed_is_good_until_it_is_late_and_then_it_is_told_whose_fault_that_is() -> (
    None
):
    with triggers_world() as world:
        world.store(schedule={"cron": "0 6 * * *"})
        world.look()
        publish(world)
        assert told_after(world, 1).faults == {"acme": None}
        assert told_after(world, 26).faults == {"acme": "platform"}
        results = (
            VendorResult("vendor_1", "failed", None, None, None, None, None),
        )
        for code, fault in (
            ("validation_errors", "vendor_data"),
            ("RUN_TIMEOUT", "platform"),
        ):
            run_id = str(uuid.uuid4())
            world.clock.advance(seconds=1)
            dispatch_run(world.platform, run_id=run_id)
            claimed = world.platform.ledger.claim(run_id, 1, "dagster-2")
            failure = RunFailure(code, "it is so", Stage.NORMALIZE)
            outcome = Outcome({}, vendor_results=results)
            world.platform.ledger.fail(claimed.fence, failure, outcome)
            assert told_after(world, 26).faults == {"acme": fault}
