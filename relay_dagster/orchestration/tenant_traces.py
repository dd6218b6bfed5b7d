"""What Dagster's storages tell of a tenant, removed: runs, events, ticks, caches, its partition.

Dagster deletes a run and its events, and can wipe no partition; the rest is taken out of its tables
here, the same way in SQLite and in PostgreSQL. Freed space is reused by the database, as always.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from relay_dagster import tags
from relay_dagster.orchestration.dagster_instance import UNFINISHED, OnInstance
from relay_dagster.orchestration.partitions import TENANT_PARTITIONS
from relay_dagster.runs.ports import Removed

_AT_ONCE = 500
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_TICKS_SEEN = "ticks seen"
_UNREAD_TICKS = ("SKIPPED", "STARTED")
_OPEN_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))


_RUN_TAGS = _table("run_tags", "run_id")
_EVENTS = _table("event_logs", "id", "asset_key", "dagster_event_type", "partition")
_EVENT_TAGS = _table("asset_event_tags", "event_id")
_CHECKS = _table("asset_check_executions", "run_id", "partition")
_ASSETS = _table(
    "asset_keys", "asset_key", "last_run_id", "last_materialization", "cached_status_data"
)
_TICKS = _table("job_ticks", "id", "status", "tick_body")
_BODIES = {"instigators": "instigator_body", "jobs": "job_body"}
"""Both hold the same states of sensors: which is read, depends on how old the database is."""
_BACKFILLS = _table("bulk_actions", "id", "key", "status", "body")
_BACKFILL_TAGS = _table("backfill_tags", "backfill_id")


@dataclass(frozen=True, slots=True)
class _Names:
    """What tells of a tenant: its id, the ids of its runs, and Dagster's ids of them."""

    tenant_id: str
    run_ids: Collection[str]

    def name_runs(self, text: str | None) -> bool:
        """Tell whether a text names a run of the tenant."""
        return any(found in self.run_ids for found in _UUID.findall(text or ""))

    def are_in(self, text: str | None) -> bool:
        """Tell whether a text names the tenant, as a word of its own, or a run of it."""
        word = rf"(?:(?<![\w-])|(?<=\\[nt])){re.escape(self.tenant_id)}(?![\w-])"
        return self.name_runs(text) or re.search(word, text or "") is not None

    def are_quoted_in(self, text: str | None) -> bool:
        """Tell whether a text has the tenant's id as a JSON text, at any depth."""
        return f'"{self.tenant_id}"' in (text or "").replace("\\", "")


