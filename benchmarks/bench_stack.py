"""The product's processes, and beside them what its runs are measured against."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

from benchmarks.empty_job import QUEUE_VARIABLE
from relay_dagster.devstack.processes import (
    CODE,
    HOST,
    Stack,
    free_port,
    port_answers,
)

BARE = "bare"
LOADED = "loaded"
REDIS = "redis"
WORKER = "worker"
EMPTY = (BARE, LOADED)
LAUNCHERS = ("default", "celery")
INTAKE_SHARE = 8
"""Of runs dispatched for each that executes, where code is loaded: as docs/DEPLOY.md advises."""


class BenchStack(Stack):
    """A stack with two more code locations and, with Celery, a broker and workers.

    Args:
        home: an empty folder.
        launcher: one of ``LAUNCHERS``.
        concurrency: runs at once.
    """

    def __init__(
        self, home: Path, *, launcher: str, concurrency: int = 2
    ) -> None:
        self._concurrency = concurrency
        is_loaded = launcher == "celery"
        extra = (*EMPTY, *((REDIS,) if is_loaded else ()))
        ports = {name: free_port() for name in extra}
        environment = {
            "WORKER_MAX_CONCURRENCY": str(concurrency),
            "RELAY_INTAKE_LIMIT": str(INTAKE_SHARE * concurrency),
        }
        super().__init__(home, ports=ports, environment=environment)
        self._name_locations()
        if is_loaded:
            self._launch_with_celery()

    def add_queues(self, urls: Mapping[str, str]) -> None:
        """Let the empty jobs' sensors read these queues."""
        for name, url in urls.items():
            self.environment[QUEUE_VARIABLE.format(name.upper())] = url

    def _name_locations(self) -> None:
        named = [
            ("relay", self.ports[CODE]),
            *((name, self.ports[name]) for name in EMPTY),
        ]
        self.workspace.write_text(
            "load_from:\n"
            + "".join(
                f"  - grpc_server: {{host: {HOST}, port: {port}, location_name: {name}}}\n"
                for name, port in named
            )
        )

    def _launch_with_celery(self) -> None:
        broker = f"redis://{HOST}:{self.ports[REDIS]}/0"
        self.environment |= {
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": broker,
        }
        launcher = f"""
            run_launcher:
              module: dagster_celery.launcher
              class: CeleryRunLauncher
              config: {{broker: "{broker}", backend: "{broker}", default_queue: dagster}}
            """
        with (self.dagster_home / "dagster.yaml").open("a") as file:
            file.write(dedent(launcher))

    def command(self, name: str) -> list[str]:
        """Return the command line of a process."""
        port = str(self.ports.get(name, ""))
        python = sys.executable
        if name in EMPTY:
            location = [
                "-m",
                f"benchmarks.empty_{name}",
                "--location-name",
                name,
            ]
            server = [
                python,
                "-m",
                "dagster",
                "api",
                "grpc",
                "-h",
                HOST,
                "-p",
                port,
                *location,
            ]
            return [*server, "--use-python-environment-entry-point"]
        if name == REDIS:
            return redis_argv(HOST, port)
        if name == WORKER:
            worker = [
                "worker",
                "-c",
                str(self._concurrency),
                "--loglevel",
                "INFO",
            ]
            return [
                python,
                "-m",
                "celery",
                "-A",
                "benchmarks.celery_worker",
                *worker,
            ]
        return super().command(name)

    def readiness_check(self, name: str) -> Callable[[], bool]:
        """Return the question whether a process is ready."""
        if name in EMPTY or name == REDIS:
            return lambda: port_answers(HOST, self.ports[name])
        if name == WORKER:
            return lambda: " ready." in self.services[WORKER].end_of_log()
        return super().readiness_check(name)


def redis_server() -> str:
    """Return the program; empty where it is not installed."""
    return shutil.which("redis-server") or ""


def redis_argv(host: str, port: str, *more: str) -> list[str]:
    """Return the command of a broker that keeps nothing on the disk."""
    memory_only = ("--save", "", "--appendonly", "no")
    return [redis_server(), "--bind", host, "--port", port, *memory_only, *more]
