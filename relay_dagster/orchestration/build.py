"""Assembles the Definitions; the only module that sees every part. ``definitions.py`` calls it.

Stores are connected when a run or a tick first needs them: the code location loads without any
variable set.
"""

from collections.abc import Callable
from functools import cache

import dagster as dg

from relay_dagster.aws.clients import LONG_TIMEOUTS, SHORT_TIMEOUTS
from relay_dagster.orchestration.assets import (
    RunSessions,
    feed_is_fresh,
    fetched_inventory,
    merged_inventory,
    normalized_inventory,
    published_feed,
)
from relay_dagster.orchestration.jobs import inventory_sync
from relay_dagster.orchestration.sensors import WAIT_SECONDS, all_sensors
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect


@cache
def platform_for_runs() -> Platform:
    """Return the platform that the environment names; `SettingsError`: a variable is bad."""
    return connect(Settings.from_env(), LONG_TIMEOUTS)


@cache
def platform_for_ticks() -> Platform:
    """Return the same platform for those who have seconds only; raises as `platform_for_runs`."""
    return connect(Settings.from_env(), SHORT_TIMEOUTS)


def build_defs(
    *,
    connect_run: Callable[[], Platform] = platform_for_runs,
    connect_tick: Callable[[], Platform] = platform_for_ticks,
    wait_seconds: float = WAIT_SECONDS,
) -> dg.Definitions:
    """Return fresh Definitions, which make their stores when these are first needed."""
    return dg.Definitions(
        assets=[
            fetched_inventory,
            normalized_inventory,
            merged_inventory,
            published_feed,
        ],
        asset_checks=[feed_is_fresh],
        jobs=[inventory_sync],
        sensors=all_sensors(connect_tick, wait_seconds),
        resources={"run_sessions": RunSessions(connect=connect_run)},
        executor=dg.in_process_executor,
    )