class DagsterTraces(OnInstance):
    """What one instance tells of tenants, as `runs.ports.TenantTraces` wants it."""

    def are_made(self, tenant_id: str) -> bool:
        """Tell whether a run of the tenant has not ended."""
        unfinished = list(UNFINISHED)
        wanted = (dg.RunsFilter(statuses=unfinished, tags=each) for each in _tags_of(tenant_id))
        return any(self._instance.get_runs_count(each) for each in wanted)

    def remove(
        self,
        tenant_id: str,
        run_ids: Collection[str],
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        """Remove what tells of a tenant or of its runs, until it is late.

        What names a Dagster run goes before the run, which leads to it. The mark is the last tick
        that was looked at, or that all were.
        """
        dagster_run_ids = self._run_ids(tenant_id)
        names = _Names(tenant_id, {*run_ids, *dagster_run_ids})
        count, seen = (0, None) if mark == _TICKS_SEEN else self._remove_ticks(names, mark, is_late)
        if seen is not None:
            return Removed(count, is_all=False, mark=seen)
        count += self._clear_states(names) + self._clear_assets(names)
        for dagster_run_id in dagster_run_ids:
            if is_late():
                return Removed(count, is_all=False, mark=_TICKS_SEEN)
            self._remove_run(dagster_run_id)
            count += 1
        backfills, is_all = self._remove_backfills(names)
        count += backfills + self._remove_events(tenant_id) + self._remove_partition(tenant_id)
        return Removed(count, is_all=is_all, mark=_TICKS_SEEN)

    def _run_ids(self, tenant_id: str) -> list[str]:
        found = (
            self._instance.get_run_ids(dg.RunsFilter(tags=each)) for each in _tags_of(tenant_id)
        )
        return sorted({run_id for some in found for run_id in some})

    def _remove_run(self, dagster_run_id: str) -> None:
        """Delete a run, its events and its log; SQLite leaves tags and an empty file behind."""
        self._instance.compute_log_manager.delete_logs(prefix=[dagster_run_id])
        with self._index() as connection:
            connection.execute(sa.delete(_CHECKS).where(_CHECKS.c.run_id == dagster_run_id))
        self._instance.delete_run(dagster_run_id)
        with self._runs() as connection:
            connection.execute(sa.delete(_RUN_TAGS).where(_RUN_TAGS.c.run_id == dagster_run_id))
        shard = getattr(self._instance.event_log_storage, "path_for_shard", None)
        if shard is not None:  # a file a run
            for end in ("", "-wal", "-shm"):
                Path(f"{shard(dagster_run_id)}{end}").unlink(missing_ok=True)

    def _remove_partition(self, tenant_id: str) -> int:
        if not self._instance.has_dynamic_partition(TENANT_PARTITIONS, tenant_id):
            return 0
        self._instance.delete_dynamic_partition(TENANT_PARTITIONS, tenant_id)
        return 1

    # --- runs and backfills ---------------------------------------------------------------------

    def _remove_backfills(self, names: _Names) -> tuple[int, bool]:
        """Remove backfills that named the tenant; one that goes on is waited for."""
        columns = (_BACKFILLS.c.id, _BACKFILLS.c.key, _BACKFILLS.c.status, _BACKFILLS.c.body)
        with self._runs() as connection:
            rows = connection.execute(sa.select(*columns)).all()
            found = [row for row in rows if names.are_quoted_in(row.body)]
            ended = [row for row in found if row.status not in _OPEN_BACKFILLS]
            for row in ended:
                tagged = _BACKFILL_TAGS.c.backfill_id == row.key
                connection.execute(sa.delete(_BACKFILL_TAGS).where(tagged))
                connection.execute(sa.delete(_BACKFILLS).where(_BACKFILLS.c.id == row.id))
        return len(ended), len(ended) == len(found)

    # --- events and assets ----------------------------------------------------------------------

    def _clear_assets(self, names: _Names) -> int:
        """Let each asset's last materialization be another tenant's, and its cache made anew."""
        table = _ASSETS
        columns = (
            table.c.asset_key,
            table.c.last_run_id,
            table.c.last_materialization,
            table.c.cached_status_data,
        )
        with self._index() as connection:
            rows = connection.execute(sa.select(*columns)).all()
        count = 0
        for row in rows:
            is_last = names.name_runs(row.last_run_id) or names.name_runs(row.last_materialization)
            if not is_last and not names.are_in(row.cached_status_data):
                continue
            changed: dict[str, Any] = {"cached_status_data": None}
            if is_last:
                changed |= {"last_run_id": None, "last_materialization": None}
            with self._index() as connection:
                here = table.c.asset_key == row.asset_key
                connection.execute(sa.update(table).where(here).values(**changed))
            if is_last:
                self._restore_last(row.asset_key, names)
            count += 1
        return count

    def _restore_last(self, asset_key: str, names: _Names) -> None:
        """Note of an asset the last materialization that is of another tenant, if there is one."""
        storage = self._storage(self._instance.event_log_storage)
        others = sa.or_(_EVENTS.c.partition.is_(None), _EVENTS.c.partition != names.tenant_id)
        wanted = sa.select(sa.func.max(_EVENTS.c.id)).where(
            _EVENTS.c.asset_key == asset_key,
            _EVENTS.c.dagster_event_type == _MATERIALIZED,
            others,
        )
        with self._index() as connection:
            newest = connection.execute(wanted).scalar()
        if newest is None:
            return
        key = dg.AssetKey(json.loads(asset_key))
        asked = dg.AssetRecordsFilter(asset_key=key, storage_ids=[newest])
        for record in self._instance.fetch_materializations(asked, limit=1).records:
            storage.store_asset_event(record.event_log_entry, record.storage_id)

    def _remove_events(self, tenant_id: str) -> int:
        """Remove events and verdicts of checks that are no run's."""
        with self._index() as connection:
            assets = connection.execute(sa.select(_ASSETS.c.asset_key)).scalars().all()
            its_own = sa.and_(_EVENTS.c.asset_key.in_(assets), _EVENTS.c.partition == tenant_id)
            ids = sa.select(_EVENTS.c.id).where(its_own)
            connection.execute(sa.delete(_EVENT_TAGS).where(_EVENT_TAGS.c.event_id.in_(ids)))
            count = _count(connection, sa.delete(_EVENTS).where(its_own))
            its_checks = sa.delete(_CHECKS).where(_CHECKS.c.partition == tenant_id)
            return count + _count(connection, its_checks)

    # --- sensors --------------------------------------------------------------------------------

    def _remove_ticks(
        self, names: _Names, mark: str | None, is_late: Callable[[], bool]
    ) -> tuple[int, str | None]:
        """Remove the ticks that tell of the tenant; they are history alone.

        Returns:
            How many, and the last that was looked at, None where that was the last of all.
        """
        if self._instance.schedule_storage is None:
            return 0, None
        count = 0
        for rows in self._ticks(int(mark or 0)):
            told = [row.id for row in rows if names.are_in(row.tick_body)]
            if told:
                with self._schedules() as connection:
                    ours = sa.delete(_TICKS).where(_TICKS.c.id.in_(told))
                    count += _count(connection, ours)
            if is_late():
                return count, str(rows[-1].id)
        return count, None

    def _ticks(self, last: int) -> Iterator[Sequence[Any]]:
        """Yield the ticks after one, some at a time."""
        while True:
            wanted = (
                sa.select(_TICKS.c.id, _TICKS.c.tick_body)
                .where(_TICKS.c.id > last, _TICKS.c.status.not_in(_UNREAD_TICKS))
                .order_by(_TICKS.c.id)
                .limit(_AT_ONCE)
            )
            with self._schedules() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield rows
            last = rows[-1].id

    def _clear_states(self, names: _Names) -> int:
        """Forget the last run that a sensor has asked for, where it is one of the tenant's."""
        if self._instance.schedule_storage is None:
            return 0
        return sum(self._clear_states_in(*place, names) for place in _BODIES.items())

    def _clear_states_in(self, name: str, attribute: str, names: _Names) -> int:
        table = _table(name, "id", attribute)
        body, count = table.c[attribute], 0
        with self._schedules() as connection:
            rows = connection.execute(sa.select(table.c.id, body)).all()
            for row_id, text in rows:
                if not names.name_runs(text):
                    continue
                cleared = json.dumps(_without_runs(json.loads(text), names))
                # Whoever has written it meanwhile is right: it is cleared the next time.
                here = sa.and_(table.c.id == row_id, body == text)
                order = sa.update(table).where(here).values({attribute: cleared})
                count += _count(connection, order)
        return count

    # --- where it all lies ----------------------------------------------------------------------

    def _runs(self) -> AbstractContextManager[sa.Connection]:
        return self._storage(self._instance.run_storage).connect()

    def _index(self) -> AbstractContextManager[sa.Connection]:
        return self._storage(self._instance.event_log_storage).index_connection()

    def _schedules(self) -> AbstractContextManager[sa.Connection]:
        return self._storage(self._instance.schedule_storage).connect()

    def _storage(self, storage: Any) -> Any:
        """Return a storage as those of SQLite and PostgreSQL are: it lends its connection."""
        return storage


def _tags_of(tenant_id: str) -> tuple[Mapping[str, str], ...]:
    return {tags.PARTITION: tenant_id}, {tags.TENANT_ID: tenant_id}


def _without_runs(value: Any, names: _Names) -> Any:
    """Return a JSON value without the texts that name runs of the tenant."""
    if isinstance(value, dict):
        return {name: _without_runs(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_runs(each, names) for each in value]
    return None if isinstance(value, str) and names.name_runs(value) else value


def _count(connection: sa.Connection, order: Any) -> int:
    return int(connection.execute(order).rowcount)
