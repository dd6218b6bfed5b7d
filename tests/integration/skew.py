"""Two releases side by side on one stack, rolled forward and back: `make skew BASE=<commit>`.

The API is of one release while code server and daemon are of the other, both ways. In each phase a
run succeeds, the feed that the phase before has left held is released, and another is held; all
runs, webhooks, keys and audit entries of all phases stay readable.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from relay_core.domain.codes import RunStatus
from relay_dagster.devstack import demo
from relay_dagster.devstack.processes import (
    API,
    CODE,
    DAEMON,
    PROJECT_ROOT,
    WEBSERVER,
    Stack,
)
from relay_dagster.wire.runs import Run
from support.sample_uploads import upload_tenth

TENANT = demo.TENANT
RUNS = f"/v1/runs?tenant_id={TENANT}&limit=100"
HOOKS = f"/v1/tenants/{TENANT}/webhooks"
KEYS = f"/v1/tenants/{TENANT}/api-keys"
# What a daemon says while its code server starts, and a tick that its process ends beneath.
_ROLLING = (
    "DagsterCodeLocationNotFoundError",
    "cannot schedule new futures after shutdown",
)
_UNREADABLE = (
    "item_unreadable",
    "sensor_tick_failed",
    "duty_error",
    "Traceback",
)


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Lend the files of a commit in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="relay-base-") as folder:
        archive = Path(folder) / "base.tar"
        git = [
            "git",
            "-C",
            str(PROJECT_ROOT),
            "archive",
            "--output",
            str(archive),
            commit,
        ]
        subprocess.run(git, check=True)
        subprocess.run(
            ["tar", "-x", "-C", folder, "-f", str(archive)], check=True
        )
        yield Path(folder)


class OlderStack(Stack):
    """A stack whose processes may be of a release without a code server of its own."""

    def dagster_settings(self) -> str:
        return (PROJECT_ROOT / "dagster.yaml").read_text("utf-8")

    def command(self, name: str) -> list[str]:
        root = self.checkouts.get(name, PROJECT_ROOT)
        if name != CODE or (root / "relay_dagster" / "launching").exists():
            return super().command(name)
        return [
            *(sys.executable, "-m", "dagster", "api", "grpc"),
            *("-h", self.host, "-p", str(self.ports[CODE])),
            *("-m", "relay_dagster.definitions", "--location-name", "relay"),
            *("--max-workers", "16", "--use-python-environment-entry-point"),
        ]


class Skew:
    """A stack whose processes change their release from phase to phase."""

    def __init__(self, console: Console, world: demo.World) -> None:
        self.console = console
        self.world = world
        self.held: Run | None = None
        self.ended: dict[str, str] = {}

    def roll(self, *, api: Path, code: Path) -> None:
        """End the processes, and start them with the code of these folders on what is stored."""
        stack = self.world.stack
        for name in (API, DAEMON, CODE, WEBSERVER):
            stack.stop(name)
        stack.checkouts.update(
            {API: api, CODE: code, DAEMON: code, WEBSERVER: code}
        )
        stack.start(API, CODE, WEBSERVER, DAEMON)

    def play(self) -> None:
        """Do in one phase what leaves items of each kind, and read those of all phases."""
        if self.held is not None:
            self.release(self.held)
        demo.upload_samples(self.world.platform)
        self.note(demo.post_and_follow(self.console, self.world))
        hook = self.call(
            "POST",
            HOOKS,
            201,
            url="http://127.0.0.1:9/hook",
            events=["run.failed"],
        )
        self.call(
            "PATCH", f"{HOOKS}/{hook['webhook_id']}", 200, description="skew"
        )
        self.call("POST", KEYS, 201, name="skew")
        upload_tenth(self.world.platform)
        self.held = demo.post_and_follow(
            self.console, self.world, RunStatus.HELD
        )
        self.note(self.held)
        statuses = {
            run["run_id"]: run["status"]
            for run in self.call("GET", RUNS, 200)["runs"]
        }
        assert statuses == self.ended, (statuses, self.ended)
        for hook in self.call("GET", HOOKS, 200)["webhooks"]:
            self.call(
                "PATCH",
                f"{HOOKS}/{hook['webhook_id']}",
                200,
                description="seen",
            )
        assert len(self.call("GET", "/v1/audit", 200)["audit"]) > len(statuses)

    def release(self, held: Run) -> None:
        """Publish what a phase before has left held."""
        assert held.hold is not None
        reviewed = {"sha256": held.hold.sha256, "guards": held.hold.guard_names}
        path = f"/v1/runs/{held.run_id}/release"
        self.note(
            Run.model_validate(
                self.call("POST", path, 200, **reviewed, reason="skew")
            )
        )

    def note(self, run: Run) -> None:
        """Note a run as it is to be seen from now on."""
        self.ended[run.run_id] = str(run.status)

    def call(
        self, method: str, path: str, status: int, **body: Any
    ) -> dict[str, Any]:
        """Call the API; return its answer."""
        answer = self.world.session.api.send(method, path, json=body or None)
        assert answer.status_code == status, (
            method,
            path,
            answer.status_code,
            answer.text,
        )
        return dict(answer.json())

    def complaints(self) -> list[str]:
        """Return the lines of the logs that tell of something that could not be read or done."""
        problems = []
        for log in sorted(self.world.stack.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            for place, line in enumerate(lines):
                if any(word in line for word in _UNREADABLE):
                    # What was raised stands behind a traceback's lines, which are indented.
                    following = (
                        line
                        for line in lines[place + 1 :]
                        if not line.startswith(" ")
                    )
                    raised = next(following, "") if "Traceback" in line else ""
                    if not any(word in line + raised for word in _ROLLING):
                        problems.append(
                            f"{log.name}: {line[:300]} {raised[:300]}".rstrip()
                        )
        return problems


def main(arguments: list[str]) -> int:
    """Play all phases; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the commit of the other release")
    commit = parser.parse_args(arguments).base
    console = Console(highlight=False, soft_wrap=True)
    here = PROJECT_ROOT
    with (
        checkout(commit) as base,
        tempfile.TemporaryDirectory(prefix="relay-skew-") as home,
        demo.started_world(console, OlderStack(Path(home))) as world,
    ):
        skew = Skew(console, world)
        started = time.monotonic()
        # Forward, code before API; then all the way back; then the API first, which none should.
        phases = [
            (base, base),
            (base, here),
            (here, here),
            (base, here),
            (base, base),
        ]
        for api, code in [*phases, (here, base)]:
            names = {base: commit, here: "this commit"}
            console.rule(
                f"API of {names[api]}, code locations of {names[code]}"
            )
            skew.roll(api=api, code=code)
            skew.play()
            console.print(
                f"all {len(skew.ended)} runs read, {time.monotonic() - started:.0f} s"
            )
        complaints = skew.complaints()
        for line in complaints:
            console.print(line)
    console.print(f"{len(complaints)} complaints in the logs")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
