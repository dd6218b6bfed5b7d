"""Two machines beside this one: network namespaces, or folders where the kernel refuses those.

A machine in a namespace has an address, a host name and a disk of its own: over the rehearsal's
folder lies an empty file system that nobody else sees. What it shares with this one is the code.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay_dagster.devstack.processes import HOST

NAMES = ("worker-a", "worker-b")
_OWN_DISK = 'mount -t tmpfs relay "$HOME_OF_ALL"; hostname "$MACHINE"; '
# What an operator does on a new machine, and then the command that the arguments are.
_START = """
mkdir -p "$FOLDER/dagster" "$FOLDER/tmp"
cp "$SETTINGS" "$FOLDER/dagster/dagster.yaml"
cd "$FOLDER"
export DAGSTER_HOME="$FOLDER/dagster" TMPDIR="$FOLDER/tmp" HOME="$FOLDER"
exec "$@"
"""


class RefusedError(Exception):
    """There are no namespaces here; the message says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A place where a worker runs. ``namespace`` is empty for a mere folder."""

    name: str
    folder: Path
    address: str
    namespace: str = ""

    def argv(self, settings: Path, *command: str) -> list[str]:
        """Return how this machine runs a command, with ``settings`` as its dagster.yaml."""
        variables = [
            f"MACHINE={self.name}",
            f"HOME_OF_ALL={self.folder.parent.parent}",
            f"FOLDER={self.folder}",
            f"SETTINGS={settings}",
        ]
        script = "set -eu; " + (_OWN_DISK if self.namespace else "") + _START
        shell = ["env", *variables, "sh", "-c", script, "sh", *command]
        if not self.namespace:
            return shell
        return [
            "ip",
            "netns",
            "exec",
            self.namespace,
            "unshare",
            "--uts",
            *shell,
        ]

    def files(self, pid: int) -> list[str]:
        """Return the files in its folder, as its process ``pid`` sees them."""
        folder = self._seen_by(pid, self.folder)
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if not path.is_dir()
        )

    def sees(self, pid: int, folder: Path) -> bool:
        """Return whether its process ``pid`` sees a folder."""
        return self._seen_by(pid, folder).exists()

    def _seen_by(self, pid: int, folder: Path) -> Path:
        root = Path(f"/proc/{pid}/root") if self.namespace else Path("/")
        return root / folder.relative_to("/")


@dataclass(frozen=True, slots=True)
class Machines:
    """This machine's address for the others, the network they are in, and the others."""

    host: str
    network: str
    others: Sequence[Machine]
    kind: str


@contextmanager
def two_machines(home: Path) -> Iterator[Machines]:
    """Lend two machines whose folders are under ``home``; leave nothing of them."""
    with contextlib.ExitStack() as cleanup:
        try:
            machines = cleanup.enter_context(_namespaces(home))
        except RefusedError as refused:
            machines = _folders(home, str(refused))
        yield machines


def _folders(home: Path, why: str) -> Machines:
    machines = [Machine(name, home / "machines" / name, HOST) for name in NAMES]
    return Machines(
        HOST,
        "",
        machines,
        f"two folders of one machine, without namespaces: {why}",
    )


@contextmanager
def _namespaces(home: Path) -> Iterator[Machines]:
    mark = os.getpid()
    bridge = f"relay{mark}"
    prefix = f"198.18.{mark % 250}"
    machines = [
        Machine(
            name,
            home / "machines" / name,
            f"{prefix}.{last}",
            f"relay-{mark}-{name}",
        )
        for last, name in enumerate(NAMES, 2)
    ]
    with contextlib.ExitStack() as cleanup:
        _ip("link", "add", bridge, "type", "bridge")
        cleanup.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{prefix}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, machine in enumerate(machines):
            _ip("netns", "add", machine.namespace)
            cleanup.callback(_ip, "netns", "del", machine.namespace)
            _connect(machine, bridge, f"relay{mark}v{number}")
        kind = f"two network namespaces, {' and '.join(machine.address for machine in machines)}"
        yield Machines(f"{prefix}.1", f"{prefix}.0/24", machines, kind)


def _connect(machine: Machine, bridge: str, cable: str) -> None:
    inside = ("-n", machine.namespace)
    _ip(
        "link",
        "add",
        cable,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        machine.namespace,
    )
    _ip("link", "set", cable, "master", bridge, "up")
    _ip(*inside, "addr", "add", f"{machine.address}/24", "dev", "eth0")
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    try:
        process = subprocess.run(
            ["ip", *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise RefusedError("iproute2 is not installed") from None
    if process.returncode:
        raise RefusedError(f"ip {' '.join(words)}: {process.stderr.strip()}")
