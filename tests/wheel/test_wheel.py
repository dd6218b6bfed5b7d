"""The wheel, installed outside of the repository: with the compiled kernel, and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.pages import ROOT
from support.python_guide import blocks, run_examples

RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
NOW = "2026-03-01T12:00:00Z"
UV = [str(Path(sys.executable).with_name("uv"))]
CLOCK = ("duration_seconds", "stage_times", "completed_at", "generated_at")
HELP_OF_EVERY_COMMAND = """
import contextlib, io
from relay_dagster import cli
from relay_dagster.command_tree import OLD_NAMES, TREE, Branch
from typer.main import get_group

def paths(entries, path=()):
    for entry in entries:
        yield (*path, entry.name)
        if isinstance(entry, Branch):
            yield from paths(entry.entries, (*path, entry.name))

root = get_group(cli.app)
for path in [*paths(TREE), *((name,) for name in OLD_NAMES)]:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        root.main([*path, "--help"], prog_name="relay", standalone_mode=False)
    assert "Usage: relay" in shown.getvalue(), path
    print(*path)
"""


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel and its dependencies, and nothing of the repository."""

    bin: Path
    has_kernel: bool

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    def relay(
        self, folder: Path, *words: str
    ) -> subprocess.CompletedProcess[str]:
        return self.call(folder, str(self.bin / "relay"), *words)

    def call(
        self, folder: Path, *command: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a user who has not set up anything."""
    neutral = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "RELAY_", "AWS_"))
    }
    return {**neutral, **variables}


def built_wheel(folder: Path, **variables: str) -> Path:
    """Build the wheel of the files that git has, with the build tools of this environment."""
    source = folder / "source"
    source.mkdir(parents=True)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, files.split("\0")):
        if name.startswith(
            ("relay_core/", "relay_dagster/", "pyproject", "README")
        ):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            *options,
            "-w",
            str(folder),
            ".",
        ],
        cwd=source,
        env=environment(**variables),
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", params=["kernel", "no kernel"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    has_kernel = request.param == "kernel"
    folder = tmp_path_factory.mktemp("wheel")
    # Without a compiler, the build goes on and leaves the kernel out.
    variables = {} if has_kernel else {"CC": "false"}
    wheel = built_wheel(folder, **variables)
    home = folder / "env"
    subprocess.run(
        [*UV, "venv", "--quiet", "--python", sys.executable, str(home)],
        check=True,
    )
    python = str(home / "bin" / "python")
    # An example of the guide is a test.
    locked = ["--constraint", str(ROOT / "requirements.lock"), "--quiet"]
    subprocess.run(
        [
            *UV,
            "pip",
            "install",
            "--python",
            python,
            *locked,
            str(wheel),
            "pytest",
        ],
        env=environment(),
        check=True,
    )
    return Installation(home / "bin", has_kernel)


def files_in(folder: Path) -> dict[str, object]:
    """Return the content of each file; documents without what a clock writes."""
    contents: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content: object = path.read_bytes()
            if path.suffix == ".json":
                document = json.loads(path.read_bytes())
                content = {
                    name: value
                    for name, value in document.items()
                    if name not in CLOCK
                }
            contents[str(path.relative_to(folder))] = content
    return contents


def test_the_wheel_has_the_kernel_if_there_is_a_compiler(
    installed: Installation, tmp_path: Path
) -> None:
    program = (
        "import relay_core, pathlib; from relay_core.kernel import compiled; "
        "home = pathlib.Path(relay_core.__file__).parent; "
        "assert (home / 'py.typed').is_file(); "
        "assert (home.parent / 'relay_dagster' / 'py.typed').is_file(); "
        "print(compiled.is_installed, home)"
    )
    process = installed.call(tmp_path, installed.python, "-c", program)
    is_installed, home = process.stdout.split()
    assert is_installed == str(installed.has_kernel)
    assert not home.startswith(str(ROOT))


def test_every_command_has_help(
    installed: Installation, tmp_path: Path
) -> None:
    process = installed.call(
        tmp_path, installed.python, "-c", HELP_OF_EVERY_COMMAND
    )
    assert process.returncode == 0, process.stderr
    assert "server demo\n" in process.stdout
    assert (
        "Usage: relay local"
        in installed.relay(tmp_path, "local", "--help").stdout
    )
    assert "Usage: relay " in installed.relay(tmp_path, "--help").stdout


@pytest.mark.parametrize("command", ["demo", "dev"])
def test_a_trial_names_the_extra_that_it_needs(
    command: str, installed: Installation, tmp_path: Path
) -> None:
    process = installed.relay(tmp_path, "server", command)
    assert process.returncode == 2, process.stderr
    (line,) = process.stderr.splitlines()
    assert "relay-inventory[demo]" in line


def test_own_files_become_a_feed_by_two_commands(
    installed: Installation, tmp_path: Path
) -> None:
    (prices,) = blocks("csv")
    (tmp_path / "prices.csv").write_text(prices)
    (tmp_path / "more.csv").write_text(
        "sku;quantity_available;cost\nB-1;4;1,50\n"
    )
    new = installed.relay(
        tmp_path, "new", "prices.csv", "more.csv", "--output-dir", "shop"
    )
    assert new.returncode == 0, new.stderr
    assert new.stdout.splitlines()[-1] == "relay local shop/tenant.yaml"
    check = installed.relay(tmp_path, "local", "shop/tenant.yaml", "--check")
    assert check.returncode == 0, check.stderr
    assert "# a run would succeed, with 3 SKUs in the feed" in check.stdout
    run = installed.relay(tmp_path, "local", "shop/tenant.yaml")
    assert run.returncode == 0, run.stderr
    feed = (tmp_path / "out" / "outputs" / "merged_inventory.csv").read_text()
    assert [line.split(",")[0] for line in feed.splitlines()[1:]] == [
        "ACM-10007",
        "ACM-10011",
        "B-1",
    ]


def test_the_examples_for_python_run(
    installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    runs = list(run_examples(tmp_path, installed.python))
    assert [run.stderr or run.stdout for run in runs if run.returncode] == []


@pytest.mark.parametrize("tenant", ["acme_parts", "tool_yard", "hammer_house"])
def test_a_run_has_the_bytes_of_the_clone(
    tenant: str, installed: Installation, tmp_path: Path
) -> None:
    words = [f"--tenant={tenant}", f"--run-id={RUN_ID}", f"--now={NOW}"]
    script = str(ROOT / "scripts" / "local_run.py")
    here = installed.relay(tmp_path, "local", *words, "--output-dir=wheel")
    command = [sys.executable, script, *words, "--output-dir=clone"]
    there = installed.call(tmp_path, *command)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr
    wheel = files_in(tmp_path / "wheel")
    clone = files_in(tmp_path / "clone")
    if not installed.has_kernel:
        # They say that there is no kernel.
        for name in ("reports/report.html", "reports/report.json"):
            assert wheel.pop(name) != clone.pop(name)
    assert wheel == clone
