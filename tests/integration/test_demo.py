"""The one command that shows it all: it ends well, ends when it is told to, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Return the folder in which the demo makes its own; processes of a demo name it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def demo(tmp_path: Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "relay_dagster.cli",
            "server",
            "demo",
            "--output-dir",
            str(tmp_path / "out"),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def left_running(temporary: Path) -> list[str]:
    """Return the commands of processes that work in a folder of the demo's, or name it."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may end meanwhile, or be somebody else's.
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(temporary) in f"{command} {(process / 'cwd').readlink()}":
                commands.append(command)
    return commands


def test_the_demo_ends_with_a_feed_and_leaves_nothing_behind(
    demo: subprocess.Popen[str], temporary: Path, tmp_path: Path
) -> None:
    output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, output
    for part in (
        "COMPLETE",
        "The merged feed",
        "Rejected rows by cause",
        "Where to look",
    ):
        assert part in output
    assert re.search(
        r"^  Page +http://127\.0\.0\.1:\d+/app$", output, re.MULTILINE
    )
    assert re.search(r"^  Key +rk_\w{16}_[\w-]{43}$", output, re.MULTILINE)
    for part in (
        "trigger upload",
        "The run is HELD",
        "vendor_rows of",
        "the good feed of the first run",
        "demo (admin_key)",
        "returns the live feed: ",
        "Pull a file from a vendor's server: ",
        "Relay itself (system)",
        "The same feed for other shops: its channels",
        "Delivered to sftp://shop@127.0.0.1:",
        "marketplace-1.csv",
    ):
        assert part in output
    assert "relay feed release " in output
    (feed,) = (tmp_path / "out").glob("*/merged_inventory.csv")
    assert feed.read_text("utf-8").startswith("sku,vendor_id,")
    assert left_running(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "told_by", [[signal.SIGINT], [signal.SIGINT, signal.SIGTERM]]
)
def test_a_demo_that_is_told_to_end_leaves_nothing_behind(
    demo: subprocess.Popen[str], temporary: Path, told_by: list[signal.Signals]
) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if "relay server bootstrap" in line:
            break
    for number in told_by:
        demo.send_signal(number)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert left_running(temporary) == []
    assert list(temporary.iterdir()) == []
