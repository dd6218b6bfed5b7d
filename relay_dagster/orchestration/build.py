"""Assembles the Definitions; the only module that sees every part. ``definitions.py`` calls it.

Stores are connected when a run or a tick first needs them: the code location loads without any
variable set.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

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
from relay_dagster.settings import CatalogSettings, Settings
from relay_dagster.wiring import Platform, connect

_REPOSITORY = Path(__file__).resolve().parents[2]
_ASSETS = (
    fetched_inventory,
    normalized_inventory,
    merged_inventory,
    published_feed,
)


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
    catalog: CatalogSettings | None = None,
) -> dg.Definitions:
    """Return fresh definitions, which connect to their stores on first use.

    Args:
        connect_run: Connects a run's process to its platform.
        connect_tick: Connects a sensor's tick to the same platform, with short timeouts.
        wait_seconds: How long a sensor with nothing to do waits for work.
        catalog: The facts that the asset catalog shows; by default the environment's.

    Raises:
        SettingsError: A variable of the catalog is not valid.
    """
    if catalog is None:
        catalog = CatalogSettings.from_env()
    return dg.Definitions(
        assets=cataloged(_ASSETS, catalog),
        asset_checks=[feed_is_fresh],
        jobs=[inventory_sync],
        sensors=all_sensors(connect_tick, wait_seconds),
        resources={"run_sessions": RunSessions(connect=connect_run)},
        executor=dg.in_process_executor,
    )


def cataloged(
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    catalog: CatalogSettings,
) -> Sequence[Any]:
    """Return the assets with their owners and with links to the source at its commit."""
    if catalog.asset_owners:
        owners = list(catalog.asset_owners)
        assets = dg.map_asset_specs(
            lambda spec: spec.replace_attributes(owners=owners),
            assets,
        )
    if catalog.source_url is None or catalog.source_commit is None:
        return assets
    # Dagster warns that code references are in beta, which is no news to its users.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.link_code_references_to_git(
            assets_defs=dg.with_source_code_references(assets),
            git_url=catalog.source_url,
            git_branch=catalog.source_commit,
            file_path_mapping=dg.AnchorBasedFilePathMapping(_REPOSITORY, ""),
            platform="gitlab" if "gitlab" in catalog.source_url else "github",
        )
