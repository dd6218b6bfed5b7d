"""Starts and ends the processes of the product, on free local ports.

``relay demo``, ``relay dev`` and the tests of the real stack use it: each process can be killed and
started again by name.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

PROJECT_ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 90
# A daemon or code server in the middle of a long poll would take up to 20 seconds.
STOP_TIMEOUT_SECONDS = 3

MOTO, CODE, WEBSERVER, DAEMON, API = "moto", "code", "webserver", "daemon", "api"
# Ends by itself when it has made the instance's tables: two processes that make them at once fail.
INSTANCE = "instance"
_MAKE_INSTANCE = "from dagster import DagsterInstance; DagsterInstance.get().dispose()"


class StackError(Exception):
    """A process of the stack did not start, or ended by itself; the message ends with its log."""


def free_port() -> int:
    """Return a local TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def embedded_aws_environment(endpoint: str) -> dict[str, str]:
    """Return boto3's variables for a moto server at ``endpoint``, and for nothing else."""
    direct = ",".join(
        dict.fromkeys((HOST, "localhost", urlsplit(endpoint).hostname or HOST))
    )
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "relay",
        "AWS_SECRET_ACCESS_KEY": "relay",
        # Whatever profile the user has must neither be used nor be needed.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def foreign_free(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without variables of another installation: of AWS, Dagster or ours."""
    ours = (
        *("ARTIFACT_BUCKET", "RUNS_TABLE", "TENANTS_TABLE", "AUDIT_TABLE"),
        *("UPLOADS_QUEUE_URL", "API_KEYS"),
    )
    prefixes = ("AWS_", "DAGSTER_", "SQS_")
    return {
        name: value
        for name, value in environ.items()
        if name not in ours and not name.startswith(prefixes)
    }


