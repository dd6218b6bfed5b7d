"""The tables of Dagster's storage, and the deletions that Dagster's API does not have.

The tables are the same in SQLite and in PostgreSQL, except that SQLite has a second copy of
the events that belong to no run, and a file for each run.
"""

import sqlite3
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

_MAX_SHRUNK_BYTES = 256 * 1024 * 1024
NO_RUN = ""
"""The run ID of events and verdicts that belong to no run."""
_CHECK_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))


RUNS = _table(
    "runs",
    "id",
    "run_id",
    "pipeline_name",
    "status",
    "partition",
    "update_timestamp",
)
_RUN_TAGS = _table("run_tags", "run_id")
EVENTS = _table(
    "event_logs",
    "id",
    "run_id",
    "asset_key",
    "dagster_event_type",
    "partition",
    "timestamp",
    "event",
)
_EVENT_TAGS = _table("asset_event_tags", "event_id")
CHECKS = _table(
    "asset_check_executions",
    "id",
    "asset_key",
    "check_name",
    "run_id",
    "partition",
    "execution_status",
    "evaluation_event_storage_id",
    "evaluation_event_timestamp",
)
ASSETS = _table(
    "asset_keys",
    "asset_key",
    "last_run_id",
    "last_materialization",
    "cached_status_data",
)
TICKS = _table("job_ticks", "id", "status", "tick_body")
SENSOR_STATES = (
    _table("instigators", "id", "instigator_body"),
    _table("jobs", "id", "job_body"),
)
"""Dagster writes to both tables and reads one of them, depending on the database's age."""
BACKFILLS = _table("bulk_actions", "id", "key", "status", "body")
BACKFILL_TAGS = _table("backfill_tags", "backfill_id")


@dataclass(frozen=True, slots=True)
class DagsterTables:
    """The tables of one instance, whose storages lend their connections."""

    instance: dg.DagsterInstance

    def runs(self) -> AbstractContextManager[sa.Connection]:
        """Connect to the database of runs and backfills."""
        storage: Any = self.instance.run_storage
        return storage.connect()  # type: ignore[no-any-return]  # untyped in Dagster

    def events(self) -> AbstractContextManager[sa.Connection]:
        """Connect to the database of assets, their events, and the verdicts of checks."""
        storage: Any = self.instance.event_log_storage
        return storage.index_connection()  # type: ignore[no-any-return]  # untyped in Dagster

    def schedules(self) -> AbstractContextManager[sa.Connection]:
        """Connect to the database of sensors and their ticks."""
        storage: Any = self.instance.schedule_storage
        return storage.connect()  # type: ignore[no-any-return]  # untyped in Dagster

    def delete_run(self, dagster_run_id: str) -> None:
        """Delete a run, its log, its events, and the rows that Dagster's own deletion leaves.

        Dagster leaves the verdicts of the run's checks (dagster-io/dagster#18341) and, on
        SQLite, the run's tags and its emptied file. The index of the verdicts begins with the
        check, which the run's events name. Without it each deletion would scan all verdicts.
        """
        self.instance.compute_log_manager.delete_logs(prefix=[dagster_run_id])
        self._delete_verdicts_of_run(dagster_run_id)
        self.instance.delete_run(dagster_run_id)
        with self.runs() as connection:
            tags_of_run = _RUN_TAGS.c.run_id == dagster_run_id
            connection.execute(sa.delete(_RUN_TAGS).where(tags_of_run))
        self._delete_file_of_run(dagster_run_id)

    def _delete_verdicts_of_run(self, dagster_run_id: str) -> None:
        checks = set()
        for entry in self.instance.all_logs(
            dagster_run_id,
            of_type=_CHECK_EVENTS,
        ):
            check: Any = entry.get_dagster_event().event_specific_data
            checks.add((check.asset_key.to_string(), check.check_name))
        with self.events() as connection:
            for asset_key, check_name in checks:
                verdicts = sa.and_(
                    CHECKS.c.asset_key == asset_key,
                    CHECKS.c.check_name == check_name,
                    CHECKS.c.run_id == dagster_run_id,
                )
                connection.execute(sa.delete(CHECKS).where(verdicts))

    def _delete_file_of_run(self, dagster_run_id: str) -> None:
        """Delete the file that SQLite has for each run."""
        storage: Any = self.instance.event_log_storage
        path_of_run = getattr(storage, "path_for_shard", None)
        if path_of_run is None:
            return
        for suffix in ("", "-wal", "-shm"):
            path = Path(f"{path_of_run(dagster_run_id)}{suffix}")
            path.unlink(missing_ok=True)

    def delete_checks(self, *conditions: Any) -> int:
        """Delete verdicts that belong to no run, and their events; count the verdicts."""
        runless = (CHECKS.c.run_id == NO_RUN, *conditions)
        event_ids = sa.select(CHECKS.c.evaluation_event_storage_id).where(
            *runless,
        )
        with self.events() as connection:
            connection.execute(
                sa.delete(EVENTS).where(EVENTS.c.id.in_(event_ids)),
            )
            return affected_rows(connection, sa.delete(CHECKS).where(*runless))

    def delete_events(self, *conditions: Any) -> int:
        """Delete events of assets with their tags; count the events."""
        event_ids = sa.select(EVENTS.c.id).where(*conditions)
        tags_of_events = _EVENT_TAGS.c.event_id.in_(event_ids)
        with self.events() as connection:
            connection.execute(sa.delete(_EVENT_TAGS).where(tags_of_events))
            return affected_rows(
                connection,
                sa.delete(EVENTS).where(*conditions),
            )

    def delete_from_copy(self, *conditions: Any) -> None:
        """Delete from SQLite's second copy of the events that belong to no run, if it exists."""
        storage: Any = self.instance.event_log_storage
        path_of_run = getattr(storage, "path_for_shard", None)
        if path_of_run is None or not Path(path_of_run(NO_RUN)).exists():
            return
        with storage.run_connection(NO_RUN) as connection:
            connection.execute(sa.delete(EVENTS).where(*conditions))

    def shrink(self) -> None:
        """Give back the space of SQLite files that are mostly free; PostgreSQL does so itself."""
        for connect in (self.runs, self.events):
            with connect() as connection:
                path = _mostly_free_file(connection)
            if path is not None:
                _vacuum(path)


def _mostly_free_file(connection: sa.Connection) -> str | None:
    """Return the path of a SQLite database that is more than half free, or None."""
    if connection.dialect.name != "sqlite":
        return None

    def pragma(name: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)

    free_pages = pragma("freelist_count")
    pages = pragma("page_count")
    used_bytes = (pages - free_pages) * pragma("page_size")
    if 2 * free_pages <= pages or used_bytes > _MAX_SHRUNK_BYTES:
        return None
    return str(connection.exec_driver_sql("PRAGMA database_list").one()[2])


def _vacuum(path: str) -> None:
    # Another process may be writing; the file is then made smaller the next time.
    with suppress(sqlite3.OperationalError):
        database = sqlite3.connect(path, timeout=1, isolation_level=None)
        with closing(database):
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def stored_instant(instant: datetime) -> datetime:
    """Return an aware instant as Dagster's tables store it: in UTC, naive."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def affected_rows(connection: sa.Connection, statement: Any) -> int:
    """Execute a statement and return the number of rows that it changed."""
    return int(connection.execute(statement).rowcount)
