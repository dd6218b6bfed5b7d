"""The assets of a component: one per vendor, the candidate, and the feed.

The vendors' assets and the candidate are made by one step, in which the engine runs once, as
it does in a local run. The feed has a step of its own, which the checks of the candidate block.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from relay_core.domain.codes import CATALOG
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.input_names import ids_of
from relay_core.domain.records import ENGINE_VERSION
from relay_core.validation.guards import guards_set
from relay_dagster.component.folders import FolderUnusableError
from relay_dagster.component.names import (
    CANONICAL,
    MERGED,
    ROWS_ARE_VALID,
    Names,
    guard_check,
)
from relay_dagster.component.sources import AssetSource, InputUnusableError
from relay_dagster.component.tenants import Tenant, Tenants


@dataclass(frozen=True)
class Looks:
    """The attributes of a component that are the same for all of its assets.

    Attributes:
        prefix: The prefix of their keys.
        automation: The condition under which Dagster materializes them.
        owners: Their owners.
        tags: Their tags.
        group_name: Their group.
    """

    prefix: Sequence[str] = ()
    automation: dg.AutomationCondition | None = None
    owners: Sequence[str] | None = None
    tags: Mapping[str, str] | None = None
    group_name: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of an asset's specification."""
        return {
            "automation_condition": self.automation,
            "owners": self.owners,
            "tags": self.tags,
            "group_name": self.group_name,
            "code_version": ENGINE_VERSION,
        }


class Release(dg.Config):
    """The run config of the feed."""

    release: str | None = None
    """The SHA-256 of a candidate on hold that is to be published."""


def feed_assets(
    tenants: Tenants,
    looks: Looks,
) -> list[dg.AssetsDefinition]:
    """Return the assets of a component."""
    return [_candidate(tenants, looks), _feed(tenants, looks)]


def _partitions(tenants: Tenants) -> dg.StaticPartitionsDefinition | None:
    keys = [key for key in tenants if key is not None]
    return dg.StaticPartitionsDefinition(keys) if keys else None


def _tenant(context: dg.AssetExecutionContext, tenants: Tenants) -> Tenant:
    """Return the tenant that a step is about."""
    return tenants[context.partition_key if context.has_partition_key else None]


def _vendor_ids(tenants: Tenants) -> list[str]:
    """Return the vendors of all tenants, in the order of their configs."""
    return list(
        dict.fromkeys(
            vendor.vendor_id
            for tenant in tenants.values()
            for vendor in tenant.config.vendors
        ),
    )


def _asset_sources(tenants: Tenants) -> dict[str, set[dg.AssetKey]]:
    """Return the assets that inputs name, by vendor; those of the catalog, too."""
    keys: dict[str, set[dg.AssetKey]] = {}
    for tenant in tenants.values():
        for name, source in tenant.inputs.items():
            if isinstance(source, AssetSource):
                vendor_id, _ = ids_of(name)
                keys.setdefault(vendor_id, set()).add(source.key)
    return keys


def _candidate_specs(
    tenants: Tenants,
    looks: Looks,
    sources: Mapping[str, Collection[dg.AssetKey]],
) -> Iterator[dg.AssetSpec]:
    """Yield the specifications of the vendors' assets, and of the candidate."""
    names = Names(looks.prefix)
    vendor_ids = _vendor_ids(tenants)
    for vendor_id in vendor_ids:
        yield dg.AssetSpec(
            names.vendor(vendor_id),
            deps=sorted(sources.get(vendor_id, ())),
            # A vendor without a file, or that cannot be read, is not materialized.
            skippable=True,
            kinds={"pandera"},
            description=f"The valid rows of {vendor_id}, in the canonical columns.",
            **looks.options(),
        )
    yield dg.AssetSpec(
        names.candidate,
        deps=[
            *map(names.vendor, vendor_ids),
            *sorted(sources.get(CATALOG, ())),
        ],
        skippable=True,
        kinds={"pandera"},
        description="The merged and priced feed, compared with the live feed by the "
        "guards. If one trips, the candidate is on hold.",
        **looks.options(),
    )


