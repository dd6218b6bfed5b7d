"""Everything private of Dagster that Relay uses; no other module names any of it.

Dagster may change its private modules and attributes in any release. `INTERNALS` says of
each why nothing public will do. When `tests/orchestration/test_dagster_internals.py` fails
after an update, read the changed part in Dagster's source, and then change this module.

A name is loaded when it is first imported from here: those of a storage take half a second,
those of a code server a tenth, and a process of a run on PostgreSQL needs neither.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Lock

    import sqlalchemy as sa
    from dagster._core.origin import (
        get_python_environment_entry_point as get_python_environment_entry_point,
    )
    from dagster._core.storage.base_storage import (
        DagsterStorage as DagsterStorage,
    )
    from dagster._core.storage.event_log import (
        SqliteEventLogStorage as SqliteEventLogStorage,
    )
    from dagster._core.storage.runs import SqliteRunStorage as SqliteRunStorage
    from dagster._core.storage.schedules import (
        SqliteScheduleStorage as SqliteScheduleStorage,
    )
    from dagster._core.storage.sqlite import (
        SQLITE_BUSY_TIMEOUT_SECONDS as SQLITE_BUSY_TIMEOUT_SECONDS,
    )
    from dagster._core.storage.sqlite import (
        create_db_conn_string as create_db_conn_string,
    )
    from dagster._core.storage.sqlite_storage import (
        DagsterSqliteStorage as DagsterSqliteStorage,
    )
    from dagster._core.types.loadable_target_origin import (
        LoadableTargetOrigin as LoadableTargetOrigin,
    )
    from dagster._core.utils import (
        FuturesAwareThreadPoolExecutor as FuturesAwareThreadPoolExecutor,
    )
    from dagster._grpc.server import DagsterApiServer as DagsterApiServer
    from dagster._grpc.server import DagsterGrpcServer as DagsterGrpcServer
    from dagster._utils.log import configure_loggers as configure_loggers

LOOKED_AT = "1.13.27"
"""The version of Dagster in which these parts were last read."""


@dataclass(frozen=True, slots=True)
class Internal:
    """A private part of Dagster, and why Relay uses it."""

    module: str  # the module that has it
    reason: str  # why nothing public will do
    attributes: tuple[str, ...] = ()  # the private attributes of it in use


INTERNALS: Mapping[str, Internal] = {
    # --- the code server: `launching/code_server.py` ---
    "DagsterApiServer": Internal(
        "dagster._grpc.server",
        "it starts the processes of runs, and no option of it says how",
        ("_mp_ctx",),
    ),
    "DagsterGrpcServer": Internal(
        "dagster._grpc.server",
        "Dagster's command that serves a code location takes no other API server",
    ),
    "FuturesAwareThreadPoolExecutor": Internal(
        "dagster._core.utils",
        "the server reports its threads to Dagster, and takes no other pool",
    ),
    "LoadableTargetOrigin": Internal(
        "dagster._core.types.loadable_target_origin",
        "it tells the server which module has the definitions",
    ),
    "get_python_environment_entry_point": Internal(
        "dagster._core.origin",
        "it tells Dagster's daemon which Python starts a run",
    ),
    "configure_loggers": Internal(
        "dagster._utils.log",
        "the server's log lines look like those of Dagster's command",
    ),
    # --- the storage of one machine: `orchestration/sqlite_storage.py` ---
    "DagsterSqliteStorage": Internal(
        "dagster._core.storage.sqlite_storage",
        "Dagster has no public storage in SQLite, and this one waits for the disk",
        (
            "_inst_data",
            "_run_storage",
            "_event_log_storage",
            "_schedule_storage",
        ),
    ),
    "DagsterStorage": Internal(
        "dagster._core.storage.base_storage",
        "the constructor of `DagsterSqliteStorage` would open files of its own",
    ),
    "SqliteEventLogStorage": Internal(
        "dagster._core.storage.event_log",
        "it opens a connection for each statement, and closes it again",
        ("_connect", "_initdb", "_db_lock", "_initialized_dbs"),
    ),
    "SqliteRunStorage": Internal(
        "dagster._core.storage.runs",
        "it opens a connection for each statement, and closes it again",
    ),
    "SqliteScheduleStorage": Internal(
        "dagster._core.storage.schedules",
        "it opens a connection for each statement, and closes it again",
    ),
    "SQLITE_BUSY_TIMEOUT_SECONDS": Internal(
        "dagster._core.storage.sqlite",
        "the storage waits for a locked file as long as Dagster's own does",
    ),
    "create_db_conn_string": Internal(
        "dagster._core.storage.sqlite",
        "the storage's files are those of Dagster's own",
    ),
}
"""The private names, each loaded when it is first imported from this module."""

MODULES_OF_RUNS = (
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.autodiscovery",
    "dagster._grpc.impl",
    "dagster._utils.test.definitions",
)
"""The modules that Dagster loads on a run's way: a warm process loads them before it forks."""


def __getattr__(name: str) -> Any:
    """Return a name of `INTERNALS` from Dagster's module, which is loaded by now."""
    if name not in INTERNALS:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(INTERNALS[name].module), name)


# --- private attributes -------------------------------------------------------------


def start_runs_by(
    server: "DagsterApiServer",
    start_method: BaseContext,
) -> None:
    """Let a code server start its runs by a start method of `multiprocessing`."""
    open_server: Any = server
    open_server._mp_ctx = start_method


def set_storages(
    storage: "DagsterSqliteStorage",
    inst_data: Any,
    *,
    runs: "SqliteRunStorage",
    events: "SqliteEventLogStorage",
    schedules: "SqliteScheduleStorage",
) -> None:
    """Give a storage its three parts, in place of those that its constructor would open."""
    storage._inst_data = inst_data
    storage._run_storage = runs
    storage._event_log_storage = events
    storage._schedule_storage = schedules


class EventFiles:
    """The base of a `SqliteEventLogStorage` whose connections come from engines of its own.

    List it before Dagster's class among the bases. The class that has both as bases defines
    `engine_of` and `has_tables`.
    """

    def engine_of(self, shard: str) -> "sa.Engine":
        """Return the engine of a file; one thread calls it at a time."""
        raise NotImplementedError

    def has_tables(self, engine: "sa.Engine") -> bool:
        """Return True if Dagster has made the tables of an engine's file."""
        raise NotImplementedError

    @property
    def files_lock(self) -> "Lock":
        """The lock under which `engine_of` is called."""
        lock: Lock = self._db_lock  # type: ignore[attr-defined]  # Dagster's
        return lock

    @contextmanager
    def _connect(self, shard: str) -> Iterator["sa.Connection"]:
        initialized: set[str] = self._initialized_dbs  # type: ignore[attr-defined]  # Dagster's
        with self.files_lock:
            engine = self.engine_of(shard)
            if shard not in initialized:
                self._initdb(engine)
                initialized.add(shard)
            with engine.begin() as connection:
                yield connection

    def _initdb(
        self,
        engine: "sa.Engine",
        for_index_shard: bool = False,
    ) -> None:
        if not self.has_tables(engine):
            super()._initdb(engine, for_index_shard)  # type: ignore[misc]  # Dagster's
