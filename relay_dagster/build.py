"""Assembles the Definitions; the only module that sees every part. ``definitions.py`` calls it."""

from collections.abc import Callable

import dagster as dg

from relay_dagster.assets.fetched import fetched_inventory
from relay_dagster.assets.merged import merged_inventory
from relay_dagster.assets.normalized import normalized_inventory
from relay_dagster.aws.platform import Platform, connect
from relay_dagster.jobs import inventory_sync
from relay_dagster.resources import run_sessions
from relay_dagster.settings import Settings


def connect_from_env() -> Platform:
    """Return the platform that the environment names.

    Raises:
        SettingsError: a variable is missing or bad.
    """
    return connect(Settings.from_env())


def build_defs(*, connect: Callable[[], Platform] = connect_from_env) -> dg.Definitions:
    """Return fresh Definitions.

    Args:
        connect: makes the stores when a run or a tick first needs them; tests give their own.
    """
    return dg.Definitions(
        assets=[fetched_inventory, normalized_inventory, merged_inventory],
        jobs=[inventory_sync],
        resources={"run_sessions": run_sessions(connect)},
        executor=dg.in_process_executor,
    )
