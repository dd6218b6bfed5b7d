"""This machine's memory, and the part of it that each run may use."""

from collections.abc import Iterator
from pathlib import Path

_STACK_MB = 1_300
"""The memory of the emulator, API, code server, webserver, and daemon between runs, in MiB.

The code server's warm process has 180 of them.
"""
_PROCESS_MB = 300
"""The memory of a run's process before it reads a feed, in MiB."""
_LEAST_MB = 128


def run_memory_mb(runs: int, root: Path = Path("/")) -> int:
    """Return the MiB for the feeds of each run, or 0 if the machine's size is unknown.

    Args:
        runs: The number of runs at once.
        root: The root of the file system that has ``proc`` and ``sys``.
    """
    sizes = [*_machine_bytes(root), *_control_group_bytes(root)]
    if not sizes:
        return 0
    available_mb = (min(sizes) >> 20) - _STACK_MB
    return max(_LEAST_MB, available_mb // runs - _PROCESS_MB)


def _machine_bytes(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        words = line.split()
        if words[0] == "MemTotal:":
            yield int(words[1]) << 10


def _control_group_bytes(root: Path) -> Iterator[int]:
    """Yield the limit of each control group that this process is in, of both versions."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        file_name = "memory.limit_in_bytes" if controllers else "memory.max"
        tree = root / "sys/fs/cgroup" / controllers
        group = tree / path.lstrip("/")
        for folder in (group, *group.parents):
            limits = _lines(folder / file_name)
            yield from (int(limit) for limit in limits if limit.isdecimal())
            if folder == tree:
                break


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
