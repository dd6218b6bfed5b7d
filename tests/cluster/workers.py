"""The product on more than one machine: Celery workers, a broker and PostgreSQL beside the rest."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Self

import yaml
from celery.result import AsyncResult

from benchmarks.bench_stack import redis_argv
from cluster.machines import Machine, Machines
from integration.installation import SHORT_TIMES, Installation
from integration.waiting import wait_for
from relay_dagster.celery_app import app
from relay_dagster.devstack.processes import Stack, free_port, port_answers
from relay_dagster.runs.model import RunRecord
from support.deployment import DEPLOY
from support.postgres_server import PostgresServer

REDIS = "redis"
SETTINGS = DEPLOY / "dagster.celery.yaml"
SLOTS = 2
"""Runs at once on each worker."""
START_SECONDS = 30
"""How long a run may wait for a worker; 600 in deploy/."""


class ClusterStack(Stack):
    """A stack whose runs are executed by workers on other machines.

    Args:
        home: an empty folder.
        machines: this one's address, and where the workers are.
        postgres: the instance's database.
    """

    def __init__(
        self, home: Path, machines: Machines, postgres: PostgresServer
    ) -> None:
        self._machines = {machine.name: machine for machine in machines.others}
        self._password = secrets.token_hex(16)
        port = free_port()
        broker = f"redis://:{self._password}@{machines.host}:{port}/0"
        capacity = SLOTS * len(machines.others)
        super().__init__(
            home,
            host=machines.host,
            ports={REDIS: port},
            environment={
                **SHORT_TIMES,
                **postgres.variables(),
                "CELERY_BROKER_URL": broker,
                "CELERY_RESULT_BACKEND": broker,
                "RELAY_INTAKE_LIMIT": str(2 * capacity),
                "RELAY_UI_BEHIND_PROXY": "true",
                "WORKER_MAX_CONCURRENCY": str(capacity),
            },
        )
        settings = yaml.safe_load(SETTINGS.read_text())
        settings["run_monitoring"]["start_timeout_seconds"] = START_SECONDS
        (self.dagster_home / "dagster.yaml").write_text(
            yaml.safe_dump(settings)
        )

    def command(self, name: str) -> list[str]:
        if name == REDIS:
            password = ("--requirepass", self._password)
            return redis_argv(self.host, str(self.ports[REDIS]), *password)
        if name in self._machines:
            celery = (
                sys.executable,
                "-m",
                "celery",
                "-A",
                "relay_dagster.celery_app",
            )
            worker = (
                "worker",
                "-c",
                str(SLOTS),
                "-n",
                f"celery@{name}",
                "--loglevel",
                "INFO",
            )
            return self._machines[name].argv(SETTINGS, *celery, *worker)
        return super().command(name)

    def readiness_check(self, name: str) -> Callable[[], bool]:
        if name == REDIS:
            return lambda: port_answers(self.host, self.ports[REDIS])
        if name in self._machines:
            log = self.logs / f"{name}.log"
            before = _times_ready(log)
            return lambda: _times_ready(log) > before
        return super().readiness_check(name)


class Cluster(Installation):
    """The installation with its workers, and what the rehearsal does to them.

    Args:
        home: an empty folder.
        machines: where the workers are.
        postgres: the instance's database.
    """

    def __init__(
        self, home: Path, machines: Machines, postgres: PostgresServer
    ) -> None:
        super().__init__(home, ClusterStack(home, machines, postgres))
        self.machines = machines

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.start(REDIS)
            self.start_missing_workers()
        except BaseException:
            self.__exit__()
            raise
        return self

    # --- runs -----------------------------------------------------------------------------------

    def worker_of(self, record: RunRecord) -> str:
        """Return the machine that executes, or has executed, the record's attempt."""
        (run,) = self.dagster.runs(record.run_id, record.attempt)
        node = AsyncResult(run.tags["dagster-celery/task_id"], app=app).worker
        return str(node).partition("@")[2]

    def wait_executing(
        self, runs: Iterable[str], number: int
    ) -> list[RunRecord]:
        """Return the records of those that execute, once as many do as there is room for."""
        run_ids = list(runs)

        def look() -> list[RunRecord]:
            records = [self.aws.runs.get(run_id) for run_id in run_ids]
            claimed = [
                record
                for record in records
                if record is not None and record.is_claimed
            ]
            return claimed if len(claimed) >= number else []

        return wait_for(f"{number} runs execute", look, within=60)

    def capacity(self) -> int:
        """Return how many runs execute at once while all workers live."""
        return SLOTS * len(self.machines.others)

    def start_missing_workers(self) -> None:
        """Start each worker that does not live."""
        services = self.stack.services
        names = [machine.name for machine in self.machines.others]
        self.start(
            *(
                name
                for name in names
                if name not in services or not services[name].is_running()
            )
        )

    # --- machines -------------------------------------------------------------------------------

    def pid(self, machine: Machine) -> int:
        """Return a worker's first process, the parent of those that execute runs."""
        process = self.stack.services[machine.name].process
        assert process is not None
        return process.pid

    def processes(self, machine: Machine) -> Collection[int]:
        """Return all processes of a worker that live."""
        group = self.pid(machine)
        return [pid for pid in _all_pids() if _group(pid) == group]


def _times_ready(log: Path) -> int:
    return (
        log.read_text(errors="replace").count(" ready.") if log.exists() else 0
    )


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
