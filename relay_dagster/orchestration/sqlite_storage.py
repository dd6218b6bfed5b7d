"""Dagster's SQLite storage for one machine, which does not wait for the disk.

Dagster opens a connection for each statement. When it closes the last one, SQLite writes
the log of the database back and waits for the disk: about 30 ms, some 70 times a run. This
storage keeps its connections open, and leaves it to the system when to write. The end of
a process loses nothing. A power failure may lose the last events, but not the database; the
run records decide about runs, and they are elsewhere.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import sqlalchemy as sa

from relay_dagster.orchestration.dagster_internals import (
    SQLITE_BUSY_TIMEOUT_SECONDS,
    DagsterSqliteStorage,
    DagsterStorage,
    EventFiles,
    SqliteEventLogStorage,
    SqliteRunStorage,
    SqliteScheduleStorage,
    create_db_conn_string,
    set_storages,
)

_MAX_FILES = 16
"""The number of files of events that stay open in a process."""


def _engine(url: str) -> sa.Engine:
    """Return an engine that keeps a connection, and does not wait for the disk.

    Threads that use it at once have a connection each.
    """
    engine = sa.create_engine(
        url,
        pool_size=1,
        max_overflow=-1,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
    )

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def _has_tables(engine: sa.Engine) -> bool:
    """Return True if Dagster has made its tables, so that it need not compare them."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return False
        version = "SELECT version_num FROM alembic_version"
        return connection.exec_driver_sql(version).scalar() is not None


class _OneFile:
    """The connections to a file that has all tables of a storage."""

    _file_name: ClassVar[str]  # the name of the file, without its suffix

    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self._engine = _engine(conn_string)
        super().__init__(conn_string, inst_data)  # type: ignore[call-arg]  # Dagster's

    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> Any:
        """Return the storage in a folder, with the tables that it needs."""
        Path(base_dir).mkdir(parents=True, exist_ok=True)
        conn_string = create_db_conn_string(base_dir, cls._file_name)
        storage = cls(conn_string, inst_data)
        if _has_tables(storage._engine):
            return storage
        return super().from_local(base_dir, inst_data)  # type: ignore[misc]  # Dagster's

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """Lend a connection with a transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class SqliteRuns(_OneFile, SqliteRunStorage):
    """Dagster's table of runs in SQLite."""

    _file_name = "runs"


class SqliteSchedules(_OneFile, SqliteScheduleStorage):
    """Dagster's table of sensors and their ticks in SQLite."""

    _file_name = "schedules"


class SqliteEvents(EventFiles, SqliteEventLogStorage):
    """Dagster's events in SQLite: a file for each run, and one for all assets."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    def engine_of(self, shard: str) -> sa.Engine:
        """Return a file's engine; the file that was used longest ago is closed."""
        engine = self._engines.get(shard)
        if engine is None:
            engine = _engine(self.conn_string_for_shard(shard))
            self._engines[shard] = engine
        self._engines.move_to_end(shard)
        while len(self._engines) > _MAX_FILES:
            _, oldest = self._engines.popitem(last=False)
            oldest.dispose()
        return engine

    def has_tables(self, engine: sa.Engine) -> bool:
        """Return True if Dagster has made the tables of an engine's file."""
        return _has_tables(engine)

    def dispose(self) -> None:
        """Close the connections, and end the threads that watch files."""
        super().dispose()
        with self.files_lock:
            for engine in self._engines.values():
                engine.dispose()


class SqliteStorage(DagsterSqliteStorage):
    """The files that Dagster's own SQLite storage has, in the same folders.

    Args:
        base_dir: The folder of the instance, `DAGSTER_HOME`.
        inst_data: The storage's section in `dagster.yaml`.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        # Dagster's own constructor would open its own storages.
        DagsterStorage.__init__(self)  # type: ignore[arg-type]  # its type is open
        self.base_dir = base_dir
        set_storages(
            self,
            inst_data,
            runs=SqliteRuns.from_local(f"{base_dir}/history/"),
            events=SqliteEvents(f"{base_dir}/history/runs/"),
            schedules=SqliteSchedules.from_local(f"{base_dir}/schedules"),
        )

    @classmethod
    def from_config_value(
        cls,
        inst_data: Any,
        config_value: Any,
    ) -> Self:
        """Return the storage that a section of `dagster.yaml` describes."""
        return cls.from_local(inst_data=inst_data, **config_value)
