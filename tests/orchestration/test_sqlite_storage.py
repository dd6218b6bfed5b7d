"""Dagster's storage on one machine: its files are Dagster's own, and nothing waits for a disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from relay_dagster.devstack.processes import Stack
from relay_dagster.orchestration.sqlite_storage import (
    SqliteEvents,
    SqliteRuns,
    SqliteSchedules,
    SqliteStorage,
)
from support.dagster_storages import with_kept_connections

RUNS = 20
MAX_OPEN_FILES = 16


def add_event(storage: DagsterSqliteStorage, run_id: str, message: str) -> None:
    storage.event_log_storage.store_event(
        dg.EventLogEntry(
            error_info=None,
            level=20,
            user_message=message,
            run_id=run_id,
            timestamp=time.time(),
        ),
    )


def messages(storage: DagsterSqliteStorage, run_id: str) -> list[str]:
    entries = storage.event_log_storage.get_logs_for_run(run_id)
    return [entry.user_message for entry in entries]


def tables(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Return the statements that make each file's tables, and Dagster's version of them."""
    tables_by_file = {}
    for path in sorted(folder.rglob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT name, sql FROM sqlite_master ORDER BY name"
            version = "SELECT version_num FROM alembic_version"
            tables_by_file[str(path.relative_to(folder))] = [
                *connection.execute(query),
                *connection.execute(version),
            ]
    return tables_by_file


def open_databases(folder: Path) -> set[str]:
    links = Path("/proc/self/fd").iterdir()
    paths = [str(link.readlink()) for link in links if link.exists()]
    return {
        path
        for path in paths
        if path.startswith(f"{folder}/") and path.endswith(".db")
    }


def test_the_files_and_tables_are_those_of_dagster_s_own_storage(
    tmp_path: Path,
) -> None:
    run_id = str(uuid4())
    add_event(DagsterSqliteStorage(str(tmp_path / "own")), run_id, "a")
    add_event(SqliteStorage(str(tmp_path / "kept")), run_id, "a")
    own_tables = tables(tmp_path / "kept")
    assert own_tables == tables(tmp_path / "own")
    assert len(own_tables) == 4


def test_an_instance_of_dagster_s_own_storage_is_continued_and_given_back(
    tmp_path: Path,
) -> None:
    run_id = str(uuid4())
    folder = str(tmp_path)
    add_event(DagsterSqliteStorage(folder), run_id, "of Dagster's")
    storage = SqliteStorage(folder)
    add_event(storage, run_id, "of ours")
    storage.dispose()
    dagster_storage = DagsterSqliteStorage(folder)
    add_event(dagster_storage, run_id, "of Dagster's again")
    expected = ["of Dagster's", "of ours", "of Dagster's again"]
    assert messages(dagster_storage, run_id) == expected
    assert messages(SqliteStorage(folder), run_id) == expected


def test_the_death_of_a_process_loses_no_event(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from orchestration.test_sqlite_storage import SqliteStorage, add_event\n"
        "storage = SqliteStorage(sys.argv[1])\n"
        "for number in range(10): add_event(storage, 'r', str(number))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    tests = str(Path(__file__).resolve().parents[1])
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
        check=False,
    )
    assert process.returncode == -9
    storage = SqliteStorage(str(tmp_path))
    assert messages(storage, "r") == [str(number) for number in range(10)]


def test_a_statement_waits_neither_for_a_connection_nor_for_the_disk(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(str(tmp_path))
    add_event(storage, "r", "a")
    with storage.event_log_storage.run_connection("r") as connection:
        first = connection.connection.dbapi_connection
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    with storage.event_log_storage.run_connection("r") as connection:
        second = connection.connection.dbapi_connection
    assert first is second
    assert synchronous == 1  # SQLite's name for it is NORMAL


def test_the_files_of_many_runs_do_not_stay_open(tmp_path: Path) -> None:
    storage = SqliteStorage(str(tmp_path))
    run_ids = [str(uuid4()) for _ in range(RUNS)]
    for run_id in run_ids:
        add_event(storage, run_id, "a")
    events = tmp_path / "history" / "runs"
    assert len(open_databases(events)) == MAX_OPEN_FILES
    assert [messages(storage, run_id) for run_id in run_ids] == [["a"]] * RUNS
    storage.dispose()
    assert open_databases(events) == set()


def test_an_instance_keeps_its_runs_and_ticks(tmp_path: Path) -> None:
    with with_kept_connections(tmp_path) as (instance, _):
        run = instance.create_run_for_job(
            dg.GraphDefinition(name="empty").to_job(),
        )
        instance.report_run_failed(run)
        ref = instance.get_ref()
    with dg.DagsterInstance.from_ref(ref) as instance:
        status = instance.get_run_by_id(run.run_id).status
        assert status == dg.DagsterRunStatus.FAILURE
        assert isinstance(instance.run_storage, SqliteRuns)
        assert isinstance(instance.event_log_storage, SqliteEvents)
        assert isinstance(instance.schedule_storage, SqliteSchedules)


def test_the_development_stack_has_this_storage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = str(Stack(tmp_path).dagster_home)
    monkeypatch.setenv("DAGSTER_HOME", home)
    with dg.DagsterInstance.get() as instance:
        assert instance.get_ref().storage_data.class_name == "SqliteStorage"
    assert sorted(tables(Path(home))) == [
        "history/runs.db",
        "history/runs/index.db",
        "schedules/schedules.db",
    ]