def _candidate(tenants: Tenants, looks: Looks) -> dg.AssetsDefinition:
    """Return the vendors' assets and the candidate."""
    names = Names(looks.prefix)
    sources = _asset_sources(tenants)
    keys = sorted({key for keys in sources.values() for key in keys})
    arguments = {f"input_{number}": key for number, key in enumerate(keys)}
    with warnings.catch_warnings():
        # Dagster warns that the partitions of checks are in preview.
        warnings.simplefilter("ignore")
        check_specs = list(_check_specs(tenants, names))

    @dg.multi_asset(
        name=names.candidate_op,
        specs=list(_candidate_specs(tenants, looks, sources)),
        check_specs=check_specs,
        ins={name: dg.AssetIn(key) for name, key in arguments.items()},
        partitions_def=_partitions(tenants),
    )
    def candidate(
        context: dg.AssetExecutionContext,
        **values: Any,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Run the engine over the vendors' files, and judge the result."""
        values_by_key = {arguments[name]: values[name] for name in values}
        yield from _candidate_results(context, tenants, names, values_by_key)

    return candidate


def _check_specs(
    tenants: Tenants,
    names: Names,
) -> Iterator[dg.AssetCheckSpec]:
    partitions = _partitions(tenants)
    for vendor_id in _vendor_ids(tenants):
        yield dg.AssetCheckSpec(
            ROWS_ARE_VALID,
            asset=names.vendor(vendor_id),
            description="Every row of the vendor matches the canonical schema.",
            partitions_def=partitions,
        )
    yield dg.AssetCheckSpec(
        CANONICAL,
        asset=names.candidate,
        description="Every row of every vendor matches the canonical schema; rejected rows are "
        "counted by vendor and code.",
        partitions_def=partitions,
    )
    yield dg.AssetCheckSpec(
        MERGED,
        asset=names.candidate,
        description="Every row of the feed matches the merged schema and has a price above zero.",
        partitions_def=partitions,
    )
    for guard, is_blocking in _guards(tenants).items():
        yield dg.AssetCheckSpec(
            guard_check(guard),
            asset=names.candidate,
            description=f"The guard {guard}: compared with the live feed, the candidate does "
            "not change more than the config allows.",
            blocking=is_blocking,
            partitions_def=partitions,
        )


def _guards(tenants: Tenants) -> dict[str, bool]:
    """Return the guards of all tenants, and whether one of the tenants holds feeds by them."""
    guards: dict[str, bool] = {}
    for tenant in tenants.values():
        config = tenant.config.guards
        for guard in guards_set(config):
            guards[guard] = guards.get(guard, False) or config.mode == "hold"
    return guards


def _candidate_results(
    context: dg.AssetExecutionContext,
    tenants: Tenants,
    names: Names,
    values: Mapping[dg.AssetKey, Any],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    # The engine is loaded by the steps alone, not by the code location.
    from relay_dagster.component import results
    from relay_dagster.component.candidate import run_candidate

    tenant = _tenant(context, tenants)
    try:
        run = run_candidate(
            tenant,
            values,
            context.run.run_id,
            _started_at(context),
        )
    except (InputUnusableError, FolderUnusableError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except ContractBrokenError as error:
        yield results.broken_contract(names, str(error))
        raise
    yield from results.vendor_results(run, names, _vendor_ids(tenants))
    yield from results.candidate_results(run, names, _guards(tenants))


def _started_at(context: dg.AssetExecutionContext) -> datetime:
    """Return the time at which the Dagster run started."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None or record.start_time is None:
        return datetime.now(UTC)
    return datetime.fromtimestamp(record.start_time, UTC)


def _last_metadata(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
) -> Mapping[str, dg.MetadataValue]:
    """Return the metadata of an asset's last materialization, of this run's partition."""
    partitions = [context.partition_key] if context.has_partition_key else None
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=partitions),
        limit=1,
    ).records
    if not records or records[0].asset_materialization is None:
        return {}
    return records[0].asset_materialization.metadata


def _feed(tenants: Tenants, looks: Looks) -> dg.AssetsDefinition:
    """Return the asset that publishes the candidate."""
    names = Names(looks.prefix)
    options = looks.options()
    if looks.automation is not None:
        # A candidate on hold is materialized, too, and waits for a release.
        passed = dg.AutomationCondition.all_deps_blocking_checks_passed()
        options["automation_condition"] = looks.automation & passed

    @dg.asset(
        name=names.feed.path[-1],
        key_prefix=list(looks.prefix) or None,
        deps=[names.candidate],
        partitions_def=_partitions(tenants),
        kinds={"csv"},
        description="The live feed, with its state and reports. To publish a candidate on "
        "hold, materialize this asset alone with its SHA-256 as `release`.",
        **options,
    )
    def feed(
        context: dg.AssetExecutionContext,
        config: Release,
    ) -> dg.MaterializeResult:
        """Publish the candidate."""
        from relay_dagster.component import results
        from relay_dagster.component.publication import (
            NothingToPublishError,
            publish,
        )

        tenant = _tenant(context, tenants)
        try:
            publication = publish(tenant, config.release, names)
        except (NothingToPublishError, FolderUnusableError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        made = _last_metadata(context, names.candidate)
        return results.feed_result(tenant, publication, made)

    return feed
