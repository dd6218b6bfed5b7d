"""Dagster's history of runs: its removal, by age or for a whole tenant.

Runs and partitions are removed with Dagster's own API. Ticks, backfills, verdicts of checks,
caches of assets, and states of sensors have no API that removes one tenant's, so their rows are
deleted from Dagster's tables.
"""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa

from relay_dagster import tags
from relay_dagster.orchestration.dagster_instance import UNFINISHED, OnInstance
from relay_dagster.orchestration.dagster_tables import (
    ASSETS,
    BACKFILL_TAGS,
    BACKFILLS,
    CHECKS,
    EVENTS,
    NO_RUN,
    RUNS,
    SENSOR_STATES,
    TICKS,
    DagsterTables,
    affected_rows,
    stored_instant,
)
from relay_dagster.orchestration.jobs import INVENTORY_SYNC, TENANT_PARTITIONS
from relay_dagster.orchestration.tenant_names import TenantNames
from relay_dagster.runs.ports import Removed

_RUNS_PER_PAGE = 500
_TICKS_PER_PAGE = 500
_JOB_OF_ASSETS = "__ASSET_JOB"
"""The job of assets that somebody materializes by hand."""
_ALL_TICKS_READ = "ticks seen"
_PASSED = "SUCCEEDED"
_TICKS_WITHOUT_NAMES = ("SKIPPED", "STARTED")
_OPEN_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION.value


