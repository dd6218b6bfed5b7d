"""How much memory a run may take on this machine, by what the system says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_dagster.devstack.machine import run_memory_mb

MEMINFO = "MemTotal:       {} kB\nMemFree:        100 kB\n"
V2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/memory.max": str(3 << 30),
}
V1 = {
    "proc/self/cgroup": "4:memory:/a\n1:cpu:/\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    "sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(4 << 30),
}


@pytest.mark.parametrize(
    ("files", "runs", "expected"),
    [
        ({}, 1, 8192 - 1300 - 300),
        ({}, 2, (8192 - 1300) // 2 - 300),
        (V2 | {"sys/fs/cgroup/a/b/memory.max": "max"}, 1, 3072 - 1300 - 300),
        (
            V2 | {"sys/fs/cgroup/a/b/memory.max": str(2 << 30)},
            1,
            2048 - 1300 - 300,
        ),
        (V2 | {"sys/fs/cgroup/a/b/memory.max": str(2 << 30)}, 4, 128),
        (V1, 1, 4096 - 1300 - 300),
    ],
)
def test_a_run_has_its_part_of_the_machine_or_of_the_control_group(
    tmp_path: Path, files: dict[str, str], runs: int, expected: int
) -> None:
    for name, text in (
        {"proc/meminfo": MEMINFO.format(8 << 20)} | files
    ).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert run_memory_mb(runs, tmp_path) == expected


def test_where_no_size_is_known_there_is_no_limit(tmp_path: Path) -> None:
    assert run_memory_mb(2, tmp_path) == 0