@dataclass
class Service:
    """One process: its command, the check that it answers, and its log."""

    name: str
    argv: Sequence[str]
    log: Path
    answers: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def last_words(self, lines: int = 15) -> str:
        """Return the end of the log, for a message about a process that failed."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Stack:
    """The product's processes in one folder, each with a fixed port while the stack lives.

    All of them get ``environment`` beside the caller's own variables; change it before the start
    of the process that needs the change. All listen on ``host``. Processes named in ``checkouts``
    have the code of another folder. Leaving the ``with`` block ends everything.
    """

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    host: str = HOST
    checkouts: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (MOTO, CODE, WEBSERVER, API):
            self.ports.setdefault(name, free_port())
        self.dagster_home.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(
            PROJECT_ROOT / "dagster.yaml", self.dagster_home / "dagster.yaml"
        )
        self.workspace.write_text(
            "load_from:\n  - grpc_server:\n"
            f"      host: {self.host}\n      port: {self.ports[CODE]}\n      location_name: relay\n"
        )
        self.environment = {
            **embedded_aws_environment(self.url(MOTO)),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_WEBSERVER_URL": self.url(WEBSERVER),
            "WORKER_MAX_CONCURRENCY": "2",
            **self.environment,
        }

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's instance."""
        return self.home / "dagster"

    @property
    def workspace(self) -> Path:
        """The workspace file that names the code server."""
        return self.home / "workspace.yaml"

    @property
    def logs(self) -> Path:
        """The folder with a log file for each process."""
        return self.home / "logs"

    def url(self, name: str) -> str:
        """Return the base URL of a process that listens."""
        return f"http://{self.host}:{self.ports[name]}"

    def start(self, *names: str) -> None:
        """Start these processes, wait until each answers; `StackError`: one ended, or did not."""
        if INSTANCE not in self.services:
            self._spawn(INSTANCE)
        if {CODE, WEBSERVER, DAEMON}.intersection(names):
            self.await_instance()
        for name in names:
            self._spawn(name)
        for service in map(self.services.__getitem__, names):
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not service.answers():
                log = service.last_words()
                if not service.is_running:
                    raise StackError(f"{service.name} ended while starting:\n{log}")
                if time.monotonic() > deadline:
                    raise StackError(f"{service.name} does not answer:\n{log}")
                time.sleep(0.1)

    def await_instance(self) -> None:
        """Wait for Dagster's instance, which cannot be read sooner; `StackError`: there is none."""
        service = self.services[INSTANCE]
        if service.process is None or service.process.wait(START_TIMEOUT_SECONDS) != 0:
            raise StackError(
                f"Dagster's instance cannot be made:\n{service.last_words()}"
            )

    def stop(self, name: str) -> None:
        """End one process and its children, gently first."""
        service = self.services.get(name)
        process = None if service is None else service.process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
        # Run processes outlive a code server that ended gently.
        _signal_group(process, signal.SIGKILL)
        process.wait()

    def kill(self, name: str) -> None:
        """Kill one process and its children at once, as a dying host would."""
        process = self.services[name].process
        if process is not None:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """End everything that was started, the embedded AWS last."""
        for service in self.services.values():
            if service.process is not None and service.name != MOTO:
                _signal_group(service.process, signal.SIGTERM)
        for name in reversed(list(self.services)):
            self.stop(name)

    def dead(self) -> list[Service]:
        """Return the processes that were started and have ended by themselves."""
        return [
            service
            for name, service in self.services.items()
            if name != INSTANCE and not service.is_running
        ]

    def process_environment(self, name: str = "") -> dict[str, str]:
        """Return all variables that a process of this stack gets."""
        paths = [
            str(self.checkouts.get(name, PROJECT_ROOT)),
            os.environ.get("PYTHONPATH", ""),
        ]
        return {
            **foreign_free(os.environ),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }

    def command(self, name: str) -> list[str]:
        """Return the command line of a process."""
        python, scripts = sys.executable, Path(sys.executable).parent
        port = str(self.ports.get(name, ""))
        commands: Mapping[str, list[str]] = {
            INSTANCE: [python, "-c", _MAKE_INSTANCE],
            MOTO: [python, "-m", "relay_dagster.devstack.moto_server", self.host, port],
            CODE: [
                *(python, "-m", "dagster", "api", "grpc", "-h", self.host, "-p", port),
                *("-m", "relay_dagster.definitions", "--location-name", "relay"),
                *("--max-workers", "16"),
                "--use-python-environment-entry-point",
            ],
            WEBSERVER: [
                *(
                    python,
                    "-m",
                    "relay_dagster.cli",
                    "ui",
                    "--host",
                    self.host,
                    "--port",
                    port,
                ),
                *("--workspace", str(self.workspace)),
            ],
            DAEMON: [str(scripts / "dagster-daemon"), "run", "-w", str(self.workspace)],
            API: [
                python,
                "-m",
                "relay_dagster.cli",
                "api",
                "--host",
                self.host,
                "--port",
                port,
            ],
        }
        return commands[name]

    def probe(self, name: str) -> Callable[[], bool]:
        """Return the question whether a process is ready."""
        probes: Mapping[str, Callable[[], bool]] = {
            INSTANCE: lambda: not self.services[INSTANCE].is_running,
            MOTO: lambda: _http_answers(f"{self.url(MOTO)}/moto-api/data.json"),
            CODE: lambda: port_answers(self.host, self.ports[CODE]),
            WEBSERVER: lambda: _http_answers(f"{self.url(WEBSERVER)}/server_info"),
            DAEMON: lambda: self.services[DAEMON].is_running,
            API: lambda: _http_answers(f"{self.url(API)}/v1/health"),
        }
        return probes[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _spawn(self, name: str) -> None:
        service = Service(
            name, self.command(name), self.logs / f"{name}.log", self.probe(name)
        )
        with service.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and ending the group ends its runs.
            service.process = subprocess.Popen(
                service.argv,
                env=self.process_environment(name),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.services[name] = service


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def port_answers(host: str, port: int) -> bool:
    """Return whether a process listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _http_answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == HTTPStatus.OK
    except httpx.HTTPError:
        return False


# --- this machine's memory, and the part of it that each run may take ----------------------------

_STACK_MB = 1_100
"""Emulator, API, code server, webserver and daemon: about as much as they hold between runs."""
_PROCESS_MB = 300  # what a run's process holds before it reads a feed
_LEAST_MB = 128


def run_memory_mb(runs: int, root: Path = Path("/")) -> int:
    """Return the MiB for the feeds of each of so many runs at once; 0 where no size is known."""
    memory = (line.split() for line in _lines(root / "proc/meminfo"))
    # The bytes of the machine, and those of each control group that this process is in.
    sizes = [int(words[1]) << 10 for words in memory if words[0] == "MemTotal:"]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        tree = root / "sys/fs/cgroup" / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = tree / path.lstrip("/")
        for folder in (group, *group.parents):
            sizes += (int(text) for text in _lines(folder / name) if text.isdecimal())
            if folder == tree:
                break
    if not sizes:
        return 0
    return max(_LEAST_MB, ((min(sizes) >> 20) - _STACK_MB) // runs - _PROCESS_MB)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
