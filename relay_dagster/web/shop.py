"""The settings of a tenant that decide how its pages show times and amounts."""

from datetime import UTC, tzinfo
from typing import NamedTuple

from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.services import tenants
from relay_dagster.web.visits import Visit
from relay_dagster.wiring import Platform


class Shop(NamedTuple):
    """A tenant's time zone and currency; an unreadable config has neither."""

    zone: tzinfo = UTC
    currency: str = ""


def shop_of(platform: Platform, stored_config: StoredConfig) -> Shop:
    """Return the time zone and the currency of a config."""
    config = tenants.read_stored(platform, stored_config)
    return (
        Shop() if config is None else Shop(config.zone, config.default_currency)
    )


def shop_of_run(visit: Visit, config_version: int | None) -> Shop:
    """Return the time zone and the currency of a run's config.

    Without a version, or if the version is no longer stored, the latest config counts.
    """
    stored_config = None
    if config_version is not None:
        stored_config = visit.platform.tenants.version(
            visit.tenant_id, config_version
        )
    if stored_config is None:
        stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    return shop_of(visit.platform, stored_config)
