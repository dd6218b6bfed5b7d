"""The memory of this machine, and the part of it that each run may take."""

from collections.abc import Iterator
from pathlib import Path

_STACK_MB = 1_100
"""Emulator, API, code server, webserver and daemon: about as much as they hold between runs."""
_PROCESS_MB = 300
"""What a run's process holds before it reads a feed."""
_LEAST_MB = 128


def run_memory_mb(runs: int, root: Path = Path("/")) -> int:
    """Return the MiB for the feeds of each of so many runs at once; 0 where no size is known."""
    sizes = list(_sizes(root))
    if not sizes:
        return 0
    return max(_LEAST_MB, ((min(sizes) >> 20) - _STACK_MB) // runs - _PROCESS_MB)


def _sizes(root: Path) -> Iterator[int]:
    """Yield the bytes of the machine, and those of each control group that this process is in."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) << 10
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        tree = root / "sys/fs/cgroup" / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = tree / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from (int(text) for text in _lines(folder / name) if text.isdecimal())
            if folder == tree:
                break


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