class DagsterHistory(OnInstance):
    """The history of one instance, the `runs.ports.ExecutionHistory` of this system."""

    def has_unfinished(self, tenant_id: str) -> bool:
        """Return True if a run of the tenant has not ended."""
        instance = self.open_instance()
        filters = _filters_of_tenant(tenant_id, statuses=list(UNFINISHED))
        return any(
            instance.get_runs_count(run_filter) for run_filter in filters
        )

    def delete_ended_before(
        self,
        instant: datetime,
        is_late: Callable[[], bool],
    ) -> int:
        """Delete runs that ended before an aware instant, oldest first, until it is late.

        A run that has a tenant's newest materialization of an asset is kept whole. Of the
        events that belong to no run, the newest of each asset and tenant is kept. Only runs of
        the job, and of assets that somebody materialized by hand for a tenant, are deleted.

        Returns:
            The number of deleted runs.
        """
        tables = DagsterTables(self.open_instance())
        count = 0
        last_row_id = 0
        while rows := _rows_ended_before(tables, instant, last_row_id):
            last_row_id = rows[-1].id
            run_ids = [
                row.run_id for row in rows if _is_ours(tables.instance, row)
            ]
            runs_to_keep = _runs_with_newest(tables, run_ids)
            for run_id in run_ids:
                if is_late():
                    return count
                if run_id not in runs_to_keep:
                    tables.delete_run(run_id)
                    count += 1
        _delete_superseded(tables, instant)
        tables.shrink()
        return count

    def verdicts(
        self,
        asset_key: dg.AssetKey,
        check_name: str,
    ) -> dict[str, bool]:
        """Return whether a check passed, by tenant, from the verdicts that belong to no run."""
        query = sa.select(CHECKS.c.partition, CHECKS.c.execution_status).where(
            CHECKS.c.asset_key == asset_key.to_string(),
            CHECKS.c.check_name == check_name,
            CHECKS.c.run_id == NO_RUN,
        )
        tables = DagsterTables(self.open_instance())
        with tables.events() as connection:
            rows = connection.execute(query).all()
        return {tenant_id: status == _PASSED for tenant_id, status in rows}

    def forget_verdicts(
        self,
        asset_key: dg.AssetKey,
        check_name: str,
        tenant_ids: Collection[str],
    ) -> None:
        """Delete a check's verdicts on some tenants that belong to no run."""
        tables = DagsterTables(self.open_instance())
        for tenant_id in tenant_ids:
            tables.delete_checks(
                CHECKS.c.asset_key == asset_key.to_string(),
                CHECKS.c.check_name == check_name,
                CHECKS.c.partition == tenant_id,
            )

    def remove_tenant(
        self,
        tenant_id: str,
        run_ids: Collection[str],
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        """Remove the history of a tenant and of its runs, until it is late.

        Rows that name a Dagster run are removed before the run, which leads to them.

        Args:
            tenant_id: The tenant.
            run_ids: The IDs of the tenant's run records.
            is_late: Tells whether the caller's time is up.
            mark: The mark of an earlier call: the last tick that was read, or that all were.

        Returns:
            The number of removed entries, whether it is all, and the mark for the next call.
        """
        instance = self.open_instance()
        dagster_run_ids = _dagster_run_ids(instance, tenant_id)
        names = TenantNames(tenant_id, {*run_ids, *dagster_run_ids})
        removal = _TenantRemoval(DagsterTables(instance), names)
        count = 0
        if instance.schedule_storage is not None:
            if mark != _ALL_TICKS_READ:
                count, last_tick = removal.delete_ticks(int(mark or 0), is_late)
                if last_tick is not None:
                    return Removed(count, is_all=False, mark=str(last_tick))
            count += removal.clear_sensor_states()
        count += removal.clear_assets()
        for dagster_run_id in dagster_run_ids:
            if is_late():
                return Removed(count, is_all=False, mark=_ALL_TICKS_READ)
            removal.tables.delete_run(dagster_run_id)
            count += 1
        backfills, is_all = removal.delete_backfills()
        count += backfills
        count += removal.delete_events()
        if instance.has_dynamic_partition(TENANT_PARTITIONS, tenant_id):
            instance.delete_dynamic_partition(TENANT_PARTITIONS, tenant_id)
            count += 1
        return Removed(count, is_all=is_all, mark=_ALL_TICKS_READ)


# --- the runs of a tenant, and runs by their age ---------------------------------------


def _filters_of_tenant(
    tenant_id: str,
    **criteria: Any,
) -> tuple[dg.RunsFilter, ...]:
    """Return filters for a tenant's runs: one by its partition, one by its tag."""
    keys = (tags.PARTITION, tags.TENANT_ID)
    return tuple(
        dg.RunsFilter(tags={key: tenant_id}, **criteria) for key in keys
    )


def _dagster_run_ids(instance: dg.DagsterInstance, tenant_id: str) -> list[str]:
    run_ids: set[str] = set()
    for run_filter in _filters_of_tenant(tenant_id):
        run_ids.update(instance.get_run_ids(run_filter))
    return sorted(run_ids)


def _rows_ended_before(
    tables: DagsterTables,
    instant: datetime,
    after_row_id: int,
) -> Sequence[Any]:
    """Return a page of rows of runs that ended before an instant, in the table's order."""
    unfinished = [status.value for status in UNFINISHED]
    query = (
        sa.select(
            RUNS.c.id,
            RUNS.c.run_id,
            RUNS.c.pipeline_name,
            RUNS.c.partition,
        )
        .where(RUNS.c.status.not_in(unfinished))
        .where(RUNS.c.pipeline_name.in_([INVENTORY_SYNC, _JOB_OF_ASSETS]))
        .where(RUNS.c.update_timestamp < stored_instant(instant))
        .where(RUNS.c.id > after_row_id)
        .order_by(RUNS.c.id)
        .limit(_RUNS_PER_PAGE)
    )
    with tables.runs() as connection:
        return connection.execute(query).all()


def _is_ours(instance: dg.DagsterInstance, row: Any) -> bool:
    """Return True if a run is this product's; others' jobs of assets have the same name."""
    if row.pipeline_name == INVENTORY_SYNC:
        return True
    if row.partition is None:
        return False
    return instance.has_dynamic_partition(TENANT_PARTITIONS, row.partition)


def _runs_with_newest(
    tables: DagsterTables,
    run_ids: Collection[str],
) -> set[str]:
    """Return the runs that have the newest materialization of an asset and a partition."""
    newer = EVENTS.alias()
    is_newer = (
        newer.c.asset_key == EVENTS.c.asset_key,
        newer.c.dagster_event_type == _MATERIALIZATION,
        newer.c.id > EVENTS.c.id,
    )
    has_newer_of_partition = sa.exists().where(
        *is_newer,
        newer.c.partition == EVENTS.c.partition,
    )
    has_newer_without_partition = sa.and_(
        EVENTS.c.partition.is_(None),
        sa.exists().where(*is_newer, newer.c.partition.is_(None)),
    )
    is_superseded = sa.or_(has_newer_of_partition, has_newer_without_partition)
    query = sa.select(EVENTS.c.run_id).where(
        EVENTS.c.run_id.in_(run_ids),
        EVENTS.c.dagster_event_type == _MATERIALIZATION,
        sa.not_(is_superseded),
    )
    with tables.events() as connection:
        return set(connection.execute(query).scalars())


def _delete_superseded(tables: DagsterTables, instant: datetime) -> None:
    """Delete old events that belong to no run, except the newest of each kind."""
    before = stored_instant(instant)
    event_kind = (
        EVENTS.c.asset_key,
        EVENTS.c.dagster_event_type,
        EVENTS.c.partition,
    )
    newest_events = (
        sa.select(sa.func.max(EVENTS.c.id))
        .where(EVENTS.c.run_id == NO_RUN)
        .group_by(*event_kind)
    )
    old_events = (EVENTS.c.run_id == NO_RUN, EVENTS.c.timestamp < before)
    tables.delete_events(
        *old_events,
        EVENTS.c.asset_key.is_not(None),
        EVENTS.c.id.not_in(newest_events),
    )
    check_kind = (CHECKS.c.asset_key, CHECKS.c.check_name, CHECKS.c.partition)
    newest_checks = (
        sa.select(sa.func.max(CHECKS.c.id))
        .where(CHECKS.c.run_id == NO_RUN)
        .group_by(*check_kind)
    )
    tables.delete_checks(
        CHECKS.c.evaluation_event_timestamp < before,
        CHECKS.c.id.not_in(newest_checks),
    )
    tables.delete_from_copy(*old_events)


# --- the rows of a tenant --------------------------------------------------------------


class _TenantRemoval:
    """Removes the rows that name a tenant, table by table."""

    def __init__(self, tables: DagsterTables, names: TenantNames) -> None:
        self.tables = tables
        self._names = names

    def delete_ticks(
        self,
        after_id: int,
        is_late: Callable[[], bool],
    ) -> tuple[int, int | None]:
        """Delete the ticks after one that name the tenant, which are history only.

        Returns:
            The number of deleted ticks, and the last tick that was read, or None if all were.
        """
        count = 0
        last_id = after_id
        while True:
            query = (
                sa.select(TICKS.c.id, TICKS.c.tick_body)
                .where(TICKS.c.id > last_id)
                .where(TICKS.c.status.not_in(_TICKS_WITHOUT_NAMES))
                .order_by(TICKS.c.id)
                .limit(_TICKS_PER_PAGE)
            )
            with self.tables.schedules() as connection:
                ticks = connection.execute(query).all()
                tick_ids = [
                    tick.id
                    for tick in ticks
                    if self._names.are_in_tick(tick.tick_body)
                ]
                if tick_ids:
                    deletion = sa.delete(TICKS).where(TICKS.c.id.in_(tick_ids))
                    count += affected_rows(connection, deletion)
            if not ticks:
                return count, None
            last_id = ticks[-1].id
            if is_late():
                return count, last_id

    def clear_sensor_states(self) -> int:
        """Clear the last run that a sensor asked for if it is the tenant's; count the sensors."""
        count = 0
        for table in SENSOR_STATES:
            row_id, body = table.c
            with self.tables.schedules() as connection:
                states = connection.execute(sa.select(row_id, body)).all()
                for state_id, text in states:
                    if not self._names.name_runs(text):
                        continue
                    cleared_state = self._names.without_runs(json.loads(text))
                    # If Dagster has written the state since, it is cleared the next time.
                    is_unchanged = sa.and_(row_id == state_id, body == text)
                    update = sa.update(table).where(is_unchanged)
                    update = update.values({body: json.dumps(cleared_state)})
                    count += affected_rows(connection, update)
        return count

    def clear_assets(self) -> int:
        """Make another tenant's materialization each asset's last; empty the assets' caches."""
        with self.tables.events() as connection:
            assets = connection.execute(sa.select(*ASSETS.c)).all()
        count = 0
        for asset in assets:
            is_last = self._is_last_of(asset)
            if not is_last and not self._names.are_quoted_in(
                asset.cached_status_data,
            ):
                continue
            cleared: dict[str, Any] = {"cached_status_data": None}
            if is_last:
                cleared |= {"last_run_id": None, "last_materialization": None}
            is_asset = ASSETS.c.asset_key == asset.asset_key
            with self.tables.events() as connection:
                connection.execute(
                    sa.update(ASSETS).where(is_asset).values(**cleared),
                )
            count += 1
            if is_last:
                self._restore_last_materialization(asset.asset_key)
        return count

    def _is_last_of(self, asset: Any) -> bool:
        """Return True if an asset's last materialization is the tenant's, by a run or not."""
        last = asset.last_materialization
        return (
            self._names.name_runs(asset.last_run_id)
            or self._names.name_runs(last)
            or self._names.are_quoted_in(last)
        )

    def _restore_last_materialization(self, asset_key: str) -> None:
        """Make an asset's newest materialization of the other tenants its last, if it has one."""
        query = sa.select(sa.func.max(EVENTS.c.id)).where(
            EVENTS.c.asset_key == asset_key,
            EVENTS.c.dagster_event_type == _MATERIALIZATION,
            sa.or_(
                EVENTS.c.partition.is_(None),
                EVENTS.c.partition != self._names.tenant_id,
            ),
        )
        with self.tables.events() as connection:
            event_id = connection.execute(query).scalar()
        if event_id is None:
            return
        records_filter = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(json.loads(asset_key)),
            storage_ids=[event_id],
        )
        instance = self.tables.instance
        storage: Any = instance.event_log_storage
        for record in instance.fetch_materializations(
            records_filter,
            limit=1,
        ).records:
            storage.store_asset_event(record.event_log_entry, record.storage_id)

    def delete_backfills(self) -> tuple[int, bool]:
        """Delete the ended backfills that named the tenant.

        Returns:
            The number of deleted backfills, and whether none is left to wait for.
        """
        with self.tables.runs() as connection:
            rows = connection.execute(sa.select(*BACKFILLS.c)).all()
            backfills = [
                row for row in rows if self._names.are_quoted_in(row.body)
            ]
            ended = [
                row for row in backfills if row.status not in _OPEN_BACKFILLS
            ]
            for row in ended:
                tags_of_backfill = BACKFILL_TAGS.c.backfill_id == row.key
                connection.execute(
                    sa.delete(BACKFILL_TAGS).where(tags_of_backfill),
                )
                is_backfill = BACKFILLS.c.id == row.id
                connection.execute(sa.delete(BACKFILLS).where(is_backfill))
        return len(ended), len(ended) == len(backfills)

    def delete_events(self) -> int:
        """Delete the tenant's events and verdicts that belong to no run; count them."""
        tenant_id = self._names.tenant_id
        with self.tables.events() as connection:
            asset_keys = (
                connection.execute(sa.select(ASSETS.c.asset_key))
                .scalars()
                .all()
            )
        quotes_tenant = sa.func.instr(EVENTS.c.event, json.dumps(tenant_id)) > 0
        self.tables.delete_from_copy(quotes_tenant)
        count = self.tables.delete_checks(CHECKS.c.partition == tenant_id)
        count += self.tables.delete_events(
            EVENTS.c.asset_key.in_(asset_keys),
            EVENTS.c.partition == tenant_id,
        )
        return count
