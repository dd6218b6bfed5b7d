"""Starts and ends the processes of the product, on free local ports.

``relay server demo``, ``dev``, and the tests of the real stack use it. Each process can be
killed and started again by its name.
"""

import contextlib
import os
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
_DAGSTER_YAML = Path(__file__).with_name("dagster.yaml")
HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 90
STOP_TIMEOUT_SECONDS = 3
"""A daemon or code server in the middle of a long poll would take up to 20 seconds."""

RUNS_AT_ONCE = 2
MOTO = "moto"
CODE = "code"
WEBSERVER = "webserver"
DAEMON = "daemon"
API = "api"
INSTANCE = "instance"
"""Makes the tables of Dagster's instance and ends: two processes cannot make them at once."""
_MAKE_INSTANCE = (
    "from dagster import DagsterInstance; DagsterInstance.get().dispose()"
)

_STORAGE = """
storage:
  custom:
    module: relay_dagster.orchestration.sqlite_storage
    class: SqliteStorage
    config: {{base_dir: "{folder}"}}
"""

_FOREIGN_NAMES = (
    "ARTIFACT_BUCKET",
    "RUNS_TABLE",
    "TENANTS_TABLE",
    "AUDIT_TABLE",
    "UPLOADS_QUEUE_URL",
    "API_KEYS",
)
_FOREIGN_PREFIXES = ("AWS_", "DAGSTER_", "SQS_")


class StackError(Exception):
    """A process of the stack did not start, or ended; the message ends with its log."""


