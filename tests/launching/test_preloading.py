"""What a process has loaded before it gets a run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from relay_dagster.devstack.processes import embedded_aws_environment

_MAKE_CLIENTS = """
import sys
from relay_dagster.aws import clients
PREPARE
modules, models = set(sys.modules), len(clients._models(None)._cache)
made = clients.Clients("us-east-1")
made.dynamodb, made.dynamodb_heartbeats, made.s3, made.sqs, made.cloudwatch
print(len(set(sys.modules) - modules), len(clients._models(None)._cache) - models)
"""
_LOADED = """
import sys
from relay_dagster.launching import warm_start
print(*sorted({"pandas", "pandera", "pyarrow.dataset"} - set(sys.modules)))
"""


def printed(program: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            **embedded_aws_environment("http://127.0.0.1:1"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.strip()


@pytest.mark.parametrize("starts_warm", [True, False])
def test_the_clients_of_a_run_read_nothing_that_was_not_loaded_before(
    starts_warm: bool,
) -> None:
    prepare = "from relay_dagster.launching import warm_start" * starts_warm
    numbers = printed(_MAKE_CLIENTS.replace("PREPARE", prepare)).split()
    assert (numbers == ["0", "0"]) is starts_warm


def test_what_runs_load_late_is_loaded() -> None:
    assert printed(_LOADED) == ""
