"""Play one run on the instance of deploy/dagster.yaml, and print what came of it as JSON.

Only the run launcher is another: there is no ECS here, so runs are processes of the code server. As
in a task of deploy/relay.yaml, the processes write temporary files and nothing else, where this one
may arrange that.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from integration import sample_tenant
from integration.installation import SHORT_TIMES, Installation
from integration.waiting import wait_for
from relay_dagster.devstack.processes import API, CODE, DAEMON, WEBSERVER, Stack
from support.deployment import DEPLOY
from support.postgres_server import PostgresServer, running_postgres

READ_ONLY = (
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    'mount -o remount,bind,ro / && mount -t tmpfs tmp "${TMPDIR:-/tmp}" && exec "$@"',
    "sh",
)


class ReadOnlyStack(Stack):
    """A stack whose processes see a file system that is read-only but for temporary files."""

    def command(self, name: str) -> list[str]:
        argv = super().command(name)
        return (
            [*READ_ONLY, *argv]
            if name in (API, CODE, WEBSERVER, DAEMON)
            else argv
        )


def can_be_read_only() -> bool:
    """Return whether this process may give others a file system of their own."""
    return (
        subprocess.run(
            [*READ_ONLY, "true"], capture_output=True, check=False
        ).returncode
        == 0
    )


def main() -> None:
    """Start everything, run two tenants at once, and print the outcome."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    read_only = can_be_read_only()
    with running_postgres() as postgres, tempfile.TemporaryDirectory() as home:
        kind = ReadOnlyStack if read_only else Stack
        temporary = Path(home) / "tmp"
        temporary.mkdir()
        environment = {**SHORT_TIMES, "TMPDIR": str(temporary)}
        relay = Installation(
            Path(home), kind(Path(home), environment=environment)
        )
        settings = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
        del settings["run_launcher"]
        (relay.stack.dagster_home / "dagster.yaml").write_text(
            yaml.safe_dump(settings)
        )
        relay.stack.environment.update(postgres.variables())
        with relay:
            runs = [relay.post(relay.new_tenant()) for _ in range(2)]
            records = [relay.wait_final(run_id, within=180) for run_id in runs]
            wait_for(
                "Dagster's runs end",
                lambda: not relay.dagster.unfinished(),
                within=60,
            )
            summary = {
                "read_only": read_only,
                "statuses": [str(record.status) for record in records],
                "feeds": [
                    relay.csv(run_id) == sample_tenant.expected_csv()
                    for run_id in runs
                ],
                **_instance(postgres),
            }
    print(json.dumps(summary))


def _instance(postgres: PostgresServer) -> dict[str, Any]:
    """Return what the database holds, and how Dagster has understood the file."""
    with dg.DagsterInstance.get() as instance:
        return {
            "runs": [
                status
                for (status,) in postgres.query("SELECT status FROM runs")
            ],
            "ticks": postgres.query("SELECT count(*) FROM job_ticks")[0][0],
            "monitoring": instance.run_monitoring_enabled,
            "start_timeout": instance.run_monitoring_start_timeout_seconds,
            "retention": instance.get_settings("retention"),
        }


if __name__ == "__main__":
    main()