def free_port() -> int:
    """Return a local TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def embedded_aws_environment(endpoint: str) -> dict[str, str]:
    """Return the variables that make boto3 use only a moto server at ``endpoint``."""
    hosts = dict.fromkeys(
        (HOST, "localhost", urlsplit(endpoint).hostname or HOST),
    )
    no_proxy = ",".join(hosts)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "relay",
        "AWS_SECRET_ACCESS_KEY": "relay",
        # The user's profile is neither used nor needed.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def foreign_free(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables of another installation."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _FOREIGN_NAMES and not name.startswith(_FOREIGN_PREFIXES)
    }


@dataclass
class Service:
    """One process: its command, its readiness check, and its log."""

    name: str
    argv: Sequence[str]
    log: Path
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Return True if the process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def end_of_log(self, lines: int = 15) -> str:
        """Return the last lines of the log, for a message about a failed process."""
        if not self.log.exists():
            return ""
        log_lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(log_lines[-lines:])


@dataclass
class Stack:
    """The product's processes in one folder, each on one port as long as the stack lives.

    All processes get ``environment`` besides the caller's own variables; change it before the
    process that needs the change starts. All listen on ``host``. Processes that ``checkouts``
    names run the code of another folder. Leaving the ``with`` block ends everything.
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
        settings = self.dagster_settings()
        (self.dagster_home / "dagster.yaml").write_text(settings, "utf-8")
        self.workspace.write_text(
            "load_from:\n"
            "  - grpc_server:\n"
            f"      host: {self.host}\n"
            f"      port: {self.ports[CODE]}\n"
            "      location_name: relay\n",
        )
        self.environment = {
            **embedded_aws_environment(self.url(MOTO)),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_WEBSERVER_URL": self.url(WEBSERVER),
            "WORKER_MAX_CONCURRENCY": str(RUNS_AT_ONCE),
            # A tick of the sensor asks for all runs that end before the next tick.
            "RELAY_INTAKE_LIMIT": str(8 * RUNS_AT_ONCE),
            **self.environment,
        }

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's instance."""
        return self.home / "dagster"

    def dagster_settings(self) -> str:
        """Return the text of `dagster.yaml`."""
        settings = _DAGSTER_YAML.read_text("utf-8")
        return settings + _STORAGE.format(folder=self.dagster_home)

    @property
    def workspace(self) -> Path:
        """The workspace file that names the code server."""
        return self.home / "workspace.yaml"

    @property
    def logs(self) -> Path:
        """The folder with a log file per process."""
        return self.home / "logs"

    def url(self, name: str) -> str:
        """Return the base URL of a process that listens."""
        return f"http://{self.host}:{self.ports[name]}"

    def start(self, *names: str) -> None:
        """Start processes, and wait until each is ready.

        Raises:
            StackError: A process ended while starting, or is not ready in time.
        """
        if INSTANCE not in self.services:
            self._spawn(INSTANCE)
        if {CODE, WEBSERVER, DAEMON}.intersection(names):
            self.await_instance()
        for name in names:
            self._spawn(name)
        for name in names:
            _await_ready(self.services[name])

    def await_instance(self) -> None:
        """Wait for Dagster's instance, which cannot be read earlier.

        Raises:
            StackError: The instance could not be made.
        """
        service = self.services[INSTANCE]
        process = service.process
        if process is None or process.wait(START_TIMEOUT_SECONDS) != 0:
            log = service.end_of_log()
            raise StackError(f"Dagster's instance cannot be made:\n{log}")

    def stop(self, name: str) -> None:
        """End one process and its children, gently first."""
        service = self.services.get(name)
        if service is None or service.process is None:
            return
        process = service.process
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
        # Runs outlive a code server that ended gently.
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

    def ended_services(self) -> list[Service]:
        """Return the processes that were started and have ended by themselves."""
        return [
            service
            for name, service in self.services.items()
            if name != INSTANCE and not service.is_running()
        ]

    def process_environment(self, name: str = "") -> dict[str, str]:
        """Return all variables that a process of this stack gets."""
        paths = [str(self.checkouts.get(name, PROJECT_ROOT))]
        if os.environ.get("PYTHONPATH"):
            paths.append(os.environ["PYTHONPATH"])
        return {
            **foreign_free(os.environ),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }

    def command(self, name: str) -> list[str]:
        """Return the command line of a process."""
        python = sys.executable
        relay = [python, "-m", "relay_dagster.cli"]
        port = str(self.ports.get(name, ""))
        address = ["--host", self.host, "--port", port]
        workspace = str(self.workspace)
        commands: Mapping[str, list[str]] = {
            INSTANCE: [python, "-c", _MAKE_INSTANCE],
            MOTO: [
                python,
                "-m",
                "relay_dagster.devstack.moto_server",
                self.host,
                port,
            ],
            CODE: [*relay, "server", "code", *address],
            WEBSERVER: [
                *relay,
                "server",
                "ui",
                *address,
                "--workspace",
                workspace,
            ],
            DAEMON: [_script("dagster-daemon"), "run", "-w", workspace],
            API: [*relay, "server", "api", *address],
        }
        return commands[name]

    def readiness_check(self, name: str) -> Callable[[], bool]:
        """Return a function that tells whether a process is ready."""
        checks: Mapping[str, Callable[[], bool]] = {
            INSTANCE: lambda: not self.services[INSTANCE].is_running(),
            MOTO: lambda: _http_answers(f"{self.url(MOTO)}/moto-api/data.json"),
            CODE: lambda: port_answers(self.host, self.ports[CODE]),
            WEBSERVER: lambda: _http_answers(
                f"{self.url(WEBSERVER)}/server_info",
            ),
            DAEMON: lambda: self.services[DAEMON].is_running(),
            API: lambda: _http_answers(f"{self.url(API)}/v1/health"),
        }
        return checks[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _spawn(self, name: str) -> None:
        service = Service(
            name=name,
            argv=self.command(name),
            log=self.logs / f"{name}.log",
            is_ready=self.readiness_check(name),
        )
        with service.log.open("ab") as log:
            # In a session of its own: Ctrl-C reaches only this process, and ending the
            # process group ends the runs that the process started.
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


def _script(name: str) -> str:
    """Return the path of a script of this Python environment."""
    return str(Path(sys.executable).parent / name)


def _await_ready(service: Service) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not service.is_ready():
        log = service.end_of_log()
        if not service.is_running():
            raise StackError(f"{service.name} ended while starting:\n{log}")
        if time.monotonic() > deadline:
            raise StackError(f"{service.name} does not answer:\n{log}")
        time.sleep(0.1)


def _signal_group(
    process: subprocess.Popen[bytes],
    number: signal.Signals,
) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def port_answers(host: str, port: int) -> bool:
    """Return True if a process listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _http_answers(url: str) -> bool:
    try:
        response = httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return response.status_code == HTTPStatus.OK
