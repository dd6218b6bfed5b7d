"""Dagster's history of runs: its removal, of a tenant as a whole or of runs by their age.

Runs and partitions go by Dagster's own API. Ticks, backfills, verdicts of checks, caches of assets
and states of sensors have none that removes a tenant's alone: their rows are deleted from Dagster's
tables, the same way in SQLite and in PostgreSQL. The database itself reuses the space; a SQLite
file that is mostly free is made smaller.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from relay_dagster import tags
from relay_dagster.orchestration.dagster_instance import UNFINISHED, OnInstance
from relay_dagster.orchestration.jobs import INVENTORY_SYNC, TENANT_PARTITIONS
from relay_dagster.runs.ports import Removed

_TICKS_AT_ONCE = _RUNS_AT_ONCE = 500
_MAX_SHRUNK_BYTES = 256 * 1024 * 1024
_BY_HAND, _NO_RUN = "__ASSET_JOB", ""
_TICKS_SEEN, _PASSED = "ticks seen", "SUCCEEDED"
_UNREAD_TICKS = ("SKIPPED", "STARTED")
_OPEN_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION
_CHECK_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))


_RUNS = _table(
    "runs", "id", "run_id", "pipeline_name", "status", "partition", "update_timestamp"
)
_RUN_TAGS = _table("run_tags", "run_id")
_EVENTS = _table(
    "event_logs",
    *(
        "id",
        "run_id",
        "asset_key",
        "dagster_event_type",
        "partition",
        "timestamp",
        "event",
    ),
)
_EVENT_TAGS = _table("asset_event_tags", "event_id")
_CHECKS = _table(
    "asset_check_executions",
    *("id", "asset_key", "check_name", "run_id", "partition", "execution_status"),
    *("evaluation_event_storage_id", "evaluation_event_timestamp"),
)
_ASSETS = _table(
    "asset_keys",
    "asset_key",
    "last_run_id",
    "last_materialization",
    "cached_status_data",
)
_TICKS = _table("job_ticks", "id", "status", "tick_body")
_SENSOR_STATES = (
    _table("instigators", "id", "instigator_body"),
    _table("jobs", "id", "job_body"),
)
"""Dagster writes both, and reads one, by the database's age."""
_BACKFILLS = _table("bulk_actions", "id", "key", "status", "body")
_BACKFILL_TAGS = _table("backfill_tags", "backfill_id")


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a tenant in a text: its id, the ids of its runs, and Dagster's ids of them."""

    tenant_id: str
    run_ids: Collection[str]

    def name_runs(self, text: str | None) -> bool:
        """Return whether a text names a run of the tenant."""
        return any(found in self.run_ids for found in _UUID.findall(text or ""))

    def are_in_tick(self, body: str) -> bool:
        """Return whether a tick names the tenant, or a run of it.

        In an error any word may be its name; elsewhere a text is, or says that it is a tenant: the
        sensors' own words are names of tenants, too.
        """
        document, name = json.loads(body), re.escape(self.tenant_id)
        error = json.dumps(document.pop("error", None))
        word = rf"(?:(?<![\w-])|(?<=\\[nt])){name}(?![\w-])"
        naming = re.compile(rf"{name}|.*\btenants?[ /]{name}(?![\w-]).*", re.S)
        return (
            self.name_runs(body)
            or re.search(word, error) is not None
            or any(naming.fullmatch(each) for each in _texts(document))
        )

    def are_quoted_in(self, text: str | None) -> bool:
        """Return whether a JSON text has the tenant's id as a value, at any depth."""
        return self.tenant_id in _texts(text or "")

    def without_runs(self, value: Any) -> Any:
        """Return a JSON value without the texts that name runs of the tenant."""
        if isinstance(value, dict):
            return {name: self.without_runs(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.without_runs(each) for each in value]
        return None if isinstance(value, str) and self.name_runs(value) else value


class DagsterHistory(OnInstance):
    """The history of one instance, as `runs.ports.ExecutionHistory` wants it."""

    def has_unfinished(self, tenant_id: str) -> bool:
        """Return whether a run of the tenant has not ended."""
        wanted = _of_tenant(tenant_id, statuses=list(UNFINISHED))
        return any(self._instance.get_runs_count(each) for each in wanted)

    def delete_ended_before(
        self, instant: datetime, is_late: Callable[[], bool]
    ) -> int:
        """Delete runs that ended before an instant, oldest first, until it is late; count them.

        A run that has a tenant's newest materialization of an asset stays whole, and of events
        that are no run's the newest of each asset and tenant. Deleted are runs of the job and of
        assets that somebody has materialized by hand for a tenant.
        """
        count = last = 0
        while rows := self._ended_before(instant, last):
            last = rows[-1].id
            run_ids = [row.run_id for row in rows if self._is_own(row)]
            newest = self._with_newest(run_ids)
            for run_id in run_ids:
                if is_late():
                    return count
                if run_id not in newest:
                    self._delete_run(run_id)
                    count += 1
        self._remove_superseded(instant)
        for connect in (self._runs, self._events):
            with connect() as connection:
                path = _mostly_free(connection)
            if path is not None:
                with (
                    suppress(sqlite3.OperationalError),  # somebody else is at it
                    closing(
                        sqlite3.connect(path, timeout=1, isolation_level=None)
                    ) as alone,
                ):
                    alone.execute("VACUUM")
                    alone.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def verdicts(self, asset_key: dg.AssetKey, check_name: str) -> dict[str, bool]:
        """Return the verdict of a check on each tenant that is no run's, and whether it passed."""
        wanted = sa.select(_CHECKS.c.partition, _CHECKS.c.execution_status).where(
            _CHECKS.c.asset_key == asset_key.to_string(),
            _CHECKS.c.check_name == check_name,
            _CHECKS.c.run_id == _NO_RUN,
        )
        with self._events() as connection:
            return {
                name: status == _PASSED for name, status in connection.execute(wanted)
            }

    def forget_verdicts(
        self, asset_key: dg.AssetKey, check_name: str, tenant_ids: Collection[str]
    ) -> None:
        """Delete the verdicts of a check on tenants that are no run's."""
        for tenant_id in tenant_ids:
            self._delete_checks(
                _CHECKS.c.asset_key == asset_key.to_string(),
                _CHECKS.c.check_name == check_name,
                _CHECKS.c.partition == tenant_id,
            )

    def remove_tenant(
        self,
        tenant_id: str,
        run_ids: Collection[str],
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        """Remove the history of a tenant and of its runs, until it is late.

        What names a Dagster run goes before the run, which leads to it. The mark is the last tick
        that was read, or that all were.
        """
        found = map(self._instance.get_run_ids, _of_tenant(tenant_id))
        dagster_run_ids = sorted({*chain.from_iterable(found)})
        names, count = _Names(tenant_id, {*run_ids, *dagster_run_ids}), 0
        if self._instance.schedule_storage is not None:
            if mark != _TICKS_SEEN:
                count, last = self._remove_ticks(names, int(mark or 0), is_late)
                if last is not None:
                    return Removed(count, is_all=False, mark=str(last))
            count += self._clear_sensor_states(names)
        count += self._clear_assets(names)
        for dagster_run_id in dagster_run_ids:
            if is_late():
                return Removed(count, is_all=False, mark=_TICKS_SEEN)
            self._delete_run(dagster_run_id)
            count += 1
        backfills, is_all = self._remove_backfills(names)
        with self._events() as connection:
            assets = connection.execute(sa.select(_ASSETS.c.asset_key)).scalars().all()
        self._delete_from_copy(
            sa.func.instr(_EVENTS.c.event, json.dumps(tenant_id)) > 0
        )
        count += backfills + self._delete_checks(_CHECKS.c.partition == tenant_id)
        its_own = (_EVENTS.c.asset_key.in_(assets), _EVENTS.c.partition == tenant_id)
        count += self._delete_events(*its_own)
        if self._instance.has_dynamic_partition(TENANT_PARTITIONS, tenant_id):
            self._instance.delete_dynamic_partition(TENANT_PARTITIONS, tenant_id)
            count += 1
        return Removed(count, is_all=is_all, mark=_TICKS_SEEN)

    def _ended_before(self, instant: datetime, after: int) -> Sequence[Any]:
        """Return rows of runs that ended before an instant, after one in the table's order."""
        wanted = (
            sa.select(
                _RUNS.c.id, _RUNS.c.run_id, _RUNS.c.pipeline_name, _RUNS.c.partition
            )
            .where(_RUNS.c.status.not_in([status.value for status in UNFINISHED]))
            .where(_RUNS.c.pipeline_name.in_([INVENTORY_SYNC, _BY_HAND]))
            .where(_RUNS.c.update_timestamp < _stored(instant), _RUNS.c.id > after)
            .order_by(_RUNS.c.id)
            .limit(_RUNS_AT_ONCE)
        )
        with self._runs() as connection:
            return connection.execute(wanted).all()

    def _is_own(self, run: Any) -> bool:
        """Return whether a run is this product's; the job of assets has the same name elsewhere."""
        return run.pipeline_name == INVENTORY_SYNC or (
            run.partition is not None
            and self._instance.has_dynamic_partition(TENANT_PARTITIONS, run.partition)
        )

    def _with_newest(self, run_ids: Collection[str]) -> set[str]:
        """Return those runs that have the newest materialization of an asset and a partition."""
        newer = _EVENTS.alias()
        same = (
            newer.c.asset_key == _EVENTS.c.asset_key,
            newer.c.dagster_event_type == _MATERIALIZED.value,
            newer.c.id > _EVENTS.c.id,
        )
        is_superseded = sa.or_(
            sa.exists().where(*same, newer.c.partition == _EVENTS.c.partition),
            sa.and_(
                _EVENTS.c.partition.is_(None),
                sa.exists().where(*same, newer.c.partition.is_(None)),
            ),
        )
        wanted = sa.select(_EVENTS.c.run_id).where(
            _EVENTS.c.run_id.in_(run_ids),
            _EVENTS.c.dagster_event_type == _MATERIALIZED.value,
            sa.not_(is_superseded),
        )
        with self._events() as connection:
            return set(connection.execute(wanted).scalars())

    def _remove_superseded(self, instant: datetime) -> None:
        """Remove events that are no run's, before an instant, but for the newest of their kind."""
        kind = (_EVENTS.c.asset_key, _EVENTS.c.dagster_event_type, _EVENTS.c.partition)
        newest = sa.select(sa.func.max(_EVENTS.c.id)).where(_EVENTS.c.run_id == _NO_RUN)
        old = (_EVENTS.c.run_id == _NO_RUN, _EVENTS.c.timestamp < _stored(instant))
        of_asset = _EVENTS.c.asset_key.is_not(None)
        self._delete_events(*old, of_asset, _EVENTS.c.id.not_in(newest.group_by(*kind)))
        check = (_CHECKS.c.asset_key, _CHECKS.c.check_name, _CHECKS.c.partition)
        last_checks = sa.select(sa.func.max(_CHECKS.c.id)).where(
            _CHECKS.c.run_id == _NO_RUN
        )
        self._delete_checks(
            _CHECKS.c.evaluation_event_timestamp < _stored(instant),
            _CHECKS.c.id.not_in(last_checks.group_by(*check)),
        )
        self._delete_from_copy(*old)

    def _delete_run(self, dagster_run_id: str) -> None:
        """Delete a run, its log, its events, and what Dagster's own deletion leaves behind.

        That is the verdicts of its checks (dagster-io/dagster#18341) and, on SQLite, its tags and
        its emptied file. The index of the verdicts begins with the check, which the run's events
        name: without it each run would cost a look through all verdicts.
        """
        self._instance.compute_log_manager.delete_logs(prefix=[dagster_run_id])
        about: Any = [
            each.get_dagster_event().event_specific_data
            for each in self._instance.all_logs(dagster_run_id, of_type=_CHECK_EVENTS)
        ]
        checks = {(each.asset_key.to_string(), each.check_name) for each in about}
        with self._events() as connection:
            for asset_key, check_name in checks:
                its_own = sa.and_(
                    _CHECKS.c.asset_key == asset_key,
                    _CHECKS.c.check_name == check_name,
                    _CHECKS.c.run_id == dagster_run_id,
                )
                connection.execute(sa.delete(_CHECKS).where(its_own))
        self._instance.delete_run(dagster_run_id)
        with self._runs() as connection:
            connection.execute(
                sa.delete(_RUN_TAGS).where(_RUN_TAGS.c.run_id == dagster_run_id)
            )
        shard = getattr(self._event_storage, "path_for_shard", None)
        if shard is not None:  # A file for each run.
            for end in ("", "-wal", "-shm"):
                Path(f"{shard(dagster_run_id)}{end}").unlink(missing_ok=True)

    def _remove_backfills(self, names: _Names) -> tuple[int, bool]:
        """Remove backfills that named the tenant; one that goes on is waited for."""
        with self._runs() as connection:
            rows = connection.execute(sa.select(*_BACKFILLS.c)).all()
            found = [row for row in rows if names.are_quoted_in(row.body)]
            ended = [row for row in found if row.status not in _OPEN_BACKFILLS]
            for row in ended:
                tagged = _BACKFILL_TAGS.c.backfill_id == row.key
                connection.execute(sa.delete(_BACKFILL_TAGS).where(tagged))
                connection.execute(
                    sa.delete(_BACKFILLS).where(_BACKFILLS.c.id == row.id)
                )
        return len(ended), len(ended) == len(found)

    def _clear_assets(self, names: _Names) -> int:
        """Make each asset's last materialization another tenant's, and empty its cache."""
        with self._events() as connection:
            rows = connection.execute(sa.select(*_ASSETS.c)).all()
        count = 0
        for row in rows:
            last = row.last_materialization
            is_last = names.name_runs(row.last_run_id) or names.name_runs(last)
            is_last = is_last or names.are_quoted_in(last)  # one that is no run's
            if not is_last and not names.are_quoted_in(row.cached_status_data):
                continue
            changed: dict[str, Any] = {"cached_status_data": None}
            if is_last:
                changed |= {"last_run_id": None, "last_materialization": None}
            with self._events() as connection:
                here = _ASSETS.c.asset_key == row.asset_key
                connection.execute(sa.update(_ASSETS).where(here).values(**changed))
            count += 1
            if not is_last:
                continue
            # The last materialization is another tenant's now, if there is one.
            wanted = sa.select(sa.func.max(_EVENTS.c.id)).where(
                _EVENTS.c.asset_key == row.asset_key,
                _EVENTS.c.dagster_event_type == _MATERIALIZED.value,
                sa.or_(
                    _EVENTS.c.partition.is_(None),
                    _EVENTS.c.partition != names.tenant_id,
                ),
            )
            with self._events() as connection:
                ids = [
                    each
                    for each in connection.execute(wanted).scalars()
                    if each is not None
                ]
            key = dg.AssetKey(json.loads(row.asset_key))
            asked = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids)
            found = (
                self._instance.fetch_materializations(asked, limit=1).records
                if ids
                else ()
            )
            for record in found:
                self._event_storage.store_asset_event(
                    record.event_log_entry, record.storage_id
                )
        return count

    def _delete_checks(self, *conditions: Any) -> int:
        """Delete verdicts that are no run's, and the events that they were read from."""
        its_own = (_CHECKS.c.run_id == _NO_RUN, *conditions)
        read_from = sa.select(_CHECKS.c.evaluation_event_storage_id).where(*its_own)
        with self._events() as connection:
            connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.id.in_(read_from)))
            return _rows(connection, sa.delete(_CHECKS).where(*its_own))

    def _delete_from_copy(self, *conditions: Any) -> None:
        """Delete from SQLite's second copy of the events that are no run's, where there is one."""
        storage = self._event_storage
        shard = getattr(storage, "path_for_shard", None)
        if shard is not None and Path(shard(_NO_RUN)).exists():
            with storage.run_connection(_NO_RUN) as connection:
                connection.execute(sa.delete(_EVENTS).where(*conditions))

    def _delete_events(self, *conditions: Any) -> int:
        """Delete events of assets with their tags; return how many."""
        ids = sa.select(_EVENTS.c.id).where(*conditions)
        with self._events() as connection:
            connection.execute(
                sa.delete(_EVENT_TAGS).where(_EVENT_TAGS.c.event_id.in_(ids))
            )
            return _rows(connection, sa.delete(_EVENTS).where(*conditions))

    def _remove_ticks(
        self, names: _Names, last: int, is_late: Callable[[], bool]
    ) -> tuple[int, int | None]:
        """Remove the ticks after one that name the tenant; they are history alone.

        Return how many, and the last that was read, None where that was the last of all.
        """
        count = 0
        while True:
            wanted = (
                sa.select(_TICKS.c.id, _TICKS.c.tick_body)
                .where(_TICKS.c.id > last, _TICKS.c.status.not_in(_UNREAD_TICKS))
                .order_by(_TICKS.c.id)
                .limit(_TICKS_AT_ONCE)
            )
            with self._schedules() as connection:
                rows = connection.execute(wanted).all()
                its_own = [row.id for row in rows if names.are_in_tick(row.tick_body)]
                if its_own:
                    count += _rows(
                        connection, sa.delete(_TICKS).where(_TICKS.c.id.in_(its_own))
                    )
            if not rows:
                return count, None
            last = rows[-1].id
            if is_late():
                return count, last

    def _clear_sensor_states(self, names: _Names) -> int:
        """Clear the last run that a sensor has asked for, where it is one of the tenant's."""
        count = 0
        for table in _SENSOR_STATES:
            row_id, body = table.c
            with self._schedules() as connection:
                for found_id, text in connection.execute(sa.select(row_id, body)).all():
                    if not names.name_runs(text):
                        continue
                    cleared = json.dumps(names.without_runs(json.loads(text)))
                    # Whoever has written it meanwhile is right: it is cleared the next time.
                    here = sa.and_(row_id == found_id, body == text)
                    count += _rows(
                        connection, sa.update(table).where(here).values({body: cleared})
                    )
        return count

    # Storages as those of SQLite and of PostgreSQL are: they lend their connections.

    def _runs(self) -> AbstractContextManager[sa.Connection]:
        storage: Any = self._instance.run_storage
        return storage.connect()  # type: ignore[no-any-return]

    def _events(self) -> AbstractContextManager[sa.Connection]:
        return self._event_storage.index_connection()  # type: ignore[no-any-return]

    def _schedules(self) -> AbstractContextManager[sa.Connection]:
        storage: Any = self._instance.schedule_storage
        return storage.connect()  # type: ignore[no-any-return]

    @property
    def _event_storage(self) -> Any:
        return self._instance.event_log_storage


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts that a JSON value holds, at any depth, of JSON in texts, too; no keys."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
    elif isinstance(value, str):
        if value[:1] in ("{", "["):
            with suppress(ValueError):
                yield from _texts(json.loads(value))
                return
        yield value


def _stored(instant: datetime) -> datetime:
    """Return an instant as Dagster's tables have it: of UTC, without saying so."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _mostly_free(connection: sa.Connection) -> str | None:
    """Return the file of a SQLite database of which more than half is free; else None."""
    if connection.dialect.name != "sqlite":
        return None
    free, pages, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("freelist_count", "page_count", "page_size")
    )
    if 2 * free <= pages or (pages - free) * size > _MAX_SHRUNK_BYTES:
        return None
    return str(connection.exec_driver_sql("PRAGMA database_list").one()[2])


def _of_tenant(tenant_id: str, **filters: Any) -> tuple[dg.RunsFilter, ...]:
    """Return filters for a tenant's runs, by its partition and by its tag."""
    keys = (tags.PARTITION, tags.TENANT_ID)
    return tuple(dg.RunsFilter(tags={key: tenant_id}, **filters) for key in keys)


def _rows(connection: sa.Connection, order: Any) -> int:
    """Execute an order; return how many rows it took."""
    return int(connection.execute(order).rowcount)
