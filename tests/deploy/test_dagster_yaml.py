from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from support.deployment import DEPLOY

ROOT = DEPLOY.parent


def settings(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


PRODUCTION = settings(DEPLOY / "dagster.yaml")
LOCAL = settings(ROOT / "dagster.yaml")
CELERY = settings(DEPLOY / "dagster.celery.yaml")


@pytest.mark.parametrize(
    "section",
    [
        "auto_materialize",
        "freshness",
        "run_coordinator",
        "run_retries",
        "sensors",
        "telemetry",
    ],
)
def test_what_the_product_depends_on_is_the_same_as_on_one_machine(
    section: str,
) -> None:
    assert PRODUCTION[section] == LOCAL[section]


def test_no_daemon_runs_that_has_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        daemons = {*instance.get_required_daemon_types()}
    assert daemons.isdisjoint({"ASSET", "FRESHNESS_DAEMON"})
    assert daemons >= {"SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"}


def test_a_tenant_has_one_run_at_a_time() -> None:
    assert PRODUCTION["run_coordinator"]["config"][
        "tag_concurrency_limits"
    ] == [
        {
            "key": "dagster/partition",
            "value": {"applyLimitPerUniqueValue": True},
            "limit": 1,
        }
    ]


def test_runs_are_tasks_of_the_stack_s_own_definition() -> None:
    launcher = PRODUCTION["run_launcher"]
    assert (launcher["module"], launcher["class"]) == (
        "relay_dagster.run_launcher",
        "RunLauncher",
    )
    assert launcher["config"]["task_definition"] == {
        "env": "RELAY_RUN_TASK_DEFINITION"
    }


def test_with_celery_only_the_launcher_differs() -> None:
    shared = CELERY.keys() - {"run_launcher"}
    assert shared == PRODUCTION.keys() - {"run_launcher"}
    never_resumed = {
        "run_monitoring": {
            **PRODUCTION["run_monitoring"],
            "max_resume_run_attempts": 0,
        }
    }
    expected = {**PRODUCTION, **never_resumed}
    assert {key: CELERY[key] for key in shared} == {
        key: expected[key] for key in shared
    }
    launcher = CELERY["run_launcher"]
    assert (launcher["module"], launcher["class"]) == (
        "dagster_celery.launcher",
        "CeleryRunLauncher",
    )


def test_a_task_gets_its_time_to_start() -> None:
    assert PRODUCTION["run_monitoring"]["enabled"]
    assert PRODUCTION["run_monitoring"]["start_timeout_seconds"] >= 600


def test_old_ticks_are_forgotten() -> None:
    for kind in ("schedule", "sensor"):
        days = PRODUCTION["retention"][kind]["purge_after_days"]
        assert all(
            0 < limit <= 30
            for limit in (days.values() if isinstance(days, dict) else [days])
        )


@pytest.fixture(scope="module")
def played() -> Mapping[str, Any]:
    process = subprocess.run(
        [sys.executable, "tests/deploy/production_run.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.integration
def test_the_main_job_runs_on_a_real_postgresql(
    played: Mapping[str, Any],
) -> None:
    assert played["statuses"] == ["SUCCEEDED", "SUCCEEDED"]
    assert played["feeds"] == [True, True]
    assert played["runs"] == ["SUCCESS", "SUCCESS"]
    assert played["ticks"] > 0


@pytest.mark.integration
def test_it_runs_where_nothing_but_tmp_can_be_written_to(
    played: Mapping[str, Any],
) -> None:
    assert played["read_only"] is (os.geteuid() == 0)


@pytest.mark.integration
def test_dagster_reads_the_file_as_it_is_meant(
    played: Mapping[str, Any],
) -> None:
    assert played["monitoring"] is True
    assert played["start_timeout"] == 600
    assert played["retention"] == PRODUCTION["retention"]
