"""A PostgreSQL server of one's own: real, on a free local port, gone when the block is left."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from integration.waiting import wait_for
from relay_dagster.devstack.processes import HOST, free_port

USER = "dagster"
DATABASE = "dagster"
# PostgreSQL refuses to run as root; everybody else runs it as himself.
_UNPRIVILEGED = "nobody"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with one empty database."""

    host: str
    port: int
    password: str

    def variables(self) -> dict[str, str]:
        """Return what deploy/dagster.yaml reads."""
        return {
            "DAGSTER_POSTGRES_HOST": self.host,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": DATABASE,
        }

    def query(
        self, text: str, database: str = DATABASE
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def _initialize(
    programs: Path, home: Path, password: str, clients: str
) -> None:
    """Make the server's files; ``clients`` is a network that may connect, too."""
    (home / "password").write_text(password)
    subprocess.run(
        [
            *(
                str(programs / "initdb"),
                "--no-sync",
                "--username",
                USER,
                "-D",
                str(home / "data"),
            ),
            *(
                "--auth",
                "scram-sha-256",
                "--pwfile",
                str(home / "password"),
            ),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        **_identity(home),
    )
    if clients:
        with (home / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {clients} scram-sha-256\n")


@contextmanager
def running_postgres(
    host: str = HOST, clients: str = ""
) -> Iterator[PostgresServer]:
    """Start a server in a temporary folder, and end it.

    Args:
        host: the address to listen on.
        clients: a network that may connect, beside this machine.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = postgres_programs()
    with tempfile.TemporaryDirectory(prefix="relay-pg-") as folder:
        home = Path(folder)
        server = PostgresServer(host, free_port(), secrets.token_hex(16))
        _initialize(programs, home, server.password, clients)
        process = subprocess.Popen(
            [
                *(
                    str(programs / "postgres"),
                    "-D",
                    str(home / "data"),
                    "-p",
                    str(server.port),
                ),
                *("-h", host, "-k", str(home), "-F"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
            **_identity(home),
        )
        try:
            wait_for("PostgreSQL answers", lambda: _answers(server), within=60)
            server.query(f"CREATE DATABASE {DATABASE}", database="postgres")
            yield server
        finally:
            # Fast: SIGTERM would wait for whoever is still connected.
            process.send_signal(signal.SIGINT)
            process.wait()


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs; Debian's is not on the path.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    on_path = shutil.which("initdb")
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True
    )
    folders_with_programs = (
        [Path(on_path).resolve(), *folders] if on_path else folders
    )
    if not folders_with_programs:
        raise FileNotFoundError(
            "PostgreSQL is not installed: apt-get install postgresql"
        )
    return folders_with_programs[0].parent


def _identity(home: Path) -> Mapping[str, Any]:
    if os.geteuid() != 0:
        return {"cwd": home}
    for path in (home, home / "password"):
        shutil.chown(path, _UNPRIVILEGED)
    return {"cwd": home, "user": _UNPRIVILEGED, "extra_groups": []}


def _end_with_parent() -> None:
    """Let the kernel end the server when the test is killed, where the kernel can."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _answers(server: PostgresServer) -> bool:
    try:
        server.query("SELECT 1", database="postgres")
    except psycopg2.OperationalError:
        return False
    return True
